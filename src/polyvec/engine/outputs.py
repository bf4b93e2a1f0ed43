"""What the model gave for one input → what a caller gets of it, but for the dense vector.

Done in the worker thread, so that a vocabulary-sized row does not wait for its caller.
"""

from collections.abc import Mapping

import numpy as np

from polyvec.engine.postprocess import finite_rows, normalized
from polyvec.engine.prepare import Prepared, Route
from polyvec.models._model import Model
from polyvec.types import Float32Array, IntArray, Output, SparseVector

Piece = Float32Array | SparseVector
"""One output of one input: a dense row (D,) as the model gave it, token vectors (L, K), scores (N,)
or a sparse vector."""


def is_finite(value: Float32Array) -> bool:
    """Whether no number of an output is NaN or infinite."""
    return bool(finite_rows(value.reshape(1, -1))[0])


def piece_of(model: Model, output: Output, value: Float32Array, prepared: Prepared) -> Piece:
    """Shape one output of one input.

    Args:
        model: Says what the output's head needs done.
        output: Which.
        value: (N,) where the head gives rows, otherwise (L, N).
        prepared: The input.
    """
    if output == "tokens" and prepared.route.modality == "image":
        return normalized(value)
    if output == "sparse":
        return _sparse(model, value, np.asarray(prepared.array, np.int64))
    return _tokens(model, value, prepared) if output == "tokens" else value


def nothing_of(model: Model, route: Route) -> Float32Array | Mapping[Output, Piece]:
    """The outputs of a text without tokens, where that has any: the zero vector."""
    zero = np.zeros(model.dimensions, np.float32)
    if route.is_plain:
        return zero
    return {name: zero if name == "dense" else zero[None][:0] for name in route.outputs}


def _tokens(model: Model, value: Float32Array, prepared: Prepared) -> Float32Array:
    head = model.heads.get("tokens")
    kept = value if prepared.kept is None else value[prepared.kept]
    if head is None:
        return kept
    kept = kept[1:] if head.drops_first else kept
    return normalized(kept) if head.normalize else kept


def activated(model: Model, scores: Float32Array, *, of_pair: bool = True) -> Float32Array:
    """Logits (N,) of a pair as a cross-encoder's authors give them out, or of a classified text."""
    head = model.heads["score"]
    return _activated(scores, head.activation if of_pair else head.text_activation)


def _sparse(model: Model, value: Float32Array, ids: IntArray) -> SparseVector:
    """Entries other than zero, by vocabulary id."""
    if value.ndim == 1:  # a weight for every entry of the vocabulary
        found = np.flatnonzero(value)
        return SparseVector(found.astype(np.int64), value[found])
    # A weight for every token: the largest of each id. Source: FlagEmbedding's BGEM3FlagModel.
    special = () if model.text is None else tuple(model.text.tokenizer.special_ids)
    weights = value[:, 0]
    kept = (weights > 0) & ~np.isin(ids, special)
    indexes, inverse = np.unique(ids[kept], return_inverse=True)
    values = np.zeros(len(indexes), np.float32)
    np.maximum.at(values, inverse, weights[kept])
    return SparseVector(indexes, values)


def _activated(scores: Float32Array, kind: str | None) -> Float32Array:
    if kind == "sigmoid":
        wide = scores.astype(np.float64)
        squashed: Float32Array = (1 / (1 + np.exp(-np.clip(wide, -500, 500)))).astype(np.float32)
        return squashed
    if kind == "softmax":
        powers = np.exp(scores.astype(np.float64) - scores.max())
        shares: Float32Array = (powers / powers.sum()).astype(np.float32)
        return shares
    return scores
