"""Videos, files and manifests in bodies of Multimodal Embedding Serving."""

from dataclasses import replace

import numpy as np
import pytest

from polyvec.dialects._mmes.input import parse_input
from polyvec.errors import MediaError
from polyvec.types import Base64, File, FrameSampling, FramesManifest, Image, Url, Video
from tests.dialects.stub import CARD, ROWS, StubService, post


def _embed(input_, service=None, **fields):
    return post("/embeddings", {"model": CARD.name, "input": input_, **fields}, service)


def _video(config=None, **fields):
    return {
        "type": "video_file",
        "video_path": "a.mp4",
        "segment_config": config or {},
        **fields,
    }


def _part(input_, defaults=None):
    (item,) = parse_input({"input": input_}, defaults).inputs
    return item.parts[0]


def _sampling(config, defaults=None):
    return _part(_video(config), defaults).sampling


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"type": "video_url", "video_url": "http://e.com/a"}, Url("http://e.com/a")),
        ({"type": "video_base64", "video_base64": "data:video/mp4;base64,aGk="}, Base64("aGk=")),
        ({"type": "video_file", "video_path": " /data/a.MP4 "}, File("/data/a.MP4")),
    ],
)
def test_a_video_is_where_its_type_says(fields, source):
    part = _part({**fields, "segment_config": {}})
    assert part == Video(source, FrameSampling())


def test_an_image_file_and_a_manifest_are_files():
    assert _part({"type": "image_file", "image_path": "/d/a.png"}) == Image(File("/d/a.png"))
    manifest = {"type": "frames_batch", "frames_manifest_path": "/d/frames.json"}
    assert _part(manifest) == FramesManifest(File("/d/frames.json"))


@pytest.mark.parametrize(
    ("config", "sampling"),
    [
        ({}, FrameSampling()),
        ({"startOffsetSec": 5.5, "clip_duration": 0.5}, FrameSampling(5.5, 0.5)),
        ({"clip_duration": -1}, FrameSampling(duration_s=None)),
        ({"clip_duration": 0}, FrameSampling(duration_s=0.0)),
        ({"num_frames": 0}, FrameSampling(num_frames=0)),
        ({"num_frames": 5.0}, FrameSampling(num_frames=5)),
        ({"extraction_fps": 0.5}, FrameSampling(fps=0.5)),
        ({"fps": 2}, FrameSampling(fps=2.0)),
        ({"fps": 2, "extraction_fps": 3}, FrameSampling(fps=3.0)),
        ({"frame_indexes": [50, 10, 10]}, FrameSampling(indexes=(50, 10, 10))),
        ({"frame_indexes": [1.7, 2.2]}, FrameSampling(indexes=(1, 2))),
        ({"frame_interval": 5, "other": {}}, FrameSampling()),
        ({"startOffsetSec": None, "num_frames": None, "fps": None}, FrameSampling()),
    ],
)
def test_a_segment_config_says_which_frames(config, sampling):
    assert _sampling(config) == sampling


