"""Scores of query and document pairs, with whatever a model offers for it.

A cross-encoder reads both texts together. A late-interaction model compares every token of the
query with the nearest one of the document. Any other embedder gives the cosine of two vectors.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from polyvec.engine.postprocess import normalized
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.models._model import Model
from polyvec.types import (
    Embedding,
    EmbedRequest,
    Float32Array,
    Input,
    Output,
    Pair,
    ScoreRequest,
    Text,
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
    output: Output = "dense" if "dense" in model.outputs else "tokens"
    if output not in model.outputs:
        raise UnsupportedInputError(
            f"this model scores no pairs; it gives {', '.join(model.outputs)}", param="model"
        )
    return await _compare(request, output, embed)


async def _read_together(request: ScoreRequest, model: Model, embed: Embed) -> Scored:
    labels = model.heads["score"].dimensions
    if labels != 1:
        raise UnsupportedInputError(
            f"this model gives {labels} labels for a pair, not one score", param="model"
        )
    inputs = [
        Input((Pair(query, document, request.instruction),), param=f"documents[{index}]")
        for index, (query, document) in enumerate(_pairs(request))
    ]
    results = await embed(_asked(request, inputs, ("score",)))
    scores = [found.scores[0] for found in results if found.scores is not None]
    return Scored(np.array(scores, np.float32), sum(found.num_tokens for found in results))


async def _compare(request: ScoreRequest, output: Output, embed: Embed) -> Scored:
    queries = await _embedded(request, "query", output, embed)
    documents = await _embedded(request, "document", output, embed)
    paired = queries * len(documents) if len(queries) == 1 else queries
    compare = _cosine if output == "dense" else _max_similarity
    scores = [compare(a, b) for a, b in zip(paired, documents, strict=True)]
    num_tokens = sum(found.num_tokens for found in (*queries, *documents))
    return Scored(np.array(scores, np.float32), num_tokens)


async def _embedded(
    request: ScoreRequest, kind: str, output: Output, embed: Embed
) -> list[Embedding]:
    is_query = kind == "query"
    texts = request.queries if is_query else request.documents
    field = "queries" if is_query else "documents"
    inputs = [Input((Text(text),), param=f"{field}[{i}]") for i, text in enumerate(texts)]
    asked = _asked(request, inputs, (output,))
    if output == "tokens":  # the two kinds are marked differently; see `LateInteraction`
        asked = replace(asked, prompt_name=kind)
    return await embed(asked)


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


def _pairs(request: ScoreRequest) -> list[tuple[str, str]]:
    many = len(request.documents)
    queries = request.queries * many if len(request.queries) == 1 else request.queries
    return list(zip(queries, request.documents, strict=True))


def _cosine(query: Embedding, document: Embedding) -> float:
    a, b = (normalized(found.vector[None])[0] for found in (query, document))
    return float(a @ b)


def _max_similarity(query: Embedding, document: Embedding) -> float:
    """Sum over query tokens of the nearest document token. Source: arxiv.org/abs/2004.12832."""
    if query.token_vectors is None or document.token_vectors is None:
        return 0.0
    return float((query.token_vectors @ document.token_vectors.T).max(axis=1).sum())
