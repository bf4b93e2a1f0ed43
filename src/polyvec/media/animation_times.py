"""How long each frame of an animated picture is shown, read without decoding any."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from polyvec.media.containers import ContainerName

_SHORTEST_S = 0.011
_DEFAULT_S = 0.1

_GIF_HEADER_BYTES = 13
_GIF_EXTENSION = 0x21
_GIF_CONTROL = 0xF9
_GIF_IMAGE = 0x2C
_GIF_HAS_TABLE = 0x80
_PNG_CONTROL_BYTES = 26


def frame_durations_s(file: BinaryIO, container: ContainerName) -> list[float]:
    """Seconds for each frame; a still picture has one. A file that is cut off ends there.

    Up to 10 ms mean 100, as browsers have it: old files say 0 where they mean a common pace.
    """
    readers: dict[ContainerName, Callable[[BinaryIO], Iterator[float]]] = {
        "gif": _gif,
        "webp": _webp,
        "png": _png,
    }
    found = list(readers[container](file)) or [_DEFAULT_S]
    return [seconds if seconds >= _SHORTEST_S else _DEFAULT_S for seconds in found]


def _gif(file: BinaryIO) -> Iterator[float]:
    """Source: GIF89a specification, 17 to 27."""
    file.seek(0)
    header = file.read(_GIF_HEADER_BYTES)
    _skip_color_table(file, header[10:11])
    hundredths = 0
    while kind := file.read(1):
        if kind[0] == _GIF_IMAGE:
            yield hundredths / 100
            hundredths = 0
            _skip_color_table(file, file.read(9)[8:])
            file.read(1)
        elif kind[0] != _GIF_EXTENSION:
            return
        elif file.read(1) == bytes((_GIF_CONTROL,)):
            control = file.read(5)
            hundredths = int.from_bytes(control[2:4], "little")
        while length := file.read(1)[:1]:
            if not length[0]:
                break
            file.seek(length[0], 1)


def _skip_color_table(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & _GIF_HAS_TABLE:
        file.seek(3 << ((flags[0] & 7) + 1), 1)


def _webp(file: BinaryIO) -> Iterator[float]:
    """Source: RFC 9649 2.7.1.1."""
    file.seek(12)
    while len(head := file.read(8)) == 8:  # noqa: PLR2004 - name and length
        length = int.from_bytes(head[4:], "little")
        start = file.tell()
        if head[:4] == b"ANMF":
            yield int.from_bytes(file.read(16)[12:15], "little") / 1000
        file.seek(start + length + length % 2)


def _png(file: BinaryIO) -> Iterator[float]:
    """Source: PNG specification, third edition, 11.3.6.2."""
    file.seek(8)
    while len(head := file.read(8)) == 8:  # noqa: PLR2004 - length and name
        length = int.from_bytes(head[:4])
        start = file.tell()
        if head[4:] == b"fcTL" and length == _PNG_CONTROL_BYTES:
            control = file.read(length)
            yield int.from_bytes(control[20:22]) / (int.from_bytes(control[22:24]) or 100)
        file.seek(start + length + 4)
