"""Videos whose frames say which frame they are: its number in black and white bars."""

import io
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
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
    # A file with a name, since some formats are read again to be completed.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        with av.open(path, "w", format=container, options=container_options or {}) as output:
            pictures = (bars(n) for n in range(frames)) if isinstance(frames, int) else iter(frames)
            first = next(pictures)
            stream: Any = output.add_stream(codec, rate=fps, options=_options(codec, options))
            stream.height, stream.width, _ = first.shape
            stream.pix_fmt = "yuv420p"
            stream.time_base = 1 / Fraction(fps)
            for time, picture in zip(times or count(), chain((first,), pictures), strict=False):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = time
                frame.time_base = 1 / Fraction(fps)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path.read_bytes()


def _options(codec: str, own: dict[str, str] | None) -> dict[str, str]:
    if codec == "libx264":
        return {"preset": "ultrafast", "crf": "12", **(own or {})}
    fast = {"deadline": "realtime", "cpu-used": "8"} if "vp" in codec else {}
    return {"b": "2M", **fast, **(own or {})}
