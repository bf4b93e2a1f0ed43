"""Infinity's API, told from others on the same paths by fields that only it has.

Rankings without its switch for raw scores are answered by vLLM's dialect.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from polyvec.dialects._base import Call, Dialect, Reply, Route, retry_headers
from polyvec.dialects._content import source_of
from polyvec.dialects._encode import EncodingFormat, json_reply, rendered, wire_vector
from polyvec.dialects._infinity.wire import (
    ClassifyAnswer,
    ClassifyBody,
    EmbedAnswer,
    EmbedBody,
    ImageBody,
    RerankAnswer,
    RerankBody,
)
from polyvec.dialects._openai.errors import SERVER_ERROR, error_status
from polyvec.dialects._openai.wire import (
    one_of,
    optional_bool,
    optional_int,
    optional_str,
    request_id,
    wrong_type,
)
from polyvec.dialects._recognise import is_infinity, is_infinity_classify, is_infinity_rerank
from polyvec.dialects._scores import best_first, names_of, short_numbers
from polyvec.errors import (
    InvalidInputError,
    ModelNotFoundError,
    OverloadedError,
    PolyvecError,
    UnsupportedInputError,
)
from polyvec.service import Service
from polyvec.types import (
    Embedding,
    EmbedRequest,
    EmbedResult,
    Image,
    Input,
    ModelCard,
    Output,
    ScoreRequest,
    ScoreResult,
    Text,
)

MODALITIES: Final = ("text", "image", "audio")

_NO_MODEL: Final = "default/not-specified"

# What FastAPI finds wrong with a body, before anything of Infinity's runs.
_MALFORMED: Final = ("invalid_json", "invalid_type")
# What other errors say is for the operator: it may hold paths or a runtime's own words.
_SERVER_FAULT: Final = "InternalServerError: the server failed on this request; its log says why"


def parse(
    body: Mapping[str, Any], card: ModelCard, modality: str
) -> tuple[EmbedRequest, EncodingFormat]:
    """Return what a body of ``POST /embeddings`` asks for.

    A null in an optional field means the same as its absence; ``user`` and unknown fields are
    ignored. Texts over the model's limit are cut at the end.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``MultiModalOpenAIEmbedding`` of https://github.com/michaelfeil/infinity; litellm calls
    the dimensions ``output_dimension``.
    """
    name = "dimensions" if body.get("dimensions") is not None else "output_dimension"
    dimensions = optional_int(body, name) or 0
    if dimensions < 0:
        raise InvalidInputError(
            f"{name} must be 0 or more; 0 means all", param=name, code="invalid_type"
        )
    encoding = _word(body, "encoding_format", ("float", "base64")) or "float"
    request = EmbedRequest(
        model=_model(body),
        inputs=_parse_input(body.get("input"), modality),
        dimensions=dimensions or None,
        truncate="end",
        outputs=_outputs(card),
    )
    return request, cast("EncodingFormat", encoding)


def parse_classify(body: Mapping[str, Any]) -> EmbedRequest:
    """Return what a body of ``POST /classify`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``ClassifyInput`` of https://github.com/michaelfeil/infinity.
    """
    return EmbedRequest(
        model=_model(body),
        inputs=_parse_input(body.get("input"), "text"),
        normalize=False if optional_bool(body, "raw_scores") else None,
        truncate="end",
        outputs=("score",),
    )


def parse_rerank(body: Mapping[str, Any]) -> tuple[ScoreRequest, int, bool]:
    """Return what a body of ``POST /rerank`` asks for, how many results, and with their texts?

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``RerankInput`` of https://github.com/michaelfeil/infinity.
    """
    query = body.get("query")
    if not isinstance(query, str):
        raise wrong_type("query", "a string", query)
    documents = _strings(body.get("documents"), "documents")
    top_n = optional_int(body, "top_n")
    if top_n is not None and top_n < 1:
        raise InvalidInputError(
            "top_n must be a positive integer or null", param="top_n", code="invalid_type"
        )
    request = ScoreRequest(
        model=_model(body),
        queries=(query,),
        documents=documents,
        activate=not optional_bool(body, "raw_scores"),
        truncate="end",
    )
    return request, top_n or len(documents), bool(optional_bool(body, "return_documents"))


def render(result: EmbedResult, encoding: EncodingFormat, *, call: Call) -> Reply:
    """Return a result in OpenAI's list shape."""
    data = [
        {"object": "embedding", "embedding": _embedded(embedding, encoding), "index": index}
        for index, embedding in enumerate(result.embeddings)
    ]
    return _reply("list", data, result, call)


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as ``{"error": {…}}`` with the status as its code, and a ``detail``.

    Source: ``OpenAIException`` of https://github.com/michaelfeil/infinity; a body that FastAPI
    refuses is answered with 422 there, a wrong model with 400 and a full queue with 429.
    """
    status = _status(error)
    message = _SERVER_FAULT if status == SERVER_ERROR else error.message
    if isinstance(error, ModelNotFoundError):
        message = f"Invalid model: {message}"
    wrong = {"message": message, "type": None, "param": error.param, "code": status}
    body = {"error": wrong, "detail": message}
    return json_reply(body, status=status, headers=retry_headers(error))


def _status(error: PolyvecError) -> int:
    if isinstance(error, ModelNotFoundError):
        return 400
    if isinstance(error, OverloadedError):
        return 429
    if isinstance(error, InvalidInputError) and error.code in _MALFORMED:
        return 422
    return error_status(error)[0]


def _word(body: Mapping[str, Any], name: str, allowed: Sequence[str]) -> str | None:
    """One of a few words; others are refused with the body, before Infinity looks at it."""
    try:
        return one_of(body, name, allowed)
    except InvalidInputError as error:
        raise InvalidInputError(error.message, param=name, code="invalid_type") from None


def _outputs(card: ModelCard) -> tuple[Output, ...] | None:
    """One vector, or one for each token; what a model's main output is shows when it is loaded."""
    if card.state != "ready":
        return None
    return ("tokens",) if card.outputs[0] == "tokens" else ("dense",)


def _parse_input(value: Any, modality: str) -> tuple[Input, ...]:
    if isinstance(value, str):
        return (_input(value, "input", modality),)
    texts = _strings(value, "input")
    return tuple(_input(text, f"input[{index}]", modality) for index, text in enumerate(texts))


def _strings(values: Any, name: str) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise wrong_type(name, "an array of strings", values)
    if not values:
        raise InvalidInputError(
            f"{name} must hold at least one element", param=name, code="invalid_type"
        )
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise wrong_type(f"{name}[{index}]", "a string", value)
    return tuple(values)


def _input(value: str, param: str, modality: str) -> Input:
    if modality == "image":
        return Input((Image(source_of(value, param)),), param)
    return Input((Text(value),), param)


def _embedded(embedding: Embedding, encoding: EncodingFormat) -> Any:
    if embedding.token_vectors is None:
        return wire_vector(embedding.vector, encoding)
    return [wire_vector(vector, encoding) for vector in embedding.token_vectors]


def _reply(kind: str, data: list[Any], result: EmbedResult | ScoreResult, call: Call) -> Reply:
    return json_reply(
        {
            "object": kind,
            "results" if kind == "rerank" else "data": data,
            "model": result.model,
            "usage": {"prompt_tokens": result.num_tokens, "total_tokens": result.num_tokens},
            "id": f"infinity-{request_id(call)}",
            "created": int(time.time()),
        }
    )


def _model(body: Mapping[str, Any]) -> str | None:
    """The model's name; Infinity's own clients send a default that names none."""
    name = optional_str(body, "model")
    return None if name in (None, "", _NO_MODEL) else name


async def _embed(call: Call, service: Service) -> Reply:
    body = call.json_object()
    modality = _word(body, "modality", MODALITIES) or "text"
    return await _embed_as(modality, call, service)


async def _embed_images(call: Call, service: Service) -> Reply:
    return await _embed_as("image", call, service)


async def _embed_as(modality: str, call: Call, service: Service) -> Reply:
    body = call.json_object()
    card = service.find(_model(body))
    request, encoding = parse(body, card, modality)
    # A model that is not loaded yet does not say what it reads; the engine then does.
    if modality == "audio" or (card.state == "ready" and modality not in card.modalities):
        raise UnsupportedInputError(
            f"ModelNotDeployedError: model=`{card.name}` does not support `embed` for modality "
            f"`{modality}`. Reason: the loaded model embeds {', '.join(card.modalities)}.",
            param="modality",
        )
    result = await service.embed(request)
    return await rendered(partial(render, result, encoding, call=call), result)


async def _rerank(call: Call, service: Service) -> Reply:
    request, top_n, with_texts = parse_rerank(call.json_object())
    result = await service.score(request)
    numbers = short_numbers(result.scores)
    results: list[dict[str, Any]] = [
        {"relevance_score": numbers[index], "index": index}
        for index in best_first(result.scores, top_n)
    ]
    if with_texts:
        for one in results:
            one["document"] = request.documents[one["index"]]
    return _reply("rerank", results, result, call)


async def _classify(call: Call, service: Service) -> Reply:
    body = call.json_object()
    request = parse_classify(body)
    result = await service.embed(request)
    labels = service.find(request.model).labels
    data = [_ranked(embedding, labels) for embedding in result.embeddings]
    return _reply("classify", data, result, call)


def _ranked(embedding: Embedding, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every label with its score, the likeliest first."""
    if embedding.scores is None:
        return []
    scores, names = short_numbers(embedding.scores), names_of(labels, len(embedding.scores))
    order = best_first(embedding.scores)
    return [{"score": scores[index], "label": names[index]} for index in order]


DIALECT: Final = Dialect(
    name="infinity",
    routes=(
        Route("POST", "/embeddings", _embed, is_infinity, EmbedBody, EmbedAnswer),
        Route("POST", "/embeddings_image", _embed_images, None, ImageBody, EmbedAnswer),
        Route("POST", "/rerank", _rerank, is_infinity_rerank, RerankBody, RerankAnswer),
        Route("POST", "/classify", _classify, is_infinity_classify, ClassifyBody, ClassifyAnswer),
    ),
    render_error=render_error,
    source="https://michaelfeil.github.io/infinity/",
)
