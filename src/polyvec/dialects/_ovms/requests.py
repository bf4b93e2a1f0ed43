"""What bodies for OpenVINO Model Server ask for.

The texts of errors are the server's own, because its clients and its users know them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, cast

from polyvec.dialects._base import Call
from polyvec.dialects._encode import EncodingFormat
from polyvec.dialects._ovms.wire import (
    MAX_JSON_INT,
    MAX_PADDED_TOKENS,
    MIN_JSON_INT,
    NOT_JSON,
)
from polyvec.errors import InvalidInputError
from polyvec.types import (
    EmbedRequest,
    Input,
    ScoreRequest,
    Text,
    TokenizeRequest,
    Tokens,
    Vocabulary,
)

Task = Literal["embed", "rerank", "tokenize"]

INVALID_JSON: Final = "invalid_json"
"""Code of the errors that are answered with 412."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What is left of a rerank body after its `ScoreRequest`.

    Attributes:
        top_n: Number of results.
        with_documents: Whether results repeat the documents' texts.
    """

    top_n: int
    with_documents: bool


@dataclass(frozen=True, slots=True)
class Fill:
    """How token ids are filled up.

    Attributes:
        length: In tokens; None for that of the longest text.
        on_left: Whether the filling stands before the tokens.
    """

    length: int | None
    on_left: bool


def read_body(call: Call) -> dict[str, Any]:
    """Return the body of a call that a model is to answer.

    Raises:
        InvalidInputError: With code ``invalid_json``: it is no JSON object, or its model no string.

    Source: the texts of ``src/http_rest_api_handler.cpp`` in
    https://github.com/openvinotoolkit/model_server. A body without a model is for the first one.
    """
    try:
        body = call.json()
    except InvalidInputError as error:
        is_deep = "nested deeper" in error.message
        why = "JSON body exceeds maximum nesting depth" if is_deep else "Cannot parse JSON body"
        _not_json(why)
    if not isinstance(body, dict):
        _not_json("JSON body must be an object")
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        _not_json("model field is not a string")
    return body


def task_of(rest: str, body: Mapping[str, Any]) -> Task:
    """Return what a call below ``/v3`` wants.

    OVMS asks the model's graph. Only ``tokenize`` at the end of the path counts for it as well.

    Args:
        rest: The path behind ``/v3/``.
        body: As decoded.
    """
    if rest.endswith("tokenize"):
        return "tokenize"
    if "input" in body:
        return "embed"
    asks_for_ranking = "query" in body or "documents" in body
    return "rerank" if asks_for_ranking or rest.endswith("rerank") else "embed"


def parse_embed(
    body: Mapping[str, Any], model: str | None, vocabulary: Vocabulary = "model"
) -> tuple[EmbedRequest, EncodingFormat]:
    """Return what a body of ``POST /v3/embeddings`` asks for; ``dimensions`` asks for nothing.

    Args:
        body: As decoded.
        model: Which it is for; None for the first one.
        vocabulary: In which its token ids are counted.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://github.com/openvinotoolkit/model_server/blob/main/docs/model_server_rest_api_embeddings.md.
    """
    encoding = _parse_encoding(body.get("encoding_format"))
    inputs = _parse_input(body.get("input"), vocabulary)
    # OVMS knows how many positions a model has, and not how long the texts were that it was
    # trained for.
    return EmbedRequest(model, inputs, whole_positions=True, outputs=("dense",)), encoding


def parse_rerank(body: Mapping[str, Any], model: str | None) -> tuple[ScoreRequest, Ranking]:
    """Return what a body of ``POST /v3/rerank`` asks for.

    Over-long documents are cut, since OVMS never refuses one.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://github.com/openvinotoolkit/model_server/blob/main/docs/model_server_rest_api_rerank.md.
    """
    query = body.get("query")
    if query is None:
        _refuse("query field is missing in request", "query")
    if not isinstance(query, str):
        _refuse("query is not a string", "query")
    documents = _parse_documents(body.get("documents"))
    top_n = body.get("top_n")
    if top_n is not None and (type(top_n) is not int or not 0 <= top_n <= MAX_JSON_INT):
        _refuse("top_n accepts integer values", "top_n")
    returned = body.get("return_documents")
    if returned is not None and not isinstance(returned, bool):
        _refuse("return_documents accepts boolean values", "return_documents")
    request = ScoreRequest(model, (query,), documents, truncate="end")
    return request, Ranking(min(top_n or len(documents), len(documents)), returned is True)


def parse_tokenize(
    body: Mapping[str, Any], model: str | None
) -> tuple[TokenizeRequest, Fill | None]:
    """Return what a body of ``POST /v3/tokenize`` asks for, and how its tokens are filled up.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://github.com/openvinotoolkit/model_server/blob/main/src/tokenize/tokenize_parser.cpp.
    """
    max_length = _parse_max_length(body.get("max_length"))
    side = body.get("padding_side")
    if side is not None and not isinstance(side, str):
        _refuse("padding_side should be string, either left or right", "padding_side")
    if side not in (None, "left", "right"):
        _refuse("padding_side should be either left or right", "padding_side")
    fills = _parse_bool(body, "pad_to_max_length", default=False)
    request = TokenizeRequest(
        model,
        _parse_texts(body.get("text")),
        add_special_tokens=_parse_bool(body, "add_special_tokens", default=True),
        truncate=None if max_length is None else "end",
        max_tokens=max_length,
    )
    return request, Fill(max_length, side == "left") if fills else None


def _parse_encoding(value: Any) -> EncodingFormat:
    if value is not None and not isinstance(value, str):
        _refuse("encoding_format should be string", "encoding_format")
    if value not in (None, "float", "base64"):
        _refuse("encoding_format should either base64 or float", "encoding_format")
    return "base64" if value == "base64" else "float"


def _parse_input(value: Any, vocabulary: Vocabulary) -> tuple[Input, ...]:
    if value is None:
        _refuse("input field is required", "input")
    if isinstance(value, str):
        return (Input((Text(value),)),)
    if not isinstance(value, list):
        _refuse("input should be string, array of strings or array of integers", "input")
    if not value:
        _refuse("input array should not be empty", "input")
    _require_one_type(value, "input")
    kind = type(value[0])
    if kind is str:
        return tuple(
            Input((Text(text),), param=f"input[{index}]") for index, text in enumerate(value)
        )
    if kind is int:
        return (Input((_tokens(value, "input", vocabulary),)),)
    _require_tokens(value)
    return tuple(
        Input((_tokens(ids, f"input[{index}]", vocabulary),), param=f"input[{index}]")
        for index, ids in enumerate(value)
    )


def _require_tokens(arrays: list[list[Any]]) -> None:
    if not all(arrays):
        _refuse("inner arrays in input should not be empty", "input")
    found = {type(element) for array in arrays for element in array}
    if found == {str}:
        _refuse("input must be either array of strings or array of array of integers", "input")
    if found != {int}:
        _refuse("input must be homogeneous", "input")


def _tokens(ids: list[Any], param: str, vocabulary: Vocabulary) -> Tokens:
    if min(ids) < MIN_JSON_INT or max(ids) > MAX_JSON_INT:
        _refuse("every element in input array should be either string or int", param)
    if min(ids) < 0:
        _refuse("token ids in input must not be negative", param)
    return Tokens(tuple(cast("list[int]", ids)), vocabulary)


def _require_one_type(values: list[Any], name: str) -> None:
    found = set(map(type, values))
    if found - {str, int, list}:
        _refuse(f"every element in {name} array should be either string or int", name)
    if len(found) > 1:
        _refuse(f"{name} must be homogeneous", name)


def _parse_documents(value: Any) -> tuple[str, ...]:
    if value is None:
        _refuse("documents field is missing in request", "documents")
    if not isinstance(value, list):
        _refuse("documents is not an array", "documents")
    if not value:
        _refuse("documents array is empty", "documents")
    if any(not isinstance(document, str | dict) for document in value):
        _refuse("documents array element is neither string nor object", "documents")
    if len({isinstance(document, str) for document in value}) > 1:
        _refuse("all documents have to be the same type (string or objects)", "documents")
    return tuple(_document_text(document) for document in value)


def _document_text(document: str | Mapping[str, Any]) -> str:
    if isinstance(document, str):
        return document
    text = document.get("text")
    if not isinstance(text, str):
        _refuse("documents array element needs text: a string", "documents")
    return text


def _parse_texts(value: Any) -> tuple[Input, ...]:
    if value is None:
        _refuse("text field is required", "text")
    if isinstance(value, str):
        return (Input((Text(value),), param="text"),)
    if not isinstance(value, list):
        _refuse("text should be string, array of strings or array of integers", "text")
    if not value:
        _refuse("text array should not be empty", "text")
    _require_one_type(value, "text")
    if not isinstance(value[0], str):
        _refuse("text should be string or array of strings", "text")
    return tuple(Input((Text(text),), param=f"text[{index}]") for index, text in enumerate(value))


def _parse_max_length(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < 0:
        _refuse("max_length should be unsigned integer", "max_length")
    if value == 0:
        _refuse("max_length should be greater than 0", "max_length")
    if value > MAX_PADDED_TOKENS:
        _refuse(f"max_length exceeds the allowed limit of {MAX_PADDED_TOKENS}", "max_length")
    return value


def _parse_bool(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        _refuse(f"{name} should be boolean", name)
    return value


def _refuse(message: str, param: str) -> NoReturn:
    raise InvalidInputError(message, param=param)


def _not_json(why: str) -> NoReturn:
    raise InvalidInputError(NOT_JSON + why, code=INVALID_JSON)
