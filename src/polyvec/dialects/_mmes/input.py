"""What bodies of Multimodal Embedding Serving hold: typed input objects, read by their fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyvec.dialects._mmes.fields import FieldError, Location, require, require_str
from polyvec.dialects._mmes.video import (
    VIDEO_FIELDS,
    base64_of,
    parse_image_path,
    parse_manifest,
    parse_video,
)
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.types import FrameSampling, Image, Input, Modality, Source, Text, Url

_PAYLOAD_FIELDS: Final = frozenset(
    (
        "text",
        "image_url",
        "image_base64",
        "image_path",
        "video_frames",
        "video_url",
        "video_base64",
        "video_path",
        "frames_manifest_path",
    )
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one typed input object asks for.

    Attributes:
        inputs: One per vector.
        nested: Whether the answer is an array of vectors, even for one input, or one flat vector.
        is_video: Whether the one input gets a vector for each of its frames.
        modality: What the model must be able to read.
        refusal: What a model without that modality answers.
    """

    inputs: tuple[Input, ...]
    nested: bool
    modality: Modality
    refusal: str
    is_video: bool = False


def parse_model(body: Any) -> str:
    """Return the requested model's name and check the fields beside ``input``.

    ``encoding_format`` may be any string and is not used, as in the original: its clients read the
    answer as an array whatever they sent.

    Raises:
        FieldError: ``model`` is missing, or a field has the wrong type.
    """
    if not isinstance(body, dict):
        raise FieldError("model_attributes_type", ("body",), "Input should be a valid object")
    if body.get("encoding_format") is not None:
        require_str(body, "encoding_format", ("body",))
    return require_str(body, "model", ("body",))


def parse_input(
    body: Mapping[str, Any], defaults: FrameSampling | None = None
) -> Inputs | UnsupportedInputError:
    """Return what a body's typed ``input`` object asks for, or why no vector is made for it.

    The refusal is returned, not raised: the original checks the body first, then the model, and
    only then what the type asks for.

    Args:
        body: Decoded.
        defaults: What holds for a video where its ``segment_config`` says nothing.

    Raises:
        FieldError: A field that the type needs is missing or of the wrong type.

    Source: ``docs/user-guide/api-reference.md`` of the original's repository.
    """
    location: Location = ("body", "input")
    value = require(body, "input", ("body",))
    if not isinstance(value, dict):
        raise FieldError("dict_type", location, "Input should be a valid dictionary")
    kind = require_str(value, "type", location)
    if kind in VIDEO_FIELDS:
        return _video(parse_video(value, kind, location, defaults or FrameSampling()))
    if kind in _READERS:
        return _READERS[kind](value, kind, location)
    # The original chooses by fields: an object that has none of them is malformed.
    if not value.keys() & _PAYLOAD_FIELDS:
        raise FieldError("missing", (*location, "text"), "Field required")
    return UnsupportedInputError("Invalid input type")


def _parse_text(fields: Mapping[str, Any], _kind: str, location: Location) -> Inputs:
    value = require(fields, "text", location)
    nested = isinstance(value, list)
    texts = value if nested else [value]
    inputs = []
    for index, text in enumerate(texts):
        where = (*location, "text", index) if nested else (*location, "text")
        if not isinstance(text, str):
            expected = "string" if nested else "string or list of strings"
            raise FieldError("string_type", where, f"Input should be a valid {expected}")
        inputs.append(
            Input((Text(text),), param=f"input.text[{index}]" if nested else "input.text")
        )
    refusal = "Text inputs are not supported by the active model"
    return Inputs(tuple(inputs), nested=nested, modality="text", refusal=refusal)


def _parse_lone_image(fields: Mapping[str, Any], kind: str, location: Location) -> Inputs:
    if kind == "image_file":
        source: Source = parse_image_path(fields, location)
        param = "input.image_path"
    else:
        source = _parse_image(fields, kind, location)
        param = f"input.{kind}"
    return _images((Input((Image(source),), param=param),), nested=False, what="Image")


def _parse_image(fields: Mapping[str, Any], kind: str, location: Location) -> Source:
    value = require_str(fields, kind, location)
    if kind == "image_url":
        return Url(value)
    return base64_of(value)


def _parse_frames(fields: Mapping[str, Any], _kind: str, location: Location) -> Inputs:
    frames = require(fields, "video_frames", location)
    location = (*location, "video_frames")
    if not isinstance(frames, list):
        raise FieldError("list_type", location, "Input should be a valid list")
    if not frames:
        raise InvalidInputError("video_frames must hold at least one frame")
    inputs = []
    for index, frame in enumerate(frames):
        where = (*location, index)
        if not isinstance(frame, dict):
            raise FieldError("dict_type", where, "Input should be a valid dictionary")
        kind = require_str(frame, "type", where)
        if kind not in ("image_url", "image_base64"):
            message = "Input should be 'image_url' or 'image_base64'"
            raise FieldError("literal_error", (*where, "type"), message)
        image = Image(_parse_image(frame, kind, where))
        inputs.append(Input((image,), param=f"input.video_frames[{index}]"))
    return _images(tuple(inputs), nested=True, what="Video")


def _images(inputs: tuple[Input, ...], *, nested: bool, what: str) -> Inputs:
    refusal = f"{what} inputs are not supported by the active model"
    return Inputs(inputs, nested=nested, modality="image", refusal=refusal)


def _video(item: Input) -> Inputs:
    return Inputs(
        (item,),
        nested=True,
        modality="image",
        refusal="Video inputs are not supported by the active model",
        is_video=True,
    )


def _parse_manifest(fields: Mapping[str, Any], _kind: str, location: Location) -> Inputs:
    return _video(parse_manifest(fields, location))


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], str, Location], Inputs]]] = {
    "text": _parse_text,
    "image_url": _parse_lone_image,
    "image_base64": _parse_lone_image,
    "image_file": _parse_lone_image,
    "video_frames": _parse_frames,
    "frames_batch": _parse_manifest,
}
