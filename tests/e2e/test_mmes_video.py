"""Frames of videos as clients of Multimodal Embedding Serving get them.

Every frame of the clips shows its own number, so that a vector tells of which frame it is.
"""

import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.clips import FRAMES, bars, clip
from tests.e2e.mmes import (
    DIMENSIONS,
    Mmes,
    Vectors,
    nearest,
    picture,
    video_base64,
    video_file,
)

pytestmark = pytest.mark.e2e

CODEC_LOSS = 1e-4
"""Cosine distance of a frame to the picture it was made from; neighbours differ by 0.002."""


@pytest.fixture(scope="session")
def numbered(original: Mmes) -> Vectors:
    """Vectors of the 300 pictures, sent as pictures."""
    frames = [picture(bars(number)) for number in range(FRAMES)]
    return original.vectors({"type": "video_frames", "video_frames": frames})


def indexes(answer: dict[str, Any]) -> list[int]:
    """Frames that an answer claims to hold, in rising order of time."""
    frames = answer["frames"]
    times = [frame["timestamp"] for frame in frames]
    assert times == sorted(times)
    assert len(answer["embedding"]) == len(frames)
    return [frame["index"] for frame in frames]


def assert_frames(
    original: Mmes, numbered: Vectors, value: dict[str, Any], wanted: Iterable[int]
) -> dict[str, Any]:
    """The answer claims the wanted frames, and its vectors are theirs."""
    answer = original.answer(value, include=["frames"])
    found = np.array(answer["embedding"], np.float32)
    expected = list(wanted)
    assert indexes(answer) == expected
    assert nearest(found, numbered) == expected
    assert (found * numbered[expected]).sum(axis=1) == pytest.approx(1, abs=CODEC_LOSS)
    return answer


def spread(start: int, end: int, count: int) -> list[int]:
    return [int(start + (end - start) * place / count) for place in range(count)]


def stepped(start: int, end: int, step: float) -> list[int]:
    found, position = [], float(start)
    while position < end:
        found.append(int(position))
        position += step
    return found


SAMPLINGS: list[tuple[str, dict[str, Any], list[int]]] = [
    ("nothing", {}, spread(0, 300, 64)),
    ("one", {"num_frames": 1}, [0]),
    ("five", {"num_frames": 5}, [0, 60, 120, 180, 240]),
    ("seven", {"num_frames": 7}, [0, 42, 85, 128, 171, 214, 257]),
    ("all", {"num_frames": 0}, list(range(300))),
    ("more than there are", {"num_frames": 400}, list(range(300))),
    ("from 5 s", {"startOffsetSec": 5, "num_frames": 5}, [150, 180, 210, 240, 270]),
    (
        "2 s from 5 s",
        {"startOffsetSec": 5, "clip_duration": 2, "num_frames": 4},
        [150, 165, 180, 195],
    ),
    (
        "fractions of seconds",
        {"startOffsetSec": 5.5, "clip_duration": 0.5, "num_frames": 4},
        [165, 168, 172, 176],
    ),
    (
        "past the end",
        {"startOffsetSec": 9, "clip_duration": 5, "num_frames": 5},
        [270, 276, 282, 288, 294],
    ),
    ("to the end", {"clip_duration": -1, "num_frames": 2}, [0, 150]),
    ("no length", {"startOffsetSec": 5, "clip_duration": 0}, [150]),
    ("1 a second", {"extraction_fps": 1}, list(range(0, 300, 30))),
    ("1 in 2 seconds", {"extraction_fps": 0.5}, [0, 60, 120, 180, 240]),
    ("7 a second", {"extraction_fps": 7}, stepped(0, 300, 30 / 7)),
    ("more than it has", {"extraction_fps": 100, "clip_duration": 1}, list(range(30))),
    ("name of the SDK", {"fps": 2, "clip_duration": 2}, [0, 15, 30, 45]),
    ("listed", {"frame_indexes": [50, 10, 10, 299]}, [10, 50, 299]),
    ("listed in a part", {"startOffsetSec": 5, "frame_indexes": [50, 160, 170]}, [160, 170]),
    ("listed, some beyond", {"frame_indexes": [5, 300, 4000]}, [5]),
    ("listed with fractions", {"frame_indexes": [1.7, 2.2]}, [1, 2]),
    (
        "list before rate before number",
        {"frame_indexes": [7], "extraction_fps": 1, "num_frames": 3},
        [7],
    ),
    ("rate before number", {"extraction_fps": 0.2, "num_frames": 3}, [0, 150]),
    ("nulls", {"num_frames": 2, "frame_indexes": None, "extraction_fps": None}, [0, 150]),
    ("unknown keys", {"num_frames": 2, "frame_interval": 3, "whatever": {}}, [0, 150]),
]


