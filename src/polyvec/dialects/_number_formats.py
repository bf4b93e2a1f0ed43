"""float32 → the bytes of narrower formats, rounded to the nearest, ties to even, as torch does."""

from collections.abc import Callable
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from polyvec.types import Float32Array

NumberFormat = Literal["float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2"]
Endianness = Literal["native", "big", "little"]
NUMBER_FORMATS: Final[tuple[NumberFormat, ...]] = get_args(NumberFormat)
ENDIANNESSES: Final[tuple[Endianness, ...]] = get_args(Endianness)

_BYTE_ORDERS: Final[dict[Endianness, Literal["=", ">", "<"]]] = {
    "native": "=",
    "big": ">",
    "little": "<",
}


def number_bytes(values: Float32Array, kind: NumberFormat, endianness: Endianness) -> bytes:
    """Return finite values, of any shape, in a number format and byte order.

    What is too large becomes infinity, or the largest number of ``fp8_e4m3``, which has none.
    """
    codes = _CODES[kind](np.ascontiguousarray(values, np.float32))
    return codes.astype(codes.dtype.newbyteorder(_BYTE_ORDERS[endianness]), copy=False).tobytes()


def _float32(values: Float32Array) -> NDArray[np.float32]:
    return values


def _float16(values: Float32Array) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def _bfloat16(values: Float32Array) -> NDArray[np.uint16]:
    """The upper half of a float32; half of the lower half's range, less for an even one, is added.

    Source: https://en.wikipedia.org/wiki/Bfloat16_floating-point_format.
    """
    bits = values.view(np.uint32)
    odd = (bits >> 16) & 1
    return ((bits + np.uint32(0x7FFF) + odd) >> 16).astype(np.uint16)


def _fp8_e4m3(values: Float32Array) -> NDArray[np.uint8]:
    return _fp8(values, mantissa_bits=3, min_exponent=-6, overflow=0x7E)


def _fp8_e5m2(values: Float32Array) -> NDArray[np.uint8]:
    return _fp8(values, mantissa_bits=2, min_exponent=-14, overflow=0x7C)


def _fp8(
    values: Float32Array, *, mantissa_bits: int, min_exponent: int, overflow: int
) -> NDArray[np.uint8]:
    """Sign, exponent and mantissa in 8 bits. Source: https://arxiv.org/abs/2209.05433.

    Counted in steps of the last mantissa bit, codes of neighbouring numbers follow each other, also
    over the borders of exponents and of the subnormal numbers; so rounding is all there is to it.
    """
    magnitude = np.abs(values)
    # frexp gives zero the exponent of one half.
    exponent = np.where(magnitude == 0, min_exponent, np.frexp(magnitude)[1] - 1)
    exponent = np.maximum(exponent, min_exponent)
    steps = np.rint(np.ldexp(magnitude, mantissa_bits - exponent)).astype(np.int32)
    codes = ((exponent - min_exponent) << mantissa_bits) + steps
    sign = np.signbit(values).astype(np.uint8) << 7
    signed: NDArray[np.uint8] = np.minimum(codes, overflow).astype(np.uint8) | sign
    return signed


_CODES: Final[dict[NumberFormat, Callable[[Float32Array], NDArray[np.generic]]]] = {
    "float32": _float32,
    "float16": _float16,
    "bfloat16": _bfloat16,
    "fp8_e4m3": _fp8_e4m3,
    "fp8_e5m2": _fp8_e5m2,
}
