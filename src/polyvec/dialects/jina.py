"""Jina's embeddings, told from OpenAI's on the same path by fields that only they have.

Its ``/rerank`` has the path and the body of vLLM's, which answers it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from polyvec.dialects._base import Call, Dialect, Reply, Route
from polyvec.dialects._content import parse_part
from polyvec.dialects._encode import json_reply, rendered, wire_vector
from polyvec.dialects._jina.wire import EmbedAnswer, EmbedBody, EmbeddingType
from polyvec.dialects._openai.errors import error_reply
from polyvec.dialects._openai.wire import (
    optional_bool,
    optional_int,
    optional_str,
    wrong_type,
)
from polyvec.dialects._purposes import JINA_PURPOSES, embed_for
from polyvec.dialects._quantize import wire_quantized
from polyvec.dialects._recognise import is_jina
from polyvec.errors import InvalidInputError, PolyvecError, UnsupportedInputError
from polyvec.service import Service
from polyvec.types import Embedding, EmbedRequest, EmbedResult, Float32Array, Input

EMBEDDING_TYPES: Final = ("float", "base64", "binary", "ubinary")

# Jina's own name first, then those of llama-index's and OpenAI's clients.
_TYPE_FIELDS: Final = ("embedding_type", "encoding_type", "encoding_format")
# What older clients call a picture.
_IMAGE_FIELDS: Final = ("url", "bytes")


@dataclass(frozen=True, slots=True)
class Asked:
    """What one body asks for.

    Attributes:
        request: Without the prompt or the adapter that ``task`` stands for.
        task: As the caller wrote it.
        embedding_types: At least one.
        is_list: Whether each vector comes as an object with its types as keys.
    """

    request: EmbedRequest
    task: str | None
    embedding_types: tuple[EmbeddingType, ...]
    is_list: bool


def parse(body: Mapping[str, Any]) -> Asked:
    """Return what a body of ``POST /v1/embeddings`` asks for.

    A null in an optional field means the same as its absence; unknown fields are ignored.

    Raises:
        UnsupportedInputError: Late chunking is asked for.
        InvalidInputError: ``param`` names the field.

    Source: https://api.jina.ai/redoc; ``encoding_type``, ``url`` and ``bytes`` are what the client
    of llama-index writes.
    """
    if optional_bool(body, "late_chunking"):
        raise UnsupportedInputError(
            "late_chunking is not supported: each input is embedded on its own; send false",
            param="late_chunking",
        )
    dimensions = optional_int(body, "dimensions")
    if dimensions is not None and dimensions < 1:
        raise InvalidInputError("dimensions must be a positive integer or null", param="dimensions")
    truncate = optional_bool(body, "truncate")
    request = EmbedRequest(
        model=optional_str(body, "model") or None,
        inputs=_parse_input(body.get("input")),
        dimensions=dimensions,
        normalize=optional_bool(body, "normalized"),
        truncate=None if truncate is None else "end" if truncate else "none",
        outputs=("tokens",) if optional_bool(body, "return_multivector") else ("dense",),
    )
    types, is_list = _parse_types(body)
    return Asked(request, optional_str(body, "task"), types, is_list)


def render(asked: Asked, result: EmbedResult) -> Reply:
    """Return a result in Jina's list shape.

    Raises:
        InvalidInputError: Bits are asked for, and the vectors' length is not a multiple of 8.
    """
    data = [
        {"object": "embedding", "index": index, **_vectors(asked, embedding)}
        for index, embedding in enumerate(result.embeddings)
    ]
    usage = {"total_tokens": result.num_tokens, "prompt_tokens": result.num_tokens}
    return json_reply({"model": result.model, "object": "list", "usage": usage, "data": data})


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error with the ``detail`` that Jina's clients read."""
    return error_reply(error)


def _parse_input(value: Any) -> tuple[Input, ...]:
    if isinstance(value, str | Mapping):
        return (Input((parse_part(_renamed(value), "input"),)),)
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array of strings and objects", value)
    if not value:
        raise InvalidInputError("input must hold at least one element", param="input")
    params = [f"input[{index}]" for index in range(len(value))]
    return tuple(
        Input((parse_part(_renamed(item), param),), param)
        for item, param in zip(value, params, strict=True)
    )


def _renamed(item: Any) -> Any:
    """A picture under the name that content parts have for it."""
    if not isinstance(item, Mapping):
        return item
    for name in _IMAGE_FIELDS:
        if item.get(name) is not None:
            return {"text": item.get("text"), "image": item[name]}
    return item


def _parse_types(body: Mapping[str, Any]) -> tuple[tuple[EmbeddingType, ...], bool]:
    name = next((one for one in _TYPE_FIELDS if body.get(one) is not None), None)
    if name is None:
        return ("float",), False
    value = body[name]
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str) and one in EMBEDDING_TYPES for one in values):
        allowed = ", ".join(EMBEDDING_TYPES)
        raise InvalidInputError(f"{name} must be one of {allowed}, or an array of them", param=name)
    return tuple(dict.fromkeys(cast("list[EmbeddingType]", values))), isinstance(value, list)


def _vectors(asked: Asked, embedding: Embedding) -> dict[str, Any]:
    if embedding.token_vectors is None:
        return {"embedding": _vector(asked, embedding.vector)}
    return {"embeddings": [_vector(asked, vector) for vector in embedding.token_vectors]}


def _vector(asked: Asked, vector: Float32Array) -> Any:
    by_type = {name: _of_type(vector, name) for name in asked.embedding_types}
    return by_type if asked.is_list else by_type[asked.embedding_types[0]]


def _of_type(vector: Float32Array, name: EmbeddingType) -> Any:
    if name == "base64":
        return wire_vector(vector, "base64")
    return wire_quantized(vector, name, "float", "embedding_type")


async def _embed(call: Call, service: Service) -> Reply:
    asked = parse(call.json_object())
    result = await embed_for(asked.task, JINA_PURPOSES, asked.request, service, param="task")
    return await rendered(partial(render, asked, result), result)


DIALECT: Final = Dialect(
    name="jina",
    routes=(
        Route("POST", "/v1/embeddings", _embed, is_jina, EmbedBody, EmbedAnswer),
        Route("POST", "/embeddings", _embed, is_jina, EmbedBody, EmbedAnswer),
    ),
    render_error=render_error,
    source="https://api.jina.ai/redoc",
)
