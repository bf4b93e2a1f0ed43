"""Numbers that attention needs beside queries, keys and values; the same for every runtime."""

import numpy as np

from polyvec.models._ops import BucketBias, LinearBias, Rope, ScoreBias
from polyvec.types import Float32Array, IntArray


def bias_reach(bias: ScoreBias, max_positions: int) -> int:
    """Distance from which on the bias no longer changes, or that no text exceeds."""
    return bias.max_distance if isinstance(bias, BucketBias) else max_positions


def bucket_of_distance(bias: BucketBias) -> IntArray:
    """Bucket of each distance from ``-max_distance`` to ``max_distance``, (2 * max_distance + 1,).

    A distance is the key's place less the query's. Half of the buckets are for keys that come
    later; the near half of each direction has one bucket per distance, the rest grow as powers.

    Source: https://arxiv.org/abs/1910.10683, transformers T5Attention._relative_position_bucket.
    """
    distance = np.arange(-bias.max_distance, bias.max_distance + 1)
    half = bias.buckets // 2
    exact = half // 2
    far = np.abs(distance)
    growth = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact))
    steps = growth / np.float32(np.log(bias.max_distance / exact)) * np.float32(half - exact)
    spread = np.minimum(exact + steps.astype(np.int64), half - 1)
    return np.where(distance > 0, half, 0) + np.where(far < exact, far, spread)


def slope_of_distance(bias: LinearBias, reach: int) -> Float32Array:
    """ALiBi's addition for each distance from ``-reach`` to ``reach``, (2 * reach + 1, heads)."""
    far = np.abs(np.arange(-reach, reach + 1, dtype=np.float32))
    slopes = np.array(bias.slopes, np.float32)
    return -far[:, None] * slopes


def turns(rope: Rope, count: int) -> tuple[Float32Array, Float32Array]:
    """Cosine and sine of the angles at places 0 … ``count - 1``, each (count, half)."""
    places = np.arange(count, dtype=np.float32)[:, None]
    angles = places * np.array(rope.frequencies, np.float32)
    steps = np.floor(places / np.float32(rope.growth_step))
    factor = np.float32(rope.scale) * (1 + np.float32(rope.growth) * np.log1p(steps))
    return np.cos(angles) * factor, np.sin(angles) * factor
