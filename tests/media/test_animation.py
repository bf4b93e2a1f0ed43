"""Animated pictures read as videos."""

import io

import numpy as np
import PIL.Image
import pytest

from polyvec.errors import InvalidInputError, MediaError
from polyvec.media.animation_times import frame_durations_s
from polyvec.media.containers import sniff
from polyvec.media.policy import MediaPolicy
from polyvec.media.transform import ImageTransform
from polyvec.media.video import sample_frames
from polyvec.types import FrameSampling
from tests.clips import bars, number

AS_IT_IS = ImageTransform(resize=(64, 96))
KINDS = {"GIF": {}, "WEBP": {"lossless": True}, "PNG": {}}


def animation(kind, pictures, durations_ms, **options):
    images = [PIL.Image.fromarray(one) if isinstance(one, np.ndarray) else one for one in pictures]
    file = io.BytesIO()
    images[0].save(
        file,
        kind,
        save_all=True,
        append_images=images[1:],
        duration=durations_ms,
        **KINDS[kind],
        **options,
    )
    return file.getvalue()


def counting(kind, frames=20, duration_ms=40):
    return animation(kind, [bars(place) for place in range(frames)], duration_ms)


def frames(data, *, policy=None, transform=AS_IT_IS, **wishes):
    found = sample_frames(
        io.BytesIO(data), FrameSampling(**wishes), policy or MediaPolicy(), transform, param="p"
    )
    return list(found)


def numbers(data, **wishes):
    found = frames(data, **wishes)
    shown = [number(frame.pixels) for frame in found]
    assert shown == [frame.index for frame in found]
    return shown


def durations(data):
    file = io.BytesIO(data)
    return frame_durations_s(file, sniff(file))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_sampled_as_those_of_a_video(kind):
    data = counting(kind)
    assert numbers(data) == list(range(20))
    assert numbers(data, num_frames=5) == [0, 4, 8, 12, 16]
    assert numbers(data, indexes=(19, 3)) == [3, 19]
    assert numbers(data, start_s=0.4, duration_s=0.2, fps=12.5) == [10, 12, 14]


@pytest.mark.parametrize("kind", KINDS)
def test_times_are_the_sums_of_what_frames_are_shown(kind):
    data = animation(kind, [bars(place) for place in range(5)], [100, 50, 200, 40, 300])
    assert durations(data) == pytest.approx([0.1, 0.05, 0.2, 0.04, 0.3])
    times_s = [frame.timestamp_s for frame in frames(data)]
    assert times_s == pytest.approx([0, 0.1, 0.15, 0.35, 0.39])


@pytest.mark.parametrize("kind", KINDS)
def test_an_uneven_pace_is_read_by_the_clock(kind):
    data = animation(kind, [bars(place) for place in range(4)], [1000, 100, 100, 1000])
    assert numbers(data, fps=1) == [0, 1, 3]
    assert numbers(data, start_s=1.15, num_frames=0) == [2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_no_time_at_all_means_a_tenth_of_a_second(kind):
    assert durations(counting(kind, frames=3, duration_ms=0)) == [0.1, 0.1, 0.1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_still_picture_is_a_video_of_one_frame(kind):
    file = io.BytesIO()
    PIL.Image.fromarray(bars(5)).save(file, kind, **KINDS[kind])
    (only,) = frames(file.getvalue())
    assert (only.index, only.timestamp_s, number(only.pixels)) == (0, 0.0, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_changes_is_put_on_the_frames_before_it(kind):
    first = np.full((64, 96, 3), 200, np.uint8)
    second, third = first.copy(), first.copy()
    second[:10, :10] = (255, 0, 0)
    third[:10, :10] = (255, 0, 0)
    third[50:, 80:] = (0, 0, 255)
    found = frames(animation(kind, [first, second, third], 100), indexes=(0, 2))
    for frame, expected in zip(found, (first, third), strict=True):
        assert abs(frame.pixels.astype(int) - expected).max() <= 6


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_transparent_is_white(kind):
    clear = np.zeros((64, 96, 4), np.uint8)
    clear[20:40, 20:40] = (0, 128, 0, 255)
    clear[[0, -1], [0, -1], 3] = 255  # or WebP cuts the frame and says that nothing is transparent
    clear[1, 1, 3] = 128
    moved = np.roll(clear, 30, axis=1)
    images = [PIL.Image.fromarray(one) for one in (clear, moved)]
    options = {"GIF": {"disposal": 2}, "PNG": {"disposal": 1}, "WEBP": {}}
    found = frames(animation(kind, images, 100, **options[kind]))
    for frame, at in zip(found, (30, 60), strict=True):
        assert frame.pixels[5, 5].tolist() == [255, 255, 255]
        assert frame.pixels[30, at].tolist() == [0, 128, 0]


def test_a_picture_for_those_that_cannot_animate_is_no_frame():
    images = [bars(place) for place in (99, 0, 1, 2)]
    assert numbers(animation("PNG", images, 100, default_image=True)) == [0, 1, 2]


def test_many_pixels_in_all_are_refused_before_any_is_decoded():
    data = counting("GIF", frames=60)
    policy = MediaPolicy(max_pixels=96 * 64)
    with pytest.raises(MediaError) as caught:
        frames(data, policy=policy)
    assert caught.value.code == "video_too_large"
    assert caught.value.message == (
        "p: the animation is 96 x 64; 60 frames of it are more than 307200 pixels"
    )
    assert len(frames(data, policy=policy, indexes=tuple(range(50)))) == 50


@pytest.mark.parametrize("kind", KINDS)
def test_large_frames_are_refused(kind):
    for policy in (MediaPolicy(max_pixels=96 * 64 - 1), MediaPolicy(max_side_px=95)):
        with pytest.raises(MediaError) as caught:
            frames(counting(kind, frames=2), policy=policy)
        assert caught.value.code == "video_too_large"


def test_too_many_frames_are_refused():
    with pytest.raises(InvalidInputError, match="20 frames are asked for; at most 19"):
        frames(counting("GIF"), policy=MediaPolicy(max_frames=19), num_frames=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_past_the_end_is_refused(kind):
    with pytest.raises(InvalidInputError, match="the start is past the end of the video"):
        frames(counting(kind), start_s=0.8)


@pytest.mark.parametrize("kind", KINDS)
def test_files_cut_off_anywhere_give_frames_or_a_clear_error(kind):
    data = counting(kind, frames=6)
    for end in range(6, len(data), max(len(data) // 60, 1)):
        try:
            found = frames(data[:end])
        except MediaError as error:
            assert error.code in ("invalid_video", "unsupported_video_format")  # noqa: PT017
        else:
            assert 1 <= len(found) <= 6
