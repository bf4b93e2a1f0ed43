"""Videos whose frames say which frame they are: its number in black and white bars."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FPS = 30
FRAMES = 300
BITS = 9
"""300 numbers need so many bars."""

Rgb = NDArray[np.uint8]


def bars(number: int, width: int = 72, height: int = 72) -> Rgb:
    """A picture with a bar for each bit of a number, the highest at the left; 1 is white."""
    bits = [number >> place & 1 for place in reversed(range(BITS))]
    columns = np.repeat(np.array(bits, np.uint8) * 255, -(-width // BITS))[:width]
    return np.ascontiguousarray(np.broadcast_to(columns[None, :, None], (height, width, 3)))


def png(pixels: Rgb) -> bytes:
    """A picture file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def clip(
    container: str = "mp4",
    codec: str = "libx264",
    *,
    frames: Iterable[Rgb] | int = FRAMES,
    fps: Fraction | int = FPS,
    times: Iterable[int] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> bytes:
    """A video file.

    Args:
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the encoder.
        frames: The pictures, or how many numbered ones.
        fps: Frames per second.
        times: When each is shown, in units of 1 / fps; 0, 1, 2 … by default.
        options: For the encoder.
        container_options: For the format.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=container_options or {}) as output:
        pictures = (bars(n) for n in range(frames)) if isinstance(frames, int) else iter(frames)
        first = next(pictures)
        height, width, _ = first.shape
        stream: Any = output.add_stream(codec, rate=fps, options=_quality(codec) | (options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = 1 / Fraction(fps)
        for time, picture in zip(_times(times), _again(first, pictures), strict=False):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = time
            frame.time_base = 1 / Fraction(fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def _quality(codec: str) -> dict[str, str]:
    kept = {"libx264": {"preset": "ultrafast", "crf": "12"}}
    return kept.get(codec, {"b": "2M", "deadline": "realtime", "cpu-used": "8"})


def _times(times: Iterable[int] | None) -> Iterator[int]:
    if times is not None:
        yield from times
        return
    yield from range(1 << 30)


def _again(first: Rgb, rest: Iterator[Rgb]) -> Iterator[Rgb]:
    yield first
    yield from rest
