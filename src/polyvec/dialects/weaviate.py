"""What Weaviate asks of the containers behind text2vec-transformers and multi2vec-clip."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from polyvec.dialects._base import Call, Dialect, Reply, Route, json_type
from polyvec.dialects._content import source_of
from polyvec.dialects._encode import json_reply, rendered, wire_matrix, wire_vector
from polyvec.dialects._openai.wire import optional_int, optional_str, wrong_type
from polyvec.dialects._plain_error import plain_error_reply
from polyvec.dialects._purposes import WEAVIATE_PURPOSES, embed_for
from polyvec.dialects._weaviate.wire import (
    MetaAnswer,
    VectorAnswer,
    VectorizeAnswer,
    VectorizeBody,
    VectorsAnswer,
    VectorsBody,
)
from polyvec.errors import InvalidInputError, NotReadyError, PolyvecError, UnsupportedInputError
from polyvec.service import Service
from polyvec.types import Embedding, EmbedRequest, EmbedResult, Image, Input, Part, Text, Video

# Field → key of the answer, in the order in which inputs are sent on.
_LISTS: Final = (
    ("texts", "textVectors"),
    ("images", "imageVectors"),
    ("video", "videoVectors"),
)
_REFUSED_LISTS: Final = ("audio", "imu", "IMU", "thermal", "depth")


def parse_vectors(body: Mapping[str, Any]) -> tuple[EmbedRequest, str]:
    """Return what a body of ``POST /vectors`` asks for, and the task of its texts.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``vecRequest`` and ``vecBatchRequest`` of
    https://github.com/weaviate/weaviate/blob/main/usecases/modulecomponents/clients/transformers/transformers.go;
    containers cut long texts, and embed a text without a task as a passage.
    """
    if body.get("texts") is None:
        text = optional_str(body, "text")
        if text is None:
            raise InvalidInputError("text is required: a string", param="text")
        inputs: tuple[Input, ...] = (Input((Text(text),), param="text"),)
    else:
        inputs = tuple(_parse_list(body, "texts", lambda text, _param: Text(text)))
    config = body.get("config")
    if config is None:
        config = {}
    if not isinstance(config, Mapping):
        raise wrong_type("config", "an object or null", config)
    request = EmbedRequest(
        optional_str(body, "model") or None,
        inputs,
        dimensions=_parse_dimensions(config),
        truncate="end",
        outputs=("dense",),
    )
    return request, _parse_task(config)


def parse_vectorize(body: Mapping[str, Any]) -> tuple[EmbedRequest, tuple[int, ...]]:
    """Return what a body of ``POST /vectorize`` asks for, and how many inputs each list has.

    Raises:
        UnsupportedInputError: It has sounds or measurements.
        InvalidInputError: ``param`` names the field.

    Source: ``vecRequest`` of
    https://github.com/weaviate/weaviate/blob/main/modules/multi2vec-clip/clients/vectorizer.go.
    """
    for name in _REFUSED_LISTS:
        if body.get(name) not in (None, []):
            raise UnsupportedInputError(
                f"{name}: this server embeds texts, images and videos", param=name
            )
    makers: tuple[Callable[[str, str], Part], ...] = (
        lambda text, _param: Text(text),
        lambda image, param: Image(source_of(image, param)),
        lambda video, param: Video(source_of(video, param)),
    )
    lists = [_parse_list(body, name, make) for (name, _), make in zip(_LISTS, makers, strict=True)]
    request = EmbedRequest(
        optional_str(body, "model") or None,
        tuple(item for inputs in lists for item in inputs),
        truncate="end",
        outputs=("dense",),
    )
    return request, tuple(map(len, lists))


def render_vectors(result: EmbedResult, text: str | None) -> Reply:
    """Return the vector of a text, or those of several where ``text`` is None."""
    embeddings = result.embeddings
    length = embeddings[0].vector.size
    if text is None:
        return json_reply({"vectors": wire_matrix(embeddings), "dims": length})
    vector = wire_vector(embeddings[0].vector, "float")
    return json_reply({"text": text, "vector": vector, "dim": length, "dims": length})


def render_vectorize(embeddings: Sequence[Embedding], counts: Sequence[int]) -> Reply:
    """Return vectors under the keys of their lists; a list that was not sent is empty."""
    wire: dict[str, Any] = {}
    start = 0
    for (_, key), count in zip(_LISTS, counts, strict=True):
        if count or key != "videoVectors":
            wire[key] = wire_matrix(tuple(embeddings[start : start + count]))
        start += count
    return json_reply(wire)


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as ``{"error": "…"}``; containers answer 500 to everything."""
    return plain_error_reply(error)


