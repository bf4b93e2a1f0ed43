"""Texts laid end to end → the index arrays that a packed graph needs.

Every operation of a packed graph works on (T, D), all tokens of the batch after one another; only
attention and pooling look at a (B, L) view, made by one gather and undone by another. A slot of
that view beyond its text repeats the text's own last token: so a text whose states are not finite
can only ever spoil itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyvec.backends._base import TokenBatch
from polyvec.models._family import ONE_TOKEN, Pooling
from polyvec.types import Float32Array, IntArray

Int32Array = NDArray[np.int32]
Array = NDArray[Any]

_STEPS = ((4, 32), (8, 64), (16, 128), (32, 512))
_LAST_STEP = 64

MASKED = np.float32(-3e38)
"""Added to the score of a key that must not be seen. Not -inf: a row that is masked as a whole
would become NaN."""


def round_up(count: int) -> int:
    """The next size of the grid: OpenVINO keeps memory for every new shape, so there must be few.

    Steps are at most an eighth of the size, from 4 for the shortest texts up to 64.
    """
    step = next((step for step, limit in _STEPS if count <= limit), _LAST_STEP)
    return -(-count // step) * step


def pack(
    batch: TokenBatch, poolings: tuple[Pooling, ...], eos_token_id: int | None
) -> dict[str, Array]:
    """Lay out a batch.

    T and L are rounded up; surplus rows are never read.

    Args:
        batch: Texts end to end.
        poolings: Decide ``picked.*`` and ``weights.*``.
        eos_token_id: For ``eos`` pooling; see `Tower.eos_token_id`.

    Returns:
        Graph inputs by name:

        - ``ids`` (T,) token ids, ``positions`` (T,) place of each token in its text, ``segments``
          (T,) its text's number in a pair.
        - ``gather`` (B, L) row of each slot, ``scatter`` (T,) slot of each row, counted over B·L.
        - ``key_mask`` (B, L) 0 for a token of the text that others see, `MASKED` beyond those.
        - ``picked.P`` (B,) row that pooling P keeps of each text, for those that keep one.
        - ``weights.P`` (B, L) weight of each token in pooling P, for those that take a mean, and 1
          for each token that may be the maximum.
        - ``adapter`` () index, ``adapter_on`` () 1.0, or 0.0 for no adapter.
    """
    lengths = batch.lengths.astype(np.int32)
    num_texts, num_tokens = len(lengths), len(batch.ids)
    width = round_up(int(lengths.max()))
    rows = round_up(num_tokens)
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    column = np.arange(width, dtype=np.int32)
    place = np.arange(num_tokens, dtype=np.int32) - np.repeat(starts, lengths)
    slots = np.repeat(np.arange(num_texts, dtype=np.int32) * width, lengths) + place
    segments = np.zeros(0, np.int32) if batch.segments is None else batch.segments
    seen = lengths if batch.attended is None else batch.attended
    arrays: dict[str, Array] = {
        "ids": _padded(batch.ids.astype(np.int32), rows),
        "positions": _padded(place, rows),
        "segments": _padded(segments.astype(np.int32), rows),
        "gather": starts[:, None] + np.minimum(column, lengths[:, None] - 1),
        "scatter": _padded(slots, rows),
        "key_mask": np.where(column < seen[:, None], np.float32(0), MASKED),
        "adapter": np.array(batch.adapter or 0, np.int32),
        "adapter_on": np.array(batch.adapter is not None, np.float32),
    }
    for pooling in poolings:
        if pooling in ONE_TOKEN:
            arrays[f"picked.{pooling}"] = starts + _kept_places(
                batch, starts, pooling, eos_token_id
            )
        else:
            arrays[f"weights.{pooling}"] = _pool_weights(batch, lengths, column, pooling)
    return arrays


def pad(
    batch: TokenBatch,
    poolings: tuple[Pooling, ...],
    eos_token_id: int | None,
    *,
    pad_token_id: int,
    max_positions: int,
) -> dict[str, Array]:
    """Lay out a batch as converted graphs take it: one text per row, filled up on the right.

    Args:
        batch: Texts end to end.
        poolings: As in `pack`.
        eos_token_id: As in `pack`.
        pad_token_id: Stands in slots beyond a text.
        max_positions: No row is wider, since a graph reads strange memory beyond its tables.

    Returns:
        By name:

        - ``input_ids``, ``attention_mask``, ``token_type_ids``, ``position_ids``, (B, L) each.
        - ``picked.P`` (B,) slot, counted over B·L, and ``weights.P`` (B, L), as in `pack`.
    """
    lengths = batch.lengths.astype(np.int32)
    longest = int(lengths.max())
    width = max(longest, min(round_up(longest), max_positions))
    column = np.arange(width, dtype=np.int32)
    inside = column < lengths[:, None]
    ids = np.full(inside.shape, pad_token_id, np.int64)
    ids[inside] = batch.ids
    segments = np.zeros(inside.shape, np.int64)
    if batch.segments is not None:
        segments[inside] = batch.segments
    arrays: dict[str, Array] = {
        "input_ids": ids,
        "attention_mask": inside.astype(np.int64),
        "token_type_ids": segments,
        "position_ids": np.minimum(column, lengths[:, None] - 1).astype(np.int64),
    }
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    rows = np.arange(len(lengths), dtype=np.int32) * width
    for pooling in poolings:
        if pooling in ONE_TOKEN:
            places = _kept_places(batch, starts, pooling, eos_token_id)
            arrays[f"picked.{pooling}"] = rows + places
        else:
            arrays[f"weights.{pooling}"] = _pool_weights(batch, lengths, column, pooling)
    return arrays


def _padded(values: Int32Array, rows: int) -> Int32Array:
    padded = np.zeros(rows, np.int32)
    padded[: len(values)] = values
    return padded


def _kept_places(
    batch: TokenBatch, starts: Int32Array, pooling: Pooling, eos_token_id: int | None
) -> Int32Array:
    """Place, in its own text, of the token that pooling keeps."""
    if pooling == "cls" and batch.skipped is not None:
        return np.where(batch.lengths > batch.skipped, batch.skipped, 0).astype(np.int32)
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


def _pool_weights(
    batch: TokenBatch, lengths: Int32Array, column: Int32Array, pooling: Pooling
) -> Float32Array:
    """Weights whose sum over tokens is the mean asked for; 1 for each token of a maximum.

    Source: sentence_transformers.models.Pooling.
    """
    inside = column < lengths[:, None]
    if batch.skipped is not None:
        # A prompt that is all of its text cannot be left out.
        skipped = np.minimum(batch.skipped, lengths - 1)
        inside &= column >= skipped[:, None]
    weights: Float32Array = inside.astype(np.float32)
    if pooling == "max":
        return weights
    if pooling == "weightedmean":
        weights *= column + np.float32(1)
    counts: Float32Array = weights.sum(axis=1, keepdims=True)
    if pooling == "mean_sqrt_len":
        counts = np.sqrt(counts)
    return np.divide(weights, counts, dtype=np.float32)


def unpad(states: Float32Array, lengths: IntArray) -> Float32Array:
    """(B, L, D) → (T, D): the texts' own slots, in order."""
    own: Float32Array = states[np.arange(states.shape[1]) < lengths[:, None]]
    return own


def tokens_of(ids: list[IntArray]) -> TokenBatch:
    """Lay texts end to end."""
    lengths = np.array([len(one) for one in ids], np.int64)
    return TokenBatch(np.concatenate(ids), lengths)
