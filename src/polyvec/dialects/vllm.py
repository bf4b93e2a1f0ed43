"""vLLM's scoring and pooling endpoints."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from polyvec.dialects._base import Call, Dialect, Reply, Route, json_type
from polyvec.dialects._encode import json_reply, rendered, wire_outputs
from polyvec.dialects._openai_wire import (
    error_reply,
    optional_int,
    optional_str,
    parse_input,
    request_id,
    usage,
    wrong_type,
)
from polyvec.errors import InvalidInputError, PolyvecError
from polyvec.service import Service
from polyvec.types import EmbedRequest, EmbedResult, Output, ScoreRequest, ScoreResult, Truncate

_PAIR_FIELDS: Final = (
    ("queries", "documents"),
    ("queries", "items"),
    ("text_1", "text_2"),
    ("data_1", "data_2"),
)
_TASKS: Final[dict[str, Output]] = {
    "embed": "dense",
    "token_embed": "tokens",
    "sparse_embed": "sparse",
    "classify": "score",
    "score": "score",
}


def parse_score(body: Mapping[str, Any]) -> ScoreRequest:
    """Return what a body of ``POST /score`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.vllm.ai/en/stable/models/pooling_models/scoring.html.
    """
    queries, documents = _pair_texts(body)
    if len(queries) not in (1, len(documents)):
        raise InvalidInputError("Input lengths must be either 1:1, 1:N or N:N", param="queries")
    return ScoreRequest(
        model=optional_str(body, "model") or None,
        queries=queries,
        documents=documents,
        instruction=optional_str(body, "instruction"),
        activate=_activates(body),
        truncate=_truncate(body),
        priority=optional_int(body, "priority") or 0,
    )


def parse_rerank(body: Mapping[str, Any]) -> tuple[ScoreRequest, int, bool]:
    """Return what a body of ``POST /rerank`` asks for, how many results, and with their texts?

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.cohere.com/reference/rerank and Jina's reranker, whose fields vLLM shares.
    """
    query = optional_str(body, "query")
    if query is None:
        raise InvalidInputError("query is required: a string", param="query")
    documents = _texts(body.get("documents"), "documents")
    top_n = optional_int(body, "top_n") or 0
    if top_n < 0:
        raise InvalidInputError("top_n must be 0 or more; 0 means all", param="top_n")
    returned = body.get("return_documents")
    if returned is not None and not isinstance(returned, bool):
        raise wrong_type("return_documents", "a boolean or null", returned)
    request = ScoreRequest(
        model=optional_str(body, "model") or None,
        queries=(query,),
        documents=documents,
        instruction=optional_str(body, "instruction"),
        activate=_activates(body),
        truncate=_truncate(body),
        priority=optional_int(body, "priority") or 0,
    )
    return request, min(top_n or len(documents), len(documents)), returned is not False


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as OpenAI's clients expect it."""
    return error_reply(error)


def _pair_texts(body: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    for first, second in _PAIR_FIELDS:
        if body.get(first) is not None and body.get(second) is not None:
            return _texts(body[first], first), _texts(body[second], second)
    forms = " or ".join(f"{first} with {second}" for first, second in _PAIR_FIELDS)
    raise InvalidInputError(f"two fields are required: {forms}", param="queries")


def _texts(value: Any, name: str) -> tuple[str, ...]:
    """A text or an array of them; each one a string, or an object with ``text`` or ``content``."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise InvalidInputError(f"{name}: at least one text must be given", param=name)
    if len(values) == 1:
        return (_text(values[0], name),)
    return tuple(_text(item, f"{name}[{index}]") for index, item in enumerate(values))


def _text(value: Any, param: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        inner = value.get("text", value.get("content"))
        if isinstance(inner, str):
            return inner
        if isinstance(inner, list):
            return "\n".join(_text(part, param) for part in inner)
    raise InvalidInputError(
        f"{param} must be a string or an object with a text, got {json_type(value)}", param=param
    )


def _activates(body: Mapping[str, Any]) -> bool:
    for name in (
        "use_activation",
        "activation",
        "softmax",
    ):  # older releases' names after the first
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, bool):
            raise wrong_type(name, "a boolean or null", value)
        return value
    return True


def _truncate(body: Mapping[str, Any]) -> Truncate | None:
    value = optional_int(body, "truncate_prompt_tokens")
    if value in (None, -1):
        return "end" if value == -1 else None
    raise InvalidInputError(
        "truncate_prompt_tokens must be -1 (the model's maximum) or null",
        param="truncate_prompt_tokens",
    )


async def _score(call: Call, service: Service) -> Reply:
    result = await service.score(parse_score(call.json_object()))
    data = [
        {"index": index, "object": "score", "score": float(score)}
        for index, score in enumerate(result.scores)
    ]
    return json_reply({**_head(call, "score", result), "object": "list", "data": data})


async def _rerank(call: Call, service: Service) -> Reply:
    request, top_n, with_texts = parse_rerank(call.json_object())
    result = await service.score(request)
    order = sorted(range(len(result.scores)), key=lambda index: -result.scores[index])
    results = [_ranked(request.documents, result, index, with_texts) for index in order[:top_n]]
    return json_reply({**_head(call, "score", result), "results": results})


def _ranked(
    documents: Sequence[str],
    result: ScoreResult,
    index: int,
    with_texts: bool,  # noqa: FBT001
) -> dict[str, Any]:
    ranked: dict[str, Any] = {"index": index, "relevance_score": float(result.scores[index])}
    if with_texts:
        ranked["document"] = {"text": documents[index], "multi_modal": None}
    return ranked


def _head(call: Call, kind: str, result: ScoreResult) -> dict[str, Any]:
    tokens = {"prompt_tokens": result.num_tokens, "total_tokens": result.num_tokens}
    return {
        "id": f"{kind}-{request_id(call)}",
        "created": int(time.time()),
        "model": result.model,
        "usage": tokens,
    }


async def _pooling(call: Call, service: Service) -> Reply:
    body = call.json_object()
    task = optional_str(body, "task")
    if task is not None and task not in _TASKS:
        supported = ", ".join(map(repr, _TASKS))
        raise InvalidInputError(
            f"Unsupported task: {task!r} Supported tasks: [{supported}]", param="task"
        )
    if body.get("dimensions") is not None:
        raise InvalidInputError("dimensions is currently not supported", param="dimensions")
    request = EmbedRequest(
        model=optional_str(body, "model") or None,
        inputs=parse_input(body),
        truncate=_truncate(body),
        normalize=None if _activates(body) else False,
        prompt_name=optional_str(body, "prompt_name"),
        outputs=None if task is None else (_TASKS[task],),
        priority=optional_int(body, "priority") or 0,
    )
    result = await service.embed(request)
    return await rendered(partial(_pooling_reply, call, result), result)


def _pooling_reply(call: Call, result: EmbedResult) -> Reply:
    data = [
        {"index": index, "object": "pooling", "data": _pooled(embedding)}
        for index, embedding in enumerate(result.embeddings)
    ]
    return json_reply(
        {
            "id": f"pooling-{request_id(call)}",
            "object": "list",
            "created": int(time.time()),
            "model": result.model,
            "data": data,
            "usage": usage(result),
        }
    )


def _pooled(embedding: Any) -> Any:
    if embedding.scores is not None:
        return embedding.scores
    (value,) = wire_outputs(embedding, "float").values()
    return value


DIALECT: Final = Dialect(
    name="vllm",
    routes=(
        Route("POST", "/score", _score),
        Route("POST", "/v1/score", _score),
        Route("POST", "/rerank", _rerank),
        Route("POST", "/v1/rerank", _rerank),
        Route("POST", "/v2/rerank", _rerank),
        Route("POST", "/pooling", _pooling),
    ),
    render_error=render_error,
    source="https://docs.vllm.ai/en/stable/models/pooling_models/",
)
