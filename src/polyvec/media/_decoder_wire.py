"""Messages between the server and its decoding processes: lengths, a JSON head, raw bytes.

A message is a magic word, the lengths of its two parts, a JSON object, and bytes that the object
describes. Encoded media travel as open files beside a message, never as names. Nothing that comes
back is trusted: a process that has read a hostile file may send anything.
"""

import array
import json
import math
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from polyvec.media.policy import MediaPolicy
from polyvec.media.rgb import RgbArray
from polyvec.media.transform import ImageTransform
from polyvec.types import FrameSampling

MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
_MAGIC = b"pvd1"
_HEADER = struct.Struct("!4sII")
_MAX_HEAD_BYTES = 16 * 1024 * 1024
_FD_BYTES = array.array("i").itemsize

_TRANSFORMS: dict[str, type[ImageTransform]] = {ImageTransform.__name__: ImageTransform}
"""Every class of transform that a decoding process may be asked for, by its name."""


class WireError(Exception):
    """What came is not a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        head: The JSON object.
        payload: Shape (N,), the bytes after it; empty as a rule.
    """

    head: dict[str, Any]
    payload: RgbArray


def send(
    link: socket.socket,
    head: Mapping[str, Any],
    payload: RgbArray | None = None,
    *,
    file: int | None = None,
) -> None:
    """Send a message, with an open file beside it where one is given."""
    text = json.dumps(head).encode()
    body = b"" if payload is None else memoryview(payload.reshape(-1).data)
    start = _HEADER.pack(_MAGIC, len(text), len(body)) + text
    sent = 0
    if file is not None:
        sent = socket.send_fds(link, [start], [file])
    link.sendall(memoryview(start)[sent:])
    if body:
        link.sendall(body)


def receive(link: socket.socket, *, deadline_s: float | None = None) -> Message | None:
    """The next message; None when the other side has closed.

    Args:
        link: Both ends are streams.
        deadline_s: Moment of the monotonic clock up to which the whole message must be there.

    Raises:
        TimeoutError: It is not.
        WireError: What came is not a message, or the other side closed inside of one.
    """
    header = bytearray(_HEADER.size)
    if not _fill(link, memoryview(header), deadline_s):
        return None
    return _rest(link, bytes(header), deadline_s)


def receive_with_file(link: socket.socket) -> tuple[Message, int | None] | None:
    """As `receive`, without a deadline, with the descriptor of the file that came beside it."""
    room = socket.CMSG_SPACE(_FD_BYTES)
    header, beside, _, _ = link.recvmsg(_HEADER.size, room, socket.MSG_CMSG_CLOEXEC)
    if not header:
        return None
    file = array.array("i", beside[0][2][:_FD_BYTES])[0] if beside else None
    rest = bytearray(_HEADER.size - len(header))
    _fill(link, memoryview(rest), None)
    return _rest(link, header + rest, None), file


def _rest(link: socket.socket, header: bytes, deadline_s: float | None) -> Message:
    magic, head_length, payload_length = _HEADER.unpack(header)
    if magic != _MAGIC or head_length > _MAX_HEAD_BYTES or payload_length > MAX_PAYLOAD_BYTES:
        raise WireError("no message begins like this")
    text = bytearray(head_length)
    payload = np.empty(payload_length, np.uint8)
    rooms = [memoryview(text), memoryview(payload.data)]
    if not all(_fill(link, room, deadline_s) for room in rooms if len(room)):
        raise WireError("closed inside a message")
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError("a head that is no JSON") from error
    if not isinstance(head, dict):
        raise WireError("a head that is no object")
    return Message(head, payload)


def _fill(link: socket.socket, room: memoryview, deadline_s: float | None) -> bool:
    """Whether the room was filled; False when the other side closed before its first byte."""
    filled = 0
    while filled < len(room):
        if deadline_s is not None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            link.settimeout(left_s)
        count = link.recv_into(room[filled:])
        if not count and filled:
            raise WireError("closed inside a message")
        if not count:
            return False
        filled += count
    return True


def pixels_of(message: Message) -> RgbArray:
    """The picture (H, W, 3) of a message.

    Raises:
        WireError: Shape and bytes do not agree.
    """
    shape = message.head.get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
        raise WireError("a picture without shape")
    if shape[2:] != [3] or math.prod(shape) != message.payload.size:
        raise WireError("a picture of another size")
    return message.payload.reshape(shape)


# Dataclasses as JSON.


def policy_fields(policy: MediaPolicy) -> dict[str, Any]:
    """A policy without what decoding has no use for: where media may come from."""
    return asdict(replace(policy, urls="none", allowed_domains=(), allowed_networks=(), roots=()))


def policy_of(fields: Mapping[str, Any]) -> MediaPolicy:
    """The policy of these fields."""
    return MediaPolicy(**_with_tuples(fields))


def sampling_of(fields: Mapping[str, Any]) -> FrameSampling:
    """The sampling of these fields."""
    return FrameSampling(**_with_tuples(fields))


@lru_cache(maxsize=64)
def transform_text(transform: ImageTransform) -> str:
    """JSON of the name of a transform's class, and its fields."""
    return json.dumps({"class": type(transform).__name__, "fields": asdict(transform)})


@lru_cache(maxsize=64)
def transform_of(text: str) -> ImageTransform:
    """The transform of `transform_text`."""
    named = json.loads(text)
    return _TRANSFORMS[named["class"]](**_with_tuples(named["fields"]))


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
