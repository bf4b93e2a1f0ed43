"""Tensors that polyvec made itself, kept in a safetensors file with checksums.

A file is complete or absent: it is written beside its place and then moved there, so two processes
may write the same one at once. Whoever has an old one mapped keeps it.
"""

import json
import logging
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError

_log = logging.getLogger(__name__)

_NAMES = {"int8": "I8", "uint8": "U8", "float32": "F32", "int64": "I64"}
_CHECKSUMS = "checksums"
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Spec:
    """What a tensor will look like.

    Attributes:
        dtype: As numpy names it: int8, uint8 or float32.
        shape: Its shape.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Its size."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def write_tensors(
    path: Path, specs: Mapping[str, Spec], arrays: Iterable[tuple[str, NDArray[Any]]]
) -> None:
    """Write a file in one step as others see it.

    Args:
        path: Where; missing folders are made.
        specs: Every tensor; the file keeps this order, so wide elements should come first.
        arrays: Each of them once, in any order; only one at a time need be in memory.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
        ValueError: An array is not as announced, or one is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            _write(file, specs, arrays)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_tensors(path: Path, specs: Mapping[str, Spec]) -> Weights | None:
    """Map a file that `write_tensors` made.

    Args:
        path: Where.
        specs: What must be in it.

    Returns:
        The tensors; None when there is no such file, or when it is damaged or holds something else.
    """
    try:
        if not path.is_file():
            return None
        weights = Weights.open({path: ""})
    except PermissionError as error:
        _log.warning("%s: cannot be read (%s)", path, error.strerror)
        return None
    except (CheckpointError, OSError):
        _log.warning("%s is damaged and will be made again", path)
        return None
    if not _is_intact(weights, specs):
        _log.warning("%s is damaged and will be made again", path)
        weights.close()
        return None
    return weights


def _write(
    file: BinaryIO, specs: Mapping[str, Spec], arrays: Iterable[tuple[str, NDArray[Any]]]
) -> None:
    all_specs = {_CHECKSUMS: Spec("int64", (len(specs),)), **specs}
    header, starts = _header(all_specs)
    file.write(header)
    sums: dict[str, int] = {}
    for name, array in arrays:
        if (str(array.dtype), array.shape) != (specs[name].dtype, specs[name].shape):
            raise ValueError(f"{name} is not as announced")
        data = _bytes_of(np.ascontiguousarray(array))
        file.seek(starts[name])
        file.write(data)
        sums[name] = zlib.crc32(data)
    if sums.keys() != specs.keys():
        raise ValueError("tensors are missing")
    file.seek(starts[_CHECKSUMS])
    file.write(np.array([sums[name] for name in specs], np.int64).tobytes())


def _header(specs: Mapping[str, Spec]) -> tuple[bytes, dict[str, int]]:
    """The file's first bytes, and where each tensor starts."""
    entries, offsets, end = {}, {}, 0
    for name, spec in specs.items():
        offsets[name] = end
        end += spec.num_bytes
        entries[name] = {
            "dtype": _NAMES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offsets[name], end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    base = len(text) + 8
    header = struct.pack("<Q", len(text)) + text
    return header, {name: base + offset for name, offset in offsets.items()}


def _is_intact(weights: Weights, specs: Mapping[str, Spec]) -> bool:
    all_specs = {_CHECKSUMS: Spec("int64", (len(specs),)), **specs}
    if set(weights) != set(all_specs):
        return False
    for name, spec in all_specs.items():
        entry = weights.entry(name)
        if (entry.dtype, entry.shape) != (_NAMES[spec.dtype], spec.shape):
            return False
    sums = weights.array(_CHECKSUMS)
    return all(
        zlib.crc32(_bytes_of(weights.array(name))) == expected
        for name, expected in zip(specs, sums, strict=True)
    )


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
