"""Small videos whose frames say their number in black and white bars."""

import io
from fractions import Fraction

import av
import numpy as np

BARS = 12


def bars(number, width=96, height=64):
    """A picture of a number; bright ones are 255, the others 0."""
    bits = number >> np.arange(BARS) & 1
    row = np.repeat(bits * 255, width // BARS).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, row.size, 3)))


def number(pixels):
    """The number that a picture shows."""
    height, width = pixels.shape[:2]
    at = ((np.arange(BARS) + 0.5) * width / BARS).astype(int)
    bits = pixels[height // 2, at].mean(axis=-1) > 127
    return int((bits << np.arange(BARS)).sum())


def clip(
    container="mp4",
    codec="libx264",
    frames=60,
    *,
    fps=30,
    gop=12,
    b_frames=2,
    size=(96, 64),
    options=(),
    times_ms=None,
    rotation=None,
    flips=(False, False),
    pictures=None,
):
    """A video file.

    ``times_ms`` gives each frame a time of its own; ``pictures`` replaces the bars; ``rotation``
    (degrees) and ``flips`` (horizontal, vertical) are written as metadata.
    """
    file = io.BytesIO()
    width, height = size
    if codec == "libx265":
        options = {"x265-params": f"log-level=none:keyint={gop}:min-keyint={gop}:bframes=3"}
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=Fraction(fps), options=dict(options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        if codec in ("libx264", "mpeg4", "mpeg2video"):
            stream.codec_context.max_b_frames = b_frames
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=flips[0], vflip=flips[1])
        for place in range(frames):
            picture = bars(place, width, height) if pictures is None else pictures[place]
            frame = av.VideoFrame.from_ndarray(picture).reformat(format="yuv420p")
            frame.pts = place if times_ms is None else times_ms[place]
            frame.time_base = Fraction(1, 1000) if times_ms is not None else 1 / Fraction(fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file.getvalue()


def one_colour(width, height, *, frames):
    """A video of one colour, which is quick to make even when it is large."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=25, width=width, height=height, pix_fmt="yuv420p")
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for place in range(frames):
            frame.pts = place
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file.getvalue()


def sound(container="mp4", codec="aac"):
    """A file with sound alone."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), "fltp", "mono")
        silence.rate = 44100
        silence.pts = 0
        out.mux(stream.encode(silence))
        out.mux(stream.encode())
    return file.getvalue()
