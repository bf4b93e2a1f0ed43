"""State dicts that ``torch.save`` wrote, read without torch and without running anything.

A pickle is a program. The reader here knows the few calls that a state dict of plain tensors makes,
each of them answered by code of this file; at anything else it stops. Main weights are never read
this way: it is for the small extra layers that bge-m3 publishes in no other form.
"""

import pickle  # every call that a pickle can make is answered below
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from polyvec.errors import CheckpointError

MAX_FILE_BYTES = 256 << 20
MAX_PROGRAM_BYTES = 1 << 20
_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
}


def read_pickled_tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors of a state dict by name, as float32.

    Args:
        path: A zip archive as ``torch.save`` writes it since version 1.6.

    Raises:
        CheckpointError: It is damaged, too large, or holds anything but plain tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive)
        found = _Reader(entries).load()
    except _RefusedError as error:
        raise CheckpointError(f"{path.name} is not read: {error}") from None
    except Exception:  # noqa: BLE001  (a damaged pickle raises anything)
        raise CheckpointError(f"{path.name} is damaged: it holds no state dict") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path.name} holds no state dict")
    tensors = {}
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise CheckpointError(f"{path.name} holds more than named tensors")
        tensors[name] = value
    return tensors


class _RefusedError(Exception):
    """What a file asks for is not done."""


def _entries(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Contents by name, without the archive's one folder."""
    infos = archive.infolist()
    if sum(info.file_size for info in infos) > MAX_FILE_BYTES:
        raise _RefusedError(f"it holds more than {MAX_FILE_BYTES} bytes")
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise _RefusedError("torch.save compresses nothing, and this file is compressed")
    named = {"/".join(PurePosixPath(info.filename).parts[1:]): info for info in infos}
    if named["data.pkl"].file_size > MAX_PROGRAM_BYTES:
        raise _RefusedError(f"data.pkl has more than {MAX_PROGRAM_BYTES} bytes")
    entries = {name: archive.read(info) for name, info in named.items()}
    if entries.get("byteorder", b"little") != b"little":
        raise _RefusedError("its numbers are big-endian")
    return entries


@dataclass(frozen=True, slots=True)
class _Kind:
    """Stands for one of torch's storage classes."""

    dtype: str


@dataclass(frozen=True, slots=True)
class _Storage:
    """Numbers of one storage, as they lie in the file."""

    kind: _Kind
    values: NDArray[Any]


class _Reader(pickle._Unpickler):  # noqa: SLF001
    """Runs the pickle of a state dict.

    The one written in Python: the other one reserves as much memory as a pickle tells it to.
    """

    def __init__(self, entries: Mapping[str, bytes]) -> None:
        super().__init__(BytesIO(entries["data.pkl"]))
        self._entries = entries

    def find_class(self, module: str, name: str) -> Any:
        """Answer for the few names that a state dict uses."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _RebuildTensor()
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _RebuildParameter()
        if module == "torch" and name in _DTYPES:
            return _Kind(_DTYPES[name])
        raise _RefusedError(f"it asks for {module}.{name}, which a state dict does not need")

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage that the pickle names."""
        word, kind, key, _device, count = pid
        if word != "storage" or not isinstance(kind, _Kind) or not isinstance(key, str):
            raise _RefusedError("it refers to something else than a storage")
        values = np.frombuffer(self._entries[f"data/{key}"], kind.dtype)
        if len(values) != count:
            raise _RefusedError(f"storage {key!r} does not have the length that is declared")
        return _Storage(kind, values)

    def get_extension(self, code: int) -> NoReturn:
        """Refuse names by number."""
        raise _RefusedError(f"it asks for extension {code}")


# Without attributes, so that a pickle can change none of them.


class _RebuildTensor:
    """Answers ``torch._utils._rebuild_tensor_v2``."""

    __slots__ = ()

    def __call__(
        self, storage: Any, offset: Any, size: Any, stride: Any, *_ignored: Any
    ) -> NDArray[np.float32]:
        """A copy of the part of a storage that the tensor shows."""
        if not isinstance(storage, _Storage):
            raise _RefusedError("a tensor without a storage")
        shape = tuple(int(side) for side in size)
        steps = [int(np.prod(shape[place + 1 :], dtype=np.int64)) for place in range(len(shape))]
        count = int(np.prod(shape, dtype=np.int64))
        if min((*shape, offset), default=0) < 0 or offset + count > len(storage.values):
            raise _RefusedError("a tensor reaches beyond its storage")
        if any(
            side > 1 and own != step for side, own, step in zip(shape, stride, steps, strict=True)
        ):
            raise _RefusedError("a tensor's numbers do not lie one after another")
        values = storage.values[offset : offset + count].reshape(shape)
        if storage.kind.dtype == _DTYPES["BFloat16Storage"]:
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)


class _RebuildParameter:
    """Answers ``torch._utils._rebuild_parameter``."""

    __slots__ = ()

    def __call__(self, data: Any, *_ignored: Any) -> Any:
        """The tensor itself."""
        return data
