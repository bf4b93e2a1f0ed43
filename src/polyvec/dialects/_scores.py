"""Scores → wire: their order, their digits and the names of what they stand for."""

from collections.abc import Sequence

import numpy as np
import orjson

from polyvec.types import Float32Array


def best_first(scores: Float32Array, limit: int | None = None) -> list[int]:
    """Return the places of scores, (N,), the highest first and of equal ones the first.

    Args:
        scores: In any order.
        limit: Most places to return; None for all.
    """
    places: list[int] = np.argsort(-scores, kind="stable")[:limit].tolist()
    return places


def short_numbers(values: Float32Array) -> list[float]:
    """Return numbers that are written with as few digits as tell float32 apart, shape (N,)."""
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    numbers: list[float] = orjson.loads(text)
    return numbers


def names_of(labels: Sequence[str], count: int) -> Sequence[str]:
    """Return what ``count`` scores of a classifier stand for.

    A checkpoint that does not say so has the names that transformers makes up.
    """
    return labels if len(labels) == count else [f"LABEL_{index}" for index in range(count)]
