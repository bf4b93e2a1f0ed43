"""OpenAI's embeddings and models endpoints, with the extensions of servers that speak its API."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, cast

from polyvec.dialects._base import Call, Dialect, Reply, Route, json_type
from polyvec.dialects._encode import EncodingFormat, json_reply, rendered, wire_outputs
from polyvec.dialects._openai_wire import (
    error_reply,
    optional_int,
    optional_str,
    parse_input,
    parse_outputs,
    request_id,
    usage,
)
from polyvec.errors import InvalidInputError, ModelNotFoundError, PolyvecError
from polyvec.service import Service
from polyvec.types import EmbedRequest, EmbedResult, ModelCard, Truncate

MAX_CACHE_SALT_CHARS: Final = 128

_TRUNCATE: Final = ("end", "start", "none")
_SIDES: Final[dict[str, Truncate]] = {"right": "end", "left": "start"}


def owns(body: Any) -> bool:
    """Recognise a body by its ``input`` string or array, on a path that others share."""
    return isinstance(body, dict) and isinstance(body.get("input"), str | list)


def parse(body: Mapping[str, Any]) -> tuple[EmbedRequest, EncodingFormat]:
    """Return what a body of ``POST /v1/embeddings`` asks for.

    A null in an optional field means the same as its absence; ``user`` and unknown fields are
    ignored.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://platform.openai.com/docs/api-reference/embeddings/create; the names of
    ``truncate_prompt_tokens``, ``truncation_side``, ``priority`` and ``cache_salt`` are vLLM's;
    ``prompt_name``, ``task`` and ``outputs`` are polyvec's.
    """
    encoding = _parse_encoding(body)
    request = EmbedRequest(
        model=optional_str(body, "model") or None,
        inputs=parse_input(body),
        dimensions=_parse_dimensions(body),
        truncate=_parse_truncate(body),
        prompt_name=optional_str(body, "prompt_name"),
        task=optional_str(body, "task"),
        outputs=parse_outputs(body),
        priority=optional_int(body, "priority") or 0,
        cache_salt=_parse_cache_salt(body),
    )
    return request, encoding


def render(
    result: EmbedResult, encoding: EncodingFormat, *, request_id: str, created: int
) -> Reply:
    """Return a result in OpenAI's list shape; ``created`` in Unix seconds."""
    data = [
        {"object": "embedding", "index": index, **wire_outputs(embedding, encoding)}
        for index, embedding in enumerate(result.embeddings)
    ]
    return json_reply(
        {
            "id": f"embd-{request_id}",
            "object": "list",
            "created": created,
            "data": data,
            "model": result.model,
            "usage": usage(result),
        }
    )


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as OpenAI's clients expect it."""
    return error_reply(error)


def _parse_encoding(body: Mapping[str, Any]) -> EncodingFormat:
    value = optional_str(body, "encoding_format")
    if value is None:
        return "float"
    if value not in ("float", "base64"):
        raise InvalidInputError(
            'encoding_format must be "float" or "base64"', param="encoding_format"
        )
    return cast("EncodingFormat", value)


def _parse_dimensions(body: Mapping[str, Any]) -> int | None:
    value = body.get("dimensions")
    if value is None:
        return None
    if type(value) is not int or value < 1:
        given = f", got {json_type(value)}" if type(value) is not int else ""
        raise InvalidInputError(
            f"dimensions must be a positive integer or null{given}", param="dimensions"
        )
    return value


def _parse_truncate(body: Mapping[str, Any]) -> Truncate | None:
    """Join our ``truncate`` with vLLM's two fields; a side alone does not turn truncation on."""
    side = _parse_side(body)
    asked = _truncates_to_maximum(body)
    value = body.get("truncate")
    if value is None:
        return side if asked else None
    if isinstance(value, str) and value in _TRUNCATE:
        truncate = cast("Truncate", value)
    elif isinstance(value, bool):
        truncate = side if value else "none"
    else:
        raise InvalidInputError(
            'truncate must be "end", "start", "none", true, false or null', param="truncate"
        )
    if asked and truncate == "none":
        raise InvalidInputError(
            "truncate says not to truncate and truncate_prompt_tokens says to; send one of them",
            param="truncate",
        )
    return truncate


def _parse_side(body: Mapping[str, Any]) -> Truncate:
    value = optional_str(body, "truncation_side")
    if value is None:
        return "end"
    if value not in _SIDES:
        raise InvalidInputError(
            'truncation_side must be "left", "right" or null', param="truncation_side"
        )
    return _SIDES[value]


def _truncates_to_maximum(body: Mapping[str, Any]) -> bool:
    value = optional_int(body, "truncate_prompt_tokens")
    if value in (None, -1):
        return value == -1
    raise InvalidInputError(
        "truncate_prompt_tokens must be -1 (the model's maximum) or null; "
        "truncation to another length is not supported",
        param="truncate_prompt_tokens",
    )


def _parse_cache_salt(body: Mapping[str, Any]) -> str:
    value = optional_str(body, "cache_salt")
    if value is None:
        return ""
    # An empty salt would share results with everyone, which is not what a salt is sent for.
    if not 1 <= len(value) <= MAX_CACHE_SALT_CHARS:
        raise InvalidInputError(
            f"cache_salt must have 1 to {MAX_CACHE_SALT_CHARS} characters", param="cache_salt"
        )
    return value


async def _embed(call: Call, service: Service) -> Reply:
    request, encoding = parse(call.json_object())
    result = await service.embed(request)
    written = partial(
        render, result, encoding, request_id=request_id(call), created=int(time.time())
    )
    return await rendered(written, result)


async def _list_models(_call: Call, service: Service) -> Reply:
    return json_reply({"object": "list", "data": [_model(card) for card in service.models()]})


async def _get_model(call: Call, service: Service) -> Reply:
    name = call.path_params["model"]
    for card in service.models():
        if name == card.name or name in card.aliases:
            return json_reply(_model(card))
    raise ModelNotFoundError("no served model has this name; GET /v1/models lists them")


def _model(card: ModelCard) -> dict[str, Any]:
    """Return OpenAI's model object and, after its four keys, what callers ask of an embedder."""
    return {
        "id": card.name,
        "object": "model",
        "created": card.created,
        "owned_by": "polyvec",
        "max_model_len": card.max_input_tokens,
        "dimensions": card.dimensions,
        "modalities": list(card.modalities),
        "outputs": list(card.outputs),
        "prompts": list(card.prompts),
        "tasks": list(card.tasks),
    }


DIALECT: Final = Dialect(
    name="openai",
    routes=(
        Route("POST", "/v1/embeddings", _embed),
        Route("POST", "/embeddings", _embed, owns),
        Route("GET", "/v1/models", _list_models),
        Route("GET", "/v1/models/{model}", _get_model),
    ),
    render_error=render_error,
    source="https://platform.openai.com/docs/api-reference/embeddings",
)
