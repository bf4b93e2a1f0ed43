"""Weights → whole numbers and scales. numpy only; the graph spells the way back."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyvec.checkpoints.weights import Weights
from polyvec.types import Float32Array

SCHEME_VERSION = 1
"""Goes up when the same weight would be given other codes, so that cached ones are made anew."""

WeightDtype = Literal["int8", "int4"]
GROUP_SIZES = (128, 64, 32)
MIN_SIDE = 32
"""Matrices narrower than this stay float: next to nothing is saved, and heads of a few scores are
where an error shows most."""

_FLOATS = ("F32", "F16", "BF16")
_LARGEST_CODE: dict[WeightDtype, int] = {"int8": 127, "int4": 7}
_CHUNK_VALUES = 1 << 22


@dataclass(frozen=True, slots=True)
class Layout:
    """How one weight (out, in) is stored.

    Attributes:
        name: The weight's.
        dtype: Of the codes.
        rows: out.
        columns: in.
        group: Neighbours in a row that share a scale; ``columns`` for a scale per row.
    """

    name: str
    dtype: WeightDtype
    rows: int
    columns: int
    group: int

    @property
    def codes_shape(self) -> tuple[int, int]:
        """Of int8 codes, or of bytes that hold two int4 codes each."""
        return self.rows, self.columns // (2 if self.dtype == "int4" else 1)

    @property
    def scales_shape(self) -> tuple[int, int]:
        """(out, groups)."""
        return self.rows, self.columns // self.group


@dataclass(frozen=True, slots=True)
class Quantized:
    """One weight's codes and scales.

    Attributes:
        layout: What they mean.
        codes: int8 (out, in), or uint8 (out, in / 2) with the first of two int4 codes in the lower
            half of a byte.
        scales: float32 (out, groups).
    """

    layout: Layout
    codes: NDArray[Any]
    scales: Float32Array


def layouts(weights: Weights, names: Collection[str], dtype: WeightDtype) -> tuple[Layout, ...]:
    """How to store those of the named matrices that are worth it, by name.

    int4 falls back to smaller groups, then to int8, where a row does not divide into groups.
    """
    found = (_layout(weights, name, dtype) for name in sorted(names))
    return tuple(one for one in found if one is not None)


def _layout(weights: Weights, name: str, dtype: WeightDtype) -> Layout | None:
    entry = weights.entry(name)
    if entry.dtype not in _FLOATS or len(entry.shape) != 2 or min(entry.shape) < MIN_SIDE:  # noqa: PLR2004
        return None
    rows, columns = entry.shape
    group = next((size for size in GROUP_SIZES if columns % size == 0), None)
    if dtype == "int8" or group is None:
        return Layout(name, "int8", rows, columns, columns)
    return Layout(name, "int4", rows, columns, group)


def quantize(weights: Weights, layout: Layout) -> Quantized:
    """Round every value to the nearest multiple of its row's or group's scale.

    A value differs from ``code * scale`` by half a scale at most. Values that are not finite cannot
    be kept: their group gets NaN as its scale, so that they show in the vectors, as in float.
    """
    codes = np.empty(layout.codes_shape, np.uint8 if layout.dtype == "int4" else np.int8)
    scales = np.empty(layout.scales_shape, np.float32)
    step = max(1, _CHUNK_VALUES // layout.columns)
    for start in range(0, layout.rows, step):
        part = slice(start, start + step)
        values = weights.float32(layout.name, part).reshape(-1, layout.columns)
        rounded, scales[part] = _rounded(values, layout)
        codes[part] = _packed(rounded) if layout.dtype == "int4" else rounded
    return Quantized(layout, codes, scales)


def dequantized(made: Quantized) -> Float32Array:
    """The values that codes and scales stand for, (out, in)."""
    codes = _unpacked(made.codes) if made.layout.dtype == "int4" else made.codes
    grouped = codes.reshape(*made.scales.shape, made.layout.group).astype(np.float32)
    values: Float32Array = grouped * made.scales[:, :, None]
    return values.reshape(made.layout.rows, made.layout.columns)


def _rounded(values: Float32Array, layout: Layout) -> tuple[NDArray[np.int8], Float32Array]:
    grouped = values.reshape(len(values), -1, layout.group)
    largest = np.maximum(grouped.max(-1), -grouped.min(-1))
    limit = _LARGEST_CODE[layout.dtype]
    scales = (largest / np.float32(limit)).astype(np.float32)
    # Below the smallest normal number a quotient may overflow; such a group counts as zero.
    scales = np.where(scales < np.finfo(np.float32).tiny, np.float32(0), scales)
    scales = np.where(np.isinf(scales), np.float32(np.nan), scales)
    usable = (scales > 0)[:, :, None]
    codes = np.divide(
        grouped, scales[:, :, None], out=np.zeros(grouped.shape, np.float32), where=usable
    )
    np.clip(np.rint(codes, out=codes), -limit, limit, out=codes)
    return codes.astype(np.int8).reshape(values.shape), scales


def _packed(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    halves: NDArray[np.uint8] = np.bitwise_and(codes.view(np.uint8), 0x0F, dtype=np.uint8)
    packed: NDArray[np.uint8] = np.bitwise_or(halves[:, 0::2], halves[:, 1::2] << 4, dtype=np.uint8)
    return packed


def _unpacked(packed: NDArray[np.uint8]) -> NDArray[np.int8]:
    # Shifted up and back down, a half keeps its sign.
    codes = np.empty((len(packed), packed.shape[1] * 2), np.int8)
    codes[:, 0::2] = (packed << 4).view(np.int8) >> 4
    codes[:, 1::2] = packed.view(np.int8) >> 4
    return codes
