"""safetensors files by tensor name, memory-mapped: nothing is copied until a backend asks."""

import json
import mmap
import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from polyvec.checkpoints.pickled_tensors import find_pickled_tensors
from polyvec.errors import CheckpointError

_DTYPES: dict[str, type[np.generic]] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,  # numpy has no bfloat16; the dtype string tells the two apart
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


_ALL_ROWS = slice(None)
_SAMPLE_BYTES = 512
_SAMPLES_PER_TENSOR = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one tensor lies.

    Attributes:
        dtype: As safetensors names it, such as ``F32`` or ``BF16``.
        shape: As stored.
        file: Index into the open files.
        start: First byte in that file.
        size: Bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    file: int
    start: int
    size: int


class Weights:
    """All tensors of a checkpoint.

    Arrays are views of the mapped files, valid until `close`: whoever computes from them keeps this
    object alive.
    """

    def __init__(
        self,
        maps: list[mmap.mmap],
        entries: Mapping[str, Entry],
        changed_ns: tuple[int, ...] = (),
    ) -> None:
        self._maps = maps
        self._entries = dict(entries)
        self._changed_ns = changed_ns

    @classmethod
    def open(cls, files: Mapping[Path, str]) -> "Weights":
        """Map safetensors files.

        Args:
            files: File → prefix put before the names of its tensors (``""`` for the main ones).

        Raises:
            CheckpointError: A file is missing, damaged, or holds a name twice.
        """
        maps: list[mmap.mmap] = []
        changed_ns: list[int] = []
        entries: dict[str, Entry] = {}
        for index, (path, prefix) in enumerate(files.items()):
            maps.append(_map(path))
            changed_ns.append(path.stat().st_mtime_ns)
            for name, entry in _entries(path, maps[-1], index):
                if prefix + name in entries:
                    raise CheckpointError(f"{path.name}: tensor {name!r} is in two files")
                entries[prefix + name] = entry
        return cls(maps, entries, tuple(changed_ns))

    @classmethod
    def open_pickle(cls, path: Path) -> "Weights":
        """Map the state dict that ``torch.save`` wrote; see `find_pickled_tensors`.

        Raises:
            CheckpointError: The file is missing, damaged, or holds more than named tensors.
        """
        mapped = _map(path)
        found = find_pickled_tensors(path)
        plain = {
            name: Entry(tensor.dtype, tensor.shape, 0, tensor.start, tensor.size)
            for name, tensor in found.items()
            if tensor.is_plain
        }
        copied = {name: tensor.read(mapped) for name, tensor in found.items() if name not in plain}
        return cls([mapped], plain, (path.stat().st_mtime_ns,)).joined(copied)

    def joined(
        self, arrays: Mapping[str, NDArray[np.float32]], *, instead_of: Collection[str] = ()
    ) -> "Weights":
        """These tensors and some more that no safetensors file holds.

        Args:
            arrays: By name; they are copied.
            instead_of: Tensors that they stand for.

        Raises:
            CheckpointError: A name is there already.
        """
        maps = list(self._maps)
        entries = {n: entry for n, entry in self._entries.items() if n not in instead_of}
        for name, array in arrays.items():
            if name in entries:
                raise CheckpointError(f"tensor {name!r} is in two files")
            own = mmap.mmap(-1, max(1, array.nbytes))
            own.write(array.tobytes())
            entries[name] = Entry("F32", array.shape, len(maps), 0, array.nbytes)
            maps.append(own)
        return Weights(maps, entries, self._changed_ns)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, name: str) -> Entry:
        """Dtype and shape of a tensor.

        Raises:
            CheckpointError: There is none of this name.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise CheckpointError(f"the weights lack {name!r}", param=name) from None

    def array(self, name: str) -> NDArray[Any]:
        """A read-only view of the mapped tensor; bfloat16 comes as uint16 bit patterns.

        Raises:
            CheckpointError: There is none of this name.
        """
        entry = self.entry(name)
        dtype = np.dtype(_DTYPES[entry.dtype])
        count = entry.size // dtype.itemsize
        flat = np.frombuffer(self._maps[entry.file], dtype, count, entry.start)
        return flat.reshape(entry.shape)

    def float32(self, name: str, rows: slice = _ALL_ROWS) -> NDArray[np.float32]:
        """Rows of the tensor as float32: a view where it is stored so, otherwise a copy."""
        array = self.array(name)[rows] if rows != _ALL_ROWS else self.array(name)
        if self.entry(name).dtype == "BF16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array.astype(np.float32, copy=False)

    def renamed(
        self, prefixes: Iterable[str], endings: Mapping[str, str] | None = None
    ) -> "Weights":
        """The same tensors under other names.

        Args:
            prefixes: The first that matches is taken off a name.
            endings: Old last parts of names, such as ``.gamma``, and what they are called now.
        """
        pattern = re.compile("|".join(re.escape(prefix) for prefix in prefixes) or r"(?!)")
        entries = {}
        for name, entry in self._entries.items():
            short = name[match.end() :] if (match := pattern.match(name)) else name
            for old, new in (endings or {}).items():
                if short.endswith(old):
                    short = short.removesuffix(old) + new
            entries[short] = entry
        return Weights(self._maps, entries, self._changed_ns)

    def named(self, name_of: Callable[[str], str]) -> "Weights":
        """The same tensors, each under the name that a function gives for its own.

        Raises:
            CheckpointError: Two tensors get one name.
        """
        entries = {name_of(name): entry for name, entry in self._entries.items()}
        if len(entries) != len(self._entries):
            raise CheckpointError("the weights hold a tensor twice, under different names")
        return Weights(self._maps, entries, self._changed_ns)

    def split_rows(self, parts: Mapping[str, Sequence[str]]) -> "Weights":
        """The same tensors, some of them cut into equal parts; nothing is copied.

        Args:
            parts: Name of a fused tensor → names of its parts, along the first axis.

        Raises:
            CheckpointError: A tensor is missing, or its rows do not split evenly.
        """
        entries = {name: entry for name, entry in self._entries.items() if name not in parts}
        for name, part_names in parts.items():
            whole = self.entry(name)
            rows, count = (whole.shape or (0,))[0], len(part_names)
            if rows % count:
                raise CheckpointError(
                    f"tensor {name!r} of shape {list(whole.shape)} does not split into {count} "
                    "equal parts"
                )
            size = whole.size // count
            shape = (rows // count, *whole.shape[1:])
            for index, part in enumerate(part_names):
                start = whole.start + index * size
                entries[part] = Entry(whole.dtype, shape, whole.file, start, size)
        return Weights(self._maps, entries, self._changed_ns)

    def fingerprint(self) -> str:
        """A digest that changes with the files, without reading all of them.

        It covers every tensor's name, type and shape, samples of its bytes, and when the files were
        last written.
        """
        digest = blake2b(repr(self._changed_ns).encode(), digest_size=16)
        for name, entry in sorted(self._entries.items()):
            digest.update(repr((name, entry.dtype, entry.shape)).encode())
            last = max(0, entry.size - _SAMPLE_BYTES)
            for part in range(_SAMPLES_PER_TENSOR):
                start = entry.start + last * part // (_SAMPLES_PER_TENSOR - 1)
                end = min(start + _SAMPLE_BYTES, entry.start + entry.size)
                digest.update(self._maps[entry.file][start:end])
        return digest.hexdigest()

    @property
    def num_bytes(self) -> int:
        """Size of all tensors."""
        return sum(entry.size for entry in self._entries.values())

    def release_pages(self) -> None:
        """Tell the system that the mapped pages may go; they come back when they are read."""
        for mapped in self._maps:
            mapped.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmap. Files with views still in use stay mapped until those are collected."""
        for mapped in self._maps:
            try:
                mapped.close()
            except BufferError:
                continue
        self._maps = []
        self._entries = {}


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        raise CheckpointError(
            f"{path.name} cannot be read: missing, empty or not permitted"
        ) from None


def _entries(path: Path, mapped: mmap.mmap, file: int) -> Iterator[tuple[str, Entry]]:
    # The library checks the header: sizes, overlaps, offsets beyond the file. It has no zero-copy
    # view of a tensor for numpy and none at all of bfloat16, so the offsets are read here.
    try:
        with safe_open(str(path), framework="numpy"):
            pass
    except (SafetensorError, OSError):
        raise CheckpointError(
            f"{path.name} is not a complete safetensors file; download it again"
        ) from None
    (header_size,) = struct.unpack("<Q", mapped[:8])
    header = json.loads(mapped[8 : 8 + header_size])
    data = 8 + header_size
    for name, spec in header.items():
        if name == "__metadata__":
            continue
        if spec["dtype"] not in _DTYPES:
            raise CheckpointError(
                f"{path.name}: {name!r} has dtype {spec['dtype']}; supported: {', '.join(_DTYPES)}"
            )
        start, end = spec["data_offsets"]
        yield name, Entry(spec["dtype"], tuple(spec["shape"]), file, data + start, end - start)
