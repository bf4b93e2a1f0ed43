"""``POST /v1/embeddings``: body → request, result → reply; other paths share it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from polyvec.dialects._base import Call, Reply
from polyvec.dialects._encode import json_reply, rendered, wire_outputs
from polyvec.dialects._openai.encoding import Encoding, encoded, parse_encoding, raw_reply
from polyvec.dialects._openai.input import parse_inputs
from polyvec.dialects._openai.params import (
    check_max_tokens,
    check_outputs,
    given_id,
    parse_activation,
    parse_cache_salt,
    parse_priority,
    parse_truncation,
    refuse_unusable,
)
from polyvec.dialects._openai.wire import (
    coerced_int,
    optional_bool,
    optional_str,
    parse_outputs,
    request_id,
    token_vocabulary,
    usage,
)
from polyvec.dialects._purposes import COHERE_PURPOSES, embed_for
from polyvec.errors import DimensionsError, InvalidInputError, UnsupportedInputError
from polyvec.service import Service
from polyvec.types import Embedding, EmbedRequest, EmbedResult, ModelCard, Output, Vocabulary

_DENSE: Final[tuple[Output, ...]] = ("dense",)
# vLLM's name for what this path does anyway; adapters of models are called otherwise.
_OWN_TASK: Final = "embed"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for.

    Attributes:
        request: For the service.
        encoding: Of the vectors in the answer.
        names_outputs: Whether the body says which outputs it wants.
        purpose: What the texts are embedded for, in words that every model accepts; or None.
        purpose_param: The field that named it.
        request_id: The caller's own, or None.
    """

    request: EmbedRequest
    encoding: Encoding
    names_outputs: bool = False
    purpose: str | None = None
    purpose_param: str = "input_type"
    request_id: str | None = None


def parse(body: Mapping[str, Any], vocabulary: Vocabulary = "model") -> Asked:
    """Return what a body of ``POST /v1/embeddings`` asks for.

    A null in an optional field means the same as its absence; ``user`` and unknown fields are
    ignored.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://platform.openai.com/docs/api-reference/embeddings/create and
    https://docs.vllm.ai/en/stable/models/pooling_models/embed; ``input_type`` is Cohere's;
    ``truncate``, ``prompt_name``, ``task`` and ``outputs`` are polyvec's.
    """
    refuse_unusable(body)
    if body.get("late_chunking_params") is not None:
        raise UnsupportedInputError(
            "late_chunking_params is not supported", param="late_chunking_params"
        )
    encoding = parse_encoding(body)
    truncate, max_tokens = parse_truncation(body)
    task = optional_str(body, "task")
    prompt_name, purpose, purpose_param = _purpose(body, task)
    request = EmbedRequest(
        model=optional_str(body, "model") or None,
        inputs=parse_inputs(body, vocabulary),
        dimensions=coerced_int(body, "dimensions"),
        normalize=parse_activation(body),
        truncate=truncate,
        max_tokens=max_tokens,
        add_special_tokens=optional_bool(body, "add_special_tokens") is not False,
        prompt_name=prompt_name,
        task=None if task == _OWN_TASK else task,
        outputs=parse_outputs(body),
        priority=parse_priority(body),
        cache_salt=parse_cache_salt(body),
    )
    names_outputs = body.get("outputs") is not None
    return Asked(request, encoding, names_outputs, purpose, purpose_param, given_id(body))


def fitted(asked: Asked, card: ModelCard) -> EmbedRequest:
    """Return the request as this model takes it: its vectors, or its vector per token.

    Raises:
        InvalidInputError: The model cannot do what is asked, in vLLM's words.
    """
    request = asked.request
    check_max_tokens(request.max_tokens, card)
    wanted = request.dimensions
    if wanted is not None and wanted < 1:
        raise DimensionsError(
            f"Model '{card.name}' only supports dimensions in range [1, {card.dimensions}], "
            f"got {wanted}.",
            dimensions=wanted,
            native=card.dimensions,
            matryoshka=card.matryoshka,
        )
    if asked.names_outputs:
        return request
    if card.outputs[:1] == ("tokens",):
        return replace(request, outputs=("tokens",))
    check_outputs(_DENSE, card)
    return request


