"""What bodies of Voyage's API ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from polyvec.dialects._content import parse_content
from polyvec.dialects._encode import EncodingFormat
from polyvec.dialects._openai.wire import (
    one_of,
    optional_bool,
    optional_int,
    optional_str,
    wrong_type,
)
from polyvec.dialects._quantize import DTYPES, Dtype
from polyvec.errors import InvalidInputError
from polyvec.types import EmbedRequest, Input, ScoreRequest, Text, Truncate


@dataclass(frozen=True, slots=True)
class Asked:
    """What one body asks for.

    Attributes:
        request: Without the prompt that ``input_type`` stands for.
        input_type: As the caller wrote it.
        dtype: Of the vectors in the answer.
        encoding: Of the vectors in the answer.
    """

    request: EmbedRequest
    input_type: str | None
    dtype: Dtype
    encoding: EncodingFormat


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents by their chunks.

    Attributes:
        asked: All chunks, one after the other.
        lengths: How many chunks each document has.
        texts: All chunks, where the answer is to repeat them; else None.
    """

    asked: Asked
    lengths: tuple[int, ...]
    texts: tuple[str, ...] | None


def parse_embed(body: Mapping[str, Any]) -> Asked:
    """Return what a body of ``POST /v1/embeddings`` asks for.

    A null in an optional field means the same as its absence; unknown fields are ignored.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.voyageai.com/reference/embeddings-api.
    """
    value = body.get("input")
    if isinstance(value, str):
        inputs: tuple[Input, ...] = (Input((Text(value),)),)
    else:
        inputs = _texts(value, "input")
    return _asked(body, inputs, _truncate(body))


def parse_multimodal(body: Mapping[str, Any]) -> Asked:
    """Return what a body of ``POST /v1/multimodalembeddings`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.voyageai.com/reference/multimodal-embeddings-api.
    """
    inputs = []
    for index, value in enumerate(_array(body, "inputs")):
        param = f"inputs[{index}]"
        if not isinstance(value, Mapping):
            raise wrong_type(param, "an object with content", value)
        parts = parse_content(value.get("content"), f"{param}.content")
        if not parts:
            raise InvalidInputError(
                f"{param}.content must hold at least one part", param=f"{param}.content"
            )
        inputs.append(Input(parts, param))
    return _asked(body, tuple(inputs), _truncate(body))


def parse_contextualized(body: Mapping[str, Any], max_input_tokens: int | None) -> Documents:
    """Return what a body of ``POST /v1/contextualizedembeddings`` asks for.

    A document that is a string is one chunk. Where the server is to make the chunks, a document is
    one chunk if it fits, and else refused by its length.

    Args:
        body: Decoded.
        max_input_tokens: The model's longest text, or None where that is not known.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.voyageai.com/reference/contextualized-embeddings-api.
    """
    is_chunked_here = bool(optional_bool(body, "enable_auto_chunking"))
    chunk_size = optional_int(body, "chunk_size")
    if chunk_size is not None and chunk_size < 1:
        raise InvalidInputError("chunk_size must be a positive integer or null", param="chunk_size")
    documents = [
        _chunks(value, f"inputs[{index}]") for index, value in enumerate(_array(body, "inputs"))
    ]
    chunks = tuple(chunk for document in documents for chunk in document)
    limit = None
    if is_chunked_here and chunk_size is not None and max_input_tokens is not None:
        limit = chunk_size if chunk_size < max_input_tokens else None
    return Documents(
        asked=_asked(body, chunks, "none", max_tokens=limit),
        lengths=tuple(map(len, documents)),
        texts=tuple(_text_of(chunk) for chunk in chunks) if is_chunked_here else None,
    )


def parse_rerank(body: Mapping[str, Any]) -> tuple[ScoreRequest, int, bool]:
    """Return what a body of ``POST /v1/rerank`` asks for, how many results, and with their texts?

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.voyageai.com/reference/reranker-api.
    """
    query = optional_str(body, "query")
    if query is None:
        raise InvalidInputError("query is required: a string", param="query")
    documents = tuple(
        _document(value, f"documents[{index}]")
        for index, value in enumerate(_array(body, "documents"))
    )
    top_k = optional_int(body, "top_k")
    if top_k is not None and top_k < 1:
        raise InvalidInputError("top_k must be a positive integer or null", param="top_k")
    request = ScoreRequest(
        model=optional_str(body, "model") or None,
        queries=(query,),
        documents=documents,
        truncate=_truncate(body),
    )
    return request, top_k or len(documents), bool(optional_bool(body, "return_documents"))


def _asked(
    body: Mapping[str, Any],
    inputs: tuple[Input, ...],
    truncate: Truncate,
    *,
    max_tokens: int | None = None,
) -> Asked:
    dimensions = optional_int(body, "output_dimension")
    if dimensions is not None and dimensions < 1:
        raise InvalidInputError(
            "output_dimension must be a positive integer or null", param="output_dimension"
        )
    request = EmbedRequest(
        model=optional_str(body, "model") or None,
        inputs=inputs,
        dimensions=dimensions,
        truncate=truncate,
        max_tokens=max_tokens,
        outputs=("dense",),
    )
    formats = ("float", "base64")
    encoding = one_of(body, "encoding_format", formats) or one_of(body, "output_encoding", formats)
    return Asked(
        request=request,
        input_type=optional_str(body, "input_type"),
        dtype=cast("Dtype", one_of(body, "output_dtype", DTYPES) or "float"),
        encoding=cast("EncodingFormat", encoding or "float"),
    )


def _truncate(body: Mapping[str, Any]) -> Truncate:
    return "none" if optional_bool(body, "truncation") is False else "end"


def _array(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list):
        raise wrong_type(name, "an array", value)
    if not value:
        raise InvalidInputError(f"{name} must hold at least one element", param=name)
    return value


def _texts(value: Any, param: str) -> tuple[Input, ...]:
    texts = _array({param: value}, param)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise wrong_type(f"{param}[{index}]", "a string", text)
    return tuple(Input((Text(text),), f"{param}[{index}]") for index, text in enumerate(texts))


def _chunks(value: Any, param: str) -> tuple[Input, ...]:
    if isinstance(value, str):
        return (Input((Text(value),), param),)
    return _texts(value, param)


def _text_of(chunk: Input) -> str:
    (part,) = chunk.parts
    return part.text if isinstance(part, Text) else ""


def _document(value: Any, param: str) -> str:
    text = value.get("text") if isinstance(value, Mapping) else value
    if not isinstance(text, str):
        raise wrong_type(param, "a string", value)
    return text
