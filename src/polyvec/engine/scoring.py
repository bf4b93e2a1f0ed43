"""Scores of query and document pairs, with whatever a model offers for it.

A cross-encoder reads both texts together. A late-interaction model compares every token of the
query with the nearest one of the document. Any other embedder gives the cosine of two vectors.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from polyvec.engine.conversation import parts_of
from polyvec.engine.parts import joined_text
from polyvec.engine.postprocess import EPSILON, normalized
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.models._model import Model, TextRules
from polyvec.types import (
    Chat,
    Embedding,
    EmbedRequest,
    Float32Array,
    Input,
    Output,
    Pair,
    ScoreRequest,
    Text,
    Truncate,
)

Embed = Callable[[EmbedRequest], Awaitable[list[Embedding]]]


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores in the documents' order, and tokens read for them."""

    scores: Float32Array
    num_tokens: int


async def score(request: ScoreRequest, model: Model, embed: Embed) -> Scored:
    """Score every document against its query.

    Args:
        request: One query, or as many as documents.
        model: Says what it can.
        embed: Embeds with this model.

    Raises:
        InvalidInputError: Queries and documents do not pair up.
        UnsupportedInputError: The model gives several labels, or neither scores nor vectors.
    """
    if len(request.queries) not in (1, len(request.documents)) or not request.documents:
        raise InvalidInputError(
            f"{len(request.queries)} queries and {len(request.documents)} documents do not pair "
            "up: give one query, or one for each document",
            param="queries",
        )
    if "score" in model.outputs:
        return await _read_together(request, model, embed)
    if request.instruction is not None:
        raise UnsupportedInputError("this model takes no instruction", param="instruction")
    # Of models whose vectors come from another output, the states of the tokens mean nothing.
    output = next((name for name in _COMPARED if name in model.outputs), None)
    if output is None:
        raise UnsupportedInputError(
            f"this model scores no pairs; it gives {', '.join(model.outputs)}", param="model"
        )
    return await _compare(request, output, model, embed)


async def _read_together(request: ScoreRequest, model: Model, embed: Embed) -> Scored:
    labels = model.heads["score"].dimensions
    if labels != 1:
        raise UnsupportedInputError(
            f"this model gives {labels} labels for a pair, not one score", param="model"
        )
    inputs = [
        Input((Pair(query, document, request.instruction),), param=f"documents[{index}]")
        for index, (query, document) in enumerate(await _pairs(request, model))
    ]
    asked = _asked(request, inputs, ("score",))
    results = await embed(replace(asked, max_tokens=request.max_tokens))
    scores = [found.scores[0] for found in results if found.scores is not None]
    return Scored(np.array(scores, np.float32), sum(found.num_tokens for found in results))


async def _compare(request: ScoreRequest, output: Output, model: Model, embed: Embed) -> Scored:
    queries = await _embedded(request, "query", output, model, embed)
    documents = await _embedded(request, "document", output, model, embed)
    paired = queries * len(documents) if len(queries) == 1 else queries
    scores = [_COMPARED[output](a, b) for a, b in zip(paired, documents, strict=True)]
    num_tokens = sum(found.num_tokens for found in (*queries, *documents))
    return Scored(np.array(scores, np.float32), num_tokens)


async def _embedded(
    request: ScoreRequest, kind: str, output: Output, model: Model, embed: Embed
) -> list[Embedding]:
    is_query = kind == "query"
    given = request.queries if is_query else request.documents
    field = "queries" if is_query else "documents"
    inputs = [
        item if isinstance(item, Input) else Input((Text(item),), param=f"{field}[{i}]")
        for i, item in enumerate(given)
    ]
    side = request.max_query_tokens if is_query else request.max_document_tokens
    max_tokens, truncate = _limit(request, side, model)
    asked = replace(_asked(request, inputs, (output,)), max_tokens=max_tokens, truncate=truncate)
    if output == "tokens":  # the two kinds are marked differently; see `LateInteraction`
        asked = replace(asked, prompt_name=kind)
    return await embed(asked)


