"""Base64 as callers write it → bytes, without holding up other threads.

pybase64 decodes fifty times as fast as the standard library.
"""

import binascii

import pybase64

from polyvec.errors import MediaError
from polyvec.media.encoded import Wanted

PIECE_CHARS = 256 * 1024
"""Decoded at once; no other thread runs meanwhile."""

_WHITESPACE = b" \t\r\n\f\v"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_GROUP = 4


def decode_base64(text: str, wanted: Wanted) -> bytes:
    """Decode base64 of either alphabet, with or without padding and line breaks.

    Raises:
        MediaError: ``invalid_base64``, or over the limit.
    """
    digits = text.rstrip("=" + _WHITESPACE.decode())
    num_padding = text.count("=", len(digits))
    decoded: list[bytes] = []
    num_bytes, rest = 0, b""
    for start in range(0, len(digits), PIECE_CHARS):
        piece = rest + _plain(digits[start : start + PIECE_CHARS], wanted)
        if num_bytes + len(piece) * 3 // _GROUP > wanted.limit_bytes:
            raise wanted.too_large()
        end = len(piece) - len(piece) % _GROUP
        rest = piece[end:]
        decoded.append(_decoded(piece[:end], wanted))
        num_bytes += len(decoded[-1])
    missing = -len(rest) % _GROUP
    if missing == _GROUP - 1 or num_padding not in (0, missing):
        raise invalid_base64(wanted, "its length is not that of whole bytes; it may be cut off")
    decoded.append(_decoded(rest + b"=" * missing, wanted))
    return b"".join(decoded)


def invalid_base64(wanted: Wanted, why: str) -> MediaError:
    """It is not base64."""
    return wanted.error(f"not valid base64: {why}", "invalid_base64")


def _plain(piece: str, wanted: Wanted) -> bytes:
    """Digits of the standard alphabet, if they are digits at all."""
    try:
        digits = piece.encode("ascii").translate(_URL_SAFE, _WHITESPACE)
    except UnicodeEncodeError:
        raise invalid_base64(wanted, "it has characters outside ASCII") from None
    if b"=" in digits:
        raise invalid_base64(wanted, "it has padding before its end")
    return digits


def _decoded(groups: bytes, wanted: Wanted) -> bytes:
    try:
        decoded: bytes = pybase64.b64decode(groups, validate=True)
    except binascii.Error:
        raise invalid_base64(
            wanted, "only A-Z a-z 0-9 + / (or - _), padding and line breaks are allowed"
        ) from None
    return decoded
