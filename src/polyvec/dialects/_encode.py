"""Vectors → wire, straight from numpy.

orjson writes a float32 array with the shortest text that reads back to the same float32, at half
the bytes and a twentieth of the time of Python float lists.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
import orjson
import pybase64

from polyvec.dialects._base import Reply
from polyvec.types import Embedding, EmbedResult, Float32Array

EncodingFormat = Literal["float", "base64"]

_LITTLE_FLOAT32: Final = np.dtype("<f4")
_NATIVE_FLOAT32: Final = np.dtype("=f4")
# Written in 3 ms.
_MAX_INLINE_VALUES: Final = 100_000


async def rendered(render: Callable[[], Reply], result: EmbedResult) -> Reply:
    """Return what ``render`` makes of a result, in a thread where that is long.

    Thousands of vectors take a tenth of a second to write, in which the event loop would answer
    nobody else.
    """
    if sum(map(_num_values, result.embeddings)) <= _MAX_INLINE_VALUES:
        return render()
    return await asyncio.to_thread(render)


def _num_values(embedding: Embedding) -> int:
    num_values = embedding.vector.size
    if embedding.token_vectors is not None:
        num_values += embedding.token_vectors.size
    if embedding.frames is not None:
        num_values += embedding.frames.vectors.size
    return num_values


def json_reply(
    payload: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    """Return a payload as a JSON reply; it may hold arrays made by `wire_vector`."""
    return Reply(status, orjson.dumps(payload, default=_written), headers or {})


def _written(array: Any) -> Any:
    """An array, row by row: while orjson writes by itself, no other thread may run.

    That costs a tenth. Whatever writes many rows at once and puts them in their places afterwards
    costs more, in copies.
    """
    if not isinstance(array, np.ndarray | np.generic):
        raise TypeError(f"{type(array).__name__} has no place in a reply")
    if isinstance(array, np.ndarray) and array.ndim > 1:
        return list(array)
    return orjson.Fragment(orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY))


def wire_outputs(embedding: Embedding, encoding: EncodingFormat) -> dict[str, Any]:
    """Return the outputs of one input under the names that answers give them.

    ``embedding`` is the dense vector, ``sparse_embedding`` has ``indices`` and ``values``, and
    ``token_embeddings`` has a vector per token; encoded vectors are those of ``wire_vector``.
    """
    wire: dict[str, Any] = {}
    if embedding.vector.size:
        wire["embedding"] = wire_vector(embedding.vector, encoding)
    if embedding.sparse is not None:
        wire["sparse_embedding"] = {
            "indices": embedding.sparse.indexes,
            "values": wire_vector(embedding.sparse.values, "float"),
        }
    if embedding.token_vectors is not None:
        wire["token_embeddings"] = [
            wire_vector(vector, encoding) for vector in embedding.token_vectors
        ]
    return wire


def wire_vector(vector: Float32Array, encoding: EncodingFormat) -> Float32Array | str:
    """Return a vector, shape (D,), as `json_reply` takes it.

    ``float`` gives an array that orjson can write: contiguous, in native byte order. ``base64``
    gives base64 of the little-endian float32 bytes.
    """
    if encoding == "base64":
        raw = np.ascontiguousarray(vector, dtype=_LITTLE_FLOAT32)
        return base64_text(raw.data)
    return np.ascontiguousarray(vector, dtype=_NATIVE_FLOAT32)


def base64_text(raw: bytes | memoryview) -> str:
    """Return base64 of bytes, or of a contiguous array's ``data``."""
    return pybase64.b64encode_as_string(raw)


def wire_matrix(embeddings: tuple[Embedding, ...]) -> list[Float32Array | str]:
    """Return many vectors as rows of a JSON array of arrays."""
    return [wire_vector(embedding.vector, "float") for embedding in embeddings]
