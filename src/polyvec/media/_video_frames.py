"""Decodes as little of a video as its wanted frames need."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from polyvec.errors import MediaError
from polyvec.media._frame_pixels import UprightRgb
from polyvec.media._video_file import VideoFile
from polyvec.media._video_open import check_frame_size
from polyvec.media.containers import ContainerName
from polyvec.media.frame import Frame
from polyvec.media.policy import MediaPolicy
from polyvec.media.sampling import check_count, frame_indexes, timed_frame_indexes
from polyvec.media.timeline import Run, Timeline
from polyvec.media.transform import ImageTransform
from polyvec.types import FrameSampling

# Containers that write down when each frame is shown; others are tried before they are believed.
_TIMED = ("mov", "matroska")
_TRIED_FRAMES = 3
# Decoders that can leave out frames that no other frame refers to.
_CAN_LEAVE_OUT = ("h264", "hevc", "mpeg2video")
_FPS_WITHOUT_A_WORD = 25.0


@dataclass(frozen=True, slots=True)
class _Job:
    video: VideoFile
    sampling: FrameSampling
    policy: MediaPolicy
    transform: ImageTransform
    upright_rgb: UprightRgb
    param: str

    def checked(self, indexes: list[int]) -> list[int]:
        check_count(len(indexes), max_frames=self.policy.max_frames, param=self.param)
        return indexes

    def frame(self, index: int, timestamp_s: float, decoded: VideoFrame) -> Frame:
        check_frame_size(decoded.width, decoded.height, self.policy, self.param)
        pixels = self.transform.fitted(self.upright_rgb(decoded))
        return Frame(index, timestamp_s, pixels)

    def damaged(self, index: int) -> MediaError:
        return MediaError(
            f"{self.param}: the video is damaged: its frame {index} cannot be decoded",
            param=self.param,
            code="invalid_video",
        )


def sample_video(
    file: BinaryIO,
    container: ContainerName,
    sampling: FrameSampling,
    policy: MediaPolicy,
    transform: ImageTransform,
    *,
    param: str,
) -> Iterator[Frame]:
    """As `polyvec.media.video.sample_frames`, of a container that PyAV reads.

    Raises:
        MediaError: ``unsupported_video_format``, ``video_too_large`` or ``invalid_video``.
        InvalidInputError: The wanted frames are too many, or not in the video.
    """
    with VideoFile(file, container, policy, param=param) as video:
        job = _Job(video, sampling, policy, transform, UprightRgb(), param)
        timeline = believed_timeline(video)
        if timeline is None:
            yield from _by_counting(job)
        else:
            yield from _by_time(job, timeline)


def believed_timeline(video: VideoFile) -> Timeline | None:
    """When each frame is shown; None when only decoding can tell.

    Raises:
        MediaError: The video is too long.
    """
    video.read_index()
    tick_s = video.stream.time_base
    timeline = None if tick_s is None else video.index.timeline(tick_s)
    if timeline is None:
        return None
    if timeline.total and timeline.end_s > video.limit_s:
        video.refuse_length()
    if video.container in _TIMED or not timeline.total:
        return timeline
    if video.container == "avi" and video.decoder.has_b_frames:
        return None  # it numbers packets, not frames
    start = int(timeline.starts[0])
    tried = [frame.pts for frame in islice(_decoded(video, start, None), _TRIED_FRAMES)]
    return timeline if tried == timeline.ticks[:_TRIED_FRAMES].tolist() else None


def _by_time(job: _Job, timeline: Timeline) -> Iterator[Frame]:
    fps = timeline.pace(job.video.stream.average_rate)
    if fps is not None:
        wanted = frame_indexes(job.sampling, total=timeline.total, fps=fps, param=job.param)
    else:
        wanted = timed_frame_indexes(
            job.sampling, timeline.timestamps_s, end_s=timeline.end_s, param=job.param
        )
    for run in timeline.runs(job.checked(wanted)):
        yield from _frames_of(job, timeline, run)


def _frames_of(job: _Job, timeline: Timeline, run: Run) -> Iterator[Frame]:
    """Wanted frames of a run.

    Raises:
        MediaError: One does not come, even when everything before it is decoded.
    """
    timestamps_s = timeline.timestamps_s
    missing = {int(timeline.ticks[frame]): frame for frame in run.frames}
    wanted = {int(timeline.packets[frame]) for frame in run.frames}
    sparing = _decoded(job.video, run.start, run.end, wanted=wanted)
    thorough = _decoded(job.video, int(timeline.starts[0]), None)
    for attempt in (sparing, thorough):
        for decoded in attempt:
            index = missing.pop(decoded.pts, None) if decoded.pts is not None else None
            if index is not None:
                yield job.frame(index, float(timestamps_s[index]), decoded)
            if not missing:
                return
            del decoded  # or it would be kept beside the next one
    raise job.damaged(min(missing.values()))


def _by_counting(job: _Job) -> Iterator[Frame]:
    """Frames of a video whose packets do not tell when they are shown: decoded twice."""
    total = sum(1 for _ in _decoded(job.video, 0, None))
    fps = float(job.video.stream.average_rate or _FPS_WITHOUT_A_WORD)
    wanted = job.checked(frame_indexes(job.sampling, total=total, fps=fps, param=job.param))
    left = iter(wanted)
    following = next(left)
    for index, decoded in enumerate(_decoded(job.video, 0, None)):
        if index == following:
            yield job.frame(index, index / fps, decoded)
            if (following := next(left, -1)) < 0:
                return
    raise job.damaged(following)


def _decoded(
    video: VideoFile, start: int, end: int | None, *, wanted: Container[int] | None = None
) -> Iterator[VideoFrame]:
    """Frames of a range of packets as they are shown.

    Args:
        video: Its decoder starts afresh.
        start: Place of the first packet.
        end: One past the last, or None.
        wanted: Packets whose frames have to come out, or None for all.
    """
    packets = video.packets(start, end)
    packet = next(packets, None)
    decoder = video.decoder  # only now: on the way to the packet the file may be opened anew
    decoder.flush_buffers()
    decoder.skip_frame = "DEFAULT"
    spares = wanted is not None and decoder.codec.name in _CAN_LEAVE_OUT
    position = start
    while packet is not None:
        if spares and wanted is not None:
            decoder.skip_frame = "DEFAULT" if position in wanted else "NONREF"
        yield from _fed(decoder, packet)
        packet = next(packets, None)
        position += 1
    yield from _fed(decoder, None)


def _fed(decoder: VideoCodecContext, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
    """Frames that come out when a packet goes in; None for the rest of them."""
    try:
        return decoder.decode(packet)
    except MemoryError:
        raise
    except av.FFmpegError:
        return []  # this packet is damaged; whoever waits for its frame will miss it
