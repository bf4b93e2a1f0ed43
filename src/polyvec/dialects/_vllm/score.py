"""``/score`` and ``/rerank``: queries and documents → scores, as vLLM, Cohere and Jina do it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyvec.dialects._base import Call, Reply, json_type
from polyvec.dialects._content import parse_content, parse_part
from polyvec.dialects._encode import json_reply
from polyvec.dialects._litellm import suited_to_litellm
from polyvec.dialects._openai.params import (
    check_max_tokens,
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
    request_id,
    token_usage,
    wrong_type,
)
from polyvec.dialects._scores import best_first, short_numbers
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.service import Service
from polyvec.types import Input, MediaPart, ModelCard, ScoreRequest, ScoreResult, Text

Scored = str | Input

_PAIR_FIELDS: Final = (
    ("queries", "documents"),
    ("queries", "items"),
    ("text_1", "text_2"),
    ("data_1", "data_2"),
)
_LENGTHS: Final = "Input lengths must be either 1:1, 1:N or N:N"
_NO_QUERY: Final = "At least one text element must be given"
_NO_DOCUMENT: Final = "At least one text_pair element must be given"


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a body of ``/rerank`` asks for.

    Attributes:
        request: For the service.
        top_n: How many results.
        with_texts: Whether results hold their documents.
        request_id: The caller's own, or None.
    """

    request: ScoreRequest
    top_n: int
    with_texts: bool
    request_id: str | None = None


def parse_score(body: Mapping[str, Any]) -> ScoreRequest:
    """Return what a body of ``POST /score`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.vllm.ai/en/stable/models/pooling_models/scoring.html.
    """
    first, second = _pair_fields(body)
    queries = parse_scored(body[first], first, _NO_QUERY)
    documents = parse_scored(body[second], second, _NO_DOCUMENT)
    if len(queries) not in (1, len(documents)):
        raise InvalidInputError(_LENGTHS, param=first)
    return _request(body, queries, documents)


def parse_rerank(body: Mapping[str, Any]) -> Ranking:
    """Return what a body of ``POST /rerank`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.vllm.ai/en/stable/models/pooling_models/scoring.html,
    https://docs.cohere.com/reference/rerank and https://jina.ai/reranker; ``raw_scores`` is
    https://github.com/michaelfeil/infinity's.
    """
    query = body.get("query")
    if query is None or isinstance(query, list):
        raise wrong_type("query", "a string, or an object with content", query)
    queries = parse_scored(query, "query", _NO_QUERY)
    documents = parse_scored(body.get("documents"), "documents", _NO_DOCUMENT)
    top_n = coerced_int(body, "top_n") or 0
    if top_n < 0:
        raise InvalidInputError("top_n must be 0 or more; 0 means all", param="top_n")
    returned = optional_bool(body, "return_documents")
    return Ranking(
        _request(body, queries, documents),
        top_n=min(top_n or len(documents), len(documents)),
        with_texts=returned is not False,
        request_id=given_id(body),
    )


def parse_scored(value: Any, name: str, empty: str) -> tuple[Scored, ...]:
    """Return one text or an array of them; each one a string, or an object with parts.

    Args:
        value: Decoded JSON.
        name: The field.
        empty: What to say when there are none.

    Raises:
        InvalidInputError: ``param`` names the field or element.
    """
    values = value if isinstance(value, list) else [value]
    if not values:
        raise InvalidInputError(empty, param=name)
    if len(values) == 1:
        return (_scored(values[0], name),)
    return tuple(_scored(item, f"{name}[{index}]") for index, item in enumerate(values))


async def score(call: Call, service: Service) -> Reply:
    """Answer ``POST /score``."""
    body = call.json_object()
    request = parse_score(body)
    _check(request, service.find(request.model))
    result = await service.score(request)
    data = [
        {"index": index, "object": "score", "score": number}
        for index, number in enumerate(short_numbers(result.scores))
    ]
    head = _head(call, given_id(body), result)
    return json_reply({**head, "object": "list", "data": data})


async def rerank(call: Call, service: Service) -> Reply:
    """Answer ``POST /rerank`` so that clients of vLLM, Cohere, Jina and Infinity can read it."""
    ranking = parse_rerank(call.json_object())
    request = ranking.request
    _check(request, service.find(request.model))
    result = await service.score(request)
    numbers = short_numbers(result.scores)
    order = best_first(result.scores, ranking.top_n)
    results = [_ranked(request.documents[i], i, numbers[i], ranking.with_texts) for i in order]
    version = "2" if call.path.startswith("/v2/") else "1"
    meta = {
        "api_version": {"version": version},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": result.num_tokens, "output_tokens": 0},
    }
    head = _head(call, ranking.request_id, result)
    answer = {**head, "object": "rerank", "results": results, "meta": meta}
    return json_reply(suited_to_litellm(answer, call))


