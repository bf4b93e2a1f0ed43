"""What the model gave for the inputs of a request → what its caller gets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np

from polyvec.engine.flights import Found
from polyvec.engine.outputs import Piece, activated
from polyvec.engine.postprocess import finish, normalized
from polyvec.engine.visual import FoundFrames, embedding_of
from polyvec.models._model import Model
from polyvec.types import (
    Embedding,
    EmbedRequest,
    Float32Array,
    FramesManifest,
    Input,
    Output,
    Pair,
    SparseVector,
    Video,
)

_Finish = Callable[[Float32Array], Float32Array]


def finished(
    model: Model,
    request: EmbedRequest,
    found: Sequence[Found | FoundFrames],
    num_tokens: Sequence[int],
) -> list[Embedding]:
    """Vectors cut and normalised as a request wants them, other outputs as they are.

    Args:
        model: Which gave them.
        request: What was asked.
        found: One for each input.
        num_tokens: Of each input.
    """
    finishing = partial(
        finish,
        dimensions=request.dimensions,
        normalize=_normalizes(model, request),
        standardize=model.standardizes,
    )
    # Rows are finished together: one call for a thousand of them.
    ones = [each for each in found if not isinstance(each, FoundFrames)]
    embeddings = iter(_embeddings(model, request, ones, finishing))
    answers = [
        embedding_of(each, finishing) if isinstance(each, FoundFrames) else next(embeddings)
        for each in found
    ]
    return [
        replace(answer, num_tokens=tokens) if tokens else answer
        for answer, tokens in zip(answers, num_tokens, strict=True)
    ]


def _embeddings(
    model: Model, request: EmbedRequest, found: Sequence[Found], finishing: _Finish
) -> list[Embedding]:
    if not found:
        return []
    if isinstance(found[0], np.ndarray):
        rows = np.stack(cast("list[Float32Array]", found))
        return [Embedding(vector, 0) for vector in finishing(rows)]
    pieces = cast("list[Mapping[Output, Piece]]", found)
    rows = np.zeros((len(found), 0), np.float32)
    if "dense" in pieces[0]:
        rows = np.stack([cast("Float32Array", each["dense"]) for each in pieces])
    return [
        Embedding(
            vector,
            0,
            sparse=cast("SparseVector | None", each.get("sparse")),
            token_vectors=_tokens(model, request, each.get("tokens")),
            scores=_scores(model, request, item, each.get("score")),
        )
        for vector, each, item in zip(finishing(rows), pieces, _items(request), strict=True)
    ]


def _normalizes(model: Model, request: EmbedRequest) -> bool:
    """Whether a request's vectors get unit length."""
    if request.normalize is not None:
        return request.normalize
    # Those who standardise before they cut normalise after it, also where whole vectors are raw.
    # Source: https://huggingface.co/nomic-ai/nomic-embed-text-v1.5.
    is_cut = request.dimensions not in (None, model.dimensions)
    return model.normalize or (is_cut and model.standardizes)


def _items(request: EmbedRequest) -> list[Input]:
    """The inputs of a request but for its videos."""
    return [
        item for item in request.inputs if not isinstance(item.parts[0], Video | FramesManifest)
    ]


def _tokens(model: Model, request: EmbedRequest, vectors: Piece | None) -> Float32Array | None:
    if not isinstance(vectors, np.ndarray):
        return None
    # A head says itself what becomes of its vectors; a model without one has Normalize.
    by_default = model.normalize and "tokens" not in model.heads
    is_unit = by_default if request.normalize is None else request.normalize
    return normalized(vectors) if is_unit else vectors


def _scores(
    model: Model, request: EmbedRequest, item: Input, logits: Piece | None
) -> Float32Array | None:
    if not isinstance(logits, np.ndarray):
        return None
    if request.normalize is False:
        return logits
    return activated(model, logits, of_pair=isinstance(item.parts[0], Pair))
