"""State dicts that ``torch.save`` wrote, read without torch and without running anything.

A pickle is a program. The reader here knows the few calls that a state dict of plain tensors makes,
each of them answered by code of this file; at anything else it stops. Tensors are not even loaded:
the pickle says where in the file each of them lies. Main weights are read this way only where a
family's models are published in no other form.
"""

import pickle  # every call that a pickle can make is answered below
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod
from mmap import mmap
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from polyvec.errors import CheckpointError

MAX_FILE_BYTES = 256 << 20
MAX_PROGRAM_BYTES = 1 << 20
# Kinds of storage → type as safetensors names it, and as numpy reads it.
_DTYPES = {
    "DoubleStorage": ("F64", "<f8"),
    "FloatStorage": ("F32", "<f4"),
    "HalfStorage": ("F16", "<f2"),
    "BFloat16Storage": ("BF16", "<u2"),
    "LongStorage": ("I64", "<i8"),  # positions, and how often a batch normalisation was trained
    "IntStorage": ("I32", "<i4"),
    "ByteStorage": ("U8", "|u1"),
    "BoolStorage": ("BOOL", "|b1"),
}
_OLD_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number that files without an archive begin with, pickled.

Source: torch.serialization.MAGIC_NUMBER.
"""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""What stands before a file in a zip archive: a mark, and the lengths of its name and extras."""


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """Where a tensor lies in a file of ``torch.save``.

    Attributes:
        dtype: As safetensors names it.
        shape: Of the tensor.
        start: First byte in the file.
        axes: The tensor's axes in the order in which they are stored, the slowest first; a
            transposed matrix is stored as what it was before.
        code: The type for numpy.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    axes: tuple[int, ...]
    code: str

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * np.dtype(self.code).itemsize

    @property
    def is_plain(self) -> bool:
        """Whether the bytes are those of an array of this shape, where a processor can read it."""
        in_order = self.axes == tuple(range(len(self.shape)))
        return in_order and self.start % np.dtype(self.code).itemsize == 0

    def read(self, file: bytes | mmap) -> NDArray[np.float32]:
        """The tensor as float32, copied out of the file's bytes."""
        values = np.frombuffer(file, self.code, prod(self.shape), self.start)
        stored = values.reshape([self.shape[axis] for axis in self.axes])
        array = stored.transpose(np.argsort(self.axes)) if self.axes else stored
        if self.dtype == "BF16":
            return np.ascontiguousarray(array.astype(np.uint32) << 16).view(np.float32)
        return np.array(array, np.float32, order="C")


def read_pickled_tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors of a small state dict by name, as float32.

    Args:
        path: A zip archive as ``torch.save`` writes it since version 1.6.

    Raises:
        CheckpointError: It is damaged, too large, or holds anything but plain tensors.
    """
    found = find_pickled_tensors(path, max_bytes=MAX_FILE_BYTES)
    data = path.read_bytes()
    return {name: tensor.read(data) for name, tensor in found.items()}


def find_pickled_tensors(path: Path, *, max_bytes: int | None = None) -> dict[str, PickledTensor]:
    """Where the tensors of a state dict lie, by name.

    Args:
        path: As in `read_pickled_tensors`.
        max_bytes: Larger files are refused; None for no limit.

    Raises:
        CheckpointError: As in `read_pickled_tensors`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = _Reader(*_contents(archive, max_bytes)).load()
    except _RefusedError as error:
        raise CheckpointError(f"{path.name} is not read: {error}") from None
    except Exception:  # noqa: BLE001  (a damaged pickle raises anything)
        raise CheckpointError(f"{path.name} {_unreadable(path)}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path.name} holds no state dict")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, PickledTensor):
            raise CheckpointError(f"{path.name} holds more than named tensors")
    return dict(found)


def _unreadable(path: Path) -> str:
    try:
        with path.open("rb") as file:
            is_old = file.read(len(_OLD_START)) == _OLD_START
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if is_old:
        return "is in torch's form from before version 1.6: save it again, or as safetensors"
    return "is damaged: it holds no state dict"


class _RefusedError(Exception):
    """What a file asks for is not done."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file of the archive lies in it."""

    start: int
    size: int