def _pair_fields(body: Mapping[str, Any]) -> tuple[str, str]:
    for first, second in _PAIR_FIELDS:
        if body.get(first) is not None and body.get(second) is not None:
            return first, second
    forms = " or ".join(f"{first} with {second}" for first, second in _PAIR_FIELDS)
    raise InvalidInputError(f"two fields are required: {forms}", param="queries")


def _scored(value: Any, param: str) -> Scored:
    """One query or document; what has only texts becomes one."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or not value:
        raise InvalidInputError(
            f"{param} must be a string, or an object with text or content, got {json_type(value)}",
            param=param,
            code="invalid_type",
        )
    parts: tuple[MediaPart, ...]
    if value.get("content") is not None:
        parts = parse_content(value["content"], f"{param}.content")
    else:
        parts = (parse_part(value, param),)
    if not parts:
        raise InvalidInputError(f"{param}.content must hold at least one part", param=param)
    texts = [part.text for part in parts if isinstance(part, Text)]
    return "\n".join(texts) if len(texts) == len(parts) else Input(parts, param)


def _request(
    body: Mapping[str, Any], queries: tuple[Scored, ...], documents: tuple[Scored, ...]
) -> ScoreRequest:
    refuse_unusable(body)
    truncate, max_tokens = parse_truncation(body)
    return ScoreRequest(
        model=optional_str(body, "model") or None,
        queries=queries,
        documents=documents,
        instruction=_instruction(body),
        activate=_activates(body),
        truncate=truncate,
        max_tokens=max_tokens,
        max_query_tokens=_token_limit(body, "max_tokens_per_query"),
        max_document_tokens=_token_limit(body, "max_tokens_per_doc"),
        priority=parse_priority(body),
        cache_salt=parse_cache_salt(body),
    )


def _instruction(body: Mapping[str, Any]) -> str | None:
    """The instruction, also from where vLLM's users have to put it."""
    variables = body.get("chat_template_kwargs")
    if variables is not None and not isinstance(variables, Mapping):
        raise wrong_type("chat_template_kwargs", "an object or null", variables)
    if body.get("chat_template") is not None or set(variables or ()) - {"instruction"}:
        raise UnsupportedInputError(
            "templates of pairs are the model's own; of chat_template_kwargs only instruction "
            "is read",
            param="chat_template_kwargs" if variables else "chat_template",
        )
    given = optional_str(body, "instruction")
    return given if given is not None else optional_str(variables or {}, "instruction")


def _activates(body: Mapping[str, Any]) -> bool:
    asked = parse_activation(body)
    if asked is None:
        return optional_bool(body, "raw_scores") is not True
    return asked


def _token_limit(body: Mapping[str, Any], name: str) -> int | None:
    """Tokens of a text that are read; 0 means all."""
    value = coerced_int(body, name)
    if value is not None and value < 0:
        raise InvalidInputError(f"{name} must be a non-negative integer", param=name)
    return value or None


def _check(request: ScoreRequest, card: ModelCard) -> None:
    """What depends on the model, in vLLM's words."""
    check_max_tokens(request.max_tokens, card)
    limits = {
        "max_tokens_per_query": request.max_query_tokens,
        "max_tokens_per_doc": request.max_document_tokens,
    }
    for name, limit in limits.items():
        maximum = card.max_input_tokens
        if limit is not None and maximum and limit >= maximum:
            raise InvalidInputError(
                f"{name} ({limit}) must be less than max_model_len ({maximum}).", param=name
            )
    if card.state == "ready" and not {"dense", "tokens", "score"} & set(card.outputs):
        raise UnsupportedInputError("The model does not support Score API", param="model")


def _ranked(
    document: Scored,
    index: int,
    number: float,
    with_texts: bool,  # noqa: FBT001
) -> dict[str, Any]:
    """One result. Pictures are not sent back: the caller has them, and they are long."""
    if not with_texts:
        return {"index": index, "relevance_score": number}
    parts = (Text(document),) if isinstance(document, str) else document.parts
    texts = [part.text for part in parts if isinstance(part, Text)]
    shown = {"text": "\n".join(texts) if texts else None, "multi_modal": None}
    return {"index": index, "relevance_score": number, "document": shown}


def _head(call: Call, given: str | None, result: ScoreResult) -> dict[str, Any]:
    return {
        "id": f"score-{request_id(call, given)}",
        "created": int(time.time()),
        "model": result.model,
        "usage": token_usage(result.num_tokens),
    }
