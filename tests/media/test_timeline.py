"""Frames in order, the pace of a video, and the packets that wanted frames need."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.media.timeline import Run, Timeline

TICK = Fraction(1, 30)
# I P B B, then an open group: its first B frames are shown before its I and need the P before it.
OPEN = {
    "ticks": [0, 3, 1, 2, 6, 4, 5, 9, 7, 8],
    "keys": [1, 0, 0, 0, 1, 0, 0, 0, 0, 0],
}


def timeline(ticks, keys=None, shown=None, tick_s=TICK):
    keys = [1, *[0] * (len(ticks) - 1)] if keys is None else keys
    return Timeline.of(ticks, keys, [1] * len(ticks) if shown is None else shown, tick_s)


def test_frames_are_in_the_order_in_which_they_are_shown():
    found = timeline(**OPEN)
    assert found.packets.tolist() == [0, 2, 3, 1, 5, 6, 4, 8, 9, 7]
    assert found.ticks.tolist() == list(range(10))


def test_a_frame_that_is_shown_before_its_groups_key_starts_one_group_earlier():
    assert timeline(**OPEN).starts.tolist() == [0, 0, 0, 0, 0, 0, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        ([0], [Run(0, 1, (0,))]),
        ([3], [Run(0, 2, (3,))]),
        ([7], [Run(4, 9, (7,))]),
        ([1, 7], [Run(0, 3, (1,)), Run(4, 9, (7,))]),
        ([0, 7], [Run(0, 1, (0,)), Run(4, 9, (7,))]),
        ([5, 6], [Run(0, 7, (5, 6))]),
    ],
)
def test_runs_hold_no_more_packets_than_wanted_frames_need(wanted, runs):
    assert timeline(**OPEN).runs(wanted) == runs


def test_packets_before_the_first_key_give_no_frame():
    found = timeline([0, 1, 2, 3, 4, 5], keys=[0, 0, 1, 0, 0, 0])
    assert found.packets.tolist() == [2, 3, 4, 5]
    assert found.timestamps_s.tolist() == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30])


def test_packets_that_are_shown_before_the_first_key_give_no_frame():
    assert timeline([2, 0, 1, 3], keys=[1, 0, 0, 0]).packets.tolist() == [0, 3]


def test_packets_that_are_not_shown_give_no_frame():
    assert timeline([0, 1, 2], shown=[1, 0, 1]).packets.tolist() == [0, 2]


def test_two_packets_of_one_time_tell_nothing():
    assert timeline([0, 1, 1]) is None


def test_without_a_key_frame_nothing_can_be_told():
    assert timeline([0, 1], keys=[0, 0]) is None
    assert timeline([], keys=[]) is None


def test_a_declared_pace_is_used_when_the_frames_keep_it():
    ticks = [round(place * 1001 / 30) for place in range(300)]  # whole milliseconds
    found = timeline(ticks, tick_s=Fraction(1, 1000))
    assert found.pace(Fraction(30000, 1001)) == 30000 / 1001


@pytest.mark.parametrize("declared", [None, Fraction(0), Fraction(60), Fraction(90_000)])
def test_a_wrong_pace_is_replaced_by_the_average(declared):
    assert timeline(list(range(300))).pace(declared) == pytest.approx(30)


def test_frames_that_come_unevenly_have_no_pace():
    ticks = [*range(30), *range(90, 120)]
    assert timeline(ticks).pace(Fraction(30)) is None


def test_one_frame_has_the_declared_pace_or_25():
    assert timeline([7]).pace(Fraction(10)) == 10
    assert timeline([7]).pace(None) == 25


def test_the_last_frame_is_shown_as_long_as_the_others():
    assert timeline(list(range(30))).end_s == pytest.approx(1)


@given(st.data())
def test_every_frame_is_in_a_run_that_begins_with_a_key_before_it(data):
    ticks = data.draw(st.lists(st.integers(-99, 99), min_size=1, max_size=30, unique=True))
    keys = data.draw(st.lists(st.integers(0, 1), min_size=len(ticks), max_size=len(ticks)))
    found = timeline(ticks, keys=keys)
    if found is None:
        assert not any(keys)
        return
    wanted = sorted(data.draw(st.sets(st.integers(0, found.total - 1), min_size=1)))
    runs = found.runs(wanted)
    assert [frame for run in runs for frame in run.frames] == wanted
    for run in runs:
        assert keys[run.start]
        for frame in run.frames:
            packet = found.packets[frame]
            assert run.start <= packet < run.end
            assert run.start <= found.starts[frame]
            assert ticks[found.starts[frame]] <= ticks[packet]
    assert np.all(np.diff(found.ticks) > 0)
