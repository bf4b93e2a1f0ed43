"""A video's frames as a thread reads them: a few at a time, prepared for the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

from polyvec.engine.cache import content_key
from polyvec.engine.decoding import Frame
from polyvec.engine.prepare import PLAIN_IMAGE, Prepared, prepare_picture
from polyvec.media.encoded import Encoded
from polyvec.models._model import ImageRules

FRAMES_PER_LOT = 8
"""Enough to keep every core busy, few enough that several videos fit into memory."""


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """One frame, ready for the model.

    Attributes:
        index: Its place in the whole video, from 0.
        timestamp_s: Seconds from the video's start.
        prepared: What the model reads.
    """

    index: int
    timestamp_s: float
    prepared: Prepared


class FrameReader:
    """Reads frames in one thread at a time; another may stop it.

    Args:
        encoded: The video, closed in the end.
        frames: Its frames as they are decoded.
        rules: The model's.
        salt: The request's.
    """

    def __init__(
        self, encoded: Encoded, frames: Iterator[Frame], rules: ImageRules, *, salt: str
    ) -> None:
        self._encoded = encoded
        self._frames = frames
        self._rules = rules
        self._salt = salt
        self._reading = Lock()
        self._is_stopped = False

    def read(self) -> list[PreparedFrame]:
        """The next frames; none at the end or once stopped.

        Raises:
            MediaError: The video cannot be decoded further.
        """
        lot: list[PreparedFrame] = []
        with self._reading:
            while len(lot) < FRAMES_PER_LOT and not self._is_stopped:
                frame = next(self._frames, None)
                if frame is None:
                    break
                lot.append(self._prepared(frame))
        return lot

    def stop(self) -> None:
        """Let a running `read` end after the frame at hand. From any thread."""
        self._is_stopped = True

    def close(self) -> None:
        """End the decoding and close the file; waits for a running `read`."""
        self.stop()
        with self._reading:
            close = getattr(self._frames, "close", None)
            if close is not None:
                close()
            if not isinstance(self._encoded, bytes):
                self._encoded.close()

    def _prepared(self, frame: Frame) -> PreparedFrame:
        # Equal frames, as still scenes have them, are computed once.
        key = content_key("image", frame.pixels.tobytes(), salt=self._salt, route="frame")
        prepared = prepare_picture(frame.pixels, self._rules, key, PLAIN_IMAGE)
        return PreparedFrame(frame.index, frame.timestamp_s, prepared)
