"""What a decoding process answers → frames and refusals; nothing in it is trusted."""

import logging
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from polyvec.errors import InvalidInputError, MediaError, UnsupportedInputError
from polyvec.media._decoder_wire import Message, WireError, pixels_of
from polyvec.media.frame import Frame

_log = logging.getLogger(__name__)
_MAX_MESSAGE_CHARS = 2000
_WORD = re.compile(r"\w{1,60}", re.ASCII)
_REFUSALS: dict[Any, type[InvalidInputError]] = {
    error.__name__: error for error in (InvalidInputError, MediaError, UnsupportedInputError)
}


@dataclass(frozen=True, slots=True)
class Task:
    """What is decoded, and where the caller wrote it."""

    kind: Literal["image", "video"]
    param: str

    @property
    def noun(self) -> str:
        """For messages."""
        return "picture" if self.kind == "image" else "video"

    def undecodable(self) -> MediaError:
        """The process died of it, or failed in a way that nobody thought of."""
        return self._error(f"the {self.noun} cannot be decoded", f"invalid_{self.kind}")

    def too_slow(self) -> MediaError:
        """A time limit was reached."""
        return self._error(f"decoding the {self.noun} takes too long", "media_timeout")

    def _error(self, what: str, code: str) -> MediaError:
        return MediaError(f"{self.param}: {what}", param=self.param, code=code)


def refusal_of(message: Message, task: Task) -> InvalidInputError | None:
    """The error that a message stands for; None for a message with pixels or an end.

    Raises:
        WireError: It is no such error as decoding raises.
    """
    head = message.head
    if "failed" in head:
        name = head["failed"]
        is_name = isinstance(name, str) and _WORD.fullmatch(name)
        _log.warning("a decoder failed on a %s with %s", task.noun, name if is_name else "?")
        return task.undecodable()
    if "error" not in head:
        return None
    error = head["error"]
    if not isinstance(error, dict) or not isinstance(error.get("class"), str):
        raise WireError("an error without class")
    kind, text, code = _REFUSALS.get(error["class"]), error.get("message"), error.get("code")
    if kind is None or not isinstance(text, str) or len(text) > _MAX_MESSAGE_CHARS:
        raise WireError("an error of unknown class, or without message")
    if not isinstance(code, str) or not _WORD.fullmatch(code):
        raise WireError("an error without code")
    return kind(text, param=task.param, code=code)


def frame_of(message: Message) -> Frame:
    """The frame of a message.

    Raises:
        WireError: It has none.
    """
    index, timestamp_s = message.head.get("index"), message.head.get("timestamp_s")
    if type(index) is not int or index < 0 or type(timestamp_s) is not float:
        raise WireError("a frame without place")
    if not math.isfinite(timestamp_s):
        raise WireError("a frame without time")
    return Frame(index, timestamp_s, pixels_of(message))