def test_keys_that_are_left_out_have_the_servers_defaults():
    defaults = FrameSampling(1.0, 2.0, 8)
    assert _sampling({}, defaults) == defaults
    assert _sampling({"clip_duration": -1}, defaults) == FrameSampling(1.0, None, 8)
    service = StubService(cards=(replace(CARD, sampling=defaults),))
    _embed(_video(), service)
    assert service.requests[0].inputs[0].parts[0].sampling == defaults


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("startOffsetSec", -1),
        ("startOffsetSec", "1"),
        ("startOffsetSec", True),
        ("clip_duration", -5),
        ("clip_duration", "all"),
        ("clip_duration", []),
        ("num_frames", -1),
        ("num_frames", 5.5),
        ("num_frames", "5"),
        ("num_frames", True),
        ("extraction_fps", 0),
        ("extraction_fps", -2),
        ("extraction_fps", "2"),
        ("frame_indexes", "abc"),
        ("frame_indexes", []),
        ("frame_indexes", [-1]),
        ("frame_indexes", ["1"]),
        ("frame_indexes", [True]),
        ("frame_interval", 0),
        ("segment_seconds", 0),
        ("segment_seconds", 1e-310),
    ],
)
def test_a_bad_value_of_a_segment_config_is_422_naming_its_key(key, value):
    reply, body = _embed(_video({key: value}))
    assert reply.status == 422
    assert body["detail"][0]["loc"] == ["body", "input", "segment_config", key]
    assert f"segment_config.{key} must be " in body["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "file reference must be a non-empty string"),
        ("   ", "file reference must be a non-empty string"),
        ("a\0.mp4", "Null bytes are not allowed in local artifact references"),
        ("a.exe", "Unsupported local artifact extension: .exe"),
    ],
)
def test_a_path_that_is_none_is_422_in_the_originals_words(path, message):
    reply, body = _embed(_video(video_path=path))
    assert reply.status == 422
    assert body["detail"][0]["msg"] == f"Value error, {message}"


def test_a_manifest_needs_its_suffix():
    _, body = _embed({"type": "frames_batch", "frames_manifest_path": "frames"})
    assert body["detail"][0]["msg"].endswith("must include an allowed extension")
    _, body = _embed({"type": "frames_batch", "frames_manifest_path": "frames.txt"})
    assert body["detail"][0]["msg"].endswith("Unsupported local artifact extension: .txt")


def test_a_missing_file_is_404():
    error = MediaError("input.video_path: no such file: a.mp4", code="media_not_found")
    reply, body = _embed(_video(), StubService(error=error))
    assert reply.status == 404
    assert body["detail"].startswith("File not found: ")


# answers


def test_a_video_gives_one_vector_for_each_frame_and_nothing_else():
    reply, body = _embed(_video())
    assert reply.status == 200
    assert set(body) == {"embedding"}
    assert [len(row) for row in body["embedding"]] == [3, 3]


def test_index_and_time_of_each_frame_come_when_asked_for():
    _, body = _embed(_video(), include=["frames"])
    assert body["frames"] == [{"index": 0, "timestamp": 0.0}, {"index": 15, "timestamp": 0.5}]


def test_the_vector_of_the_whole_video_comes_when_asked_for():
    _, body = _embed(_video(), include=["video", "frames"])
    assert body["video_embedding"] == pytest.approx(ROWS[2].tolist())
    assert len(body["frames"]) == len(body["embedding"]) == 2


def test_frames_that_come_as_pictures_have_a_mean_as_well():
    frames = [{"type": "image_base64", "image_base64": "aGk="}] * 2
    _, body = _embed({"type": "video_frames", "video_frames": frames}, include=["video"])
    mean = ROWS[:2].mean(axis=0)
    assert body["video_embedding"] == pytest.approx((mean / np.linalg.norm(mean)).tolist())
    assert len(body["embedding"]) == 2
    _, body = _embed({"type": "text", "text": ["a", "b"]}, include=["video"])
    assert set(body) == {"embedding"}


def test_segments_have_a_vector_each():
    _, body = _embed(_video({"segment_seconds": 5}))
    (segment,) = body["segments"]
    assert (segment["start"], segment["end"]) == (0.0, 5.0)
    assert segment["embedding"] == pytest.approx(ROWS[2].tolist())


def test_pictures_of_a_manifest_without_a_vector_are_listed():
    _, body = _embed({"type": "frames_batch", "frames_manifest_path": "frames.json"})
    assert body["skipped"] == [{"entry": 1, "reason": "it is damaged"}]


@pytest.mark.parametrize("value", [["nope"], [1], 5, {"frames": True}])
def test_an_unknown_wish_is_refused(value):
    reply, body = _embed(_video(), include=value)
    assert reply.status == 422
    assert body["detail"][0]["loc"] == ["body", "include"]
