"""A JSON file that lists frames of a video.

Source: Multimodal Embedding Serving's ``frames_batch``: what it reads and says was measured, and
its three forms are kept.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.errors import InvalidInputError
from polyvec.media.sampling import check_count

_MAX_INT = 2**63 - 1
_MAX_ERRORS = 10
_BOX_VALUES = 4


@dataclass(frozen=True, slots=True)
class ManifestPicture:
    """A frame that is there as a picture.

    Attributes:
        path: As the manifest says it; empty where it says none.
        frame_number: Its place in the video.
        timestamp_s: Its time.
    """

    path: str
    frame_number: int
    timestamp_s: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """Either pictures, or frames of a video.

    Attributes:
        pictures: In the manifest's order.
        video_path: As the manifest says it; None where there are pictures.
        frame_numbers: Frames of the video, rising, each once.
    """

    pictures: tuple[ManifestPicture, ...] = ()
    video_path: str | None = None
    frame_numbers: tuple[int, ...] = ()


def read_manifest(data: bytes, *, max_frames: int = 4096, param: str = "input") -> Manifest:
    """What a manifest lists. Nothing is opened, and paths are as the manifest has them.

    Three forms: frames with an ``image_path`` each; a ``video_path`` with frames of it; and a
    ``video_path`` beside ``total_metadata_entries`` and ``frame_metadata_map``, where the pictures
    of ``all_frame_metadata`` are meant.

    Args:
        data: UTF-8, 16 or 32.
        max_frames: Most frames of one manifest.
        param: Where the caller wrote the manifest.

    Raises:
        InvalidInputError: Not JSON, not of one of these forms, without pictures, or too long.
    """
    content = _object_of(data, param)
    if "total_metadata_entries" in content and "frame_metadata_map" in content:
        entries = content.get("all_frame_metadata")
        pictures = _loose_pictures(entries if isinstance(entries, list) else [])
        return _with_pictures(pictures, "optimized manifest", max_frames, param)
    problems = _problems(content)
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''}"
        lines = "\n".join(problems[:_MAX_ERRORS])
        raise InvalidInputError(
            f"Invalid manifest structure: {count} for FramesManifest\n{lines}", param=param
        )
    frames = content["frames"]
    video_path = content.get("video_path")
    if isinstance(video_path, str) and video_path.strip():
        numbers = tuple(sorted({int(frame["frame_number"]) for frame in frames}))
        check_count(len(numbers), max_frames=max_frames, param=param)
        return Manifest(video_path=video_path, frame_numbers=numbers)
    pictures = tuple(
        ManifestPicture(
            frame.get("image_path") or "", int(frame["frame_number"]), float(frame["timestamp"])
        )
        for frame in frames
    )
    return _with_pictures(pictures, "manifest", max_frames, param)


def _with_pictures(
    pictures: tuple[ManifestPicture, ...], what: str, max_frames: int, param: str
) -> Manifest:
    if not any(picture.path for picture in pictures):
        kind = "images" if what == "optimized manifest" else "frame images"
        raise InvalidInputError(f"No valid {kind} found in {what}", param=param)
    check_count(len(pictures), max_frames=max_frames, param=param)
    return Manifest(pictures=pictures)


def _object_of(data: bytes, param: str) -> Mapping[str, Any]:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not a JSON number")

    try:
        content = json.loads(data, parse_constant=refuse)
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:
        problem = str(error)
    else:
        if isinstance(content, dict):
            return content
        raise InvalidInputError(
            "Invalid manifest structure: the top level must be an object with the key 'frames'",
            param=param,
        )
    raise InvalidInputError(f"Invalid JSON in manifest file: {problem}", param=param)


def _loose_pictures(entries: list[Any]) -> tuple[ManifestPicture, ...]:
    """This form has no rules of its own but the path."""
    found = []
    for place, entry in enumerate(entries):
        fields = entry if isinstance(entry, dict) else {}
        path, number, time_s = (fields.get(k) for k in ("image_path", "frame_number", "timestamp"))
        found.append(
            ManifestPicture(
                path if isinstance(path, str) else "",
                int(number or 0) if _is_count(number) else place,
                float(time_s or 0) if _is_number(time_s, 0) else 0.0,
            )
        )
    return tuple(found)


def _problems(content: Mapping[str, Any]) -> list[str]:
    """Every field that is missing or wrong, as ``frames.0.timestamp`` and what is wrong below."""
    frames = content.get("frames")
    if "frames" not in content:
        return ["frames\n  Field required"]
    if not isinstance(frames, list) or not frames:
        return ["frames\n  Input should be a list with at least 1 item"]
    found = [
        f"{key}\n  Input should be an object"
        for key in ("video_metadata", "processing_metadata")
        if not (content.get(key) is None or isinstance(content[key], dict))
    ]
    for place, frame in enumerate(frames):
        if isinstance(frame, dict):
            found += [f"frames.{place}.{problem}" for problem in _frame_problems(frame)]
        else:
            found.append(f"frames.{place}\n  Input should be an object")
    return found


def _frame_problems(frame: Mapping[str, Any]) -> list[str]:
    found = [f"{key}\n  Field required" for key in _REQUIRED if key not in frame]
    for key, (is_right, wanted) in _FIELDS.items():
        value = frame.get(key)
        may_be_missing = value is None and not (key in _REQUIRED and key in frame)
        if not (may_be_missing or is_right(value)):
            found.append(f"{key}\n  Input should be {wanted}")
    return found


def _is_number(value: Any, least: float, most: float = math.inf) -> bool:
    return type(value) in (int, float) and bool(least <= value <= min(most, _MAX_INT))


def _is_count(value: Any, least: int = 0) -> bool:
    return _is_number(value, least) and float(value).is_integer()


def _is_box(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != _BOX_VALUES:
        return False
    if not all(_is_number(one, 0) for one in value):
        return False
    left, top, right, bottom = (round(float(one)) for one in value)
    return left < right and top < bottom


_REQUIRED = ("frame_number", "timestamp", "type")
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "frame_number": (_is_count, "an integer of 0 or more"),
    "timestamp": (lambda value: _is_number(value, 0), "a number of 0 or more"),
    "type": (
        lambda value: value in ("full_frame", "detected_crop"),
        "'full_frame' or 'detected_crop'",
    ),
    "image_path": (lambda value: isinstance(value, str), "a string"),
    "frame_interval": (lambda value: _is_count(value, 1), "an integer of 1 or more"),
    "is_detected_crop": (lambda value: isinstance(value, bool), "true or false"),
    "detection_confidence": (lambda value: _is_number(value, 0, 1), "a number from 0 to 1"),
    "crop_bbox": (_is_box, "[x1, y1, x2, y2] with x1 < x2 and y1 < y2"),
    "crop_index": (_is_count, "an integer of 0 or more"),
}
