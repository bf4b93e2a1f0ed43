"""Vectors with fewer bits: bytes and single bits, as hosted embedding APIs give them."""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from polyvec.dialects._encode import EncodingFormat, base64_text, wire_vector
from polyvec.errors import InvalidInputError
from polyvec.types import Float32Array

Dtype = Literal["float", "int8", "uint8", "binary", "ubinary"]
DTYPES: Final = ("float", "int8", "uint8", "binary", "ubinary")

_INT8_SCALE: Final = 127
_SIGN: Final = np.uint8(0x80)
# Rounding makes unit vectors a little longer than 1; they are not scaled for that.
_UNIT_LENGTH: Final = 1.001


def quantized(vector: Float32Array, dtype: Dtype, param: str) -> NDArray[Any]:
    """Return a vector, shape (D,), in another type.

    ``int8`` is the vector times 127, rounded to the nearest integer, halves to the even one. No
    entry is cut: a vector longer than 1 is first scaled to length 1, which keeps its direction.
    ``uint8`` is that plus 128. Both depend on this vector alone, so equal inputs give equal bytes.

    ``ubinary`` has a bit for each entry, 1 where it is 0 or more, packed by eight, the first entry
    in the highest bit: shape (D / 8,). ``binary`` is that minus 128.

    Args:
        vector: Float32.
        dtype: Wanted type; ``float`` gives the vector itself.
        param: The request's field that asked for it.

    Raises:
        InvalidInputError: Bits are asked for and D is not a multiple of 8.

    Source: https://docs.cohere.com/reference/embed and
    https://docs.voyageai.com/docs/flexible-dimensions-and-quantization for the ranges and the
    packing. How they come from floats to bytes is not public: see docs/dialects/cohere.md.
    """
    if dtype == "float":
        return vector
    if dtype in ("int8", "uint8"):
        signed = _to_int8(vector)
        return signed if dtype == "int8" else signed.view(np.uint8) ^ _SIGN
    if len(vector) % 8:
        raise InvalidInputError(
            "Embedding dimension must be a multiple of 8 for binary embedding types, but got "
            f"{len(vector)}.",
            param=param,
        )
    packed = np.packbits(vector >= 0)
    return packed if dtype == "ubinary" else (packed ^ _SIGN).view(np.int8)


def wire_quantized(
    vector: Float32Array, dtype: Dtype, encoding: EncodingFormat, param: str
) -> NDArray[Any] | str:
    """Return `quantized` as `json_reply` takes it: an array, or base64 of its bytes.

    Floats are little-endian float32.

    Raises:
        InvalidInputError: As `quantized`.
    """
    if dtype == "float":
        return wire_vector(vector, encoding)
    values = quantized(vector, dtype, param)
    if encoding == "float":
        return values
    return base64_text(values.data)


def _to_int8(vector: Float32Array) -> NDArray[np.int8]:
    length = float(np.linalg.norm(vector))
    scale = _INT8_SCALE / length if length > _UNIT_LENGTH else _INT8_SCALE
    scaled = np.rint(np.asarray(vector, np.float64) * scale)
    return np.clip(scaled, -128, 127).astype(np.int8)
