"""What the engine needs of whoever decodes pictures and videos."""

from collections.abc import Iterator
from typing import Protocol

from polyvec.media.encoded import Encoded
from polyvec.media.rgb import RgbArray
from polyvec.media.transform import ImageTransform
from polyvec.types import FrameSampling


class Frame(Protocol):
    """One frame of a video.

    Attributes:
        index: Its place in the whole video, from 0.
        timestamp_s: Seconds from the video's start.
        pixels: uint8 (h, w, 3), fitted to the model.
    """

    @property
    def index(self) -> int: ...  # noqa: D102
    @property
    def timestamp_s(self) -> float: ...  # noqa: D102
    @property
    def pixels(self) -> RgbArray: ...  # noqa: D102


class Decoder(Protocol):
    """Blocking, and called from several threads; `media.decoders.Decoders` is the real one."""

    def image(self, encoded: Encoded, transform: ImageTransform, *, param: str) -> RgbArray:
        """Decode a picture: uint8 (h, w, 3), fitted.

        Raises:
            MediaError: It cannot be decoded.
        """
        ...

    def frames(
        self, encoded: Encoded, sampling: FrameSampling, transform: ImageTransform, *, param: str
    ) -> Iterator[Frame]:
        """Decode frames of a video one by one, in the video's order.

        Raises:
            MediaError: They cannot be decoded.
            InvalidInputError: The video has none of the wanted frames.
        """
        ...
