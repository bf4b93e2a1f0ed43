"""What a JPEG file asks of its decoder, read without decoding it."""

import re

# In compressed data 0xFF is followed by 0x00 or a restart marker, so anything else is a marker.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_BARE = frozenset((0x01, 0xD8))


def count_scans(data: bytes, *, limit: int) -> int:
    """Passes over the pixels that a JPEG file's first picture asks for, counted up to ``limit``.

    Source: ITU-T T.81, B.1.1: markers, and segments with their length after them.
    """
    scans = 0
    position = 0
    while scans < limit and (marker := _MARKER.search(data, position)):
        kind = data[marker.end() - 1]
        if kind == _END_OF_IMAGE:
            break
        scans += kind == _START_OF_SCAN
        position = marker.end()
        if kind not in _BARE:
            # A thumbnail inside a metadata segment must not be counted: step over the segment.
            position += int.from_bytes(data[position : position + 2])
    return scans
