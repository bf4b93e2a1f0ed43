"""What bodies of Multimodal Embedding Serving hold: typed input objects, read by their fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.types import Base64, Image, Input, Modality, Source, Text, Url

_VIDEO_REFUSAL: Final = "Video inputs are not supported by the active model"

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

Location = tuple[str | int, ...]


class FieldError(InvalidInputError):
    """A field that is missing or of the wrong type, reported the way FastAPI does.

    Attributes:
        kind: pydantic's name of the error, such as ``missing``.
        location: Path of the field from ``body`` on.
    """

    code = "invalid_type"

    def __init__(self, kind: str, location: Location, message: str) -> None:
        super().__init__(message, param=".".join(map(str, location[1:])) or None)
        self.kind = kind
        self.location = location


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one typed input object asks for.

    Attributes:
        inputs: One per vector.
        nested: Whether the answer is an array of vectors, even for one input, or one flat vector.
        modality: What the model must be able to read.
        refusal: What a model without that modality answers.
    """

    inputs: tuple[Input, ...]
    nested: bool
    modality: Modality
    refusal: str


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
        _require_str(body, "encoding_format", ("body",))
    return _require_str(body, "model", ("body",))


def parse_input(body: Mapping[str, Any]) -> Inputs | UnsupportedInputError:
    """Return what a body's typed ``input`` object asks for, or why no vector is made for it.

    The refusal is returned, not raised: the original checks the body first, then the model, and
    only then what the type asks for.

    Raises:
        FieldError: A field that the type needs is missing or of the wrong type.

    Source: ``docs/user-guide/api-reference.md`` of the original's repository.
    """
    location: Location = ("body", "input")
    value = _require(body, "input", ("body",))
    if not isinstance(value, dict):
        raise FieldError("dict_type", location, "Input should be a valid dictionary")
    kind = _require_str(value, "type", location)
    if kind == "text":
        return _parse_text(value, location)
    if kind in ("image_url", "image_base64"):
        image = Input((Image(_parse_image(value, kind, location)),), param=f"input.{kind}")
        return _images((image,), nested=False, what="Image")
    if kind == "video_frames":
        return _parse_frames(value, location)
    return _refusal(value, kind, location)


def _require(fields: Mapping[str, Any], name: str, location: Location) -> Any:
    if name not in fields:
        raise FieldError("missing", (*location, name), "Field required")
    return fields[name]


def _require_str(fields: Mapping[str, Any], name: str, location: Location) -> str:
    value = _require(fields, name, location)
    if not isinstance(value, str):
        raise FieldError("string_type", (*location, name), "Input should be a valid string")
    return value


def _parse_text(fields: Mapping[str, Any], location: Location) -> Inputs:
    value = _require(fields, "text", location)
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


def _parse_image(fields: Mapping[str, Any], kind: str, location: Location) -> Source:
    value = _require_str(fields, kind, location)
    if kind == "image_url":
        return Url(value)
    # The original decodes what follows the first comma, whatever stands before it.
    _, comma, after = value.partition(",")
    data = after if comma else value
    return Base64("".join(data.split()))


def _parse_frames(fields: Mapping[str, Any], location: Location) -> Inputs:
    frames = _require(fields, "video_frames", location)
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
        kind = _require_str(frame, "type", where)
        if kind not in ("image_url", "image_base64"):
            message = "Input should be 'image_url' or 'image_base64'"
            raise FieldError("literal_error", (*where, "type"), message)
        image = Image(_parse_image(frame, kind, where))
        inputs.append(Input((image,), param=f"input.video_frames[{index}]"))
    return _images(tuple(inputs), nested=True, what="Video")


def _images(inputs: tuple[Input, ...], *, nested: bool, what: str) -> Inputs:
    refusal = f"{what} inputs are not supported by the active model"
    return Inputs(inputs, nested=nested, modality="image", refusal=refusal)


def _refusal(fields: Mapping[str, Any], kind: str, location: Location) -> UnsupportedInputError:
    """Return the refusal of a type that no vector is made for, once its fields are well-formed."""
    if kind == "image_file":
        _require_str(fields, "image_path", location)
        return UnsupportedInputError(
            "Image files are not supported by this server; send the image as image_base64"
        )
    if kind == "frames_batch":
        _require_str(fields, "frames_manifest_path", location)
        return UnsupportedInputError(_VIDEO_REFUSAL)
    videos = {"video_url": "video_url", "video_base64": "video_base64", "video_file": "video_path"}
    if kind not in videos:
        # The original chooses by fields: an object that has none of them is malformed.
        if not fields.keys() & _PAYLOAD_FIELDS:
            raise FieldError("missing", (*location, "text"), "Field required")
        return UnsupportedInputError("Invalid input type")
    _require_str(fields, videos[kind], location)
    if not isinstance(_require(fields, "segment_config", location), dict):
        where = (*location, "segment_config")
        raise FieldError("dict_type", where, "Input should be a valid dictionary")
    return UnsupportedInputError(_VIDEO_REFUSAL)