@pytest.mark.parametrize(
    ("config", "wanted"), [pytest.param(*case, id=name) for name, *case in SAMPLINGS]
)
def test_a_segment_config_means_the_originals_frames(
    original: Mmes, numbered: Vectors, config: dict[str, Any], wanted: list[int]
) -> None:
    assert_frames(original, numbered, video_file("bars.mp4", **config), wanted)


def test_a_frame_has_the_time_at_which_it_is_shown(original: Mmes) -> None:
    answer = original.answer(
        video_file("bars.mp4", frame_indexes=[0, 7, 45, 299]), include=["frames"]
    )
    times = [frame["timestamp"] for frame in answer["frames"]]
    assert times == pytest.approx([0, 7 / 30, 1.5, 299 / 30], abs=1e-3)


# Containers, paces and sizes.

CONTAINERS = [
    ("mov", "libx264", {}),
    ("matroska", "libx264", {}),
    ("webm", "libvpx", {}),
    ("webm", "libvpx-vp9", {}),
    ("mpegts", "libx264", {}),
    ("mpeg", "mpeg2video", {}),
    ("avi", "mpeg4", {}),
    ("mp4", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}),
    ("mp4", "libx264", {"preset": "veryfast", "bf": "3", "g": "50"}),
    ("matroska", "libx264", {"preset": "veryfast", "bf": "3", "g": "50"}),
    ("mpegts", "libx264", {"preset": "veryfast", "bf": "3", "g": "50"}),
]


@pytest.mark.parametrize(("container", "codec", "options"), CONTAINERS)
def test_every_container_obeys(
    original: Mmes, numbered: Vectors, container: str, codec: str, options: dict[str, str]
) -> None:
    data = clip(container, codec, options=options)
    value = video_base64(data, startOffsetSec=2, clip_duration=4, num_frames=5)
    answer = original.answer(value, include=["frames"])
    found = np.array(answer["embedding"], np.float32)
    assert indexes(answer) == nearest(found, numbered) == [60, 84, 108, 132, 156]
    assert (found * numbered[indexes(answer)]).sum(axis=1) == pytest.approx(1, abs=1e-3)


def test_fractions_of_frames_a_second_are_cut_off_as_in_the_original(
    original: Mmes, numbered: Vectors
) -> None:
    data = clip(fps=Fraction(30000, 1001))
    value = video_base64(data, startOffsetSec=3, clip_duration=2, extraction_fps=2)
    assert_frames(original, numbered, value, [89, 103, 118, 133])


def test_an_uneven_pace_is_followed_by_the_clock(original: Mmes, numbered: Vectors) -> None:
    # Ten frames in the first third of a second, then ten that stay for a second each.
    data = clip(frames=20, times=[*range(10), *(30 * n for n in range(1, 11))])
    value = video_base64(data, startOffsetSec=2, extraction_fps=1)
    answer = assert_frames(original, numbered, value, range(11, 20))
    times = [frame["timestamp"] for frame in answer["frames"]]
    assert times == pytest.approx(range(2, 11), abs=0.05)


