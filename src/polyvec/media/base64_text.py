"""Base64 as callers write it → bytes, without holding up other threads."""

import binascii
from collections.abc import Iterator

from polyvec.errors import MediaError
from polyvec.media.encoded import Wanted

PIECE_CHARS = 256 * 1024
"""Decoded at once. No other thread runs meanwhile, and a video's base64 would take half a second."""

_WHITESPACE = b" \t\r\n\f\v"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_GROUP = 4


def decode_base64(text: str, wanted: Wanted) -> bytes:
    """Decode base64 of either alphabet, with or without padding and line breaks.

    Raises:
        MediaError: ``invalid_base64``, or over the limit.
    """
    digits = text.rstrip("= \t\r\n\f\v")
    num_padding = text.count("=", len(digits))
    decoded: list[bytes] = []
    num_bytes = num_over = 0
    for group in _groups(digits, wanted):
        num_over = len(group) % _GROUP
        if num_over == 1 or num_padding not in (0, -len(group) % _GROUP):
            raise invalid_base64(wanted, "its length is not that of whole bytes; it may be cut off")
        decoded.append(_decoded(group, wanted))
        num_bytes += len(decoded[-1])
        if num_bytes > wanted.limit_bytes:
            raise wanted.too_large()
    return b"".join(decoded)
