"""Request bodies within a byte limit, as they arrive and as they unpack."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from polyvec.errors import InvalidInputError, PayloadTooLargeError

Receive = Callable[[], Awaitable[Any]]

UNSUPPORTED_ENCODING = "unsupported_content_encoding"
"""Code of the error that deserves status 415."""

# Callers may send a byte at a time, and every object has its overhead.
_PART_BYTES = 64 * 1024
# Takes milliseconds to join, which a thread can do while the event loop answers others.
_LONG_BYTES = 4 * 1024 * 1024
_ANY_HEADER = zlib.MAX_WBITS | 32
_NO_HEADER = -zlib.MAX_WBITS


class ClientDisconnectedError(Exception):
    """The client went away before its body was complete; there is nobody to answer."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit_bytes: int) -> bytes:
    """Read a whole body and undo its Content-Encoding.

    Raises:
        PayloadTooLargeError: Its declared, sent or unpacked size is over the limit.
        InvalidInputError: Its encoding is not one of ours, or it is damaged.
        ClientDisconnectedError: It stopped short.
    """
    declared = headers.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    encoding = headers.get(b"content-encoding")
    if encoding is not None:
        encoding = encoding.strip().lower()
        if encoding not in (b"gzip", b"x-gzip", b"deflate", b"identity", b""):
            raise InvalidInputError(
                "the body's Content-Encoding is not supported; use gzip, deflate or none",
                code=UNSUPPORTED_ENCODING,
            )
    body = await _receive_all(receive, limit_bytes)
    if encoding in (None, b"", b"identity"):
        return body
    return await asyncio.to_thread(unpack, body, limit_bytes)


async def _receive_all(receive: Receive, limit_bytes: int) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False):
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        return body
    parts: list[bytes] = []
    last, num_bytes = bytearray(body), len(body)
    while message["type"] == "http.request" and message.get("more_body", False):
        message = await receive()
        last += message.get("body", b"")
        num_bytes += len(message.get("body", b""))
        if num_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        if len(last) >= _PART_BYTES:
            parts.append(bytes(last))
            last.clear()
    if message["type"] != "http.request":
        raise ClientDisconnectedError
    parts.append(bytes(last))
    if num_bytes < _LONG_BYTES:
        return b"".join(parts)
    return await asyncio.to_thread(b"".join, parts)


def unpack(packed: bytes, limit_bytes: int) -> bytes:
    """Undo gzip, or deflate with or without its zlib header.

    Never holds more than the limit and one byte of unpacked data.

    Raises:
        PayloadTooLargeError: More comes out than the limit allows.
        InvalidInputError: It is damaged or cut short.
    """
    # Deflate in a zlib header and gzip tell themselves apart; some clients send bare deflate.
    for window in (_ANY_HEADER, _NO_HEADER):
        try:
            return _unpack(packed, window, limit_bytes)
        except zlib.error:
            continue
    raise InvalidInputError("the body is not what its Content-Encoding says", code="invalid_body")


def _unpack(packed: bytes, window: int, limit_bytes: int) -> bytes:
    unpacked = bytearray()
    rest = packed
    while rest:
        member = zlib.decompressobj(window)
        unpacked += member.decompress(rest, limit_bytes + 1 - len(unpacked))
        if len(unpacked) > limit_bytes:
            raise _too_large(limit_bytes)
        if not member.eof:
            raise zlib.error("cut short")
        rest = member.unused_data
    return bytes(unpacked)


def _too_large(limit_bytes: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"the request body is larger than {limit_bytes} bytes")