def corner(height: int, width: int) -> np.ndarray:
    """Dark but for one corner, so that it looks different from every side."""
    pixels = np.full((height, width, 3), 20, np.uint8)
    pixels[: height // 2, : width // 2] = (250, 40, 40)
    pixels[height // 2 :, : width // 2] = (40, 40, 250)
    return pixels


def turned(data: bytes) -> bytes:
    """An MP4 that says "turn me a quarter to the right", as telephones write it."""
    place = data.index(b"tkhd") + 44
    one = 1 << 16
    matrix = (0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    return data[:place] + b"".join(n.to_bytes(4, signed=True) for n in matrix) + data[place + 36 :]


def test_a_turned_video_is_seen_upright(original: Mmes) -> None:
    lying = corner(72, 72)
    data = turned(clip(frames=[lying] * 3))
    found = original.vectors(video_base64(data, num_frames=1))
    sides = [np.ascontiguousarray(np.rot90(lying, -turns)) for turns in range(4)]
    as_pictures = np.stack([original.vectors(picture(side)) for side in sides])
    assert nearest(found, as_pictures) == [1]
    assert found @ as_pictures[1] > 0.95  # colours are not quite kept


def test_frames_of_4k_are_embedded(original: Mmes) -> None:
    large = [bars(number, 3840, 2160) for number in (5, 300)]
    found = original.vectors(video_base64(clip(frames=large), num_frames=0))
    as_pictures = np.stack([original.vectors(picture(pixels)) for pixels in large])
    assert nearest(found, as_pictures) == [0, 1]
    assert (found * as_pictures).sum(axis=1) == pytest.approx(1, abs=1e-3)


# What the original hangs of, or answers with 500 or nonsense.


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("startOffsetSec", -1),
        ("startOffsetSec", "abc"),
        ("clip_duration", -5),
        ("clip_duration", "abc"),
        ("num_frames", -1),
        ("num_frames", 5.5),
        ("num_frames", "5"),
        ("extraction_fps", 0),
        ("extraction_fps", -1),
        ("frame_indexes", "abc"),
        ("frame_indexes", []),
        ("frame_indexes", [-1]),
        ("frame_interval", 0),
        ("segment_seconds", 1e-310),
    ],
)
def test_a_wrong_value_is_refused_and_its_key_named(original: Mmes, key: str, value: Any) -> None:
    (detail,) = original.refusal(video_file("bars.mp4", **{key: value}))
    assert detail["loc"] == ["body", "input", "segment_config", key]
    assert f"segment_config.{key} must be " in detail["msg"]
    original.health()


@pytest.mark.parametrize(
    "config",
    [{"frame_indexes": [300]}, {"frame_indexes": [10], "startOffsetSec": 1}],
    ids=["beyond the end", "before the part"],
)
def test_a_list_without_a_frame_of_the_part_is_refused(
    original: Mmes, config: dict[str, Any]
) -> None:
    detail = original.refusal(video_file("bars.mp4", **config))
    assert detail.startswith("Invalid input data: input.video_path: ")
    assert "frame indexes" in detail


@pytest.mark.parametrize("kind", ["video_file", "video_url", "video_base64"])
def test_a_start_past_the_end_is_refused_whatever_the_source(original: Mmes, kind: str) -> None:
    values: dict[str, Callable[[], dict[str, Any]]] = {
        "video_file": lambda: video_file("bars.mp4"),
        "video_url": lambda: {"type": kind, "video_url": original.web.url("/bars.mp4")},
        "video_base64": lambda: video_base64((original.root / "bars.mp4").read_bytes()),
    }
    value = values[kind]() | {"segment_config": {"startOffsetSec": 10}}
    detail = original.refusal(value)
    assert detail.startswith("Invalid input data: input.video_")
    assert "past the end" in detail


def test_a_null_is_no_trap(original: Mmes, numbered: Vectors) -> None:
    value = video_file("bars.mp4", clip_duration=None, num_frames=2)
    assert_frames(original, numbered, value, [0, 150])


# Several at a time.


def test_health_answers_while_videos_are_embedded(original: Mmes) -> None:
    value = video_file("bars.mp4", clip_duration=4, num_frames=0)
    with ThreadPoolExecutor(2) as pool:
        videos = [pool.submit(original.vectors, value) for _ in range(2)]
        probes = 0
        while not all(video.done() for video in videos):
            original.health()
            probes += 1
    assert probes > 3
    assert [len(video.result()) for video in videos] == [120, 120]


def test_parallel_requests_of_all_sizes_get_their_own_vectors(
    original: Mmes, numbered: Vectors
) -> None:
    def ask(number: int) -> Vectors:
        size = number * 7 % 11 + 1
        if number % 2:
            return original.vectors(video_file("bars.mp4", num_frames=size))
        frames = [picture(bars(place)) for place in spread(0, FRAMES, size)]
        return original.vectors({"type": "video_frames", "video_frames": frames})

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(ask, range(16))):
            wanted = spread(0, FRAMES, number * 7 % 11 + 1)
            assert found.shape == (len(wanted), DIMENSIONS)
            assert nearest(found, numbered) == wanted


# What the original lacks.


def test_the_vector_of_a_video_is_the_mean_of_its_frames(original: Mmes) -> None:
    value = video_file("bars.mp4", num_frames=6, segment_seconds=5)
    answer = original.answer(value, include=["video", "frames"])
    frames = np.array(answer["embedding"])
    mean = frames.mean(axis=0)
    assert answer["video_embedding"] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    assert [(part["start"], part["end"]) for part in answer["segments"]] == [(0, 5), (5, 10)]
    for part, own in zip(answer["segments"], (frames[:3], frames[3:]), strict=True):
        mean = own.mean(axis=0)
        assert part["embedding"] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_the_vector_of_frames_that_are_sent_is_their_mean(original: Mmes) -> None:
    value = {"type": "video_frames", "video_frames": [picture(bars(n)) for n in (1, 500)]}
    answer = original.answer(value, include=["video"])
    mean = np.array(answer["embedding"]).mean(axis=0)
    assert answer["video_embedding"] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_an_animated_picture_is_a_video_of_all_its_frames(original: Mmes) -> None:

    pages = [Image.fromarray(bars(number)) for number in (3, 70, 200)]
    file = io.BytesIO()
    pages[0].save(file, "GIF", save_all=True, append_images=pages[1:], duration=500)
    answer = original.answer(video_base64(file.getvalue(), num_frames=0), include=["frames"])
    assert [frame["timestamp"] for frame in answer["frames"]] == pytest.approx([0, 0.5, 1])
    alone = original.vectors(picture(bars(3)))
    assert np.array(answer["embedding"][0]) @ alone > 1 - CODEC_LOSS
