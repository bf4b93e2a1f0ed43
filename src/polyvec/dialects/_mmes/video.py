"""Videos in bodies of Multimodal Embedding Serving: where they are, and which frames are meant."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final, NoReturn

from polyvec.dialects._mmes.fields import FieldError, Location, require_object, require_str
from polyvec.types import (
    Base64,
    File,
    FrameSampling,
    FramesManifest,
    Input,
    Source,
    Url,
    Video,
)

VIDEO_FIELDS: Final = {
    "video_url": "video_url",
    "video_base64": "video_base64",
    "video_file": "video_path",
}
"""Type of a video input → the field that holds it."""

# Source: the original's validation of local references.
_VIDEO_SUFFIXES: Final = frozenset(
    (".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".gif", "")
)
_TO_THE_END: Final = -1
_SHORTEST_SEGMENT_S: Final = 0.001


def base64_of(value: str) -> Base64:
    """The base64 of a field: the original decodes what follows the first comma, if there is one."""
    _, comma, after = value.partition(",")
    return Base64(after if comma else value)


def parse_video(
    fields: Mapping[str, Any], kind: str, location: Location, defaults: FrameSampling
) -> Input:
    """Return the input of ``video_url``, ``video_base64`` and ``video_file``.

    Args:
        fields: The typed object.
        kind: Its type.
        location: Where it stands.
        defaults: What holds for keys that ``segment_config`` leaves out.

    Raises:
        FieldError: A field is missing or cannot be used.
    """
    name = VIDEO_FIELDS[kind]
    source = _source(kind, require_str(fields, name, location), (*location, name))
    config = require_object(fields, "segment_config", location)
    reader = _Segment(config, (*location, "segment_config"))
    video = Video(source, reader.sampling(defaults), reader.segment_s())
    return Input((video,), param=f"input.{name}")


def parse_manifest(fields: Mapping[str, Any], location: Location) -> Input:
    """Return the input of ``frames_batch``.

    Raises:
        FieldError: A field is missing or cannot be used.
    """
    name = "frames_manifest_path"
    path = _local(require_str(fields, name, location), (*location, name), frozenset((".json",)))
    return Input((FramesManifest(path),), param=f"input.{name}")


def parse_image_path(fields: Mapping[str, Any], location: Location) -> File:
    """Return the file of ``image_file``.

    Raises:
        FieldError: The field is missing or cannot be used.
    """
    name = "image_path"
    return _local(require_str(fields, name, location), (*location, name), None)


def _source(kind: str, value: str, location: Location) -> Source:
    if kind == "video_url":
        return Url(value)
    if kind == "video_base64":
        return base64_of(value)
    return _local(value, location, _VIDEO_SUFFIXES)


def _local(value: str, location: Location, suffixes: frozenset[str] | None) -> File:
    """A path on the server, in the original's words where it is none.

    The original takes bare names only; so that its older clients work, this takes any path, and the
    operator's media roots say which are allowed.
    """
    path = value.strip()
    if not path:
        _refuse(location, "file reference must be a non-empty string")
    if "\0" in path:
        _refuse(location, "Null bytes are not allowed in local artifact references")
    suffix = PurePosixPath(path).suffix.lower()
    if suffixes is not None and suffix not in suffixes:
        if not suffix:
            _refuse(location, "Local artifact reference must include an allowed extension")
        _refuse(location, f"Unsupported local artifact extension: {suffix[:32]}")
    return File(path)


def _refuse(location: Location, message: str) -> NoReturn:
    raise FieldError("value_error", location, f"Value error, {message}")


class _Segment:
    """Reads ``segment_config``; a null counts as absent, unknown keys as in the original."""

    def __init__(self, config: Mapping[str, Any], location: Location) -> None:
        self._config = {key: value for key, value in config.items() if value is not None}
        self._location = location

    def sampling(self, defaults: FrameSampling) -> FrameSampling:
        found: dict[str, Any] = {}
        if "startOffsetSec" in self._config:
            found["start_s"] = self._number("startOffsetSec", "0 or more", least=0)
        if "clip_duration" in self._config:
            found["duration_s"] = self._duration()
        if "num_frames" in self._config:
            found["num_frames"] = self._count("num_frames")
        # The original's SDK documents `fps`, which the original then does not read.
        key = "extraction_fps" if "extraction_fps" in self._config else "fps"
        if key in self._config:
            found["fps"] = self._positive(key)
        if "frame_indexes" in self._config:
            found["indexes"] = self._indexes()
        if "frame_interval" in self._config and not self._count("frame_interval"):
            self._wrong("frame_interval", "a whole number from 1 up")
        return replace(defaults, **found)

    def segment_s(self) -> float | None:
        if "segment_seconds" not in self._config:
            return None
        allowed = f"a number from {_SHORTEST_SEGMENT_S} up"
        return self._number("segment_seconds", allowed, least=_SHORTEST_SEGMENT_S)

    def _duration(self) -> float | None:
        value = self._config["clip_duration"]
        if value == _TO_THE_END and not isinstance(value, bool):
            return None
        return self._number("clip_duration", "-1 for all the rest, or 0 or more", least=0)

    def _positive(self, key: str) -> float:
        value = self._number(key, "a number above 0", least=0)
        return value if value > 0 else self._wrong(key, "a number above 0")

    def _number(self, key: str, allowed: str, *, least: float) -> float:
        value = self._config[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong(key, allowed)
        number = float(value)
        return number if math.isfinite(number) and number >= least else self._wrong(key, allowed)

    def _count(self, key: str) -> int:
        value = self._config[key]
        whole = isinstance(value, int | float) and not isinstance(value, bool)
        if not whole or value != int(value) or value < 0:
            self._wrong(key, "a whole number from 0 up")
        return int(value)

    def _indexes(self) -> tuple[int, ...]:
        allowed = "a list of frame numbers from 0 up, at least one"
        value = self._config["frame_indexes"]
        if not isinstance(value, list) or not value:
            self._wrong("frame_indexes", allowed)
        for index in value:
            if isinstance(index, bool) or not isinstance(index, int | float) or index < 0:
                self._wrong("frame_indexes", allowed)
        return tuple(int(index) for index in value)

    def _wrong(self, key: str, allowed: str) -> NoReturn:
        raise FieldError(
            "value_error",
            (*self._location, key),
            f"Value error, segment_config.{key} must be {allowed}",
        )
