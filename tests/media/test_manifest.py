"""Manifests of frames in their three forms, and what is said about broken ones."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.errors import InvalidInputError
from polyvec.media.manifest import Manifest, ManifestPicture, read_manifest


def frame(number=0, **fields):
    return {"frame_number": number, "timestamp": number / 10, "type": "full_frame", **fields}


def read(content, **options):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_manifest(data, param="frames", **options)


def refusal(content, **options):
    with pytest.raises(InvalidInputError) as caught:
        read(content, **options)
    assert caught.value.param == "frames"
    return caught.value.message


def test_pictures_keep_the_manifests_order():
    content = {"frames": [frame(9, image_path="/a/9.jpg"), frame(3, image_path="3.jpg")]}
    assert read(content) == Manifest(
        (ManifestPicture("/a/9.jpg", 9, 0.9), ManifestPicture("3.jpg", 3, 0.3))
    )


def test_frames_of_a_video_rise_and_come_once():
    content = {"video_path": "a.mp4", "frames": [frame(9), frame(3), frame(9, image_path="x.jpg")]}
    assert read(content) == Manifest(video_path="a.mp4", frame_numbers=(3, 9))


def test_pictures_of_all_metadata_win_over_the_video():
    content = {
        "video_path": "a.mp4",
        "total_metadata_entries": 2,
        "frame_metadata_map": {},
        "frames": [frame(1)],
        "all_frame_metadata": [
            {"image_path": "a.jpg", "frame_number": 4, "timestamp": 1.5},
            {"image_path": "b.jpg"},
        ],
    }
    assert read(content) == Manifest(
        (ManifestPicture("a.jpg", 4, 1.5), ManifestPicture("b.jpg", 1, 0.0))
    )


@pytest.mark.parametrize("path", [None, "", "  ", 5])
def test_without_a_usable_video_path_pictures_are_meant(path):
    content = {"video_path": path, "frames": [frame(image_path="a.jpg")]}
    assert read(content).pictures == (ManifestPicture("a.jpg", 0, 0.0),)


def test_an_entry_without_a_picture_keeps_its_place():
    content = {"frames": [frame(0), frame(1, image_path="b.jpg")]}
    assert [picture.path for picture in read(content).pictures] == ["", "b.jpg"]


def test_what_is_not_known_is_ignored():
    fields = {
        "frame_interval": 5,
        "is_detected_crop": True,
        "detection_confidence": 0.5,
        "crop_bbox": [1, 2, 3.7, 9],
        "crop_index": 0,
        "label": "car",
    }
    content = {
        "frames": [frame(image_path="a.jpg", **fields) | {"type": "detected_crop"}],
        "video_metadata": {"fps": 30},
        "processing_metadata": None,
        "more": 1,
    }
    assert len(read(content).pictures) == 1


def test_a_byte_order_mark_and_utf_16_are_read():
    content = json.dumps({"frames": [frame(image_path="ä.jpg")]}, ensure_ascii=False)
    for encoding in ("utf-8-sig", "utf-16"):
        assert read(content.encode(encoding)).pictures[0].path == "ä.jpg"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe\xff", "it is not UTF-8 text"),
        (b'{"frames": NaN}', "NaN is not a JSON number"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_what_is_not_json_is_said_to_be_none(data, problem):
    assert refusal(data) == f"Invalid JSON in manifest file: {problem}"


@pytest.mark.parametrize("content", [[], [frame()], "frames", 7, None])
def test_the_top_level_must_be_an_object(content):
    assert refusal(content) == (
        "Invalid manifest structure: the top level must be an object with the key 'frames'"
    )


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ({}, "frames\n  Field required"),
        ({"frames": []}, "frames\n  Input should be a list with at least 1 item"),
        ({"frames": {}}, "frames\n  Input should be a list with at least 1 item"),
        ({"frames": [7]}, "frames.0\n  Input should be an object"),
        (
            {"frames": [frame()], "video_metadata": 3},
            "video_metadata\n  Input should be an object",
        ),
        (
            {"frames": [{"frame_number": 0, "type": "full_frame"}]},
            "frames.0.timestamp\n  Field required",
        ),
    ],
)
def test_what_is_missing_is_named(content, lines):
    assert refusal(content) == (
        f"Invalid manifest structure: 1 validation error for FramesManifest\n{lines}"
    )


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"frame_number": -1}, "an integer of 0 or more"),
        ({"frame_number": 1.5}, "an integer of 0 or more"),
        ({"frame_number": True}, "an integer of 0 or more"),
        ({"frame_number": None}, "an integer of 0 or more"),
        ({"frame_number": 10**30}, "an integer of 0 or more"),
        ({"timestamp": -0.1}, "a number of 0 or more"),
        ({"timestamp": "1"}, "a number of 0 or more"),
        ({"type": "crop"}, "'full_frame' or 'detected_crop'"),
        ({"image_path": 5}, "a string"),
        ({"frame_interval": 0}, "an integer of 1 or more"),
        ({"is_detected_crop": "yes"}, "true or false"),
        ({"detection_confidence": 1.1}, "a number from 0 to 1"),
        ({"crop_bbox": [3, 0, 1, 5]}, "[x1, y1, x2, y2] with x1 < x2 and y1 < y2"),
        ({"crop_bbox": [1, 2, 3]}, "[x1, y1, x2, y2] with x1 < x2 and y1 < y2"),
        ({"crop_bbox": [1, 2, "3", 4]}, "[x1, y1, x2, y2] with x1 < x2 and y1 < y2"),
        ({"crop_index": -1}, "an integer of 0 or more"),
    ],
)
def test_what_is_wrong_is_named_with_what_it_should_be(fields, wanted):
    (name,) = fields
    assert refusal({"frames": [frame(image_path="a.jpg"), frame() | fields]}) == (
        "Invalid manifest structure: 1 validation error for FramesManifest\n"
        f"frames.1.{name}\n  Input should be {wanted}"
    )


def test_many_errors_are_counted_and_the_first_are_listed():
    message = refusal({"frames": [{}] * 50})
    assert message.startswith("Invalid manifest structure: 150 validation errors for ")
    assert len(message) < 600


def test_manifests_without_any_picture_are_refused():
    assert refusal({"frames": [frame()]}) == "No valid frame images found in manifest"
    optimized = {"total_metadata_entries": 0, "frame_metadata_map": {}}
    for entries in ({}, {"all_frame_metadata": []}, {"all_frame_metadata": [{}, 3]}):
        message = refusal(optimized | entries)
        assert message == "No valid images found in optimized manifest"


def test_too_many_frames_are_refused():
    pictures = {"frames": [frame(place, image_path="a.jpg") for place in range(5)]}
    for content in (pictures, pictures | {"video_path": "a.mp4"}):
        assert refusal(content, max_frames=4) == (
            "frames: 5 frames are asked for; at most 4 of a video are accepted"
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
FIELDS = st.sampled_from(["frame_number", "timestamp", "type", "image_path", "crop_bbox"])


@given(st.dictionaries(FIELDS, JSON), st.none() | JSON)
def test_whatever_a_manifest_says_it_is_read_or_refused(entry, video_path):
    content = {"frames": [frame(image_path="a.jpg"), entry], "video_path": video_path}
    data = json.dumps(content).encode()
    try:
        manifest = read_manifest(data)
    except InvalidInputError:
        return
    assert manifest.pictures or manifest.frame_numbers