def _contents(
    archive: zipfile.ZipFile, max_bytes: int | None
) -> tuple[bytes, Mapping[str, _Place]]:
    """The pickle, and where the storages are, by name without the archive's one folder."""
    infos = archive.infolist()
    if max_bytes is not None and sum(info.file_size for info in infos) > max_bytes:
        raise _RefusedError(f"it holds more than {max_bytes} bytes")
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise _RefusedError("torch.save compresses nothing, and this file is compressed")
    named = {"/".join(PurePosixPath(info.filename).parts[1:]): info for info in infos}
    if named["data.pkl"].file_size > MAX_PROGRAM_BYTES:
        raise _RefusedError(f"data.pkl has more than {MAX_PROGRAM_BYTES} bytes")
    if "byteorder" in named and archive.read(named["byteorder"]) != b"little":
        raise _RefusedError("its numbers are big-endian")
    places = {name: _place(archive, info) for name, info in named.items()}
    return archive.read(named["data.pkl"]), places


def _place(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Place:
    file: Any = archive.fp
    file.seek(info.header_offset)
    mark, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = info.header_offset + _LOCAL_HEADER.size + name + extra
    if mark != b"PK\3\4" or start + info.file_size > file.seek(0, 2):
        raise _RefusedError("it is shorter than its table of contents says")
    return _Place(start, info.file_size)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Stands for one of torch's storage classes."""

    dtype: str
    code: str


@dataclass(frozen=True, slots=True)
class _Storage:
    """Numbers of one storage, as they lie in the file."""

    kind: _Kind
    start: int
    count: int


class _Reader(pickle._Unpickler):  # noqa: SLF001
    """Runs the pickle of a state dict.

    The one written in Python: the other one reserves as much memory as a pickle tells it to.
    """

    def __init__(self, program: bytes, places: Mapping[str, _Place]) -> None:
        super().__init__(BytesIO(program))
        self._places = places

    def find_class(self, module: str, name: str) -> Any:
        """Answer for the few names that a state dict uses."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _RebuildTensor()
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _RebuildParameter()
        if module == "torch" and name in _DTYPES:
            return _Kind(*_DTYPES[name])
        raise _RefusedError(f"it asks for {module}.{name}, which a state dict does not need")

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage that the pickle names."""
        word, kind, key, _device, count = pid
        if word != "storage" or not isinstance(kind, _Kind) or not isinstance(key, str):
            raise _RefusedError("it refers to something else than a storage")
        place = self._places[f"data/{key}"]
        if place.size != count * np.dtype(kind.code).itemsize:
            raise _RefusedError(f"storage {key!r} does not have the length that is declared")
        return _Storage(kind, place.start, count)

    def get_extension(self, code: int) -> NoReturn:
        """Refuse names by number."""
        raise _RefusedError(f"it asks for extension {code}")


# Without attributes, so that a pickle can change none of them.


class _RebuildTensor:
    """Answers ``torch._utils._rebuild_tensor_v2``."""

    __slots__ = ()

    def __call__(
        self, storage: Any, offset: Any, size: Any, stride: Any, *_ignored: Any
    ) -> PickledTensor:
        """Where the part of a storage lies that the tensor shows."""
        if not isinstance(storage, _Storage):
            raise _RefusedError("a tensor without a storage")
        shape = tuple(int(side) for side in size)
        if min((*shape, offset), default=0) < 0 or offset + prod(shape) > storage.count:
            raise _RefusedError("a tensor reaches beyond its storage")
        axes = _stored_axes(shape, tuple(stride))
        start = storage.start + offset * np.dtype(storage.kind.code).itemsize
        return PickledTensor(storage.kind.dtype, shape, start, axes, storage.kind.code)


def _stored_axes(shape: tuple[int, ...], stride: tuple[Any, ...]) -> tuple[int, ...]:
    """The axes from the slowest to the fastest; a gap or an overlap between numbers is refused."""
    moving = [axis for axis, side in enumerate(shape) if side > 1]
    ordered = sorted(moving, key=lambda axis: -int(stride[axis]))
    step = 1
    for axis in reversed(ordered):
        if stride[axis] != step and prod(shape):
            raise _RefusedError("a tensor's numbers do not lie one after another")
        step *= shape[axis]
    if ordered == moving:
        return tuple(range(len(shape)))
    return (*ordered, *(axis for axis, side in enumerate(shape) if side <= 1))


class _RebuildParameter:
    """Answers ``torch._utils._rebuild_parameter``."""

    __slots__ = ()

    def __call__(self, data: Any, *_ignored: Any) -> Any:
        """The tensor itself."""
        return data
