"""Which container a file is, by its first bytes; names and types that callers give are not trusted.

What is not listed is never opened: playlists (HLS, DASH, ffconcat) name other files and addresses,
and so do image sequences and subtitles.
"""

from typing import BinaryIO, Literal

ContainerName = Literal["mov", "matroska", "avi", "mpegts", "mpeg", "gif", "webp", "png"]
ANIMATIONS: tuple[ContainerName, ...] = ("gif", "webp", "png")
ACCEPTED = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG-PS, GIF, WebP, APNG"

_HEAD_BYTES = 1024
_STARTS: tuple[tuple[bytes, ContainerName], ...] = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\x89PNG\r\n\x1a\n", "png"),
)
_RIFF_KINDS: dict[bytes, ContainerName] = {b"AVI ": "avi", b"WEBP": "webp"}
# The first box of a QuickTime or MP4 file; old cameras write no ``ftyp``.
_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# The same boxes around a picture: AVIF and HEIF, but for the animated ``avis`` and ``hevc``.
_PICTURE_BRANDS = (b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1", b"jpx ", b"jp2 ")
_SYNC_BYTE = 0x47
_TS_PACKETS = ((0, 188), (4, 192), (0, 204))


def sniff(file: BinaryIO) -> ContainerName | None:
    """What the file is, or None for anything that is not accepted; the file is left at its start.

    Sources: ISO/IEC 14496-12 4.3, RFC 8794 8, ISO/IEC 13818-1 2.4 and 2.5.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    for start, container in _STARTS:
        if head.startswith(start):
            return container
    if head[:4] == b"RIFF":
        return _RIFF_KINDS.get(head[8:12])
    if head[4:8] in _MOV_BOXES:
        return None if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS else "mov"
    return "mpegts" if any(_has_sync_bytes(head, *packets) for packets in _TS_PACKETS) else None


def _has_sync_bytes(head: bytes, first: int, length: int) -> bool:
    places = range(first, len(head), length)
    return len(places) > 1 and all(head[place] == _SYNC_BYTE for place in places)