async def embeddings(call: Call, service: Service) -> Reply:
    """Answer a call whose body names the model."""
    return await embeddings_of(call, call.json_object(), service)


async def deployment_embeddings(call: Call, service: Service) -> Reply:
    """Answer a call whose path names the model; what the body says of it does not count."""
    body = {**call.json_object(), "model": call.path_params["model"]}
    return await embeddings_of(call, body, service)


async def embeddings_of(call: Call, body: Mapping[str, Any], service: Service) -> Reply:
    """Answer a decoded body."""
    asked = parse(body, token_vocabulary(call))
    request = fitted(asked, service.find(asked.request.model))
    _check_raw(asked.encoding, request)
    result = await embed_for(
        asked.purpose, COHERE_PURPOSES, request, service, param=asked.purpose_param
    )
    identity = request_id(call, asked.request_id)
    written = partial(
        render,
        result,
        asked.encoding,
        request_id=identity,
        created=int(time.time()),
        is_lone=not asked.names_outputs,
    )
    return await rendered(written, result)


def render(
    result: EmbedResult,
    encoding: Encoding,
    *,
    request_id: str,
    created: int,
    is_lone: bool = True,
) -> Reply:
    """Return a result in OpenAI's list shape, or as bytes.

    Args:
        result: Of the service.
        encoding: As which vectors are written.
        request_id: Ends the answer's id.
        created: Unix seconds.
        is_lone: Whether there is one output, which nobody asked for by name: it is called
            ``embedding`` then, also where it is a vector per token.
    """
    head: dict[str, Any] = {"id": f"embd-{request_id}", "created": created, "model": result.model}
    if encoding.is_raw:
        arrays = [_main_array(embedding) for embedding in result.embeddings]
        return raw_reply(arrays, encoding, {**head, "usage": usage(result)})
    wire = _lone_output if is_lone else _several_outputs
    data = [
        {"object": "embedding", "index": index, **wire(embedding, encoding)}
        for index, embedding in enumerate(result.embeddings)
    ]
    return json_reply({**head, "object": "list", "data": data, "usage": usage(result)})


def _lone_output(embedding: Embedding, encoding: Encoding) -> dict[str, Any]:
    return {"embedding": encoded(_main_array(embedding), encoding)}


def _several_outputs(embedding: Embedding, encoding: Encoding) -> dict[str, Any]:
    wire = wire_outputs(embedding, "float")
    if embedding.vector.size:
        wire["embedding"] = encoded(embedding.vector, encoding)
    if embedding.token_vectors is not None:
        wire["token_embeddings"] = [encoded(row, encoding) for row in embedding.token_vectors]
    return wire


def _main_array(embedding: Embedding) -> Any:
    """The vector, or the matrix of a vector per token."""
    return embedding.vector if embedding.token_vectors is None else embedding.token_vectors


def _check_raw(encoding: Encoding, request: EmbedRequest) -> None:
    """Bytes hold one array for an input, and no sparse ones."""
    if encoding.is_raw and request.outputs not in (("dense",), ("tokens",)):
        raise InvalidInputError(
            f"encoding_format {encoding.format!r} takes one output, 'dense' or 'tokens'",
            param="encoding_format",
        )


def _purpose(body: Mapping[str, Any], task: str | None) -> tuple[str | None, str | None, str]:
    """A prompt of the model's, or a word that every model accepts and the field it stands in.

    Our field wins over Cohere's, and ``task`` over what a word may stand for.
    """
    name = optional_str(body, "prompt_name")
    input_type = optional_str(body, "input_type")
    if name is not None:
        is_word = name in COHERE_PURPOSES and task is None
        return (None, name, "prompt_name") if is_word else (name, None, "prompt_name")
    if task is not None:
        return (None if input_type in COHERE_PURPOSES else input_type), None, "input_type"
    return None, input_type, "input_type"