def _limit(
    request: ScoreRequest, side: int | None, model: Model
) -> tuple[int | None, Truncate | None]:
    """Most tokens of one side, and what becomes of those beyond."""
    own = None if model.text is None else model.text.max_input_tokens
    others = [limit for limit in (request.max_tokens, own) if limit is not None]
    if side is None or any(side >= limit for limit in others):
        return request.max_tokens, request.truncate
    return side, "start" if request.truncate == "start" else "end"


def _asked(
    request: ScoreRequest, inputs: Sequence[Input], outputs: tuple[Output, ...]
) -> EmbedRequest:
    return EmbedRequest(
        model=request.model,
        inputs=tuple(inputs),
        # Scores without their activation; vectors are normalised here in any case.
        normalize=None if request.activate else False,
        truncate=request.truncate,
        outputs=outputs,
        priority=request.priority,
        cache_salt=request.cache_salt,
    )


async def _pairs(request: ScoreRequest, model: Model) -> list[tuple[str, str]]:
    """Query and document of each pair, each cut as the request wants it."""
    queries = [_text_of(item, f"queries[{i}]") for i, item in enumerate(request.queries)]
    documents = [_text_of(item, f"documents[{i}]") for i, item in enumerate(request.documents)]
    if model.text is not None:
        queries = await _cut_all(queries, request.max_query_tokens, model.text)
        documents = await _cut_all(documents, request.max_document_tokens, model.text)
    paired = queries * len(documents) if len(queries) == 1 else queries
    return list(zip(paired, documents, strict=True))


def _text_of(item: str | Input, param: str) -> str:
    """The text that a cross-encoder reads of a query or a document.

    Raises:
        UnsupportedInputError: It is no text.
    """
    if isinstance(item, str):
        return item
    parts = [
        inner
        for part in item.parts
        for inner in (parts_of(part) if isinstance(part, Chat) else (part,))
    ]
    texts = [part for part in parts if isinstance(part, Text)]
    if len(texts) < len(parts):
        raise UnsupportedInputError(
            f"{param} is not a text, and this model scores pairs of texts", param=item.param
        )
    return joined_text(texts)


async def _cut_all(texts: list[str], num_tokens: int | None, rules: TextRules) -> list[str]:
    if num_tokens is None:
        return texts
    return await asyncio.to_thread(
        lambda: [_first_tokens(text, num_tokens, rules) for text in texts]
    )


def _first_tokens(text: str, num_tokens: int, rules: TextRules) -> str:
    """A text up to the end of its ``num_tokens``-th token."""
    (spelled,) = rules.tokenizer.spell([text], special=False)
    spans = spelled.spans
    if len(spans) <= num_tokens:
        return text
    # Several tokens may share a character, which then goes with the rest.
    ends = [int(end) for _, end in spans[:num_tokens] if end <= spans[num_tokens][0]]
    return text[: max(ends, default=0)]


def _cosine(query: Embedding, document: Embedding) -> float:
    a, b = (normalized(found.vector[None])[0] for found in (query, document))
    # Rounding may take it a little beyond, where no cosine is.
    return min(1.0, max(-1.0, float(a @ b)))


def _max_similarity(query: Embedding, document: Embedding) -> float:
    """Sum over query tokens of the nearest document token. Source: arxiv.org/abs/2004.12832."""
    if query.token_vectors is None or document.token_vectors is None:
        return 0.0
    return float((query.token_vectors @ document.token_vectors.T).max(axis=1).sum())


def _sparse_cosine(query: Embedding, document: Embedding) -> float:
    a, b = query.sparse, document.sparse
    if a is None or b is None:
        return 0.0
    _, in_a, in_b = np.intersect1d(a.indexes, b.indexes, assume_unique=True, return_indices=True)
    length = float(np.linalg.norm(a.values) * np.linalg.norm(b.values))
    return min(1.0, float(a.values[in_a] @ b.values[in_b]) / max(length, EPSILON))


_COMPARED: Final[Mapping[Output, Callable[[Embedding, Embedding], float]]] = {
    "dense": _cosine,
    "sparse": _sparse_cosine,
    "tokens": _max_similarity,
}
"""How each output is compared, the one to prefer first."""