def _parse_list(
    body: Mapping[str, Any], name: str, make: Callable[[str, str], Part]
) -> list[Input]:
    values = body.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise wrong_type(name, "an array of strings or null", values)
    inputs = []
    for index, value in enumerate(values):
        param = f"{name}[{index}]"
        if not isinstance(value, str):
            raise wrong_type(param, "a string", value)
        inputs.append(Input((make(value, param),), param=param))
    return inputs


def _parse_dimensions(config: Mapping[str, Any]) -> int | None:
    value = optional_int(config, "dimensions")
    if value is not None and value < 0:
        raise InvalidInputError(
            "config.dimensions must be a positive integer, 0 or null", param="config.dimensions"
        )
    return value or None


def _parse_task(config: Mapping[str, Any]) -> str:
    task = config.get("task_type") or "passage"
    if not isinstance(task, str):
        raise InvalidInputError(
            f"config.task_type must be a string or null, got {json_type(task)}",
            param="config.task_type",
            code="invalid_type",
        )
    return task


async def _vectors(call: Call, service: Service) -> Reply:
    body = call.json_object()
    request, task = parse_vectors(body)
    card = service.find(request.model)
    if not request.inputs:
        return json_reply({"vectors": [], "dims": card.dimensions})
    result = await embed_for(task, WEAVIATE_PURPOSES, request, service, param="config.task_type")
    text = None if body.get("texts") is not None else body["text"]
    return await rendered(partial(render_vectors, result, text), result)


async def _vectorize(call: Call, service: Service) -> Reply:
    request, counts = parse_vectorize(call.json_object())
    service.find(request.model)
    if not request.inputs:
        return render_vectorize((), counts)
    result = await service.embed(request)
    return await rendered(partial(render_vectorize, result.embeddings, counts), result)


async def _meta(_call: Call, service: Service) -> Reply:
    cards = service.models()
    if not cards:
        raise NotReadyError("no model is loaded")
    card = cards[0]
    return json_reply(
        MetaAnswer(
            model=card.name,
            architectures=[card.architecture],
            dimensions=card.dimensions,
            max_input_tokens=card.max_input_tokens,
            modalities=list(card.modalities),
            prompts=dict(card.prompts),
        )
    )


async def _live(_call: Call, _service: Service) -> Reply:
    return Reply(204, b"")


async def _ready(_call: Call, service: Service) -> Reply:
    if not service.is_ready():
        raise NotReadyError("the server is not ready")
    return Reply(204, b"")


DIALECT: Final = Dialect(
    name="weaviate",
    routes=(
        Route(
            "POST",
            "/vectors",
            _vectors,
            accepts=VectorsBody,
            returns=VectorAnswer | VectorsAnswer,
        ),
        Route("POST", "/vectorize", _vectorize, accepts=VectorizeBody, returns=VectorizeAnswer),
        Route("GET", "/meta", _meta, returns=MetaAnswer),
        Route("GET", "/.well-known/live", _live),
        Route("GET", "/.well-known/ready", _ready),
    ),
    render_error=render_error,
    source="https://github.com/weaviate/t2v-transformers-models",
)
