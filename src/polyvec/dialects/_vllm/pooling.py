"""``/pooling`` and ``/classify``: one output of each input, whichever the model gives."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from polyvec.dialects._base import Call, Reply
from polyvec.dialects._encode import json_reply, rendered
from polyvec.dialects._openai.embed import Asked, parse
from polyvec.dialects._openai.encoding import Encoding, encoded, raw_reply
from polyvec.dialects._openai.params import TASK_OF, check_max_tokens, check_outputs
from polyvec.dialects._openai.wire import optional_str, request_id, token_vocabulary, usage
from polyvec.dialects._purposes import COHERE_PURPOSES, embed_for
from polyvec.dialects._scores import short_numbers
from polyvec.errors import InvalidInputError
from polyvec.service import Service
from polyvec.types import Embedding, EmbedResult, Float32Array, ModelCard, Output

_OUTPUT_OF: Final[dict[str, Output]] = {task: output for output, task in TASK_OF.items()}
_REMOVED: Final = ("score", "encode")
_NO_PLUGIN: Final = (
    "No IOProcessor plugin installed. Please refer to the documentation and to the "
    "'prithvi_geospatial_mae_io_processor' offline inference example for more details."
)
_MAX_ECHOED_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class _Pooled:
    """A result and how it is to be written."""

    result: EmbedResult
    encoding: Encoding
    request_id: str


async def pooling(call: Call, service: Service) -> Reply:
    """Answer ``POST /pooling``.

    Source: https://docs.vllm.ai/en/stable/models/pooling_models/token_embed.
    """
    body = call.json_object()
    task = optional_str(body, "task")
    if task == "plugin":
        raise InvalidInputError(_NO_PLUGIN, param="task")
    if body.get("dimensions") is not None:
        raise InvalidInputError(
            "dimensions is currently not supported (parameter=dimensions)", param="dimensions"
        )
    asked = _parse(call, body)
    card = service.find(asked.request.model)
    check_max_tokens(asked.request.max_tokens, card)
    output = _output_of(task, card)
    outputs = None if output is None else (output,)
    asked = replace(asked, request=replace(asked.request, outputs=outputs))
    if output == "sparse" and asked.encoding.format != "float":
        raise InvalidInputError(
            "encoding_format of sparse vectors is 'float'", param="encoding_format"
        )
    pooled = await _embedded(call, asked, service)
    return await rendered(partial(_pooling_reply, pooled), pooled.result)


async def classify(call: Call, service: Service) -> Reply:
    """Answer ``POST /classify``."""
    return await classify_of(call, call.json_object(), service)


async def classify_of(call: Call, body: Mapping[str, Any], service: Service) -> Reply:
    """Classify what a decoded body holds.

    Source: https://docs.vllm.ai/en/stable/models/pooling_models/classify.
    """
    asked = _parse(call, body)
    card = service.find(asked.request.model)
    check_max_tokens(asked.request.max_tokens, card)
    check_outputs(("score",), card)
    asked = replace(asked, request=replace(asked.request, outputs=("score",)))
    pooled = await _embedded(call, asked, service)
    data = [
        _classified(index, embedding, card.labels)
        for index, embedding in enumerate(pooled.result.embeddings)
    ]
    return json_reply(_answer("classify", pooled, data))


def _parse(call: Call, body: Mapping[str, Any]) -> Asked:
    """A body as that of embeddings, but ``task`` is no adapter; ``outputs`` has no place here."""
    task = body.get("task")
    kept = task if isinstance(task, str) and task in _REMOVED else None
    fields = {**body, "task": kept, "outputs": None, "dimensions": None}
    return parse(fields, token_vocabulary(call))


def _output_of(task: str | None, card: ModelCard) -> Output | None:
    """What a task gives; without one, what the model is for. None when that is not known yet.

    Raises:
        InvalidInputError: In vLLM's words.
    """
    if task is None:
        return card.outputs[0] if card.state == "ready" else None
    if task not in _OUTPUT_OF:
        supported = [TASK_OF[output] for output in card.outputs]
        raise InvalidInputError(
            f"Unsupported task: {task[:_MAX_ECHOED_CHARS]!r} Supported tasks: {supported} "
            "(parameter=task)",
            param="task",
        )
    check_outputs((_OUTPUT_OF[task],), card)
    return _OUTPUT_OF[task]


async def _embedded(call: Call, asked: Asked, service: Service) -> _Pooled:
    result = await embed_for(
        asked.purpose, COHERE_PURPOSES, asked.request, service, param=asked.purpose_param
    )
    return _Pooled(result, asked.encoding, request_id(call, asked.request_id))


def _pooling_reply(pooled: _Pooled) -> Reply:
    if pooled.encoding.is_raw:
        arrays = [_array(embedding) for embedding in pooled.result.embeddings]
        head = _answer("pooling", pooled, [])
        return raw_reply(
            arrays, pooled.encoding, {key: head[key] for key in ("id", "created", "model", "usage")}
        )
    data = [
        {"index": index, "object": "pooling", "data": _wire(embedding, pooled.encoding)}
        for index, embedding in enumerate(pooled.result.embeddings)
    ]
    return json_reply(_answer("pooling", pooled, data))


def _answer(kind: str, pooled: _Pooled, data: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"{kind}-{pooled.request_id}",
        "object": "list",
        "created": int(time.time()),
        "model": pooled.result.model,
        "data": data,
        "usage": usage(pooled.result),
    }


def _wire(embedding: Embedding, encoding: Encoding) -> Any:
    if embedding.sparse is not None:
        values = encoded(embedding.sparse.values, encoding)
        return {"indices": embedding.sparse.indexes, "values": values}
    return encoded(_array(embedding), encoding)


def _array(embedding: Embedding) -> Float32Array:
    """Scores (N,), a vector per token (L, K), or the vector (D,)."""
    if embedding.scores is not None:
        return embedding.scores
    return embedding.vector if embedding.token_vectors is None else embedding.token_vectors


def _classified(index: int, embedding: Embedding, labels: tuple[str, ...]) -> dict[str, Any]:
    probs = [] if embedding.scores is None else short_numbers(embedding.scores)
    best = probs.index(max(probs)) if probs else 0
    return {
        "index": index,
        "label": labels[best] if best < len(labels) else None,
        "probs": probs,
        "num_classes": len(probs),
    }
