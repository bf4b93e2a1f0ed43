"""Which frames of a video are wanted, by their place in it."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from polyvec.errors import InvalidInputError, MediaError
from polyvec.types import FrameSampling

# Timestamps are whole ticks of some clock: a frame that should be at 0.1 s may be said to be at
# 0.0999.
_CLOCK_S = 1e-3


def check_sampling(sampling: FrameSampling, *, max_frames: int, param: str = "input") -> None:
    """Refuse what no video can answer, before one is opened.

    Raises:
        InvalidInputError: Names the wish and the values that it may have.
    """

    def refuse(what: str, given: object) -> InvalidInputError:
        return InvalidInputError(f"{param}: {what}, not {given}", param=param)

    start_s, duration_s, fps = sampling.start_s, sampling.duration_s, sampling.fps
    if not (math.isfinite(start_s) and start_s >= 0):
        raise refuse("the start must be 0 or more seconds", start_s)
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s >= 0):
        raise refuse("the duration must be 0 or more seconds", duration_s)
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise refuse("the frames per second must be a number over 0", fps)
    if sampling.num_frames < 0:
        raise refuse("the number of frames must be 0 (for all) or more", sampling.num_frames)
    if sampling.indexes is not None:
        _check_indexes(sampling.indexes, max_frames, param)
    elif fps is None:
        check_count(sampling.num_frames, max_frames=max_frames, param=param)


def check_count(count: int, *, max_frames: int, param: str = "input") -> None:
    """Refuse more frames than are embedded of one video.

    Raises:
        InvalidInputError: Over ``max_frames``.
    """
    if count > max_frames:
        raise InvalidInputError(
            f"{param}: {count} frames are asked for; at most {max_frames} of a video are accepted",
            param=param,
        )


def frame_indexes(
    sampling: FrameSampling, *, total: int, fps: float, param: str = "input"
) -> list[int]:
    """Wanted frames of a video with an even pace, rising, each once; at least one.

    ``indexes`` win over ``fps``, which wins over ``num_frames``. Times become frame numbers with
    the fraction cut off, and a part that is shorter than one frame still has its first one.

    Source: Multimodal Embedding Serving's segment_config, as measured on real clips.

    Args:
        sampling: Passed by `check_sampling`.
        total: Frames of the whole video.
        fps: Its frames per second.
        param: Where the caller wrote the video; messages name it.

    Raises:
        InvalidInputError: No frame is left: the part starts after the end, or none of the wanted
            frames is in it.
        MediaError: The video has none.
    """
    start = int(min(fps * sampling.start_s, total))
    end = total
    if sampling.duration_s is not None:
        end = min(total, start + int(min(fps * sampling.duration_s, total)))
    _check_start(start, total, total / fps, param)
    end = max(end, start + 1)
    if sampling.indexes is not None:
        return _listed(sampling.indexes, start, end, param)
    if sampling.fps is not None:
        return _stepped(start, end, fps / sampling.fps)
    return _spread(start, end, sampling.num_frames)


def timed_frame_indexes(
    sampling: FrameSampling,
    timestamps_s: NDArray[np.float64],
    *,
    end_s: float,
    param: str = "input",
) -> list[int]:
    """Wanted frames of a video with an uneven pace: as `frame_indexes`, but by the clock.

    A time means the frame that is shown at it. ``num_frames`` are spread over the frames of the
    part, not over its time.

    Args:
        sampling: Passed by `check_sampling`.
        timestamps_s: Shape (F,), when each frame is first shown, from 0 on, rising.
        end_s: When the last frame ceases to be shown.
        param: Where the caller wrote the video; messages name it.

    Raises:
        InvalidInputError: No frame is left.
    """
    total = len(timestamps_s)
    shown = np.searchsorted(timestamps_s, sampling.start_s + _CLOCK_S, side="right") - 1
    start = total if sampling.start_s >= end_s else max(int(shown), 0)
    _check_start(start, total, end_s, param)
    end = total
    if sampling.duration_s is not None:
        end_s = min(end_s, sampling.start_s + sampling.duration_s)
        end = int(np.searchsorted(timestamps_s, end_s - _CLOCK_S, side="left"))
    end = max(end, start + 1)
    if sampling.indexes is not None:
        return _listed(sampling.indexes, start, end, param)
    if sampling.fps is not None:
        bounds_s = np.append(timestamps_s[start:end], end_s) - sampling.start_s
        return _ticked(bounds_s, start, sampling.fps)
    return _spread(start, end, sampling.num_frames)


def _check_indexes(indexes: tuple[int, ...], max_frames: int, param: str) -> None:
    if not indexes:
        raise InvalidInputError(f"{param}: the list of frame indexes is empty", param=param)
    if min(indexes) < 0:
        raise InvalidInputError(
            f"{param}: frame indexes must be 0 or more, not {min(indexes)}", param=param
        )
    check_count(len(indexes), max_frames=max_frames, param=param)


def _check_start(start: int, total: int, length_s: float, param: str) -> None:
    if total < 1:
        raise MediaError(
            f"{param}: the video has no frames that can be decoded",
            param=param,
            code="invalid_video",
        )
    if start >= total:
        raise InvalidInputError(
            f"{param}: the start is past the end of the video, which has {total} frames "
            f"({length_s:.6g} s)",
            param=param,
        )


def _listed(indexes: Iterable[int], start: int, end: int, param: str) -> list[int]:
    found = sorted({index for index in indexes if start <= index < end})
    if not found:
        raise InvalidInputError(
            f"{param}: none of the frame indexes is in the wanted part of the video, which has the "
            f"frames {start} to {end - 1}",
            param=param,
        )
    return found


def _stepped(start: int, end: int, step: float) -> list[int]:
    if step <= 1:
        return list(range(start, end))
    found: list[int] = []
    # Added up, not multiplied: rounding decides whether a frame at the very end is taken.
    position = float(start)
    while position < end:
        found.append(int(position))
        position += step
    return found


def _ticked(bounds_s: NDArray[np.float64], start: int, fps: float) -> list[int]:
    """Frames that are shown at one or more ticks of a clock that starts with the part."""
    ticks_before = np.ceil((bounds_s - _CLOCK_S) * fps)
    ticks_before[0] = 0  # the first frame is shown at the first tick, whenever it came up
    return [start + int(i) for i in np.flatnonzero(np.diff(ticks_before) > 0)] or [start]


def _spread(start: int, end: int, count: int) -> list[int]:
    if count == 0 or count >= end - start:
        return list(range(start, end))
    return [int(i) for i in np.linspace(start, end, count, endpoint=False)]
