"""Texts laid end to end → the index arrays that a packed graph needs.

Every operation of a packed graph works on (T, D), all tokens of the batch after one another; only
attention and pooling look at a (B, L) view, made by one gather and undone by another. A slot of
that view beyond its text repeats the text's own last token: so a text whose states are not finite
can only ever spoil itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvec.backends._base import TokenBatch
from polyvec.models._family import Pooling
from polyvec.types import Float32Array, IntArray

Int32Array = NDArray[np.int32]

_STEPS = ((4, 32), (8, 64), (16, 128), (32, 512))
_LAST_STEP = 64

MASKED = np.float32(-3e38)
"""Added to the score of a key that must not be seen. Not -inf: a row that is masked as a whole
would become NaN."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Arrays of one batch; T and L are rounded up, surplus rows are never read.

    Attributes:
        ids: (T,) token ids.
        positions: (T,) place of each token in its text.
        gather: (B, L) row of each slot.
        scatter: (T,) slot of each row, counted over B·L.
        key_mask: (B, L) 0 for a token of the text, `MASKED` beyond it.
        picked: (B,) row that pooling keeps of each text.
        picked_mask: (B, L) like ``key_mask``, and beyond the picked token too: what it sees when
            attention is causal.
        pool_weights: (B, L) weight of each token in a mean.
    """

    ids: Int32Array
    positions: Int32Array
    gather: Int32Array
    scatter: Int32Array
    key_mask: Float32Array
    picked: Int32Array
    picked_mask: Float32Array
    pool_weights: Float32Array


def round_up(count: int) -> int:
    """The next size of the grid: OpenVINO keeps memory for every new shape, so there must be few.

    Steps are at most an eighth of the size, from 4 for the shortest texts up to 64.
    """
    step = next((step for step, limit in _STEPS if count <= limit), _LAST_STEP)
    return -(-count // step) * step


def pack(batch: TokenBatch, pooling: Pooling, eos_token_id: int | None) -> Packed:
    """Lay out a batch.

    Args:
        batch: Texts end to end.
        pooling: Decides ``picked`` and ``pool_weights``.
        eos_token_id: For ``eos`` pooling; see `Tower.eos_token_id`.
    """
    lengths = batch.lengths.astype(np.int32)
    num_texts, num_tokens = len(lengths), len(batch.ids)
    width = round_up(int(lengths.max()))
    rows = round_up(num_tokens)
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    column = np.arange(width, dtype=np.int32)
    place = np.arange(num_tokens, dtype=np.int32) - np.repeat(starts, lengths)
    slots = np.repeat(np.arange(num_texts, dtype=np.int32) * width, lengths) + place
    kept = _picked_places(batch, starts, pooling, eos_token_id)
    inside = column < lengths[:, None]
    return Packed(
        ids=_padded(batch.ids.astype(np.int32), rows),
        positions=_padded(place, rows),
        gather=starts[:, None] + np.minimum(column, lengths[:, None] - 1),
        scatter=_padded(slots, rows),
        key_mask=np.where(inside, np.float32(0), MASKED),
        picked=starts + kept,
        picked_mask=np.where(column <= kept[:, None], np.float32(0), MASKED),
        pool_weights=_pool_weights(inside, lengths, pooling),
    )


def _padded(values: Int32Array, rows: int) -> Int32Array:
    padded = np.zeros(rows, np.int32)
    padded[: len(values)] = values
    return padded


def _picked_places(
    batch: TokenBatch, starts: Int32Array, pooling: Pooling, eos_token_id: int | None
) -> Int32Array:
    """Place, in its own text, of the token that pooling keeps; the last one for a mean."""
    if pooling == "cls":
        return np.zeros(len(starts), np.int32)
    last = (batch.lengths - 1).astype(np.int32)
    if pooling != "eos":
        return last
    places = np.zeros_like(last)  # like the reference, a text without its end counts as cut to one
    for index, (start, length) in enumerate(zip(starts, batch.lengths, strict=True)):
        ids = batch.ids[start : start + length]
        if eos_token_id is None:
            places[index] = np.argmax(ids)
        elif (found := np.flatnonzero(ids == eos_token_id)).size:
            places[index] = found[0]
    return places


def _pool_weights(inside: NDArray[np.bool_], lengths: Int32Array, pooling: Pooling) -> Float32Array:
    """Weights whose sum over tokens is the mean asked for.

    Source: sentence_transformers.models.Pooling.
    """
    weights: Float32Array = inside.astype(np.float32)
    counts: Float32Array = lengths[:, None].astype(np.float32)
    if pooling == "mean_sqrt_len":
        counts = np.sqrt(counts)
    elif pooling == "weightedmean":
        weights *= np.arange(1, inside.shape[1] + 1, dtype=np.float32)
        counts = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, counts, dtype=np.float32)


def tokens_of(ids: list[IntArray]) -> TokenBatch:
    """Lay texts end to end."""
    lengths = np.array([len(one) for one in ids], np.int64)
    return TokenBatch(np.concatenate(ids), lengths)
