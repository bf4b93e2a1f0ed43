"""One frame of a video, ready for a model."""

from dataclasses import dataclass

from polyvec.media.rgb import RgbArray


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as a viewer sees it, upright and fitted to the model's size.

    Attributes:
        index: Its place in the whole video, from 0.
        timestamp_s: When it is first shown, in seconds from the video's first frame.
        pixels: Shape (H, W, 3), uint8.
    """

    index: int
    timestamp_s: float
    pixels: RgbArray
