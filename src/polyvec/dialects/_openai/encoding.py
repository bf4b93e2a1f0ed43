"""How vectors are written: as numbers, as base64, or as raw bytes outside of JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

import numpy as np

from polyvec.dialects._base import Reply
from polyvec.dialects._encode import base64_text, wire_vector
from polyvec.dialects._number_formats import (
    ENDIANNESSES,
    NUMBER_FORMATS,
    Endianness,
    NumberFormat,
    number_bytes,
)
from polyvec.dialects._openai.wire import one_of
from polyvec.types import Float32Array

Format = Literal["float", "base64", "bytes", "bytes_only"]

MAX_METADATA_BYTES: Final = 6000
"""Longest ``metadata`` header: aiohttp's clients refuse lines of more than 8,190 bytes."""

_FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_BYTES_MEDIA_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a caller wants vectors.

    Attributes:
        format: Of ``bytes`` and ``bytes_only``, the body is the vectors alone.
        dtype: Number format of all but ``float``.
        endianness: Byte order of all but ``float``.
    """

    format: Format = "float"
    dtype: NumberFormat = "float32"
    endianness: Endianness = "native"

    @property
    def is_raw(self) -> bool:
        """Whether the answer is no JSON."""
        return self.format in ("bytes", "bytes_only")


PLAIN: Final = Encoding()
BASE64: Final = Encoding("base64")


def parse_encoding(body: Mapping[str, Any]) -> Encoding:
    """Return what ``encoding_format``, ``embed_dtype`` and ``endianness`` ask for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.vllm.ai/en/stable/models/pooling_models/embed.
    """
    kind = one_of(body, "encoding_format", _FORMATS)
    dtype = one_of(body, "embed_dtype", NUMBER_FORMATS)
    endianness = one_of(body, "endianness", ENDIANNESSES)
    if dtype is None and endianness is None and kind in (None, "float", "base64"):
        return BASE64 if kind == "base64" else PLAIN
    return Encoding(
        cast("Format", kind or "float"),
        cast("NumberFormat", dtype or "float32"),
        cast("Endianness", endianness or "native"),
    )


def encoded(values: Float32Array, encoding: Encoding) -> Float32Array | str:
    """Return a vector, or a matrix of a vector per token, as `json_reply` takes it."""
    if encoding.format == "float":
        return np.ascontiguousarray(values, dtype=np.float32)
    if encoding is BASE64:
        return wire_vector(values, "base64")
    raw = number_bytes(values, encoding.dtype, encoding.endianness)
    return base64_text(raw)


def raw_reply(arrays: Sequence[Float32Array], encoding: Encoding, head: Mapping[str, Any]) -> Reply:
    """Return vectors or matrices as bytes, end to end, in request order.

    With ``bytes``, the header ``metadata`` says what is where. Where a list of all would be too
    long for a header, it says so once for all, or, where the shapes differ, stands at the end of
    the body, and the header says how long it is there.

    Args:
        arrays: One per input.
        encoding: Number format and byte order.
        head: What the header holds beside the places: id, model, usage.
    """
    pieces = [number_bytes(array, encoding.dtype, encoding.endianness) for array in arrays]
    body = b"".join(pieces)
    if encoding.format == "bytes_only":
        return Reply(200, body, media_type=_BYTES_MEDIA_TYPE)
    header = _json({**head, "data": _places(arrays, pieces, encoding)})
    if len(header) > MAX_METADATA_BYTES:
        tail = header.encode("ascii")
        uniform = _uniform(arrays, pieces, encoding)
        header = _json({**head, **(uniform or {"tail": {"num_bytes": len(tail)}})})
        body += b"" if uniform else tail
    return Reply(200, body, {"metadata": header}, media_type=_BYTES_MEDIA_TYPE)


def _places(
    arrays: Sequence[Float32Array], pieces: Sequence[bytes], encoding: Encoding
) -> list[dict[str, Any]]:
    """Where each array is in the body, as vLLM's clients read it."""
    places = []
    end = 0
    for index, (array, piece) in enumerate(zip(arrays, pieces, strict=True)):
        start, end = end, end + len(piece)
        places.append(
            {
                "index": index,
                "embed_dtype": encoding.dtype,
                "endianness": encoding.endianness,
                "start": start,
                "end": end,
                "shape": list(array.shape),
            }
        )
    return places


def _uniform(
    arrays: Sequence[Float32Array], pieces: Sequence[bytes], encoding: Encoding
) -> dict[str, Any] | None:
    """What holds for every array; None where their shapes differ."""
    if any(array.shape != arrays[0].shape for array in arrays):
        return None
    return {
        "uniform": {
            "count": len(arrays),
            "num_bytes": len(pieces[0]),
            "embed_dtype": encoding.dtype,
            "endianness": encoding.endianness,
            "shape": list(arrays[0].shape),
        }
    }


def _json(value: Any) -> str:
    """Compact and ASCII: a header holds nothing else."""
    return json.dumps(value, separators=(",", ":"))
