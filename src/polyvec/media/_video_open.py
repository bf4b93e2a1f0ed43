"""Opens an untrusted video so that it can lead nowhere else."""

from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from polyvec.errors import MediaError
from polyvec.media.containers import ContainerName
from polyvec.media.policy import MediaPolicy

# Names of decoders. Picture codecs with a history of holes (JPEG 2000 above all) are left out.
_CODECS = (
    *("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg1video", "mpeg2video", "mpeg4", "h263"),
    *("msmpeg4", "msmpeg4v2", "wmv1", "wmv2", "vc1", "theora", "mjpeg", "prores", "dnxhd"),
    *("dvvideo", "ffv1", "huffyuv", "ffvhuff", "rawvideo"),
)
_ACCEPTED = (
    "H.264, H.265, VP8, VP9, AV1, MPEG-1, MPEG-2, MPEG-4, H.263, WMV, VC-1, Theora, Motion JPEG, "
    "ProRes, DNxHD, DV, FFV1, HuffYUV, raw"
)
_READ_BYTES = 128 * 1024
_MAX_THREADS = 2
# Each thread holds frames of its own: with larger ones, memory is dearer than time.
_MAX_THREADED_PIXELS = 10_000_000


def open_video(
    file: BinaryIO, container: ContainerName, policy: MediaPolicy, *, param: str
) -> tuple[InputContainer, VideoStream]:
    """The file and its best video stream, whose decoder is set up but has not started.

    Raises:
        MediaError: ``invalid_video``, ``unsupported_video_format`` or ``video_too_large``.
    """
    file.seek(0)
    # Decoders count whole blocks of up to 64 pixels: a little more than what is accepted.
    max_pixels = str(policy.max_pixels * 5 // 4 + 64 * policy.max_side_px)
    # References to other files are off, a file inside the file may only be of the same kind, and a
    # callback refuses whatever would still be opened. The reader has no name to derive others from.
    opened = av.open(
        _Reader(file),
        mode="r",
        format=container,
        container_options={
            "format_whitelist": container,
            "protocol_whitelist": "none",
            "enable_drefs": "0",
            "use_absolute_path": "0",
        },
        options={"codec_whitelist": ",".join(_CODECS), "max_pixels": max_pixels},
        metadata_errors="ignore",
        buffer_size=_READ_BYTES,
        io_open=_refuse_to_open,
    )
    try:
        stream = _best_stream(opened, param)
        decoder = stream.codec_context
        check_frame_size(decoder.width, decoder.height, policy, param)
    except BaseException:
        opened.close()
        raise
    is_small = decoder.width * decoder.height <= _MAX_THREADED_PIXELS
    decoder.thread_count = _MAX_THREADS if is_small else 1
    decoder.thread_type = "AUTO"
    decoder.options = {"max_pixels": max_pixels}
    return opened, stream


def check_frame_size(width: int, height: int, policy: MediaPolicy, param: str) -> None:
    """Refuse frames that are too large.

    Raises:
        MediaError: ``video_too_large``.
    """
    if max(width, height) > policy.max_side_px:
        what = f"no side may be over {policy.max_side_px} pixels"
    elif width * height > policy.max_pixels:
        what = f"at most {policy.max_pixels} pixels are accepted"
    else:
        return
    raise MediaError(
        f"{param}: the video is {width} x {height}; {what}", param=param, code="video_too_large"
    )


class _Reader:
    """Reads a file and tells nothing else about it."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


def _refuse_to_open(*_: Any) -> Any:
    raise PermissionError("a video may not open anything else")


def _best_stream(opened: InputContainer, param: str) -> VideoStream:
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    moving = [stream for stream in opened.streams.video if not stream.disposition & still]
    if not moving:
        raise MediaError(
            f"{param}: the file has no video stream", param=param, code="invalid_video"
        )
    best = opened.streams.best("video")
    stream = next((one for one in moving if one is best), moving[0])
    for other in opened.streams:
        if other is not stream:
            other.discard = Discard.all
    if stream.codec_context is None or stream.codec_context.codec.name not in _CODECS:
        raise MediaError(
            f"{param}: the video's codec is not accepted; accepted codecs: {_ACCEPTED}",
            param=param,
            code="unsupported_video_format",
        )
    return stream
