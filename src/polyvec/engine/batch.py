"""Prepared inputs → one batch of a backend."""

from collections.abc import Sequence

import numpy as np

from polyvec.backends._base import Batch, ImageBatch, TokenBatch
from polyvec.engine.prepare import Prepared
from polyvec.types import IntArray


def assemble(inputs: Sequence[Prepared]) -> Batch:
    """Lay inputs of one route end to end (texts) or on top of each other (pictures).

    Args:
        inputs: At least one, all of the same route.
    """
    arrays = [prepared.array for prepared in inputs]
    route = inputs[0].route
    if route.modality == "image":
        return ImageBatch(pixels=np.stack(arrays).astype(np.float32, copy=False))
    return TokenBatch(
        ids=np.concatenate(arrays).astype(np.int64, copy=False),
        lengths=np.array([len(ids) for ids in arrays], np.int64),
        segments=_segments(inputs),
        skipped=_skipped(inputs),
        adapter=route.adapter,
        attended=_attended(inputs),
    )


def _segments(inputs: Sequence[Prepared]) -> IntArray | None:
    if all(prepared.segments is None for prepared in inputs):
        return None
    return np.concatenate(
        [
            np.zeros(len(prepared.array), np.int64)
            if prepared.segments is None
            else prepared.segments
            for prepared in inputs
        ]
    )


def _attended(inputs: Sequence[Prepared]) -> IntArray | None:
    if all(prepared.attended is None for prepared in inputs):
        return None
    attended = [
        len(prepared.array) if prepared.attended is None else prepared.attended
        for prepared in inputs
    ]
    return np.array(attended, np.int64)


def _skipped(inputs: Sequence[Prepared]) -> IntArray | None:
    skipped = np.array([prepared.skipped for prepared in inputs], np.int64)
    return skipped if skipped.any() else None
