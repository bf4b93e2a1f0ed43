"""Which frames a sampling means: MMES's measured table, and what must hold for all videos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.errors import InvalidInputError
from polyvec.media.sampling import (
    check_count,
    check_sampling,
    frame_indexes,
    timed_frame_indexes,
)
from polyvec.types import FrameSampling

NTSC = 30000 / 1001


def of_300(**wishes):
    return frame_indexes(FrameSampling(**wishes), total=300, fps=30.0)


def refusal(call, *args, **options):
    with pytest.raises(InvalidInputError) as caught:
        call(*args, param="input[2]", **options)
    assert caught.value.param == "input[2]"
    assert caught.value.message.startswith("input[2]: ")
    return caught.value.message.removeprefix("input[2]: ")


@pytest.mark.parametrize(
    ("wishes", "frames"),
    [
        ({"num_frames": 1}, [0]),
        ({"num_frames": 5}, [0, 60, 120, 180, 240]),
        ({"num_frames": 7}, [0, 42, 85, 128, 171, 214, 257]),
        ({"num_frames": 0}, list(range(300))),
        ({"num_frames": 400}, list(range(300))),
        ({"start_s": 5, "num_frames": 5}, [150, 180, 210, 240, 270]),
        ({"start_s": 5, "duration_s": 2, "num_frames": 4}, [150, 165, 180, 195]),
        ({"start_s": 5.5, "duration_s": 0.5, "num_frames": 4}, [165, 168, 172, 176]),
        ({"start_s": 9, "duration_s": 5, "num_frames": 5}, [270, 276, 282, 288, 294]),
        ({"duration_s": 0}, [0]),
        ({"start_s": 5, "duration_s": 0, "num_frames": 3}, [150]),
        ({"fps": 1}, list(range(0, 300, 30))),
        ({"fps": 0.5}, list(range(0, 300, 60))),
        ({"fps": 100}, list(range(300))),
        ({"indexes": (50, 10, 10, 299)}, [10, 50, 299]),
        ({"indexes": (50, 160, 170), "start_s": 5}, [160, 170]),
        ({"indexes": (50, 300)}, [50]),
        ({"indexes": (7,), "fps": 1, "num_frames": 3}, [7]),
        ({"fps": 1, "num_frames": 3}, list(range(0, 300, 30))),
    ],
)
def test_a_row_of_the_measured_table(wishes, frames):
    assert of_300(**wishes) == frames


def test_64_frames_are_spread_when_nothing_is_said():
    frames = of_300()
    assert len(frames) == 64
    assert frames[:5] == [0, 4, 9, 14, 18]


def test_steps_are_added_up_so_that_7_a_second_are_71_of_10_s():
    frames = of_300(fps=7)
    assert len(frames) == 71
    assert frames[:5] == [0, 4, 8, 12, 17]


def test_an_uneven_pace_of_television_is_cut_down_to_whole_frames():
    sampling = FrameSampling(start_s=3, duration_s=2, fps=2)
    assert frame_indexes(sampling, total=300, fps=NTSC) == [89, 103, 118, 133]


def test_a_short_clip_gives_every_frame_once():
    assert frame_indexes(FrameSampling(), total=10, fps=25.0) == list(range(10))


def test_a_start_past_the_end_is_refused_with_the_length():
    message = refusal(frame_indexes, FrameSampling(start_s=10), total=300, fps=30.0)
    assert message == "the start is past the end of the video, which has 300 frames (10 s)"


def test_the_last_frame_can_be_the_start():
    assert frame_indexes(FrameSampling(start_s=9.99), total=300, fps=30.0) == [299]


def test_indexes_outside_the_part_are_refused_when_none_is_left():
    message = refusal(
        frame_indexes, FrameSampling(start_s=5, indexes=(3, 900)), total=300, fps=30.0
    )
    assert message == (
        "none of the frame indexes is in the wanted part of the video, which has the frames "
        "150 to 299"
    )


def test_a_video_without_frames_is_refused():
    message = refusal(frame_indexes, FrameSampling(), total=0, fps=30.0)
    assert message == "the video has no frames that can be decoded"


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"start_s": -1}, "the start must be 0 or more seconds, not -1"),
        ({"start_s": float("nan")}, "the start must be 0 or more seconds, not nan"),
        ({"start_s": float("inf")}, "the start must be 0 or more seconds, not inf"),
        ({"duration_s": -5}, "the duration must be 0 or more seconds, not -5"),
        ({"duration_s": float("inf")}, "the duration must be 0 or more seconds, not inf"),
        ({"fps": 0}, "the frames per second must be a number over 0, not 0"),
        ({"fps": -2.0}, "the frames per second must be a number over 0, not -2.0"),
        ({"fps": float("nan")}, "the frames per second must be a number over 0, not nan"),
        ({"num_frames": -1}, "the number of frames must be 0 (for all) or more, not -1"),
        ({"num_frames": 101}, "101 frames are asked for; at most 100 of a video are accepted"),
        ({"indexes": ()}, "the list of frame indexes is empty"),
        ({"indexes": (4, -1)}, "frame indexes must be 0 or more, not -1"),
        (
            {"indexes": tuple(range(101))},
            "101 frames are asked for; at most 100 of a video are accepted",
        ),
    ],
)
def test_what_no_video_can_answer_is_refused(wishes, message):
    assert refusal(check_sampling, FrameSampling(**wishes), max_frames=100) == message


@pytest.mark.parametrize(
    "wishes",
    [{}, {"num_frames": 0}, {"num_frames": 100}, {"duration_s": 0}, {"indexes": (10**12,)}],
)
def test_what_a_video_may_answer_passes(wishes):
    check_sampling(FrameSampling(**wishes) if wishes else FrameSampling(), max_frames=100)


def test_num_frames_does_not_count_when_another_wish_wins():
    check_sampling(FrameSampling(num_frames=10**9, indexes=(1,)), max_frames=100)
    check_sampling(FrameSampling(num_frames=10**9, fps=1.0), max_frames=100)


def test_a_count_up_to_the_limit_is_accepted():
    check_count(100, max_frames=100)


def test_a_time_means_the_frame_that_is_shown_then():
    times_s = np.array([0.0, 0.1, 2.0, 2.1])
    sampling = FrameSampling(start_s=1.0, num_frames=0)
    assert timed_frame_indexes(sampling, times_s, end_s=2.2) == [1, 2, 3]


def test_a_rate_by_the_clock_takes_each_shown_frame_once():
    times_s = np.array([0.0, 0.1, 2.0, 2.1, 2.9])
    assert timed_frame_indexes(FrameSampling(fps=1), times_s, end_s=3.1) == [0, 1, 2, 4]


def test_a_part_by_the_clock_ends_before_its_end():
    times_s = np.array([0.0, 0.1, 2.0, 2.1, 2.9])
    sampling = FrameSampling(start_s=2.0, duration_s=0.9, num_frames=0)
    assert timed_frame_indexes(sampling, times_s, end_s=3.1) == [2, 3]


def test_a_start_by_the_clock_past_the_end_is_refused():
    times_s = np.array([0.0, 0.5])
    message = refusal(timed_frame_indexes, FrameSampling(start_s=1.0), times_s, end_s=1.0)
    assert message == "the start is past the end of the video, which has 2 frames (1 s)"


SAMPLINGS = st.builds(
    FrameSampling,
    start_s=st.floats(0, 20),
    duration_s=st.none() | st.floats(0, 20),
    num_frames=st.integers(0, 500),
    fps=st.none() | st.floats(1e-3, 1e6),
    indexes=st.none() | st.lists(st.integers(0, 400), min_size=1, max_size=9).map(tuple),
)


@given(SAMPLINGS, st.integers(1, 400), st.floats(0.5, 240))
def test_frames_rise_inside_the_wanted_part_or_the_wish_is_refused(sampling, total, fps):
    try:
        frames = frame_indexes(sampling, total=total, fps=fps)
    except InvalidInputError:
        start = int(fps * sampling.start_s)
        assert start >= total or sampling.indexes is not None
        return
    start = int(fps * sampling.start_s)
    end = total if sampling.duration_s is None else start + int(fps * sampling.duration_s)
    assert frames == sorted(set(frames))
    assert start <= frames[0]
    assert frames[-1] < max(min(end, total), start + 1)
    if sampling.indexes is None and sampling.fps is None and sampling.num_frames:
        assert len(frames) <= sampling.num_frames


@given(SAMPLINGS, st.integers(1, 400))
def test_the_clock_of_an_even_pace_gives_the_frames_of_its_numbers(sampling, total):
    # Whole frames: what a time in the middle of one means is a matter of rounding.
    fps = 25.0
    start_s = round(sampling.start_s * fps) / fps
    sampling = FrameSampling(
        start_s=start_s, num_frames=sampling.num_frames, indexes=sampling.indexes
    )
    times_s = np.arange(total) / fps
    wanted = {"total": total, "fps": fps}
    try:
        by_number = frame_indexes(
            FrameSampling(
                start_s=start_s + 1e-6, num_frames=sampling.num_frames, indexes=sampling.indexes
            ),
            **wanted,
        )
    except InvalidInputError:
        with pytest.raises(InvalidInputError):
            timed_frame_indexes(sampling, times_s, end_s=total / fps)
        return
    assert timed_frame_indexes(sampling, times_s, end_s=total / fps) == by_number


@given(
    st.lists(st.floats(0.002, 2), min_size=1, max_size=50),
    st.floats(0, 5),
    st.floats(0.1, 100),
)
def test_by_the_clock_a_faster_rate_never_loses_the_first_frame(gaps_s, start_s, fps):
    times_s = np.cumsum([0.0, *gaps_s])
    end_s = float(times_s[-1]) + 0.1
    if start_s >= end_s:
        return
    frames = timed_frame_indexes(FrameSampling(start_s=start_s, fps=fps), times_s, end_s=end_s)
    first = timed_frame_indexes(FrameSampling(start_s=start_s, num_frames=0), times_s, end_s=end_s)
    assert frames[0] == first[0]
    assert set(frames) <= set(first)
    assert frames == sorted(set(frames))
