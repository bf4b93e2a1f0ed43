"""The inference service that Qdrant calls when its callers send texts and pictures to embed."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from polyvec.dialects._base import Call, Dialect, Reply, Route
from polyvec.dialects._encode import json_reply, rendered, wire_outputs
from polyvec.dialects._openai.errors import SERVER_ERROR, error_status
from polyvec.dialects._openai.wire import optional_str, wrong_type
from polyvec.dialects._plain_error import plain_error_reply
from polyvec.dialects._purposes import QDRANT_PURPOSES, embed_for
from polyvec.dialects._qdrant.input import InputSettings, parse_inference_input
from polyvec.dialects._qdrant.wire import InferenceAnswer, InferenceBody
from polyvec.dialects._recognise import is_qdrant
from polyvec.errors import (
    AuthenticationError,
    InvalidInputError,
    PayloadTooLargeError,
    PolyvecError,
    UnsupportedInputError,
)
from polyvec.service import Service
from polyvec.types import Embedding, EmbedResult, Input


def parse(body: Mapping[str, Any]) -> tuple[list[tuple[Input, InputSettings]], str | None]:
    """Return the inputs of a body with their settings, and what the vectors are for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``InferenceRequest`` of
    https://github.com/qdrant/qdrant/blob/master/src/common/inference/service.rs.
    """
    values = body.get("inputs")
    if not isinstance(values, list):
        raise wrong_type("inputs", "an array of objects", values)
    parsed = []
    for index, value in enumerate(values):
        param = f"inputs[{index}]"
        if not isinstance(value, Mapping):
            raise wrong_type(param, "an object with data", value)
        parsed.append(parse_inference_input(value, param))
    return parsed, _parse_purpose(body)


def render(results: Mapping[InputSettings, EmbedResult], order: Sequence[InputSettings]) -> Reply:
    """Return the vectors in the order of their inputs, and what each model read.

    Args:
        results: Of each group of inputs.
        order: To which group each input belongs.
    """
    waiting = {settings: iter(result.embeddings) for settings, result in results.items()}
    embeddings = [_wire(next(waiting[settings])) for settings in order]
    tokens: dict[str, int] = {}
    for settings, result in results.items():
        name = settings.model or result.model
        tokens[name] = tokens.get(name, 0) + result.num_tokens
    models = {name: {"tokens": count} for name, count in tokens.items()}
    return json_reply({"embeddings": embeddings, "usage": {"models": models}})


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as ``{"error": "…"}``; Qdrant reads it at 400 only."""
    status, _ = error_status(error)
    is_callers = status < SERVER_ERROR and not isinstance(
        error, PayloadTooLargeError | AuthenticationError
    )
    return plain_error_reply(error, status=400 if is_callers else status)


def _parse_purpose(body: Mapping[str, Any]) -> str | None:
    value = optional_str(body, "inference")
    if value is not None and value not in QDRANT_PURPOSES:
        raise InvalidInputError(
            f"inference must be one of {', '.join(QDRANT_PURPOSES)} or null", param="inference"
        )
    return value


def _wire(embedding: Embedding) -> Any:
    """The one vector that an embedding has: of numbers, of vectors, or sparse."""
    wire = wire_outputs(embedding, "float")
    if not wire:
        raise UnsupportedInputError("this model gives scores of pairs, not vectors", param="model")
    return next(iter(wire.values()))


async def _infer(call: Call, service: Service) -> Reply:
    parsed, purpose = parse(call.json_object())
    groups: dict[InputSettings, list[Input]] = {}
    for item, settings in parsed:
        groups.setdefault(settings, []).append(item)
    results = {
        settings: await _embed(settings, tuple(inputs), purpose, service)
        for settings, inputs in groups.items()
    }
    written = partial(render, results, [settings for _, settings in parsed])
    whole = tuple(each for result in results.values() for each in result.embeddings)
    return await rendered(written, EmbedResult("", whole))


async def _embed(
    settings: InputSettings, inputs: tuple[Input, ...], purpose: str | None, service: Service
) -> EmbedResult:
    request = settings.request(inputs)
    if settings.prompt_name is not None or settings.task is not None:
        return await service.embed(request)
    return await embed_for(purpose, QDRANT_PURPOSES, request, service, param="inference")


DIALECT: Final = Dialect(
    name="qdrant",
    routes=(
        Route("POST", "/qdrant/inference", _infer, accepts=InferenceBody, returns=InferenceAnswer),
        Route("POST", "/infer", _infer, accepts=InferenceBody, returns=InferenceAnswer),
        Route("POST", "/", _infer, is_qdrant, accepts=InferenceBody, returns=InferenceAnswer),
    ),
    render_error=render_error,
    source="https://github.com/qdrant/qdrant/blob/master/src/common/inference/service.rs",
)
