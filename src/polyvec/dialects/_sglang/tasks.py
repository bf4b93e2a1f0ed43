"""SGLang's tasks beside embeddings: ranking, scoring, classification and tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyvec.dialects._base import Reply
from polyvec.dialects._content import parse_content
from polyvec.dialects._encode import json_reply, wire_vector
from polyvec.dialects._openai.wire import (
    optional_bool,
    optional_int,
    optional_str,
    parse_input,
    wrong_type,
)
from polyvec.dialects._scores import best_first
from polyvec.dialects._sglang.wire import Usage
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.types import (
    DetokenizeRequest,
    DetokenizeResult,
    EmbedRequest,
    EmbedResult,
    Input,
    ModelCard,
    ScoreRequest,
    ScoreResult,
    Text,
    Tokenized,
    TokenizeRequest,
    TokenizeResult,
)

_NO_QUERY = "Query cannot be empty"
_NO_DOCUMENTS = "Documents cannot be empty"
_NO_DOCUMENT = "Each document must be a non-empty string"
_BLANK = " or whitespace only"


@dataclass(frozen=True, slots=True)
class Ranking:
    """What is left of a rerank body after its `ScoreRequest`.

    Attributes:
        top_n: Number of results.
        documents: What results repeat; empty for nothing.
    """

    top_n: int
    documents: tuple[str, ...]


def parse_rerank(body: Mapping[str, Any], card: ModelCard) -> tuple[ScoreRequest, Ranking]:
    """Return what a body of ``POST /v1/rerank`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``V1RerankReqInput`` in ``python/sglang/srt/entrypoints/openai/protocol.py`` of
    https://github.com/sgl-project/sglang and the texts of ``serving_rerank.py`` beside it.
    """
    query, _ = _side(body.get("query"), "query", _NO_QUERY, _NO_QUERY + _BLANK)
    values = body.get("documents")
    if not isinstance(values, list) or not values:
        raise InvalidInputError(_NO_DOCUMENTS, param="documents")
    sides = [
        _side(value, f"documents[{index}]", _NO_DOCUMENT, f"Each document cannot be empty{_BLANK}")
        for index, value in enumerate(values)
    ]
    top_n = optional_int(body, "top_n")
    if top_n is not None and top_n < 1:
        raise InvalidInputError(
            "Value error, parameter top_n should be larger than 0.", param="top_n"
        )
    returned = optional_bool(body, "return_documents")
    request = ScoreRequest(
        card.name,
        (query,),
        tuple(side for side, _ in sides),
        instruction=optional_str(body, "instruct") or None,
    )
    documents = () if returned is False else tuple(text for _, text in sides)
    return request, Ranking(min(top_n or len(sides), len(sides)), documents)


def render_ranking(result: ScoreResult, ranking: Ranking, request_id: str) -> Reply:
    """Return the best documents first, without anything around them."""
    return json_reply(
        [
            {
                "score": float(result.scores[index]),
                "document": ranking.documents[index] if ranking.documents else None,
                "index": index,
                "meta_info": {"id": f"{request_id}_{index}"},
            }
            for index in best_first(result.scores, ranking.top_n)
        ]
    )


def parse_score(body: Mapping[str, Any], card: ModelCard) -> ScoreRequest:
    """Return what a body of ``POST /v1/score`` asks for.

    Raises:
        UnsupportedInputError: It asks for the probabilities of words, which embedders have not.
        InvalidInputError: ``param`` names the field.

    Source: ``ScoringRequest`` in ``python/sglang/srt/entrypoints/openai/protocol.py`` of
    https://github.com/sgl-project/sglang.
    """
    for name in ("label_token_ids", "apply_softmax", "score_extraction_token"):
        if body.get(name):
            raise UnsupportedInputError(
                f"{name} is for models that write text; this one gives one score for each item",
                param=name,
            )
    query, items = body.get("query"), body.get("items")
    if not isinstance(query, str):
        raise wrong_type("query", "a string", query)
    values: list[Any] = items if isinstance(items, list) else [items]
    if not values:
        raise InvalidInputError("items must hold at least one string", param="items")
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise wrong_type(f"items[{index}]", "a string", value)
    if optional_bool(body, "item_first"):
        return ScoreRequest(card.name, tuple(values), (query,) * len(values))
    return ScoreRequest(card.name, (query,), tuple(values))


def render_scores(result: ScoreResult) -> Reply:
    """Return one score for each item."""
    return json_reply(
        {
            "scores": [[float(score)] for score in result.scores],
            "model": result.model,
            "usage": usage(result.num_tokens),
            "object": "scoring",
        }
    )


def parse_classify(body: Mapping[str, Any], card: ModelCard) -> EmbedRequest:
    """Return what a body of ``POST /v1/classify`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``ClassifyRequest`` in ``python/sglang/srt/entrypoints/openai/protocol.py`` of
    https://github.com/sgl-project/sglang.
    """
    return EmbedRequest(
        card.name,
        parse_input(body),
        outputs=("score",),
        priority=optional_int(body, "priority") or 0,
    )


def render_classes(result: EmbedResult, card: ModelCard, request_id: str, created: int) -> Reply:
    """Return the likeliest label of each input, and how likely every label is."""
    data = []
    for index, embedding in enumerate(result.embeddings):
        scores = embedding.scores if embedding.scores is not None else np.zeros(1, np.float32)
        best = int(scores.argmax())
        data.append(
            {
                "index": index,
                "label": card.labels[best] if best < len(card.labels) else f"LABEL_{best}",
                "probs": wire_vector(scores, "float"),
                "num_classes": len(scores),
            }
        )
    return json_reply(
        {
            "id": f"classify-{request_id}",
            "object": "list",
            "created": created,
            "model": result.model,
            "data": data,
            "usage": usage(result.num_tokens),
        }
    )


def parse_tokenize(body: Mapping[str, Any], card: ModelCard) -> TokenizeRequest:
    """Return what a body of ``POST /v1/tokenize`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``TokenizeRequest`` in ``python/sglang/srt/entrypoints/openai/protocol.py`` of
    https://github.com/sgl-project/sglang.
    """
    prompt = body.get("prompt")
    texts: list[Any] = prompt if isinstance(prompt, list) else [prompt]
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            param = f"prompt[{index}]" if isinstance(prompt, list) else "prompt"
            raise wrong_type(param, "a string", text)
    special = optional_bool(body, "add_special_tokens")
    inputs = tuple(Input((Text(text),), param="prompt") for text in texts)
    return TokenizeRequest(card.name, inputs, add_special_tokens=special is not False)


def render_tokens(result: TokenizeResult, card: ModelCard, *, is_single: bool) -> Reply:
    """Return token ids and how many they are: for one text, or arrays for an array of texts."""
    ids = [_ids(one) for one in result.inputs]
    counts = [len(one) for one in ids]
    return json_reply(
        {
            "tokens": ids[0] if is_single else ids,
            "count": counts[0] if is_single else counts,
            "max_model_len": card.max_input_tokens or 0,
        }
    )


def parse_detokenize(body: Mapping[str, Any], card: ModelCard) -> DetokenizeRequest:
    """Return what a body of ``POST /v1/detokenize`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``DetokenizeRequest`` in ``python/sglang/srt/entrypoints/openai/protocol.py`` of
    https://github.com/sgl-project/sglang.
    """
    tokens = body.get("tokens")
    if not isinstance(tokens, list):
        raise wrong_type("tokens", "an array of token ids", tokens)
    rows = tokens if tokens and isinstance(tokens[0], list) else [tokens]
    for row in rows:
        if not isinstance(row, list) or not all(
            type(token) is int and 0 <= token < 2**63 for token in row
        ):
            raise InvalidInputError(
                "tokens must be an array of token ids, or an array of such arrays", param="tokens"
            )
    skips = optional_bool(body, "skip_special_tokens")
    return DetokenizeRequest(card.name, tuple(map(tuple, rows)), skips is not False)


def render_texts(result: DetokenizeResult, *, is_single: bool) -> Reply:
    """Return the text, or an array of texts for an array of arrays."""
    return json_reply({"text": result.texts[0] if is_single else list(result.texts)})


def usage(num_tokens: int) -> Usage:
    """Return SGLang's ``usage``, which counts what embedders never do as well."""
    return {
        "prompt_tokens": num_tokens,
        "total_tokens": num_tokens,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
        "reasoning_tokens": 0,
    }


def _ids(one: Tokenized) -> list[int]:
    ids: list[int] = one.ids.tolist()
    return ids


def _side(value: Any, param: str, empty: str, blank: str) -> tuple[str | Input, str]:
    """A query or a document as it is scored, and its text."""
    if isinstance(value, str):
        if not value.strip():
            raise InvalidInputError(blank if value else empty, param=param)
        return value, value
    if not isinstance(value, list) or not value:
        raise InvalidInputError(empty, param=param)
    parts = parse_content(value, param)
    text = "\n".join(part.text for part in parts if isinstance(part, Text))
    if all(isinstance(part, Text) for part in parts):
        return text, text
    return Input(parts, param=param), text
