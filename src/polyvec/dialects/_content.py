"""Content parts as chat APIs write them, and what their strings point at.

OpenAI, vLLM, OpenRouter, Cohere and Voyage write a part as ``{"type": …}`` with a field of that
name; their clients leave the type out at times, and write an image as a string or as an object.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from polyvec.dialects._base import json_type
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.types import (
    Base64,
    DataUri,
    File,
    Image,
    MediaPart,
    Message,
    Source,
    Text,
    Url,
    Video,
)

_TEXT_FIELDS: Final = ("text", "input_text")
_IMAGE_FIELDS: Final = ("image_url", "image", "input_image", "image_base64")
_VIDEO_FIELDS: Final = ("video_url", "video", "input_video", "video_base64")
_GROUPS: Final = (_TEXT_FIELDS, _IMAGE_FIELDS, _VIDEO_FIELDS)
_REFUSED_FIELDS: Final = ("audio_url", "input_audio", "audio", "file", "input_file")
_MEDIA_SUFFIXES: Final = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif",
    ".mp4", ".mkv", ".webm", ".mov", ".avi",
)  # fmt: skip
_MAX_PATH_CHARS: Final = 4096


def parse_content(value: Any, param: str) -> tuple[MediaPart, ...]:
    """Return the parts of a message's ``content``: a string, one part, or an array of parts.

    Null is a message without parts.

    Raises:
        InvalidInputError: ``param`` names the part.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (Text(value),)
    if isinstance(value, Mapping):
        return (parse_part(value, param),)
    if isinstance(value, list):
        return tuple(parse_part(part, f"{param}[{index}]") for index, part in enumerate(value))
    raise InvalidInputError(
        f"{param} must be a string or an array of parts, got {json_type(value)}",
        param=param,
        code="invalid_type",
    )


def parse_part(value: Any, param: str) -> MediaPart:
    """Return one content part; a string is a text.

    Raises:
        UnsupportedInputError: It is sound or a document.
        InvalidInputError: It is nothing that a part can be.
    """
    if isinstance(value, str):
        return Text(value)
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            f"{param} must be a string or an object, got {json_type(value)}",
            param=param,
            code="invalid_type",
        )
    name = _field_of(value, param)
    if name in _TEXT_FIELDS:
        return Text(_text(value, param))
    where = f"{param}.{name}"
    source = source_of(_pointed_at(value[name], where), where)
    return Image(source) if name in _IMAGE_FIELDS else Video(source)


def parse_messages(value: Any, param: str) -> tuple[Message, ...]:
    """Return the messages of one conversation.

    Raises:
        InvalidInputError: ``param`` names the message or part.
    """
    if not isinstance(value, list):
        raise InvalidInputError(
            f"{param} must be an array of messages, got {json_type(value)}",
            param=param,
            code="invalid_type",
        )
    if not value:
        # Word for word what vLLM says.
        raise InvalidInputError(
            "Cannot apply chat template to an empty conversation. Provide at least one message.",
            param=param,
        )
    return tuple(_message(message, f"{param}[{index}]") for index, message in enumerate(value))


def source_of(value: Any, param: str) -> Source:
    """Return what a string points at: a data URI, a URL, a path or bare base64.

    Whether the server opens it is decided where it is opened.

    Raises:
        InvalidInputError: It is no string, or an empty one.
    """
    if not isinstance(value, str) or not value:
        got = "an empty string" if value == "" else json_type(value)
        raise InvalidInputError(
            f"{param} must be a URL, a data URI or base64, got {got}",
            param=param,
            code="invalid_type",
        )
    scheme = value[:8].lower()
    if scheme.startswith("data:"):
        return DataUri(value)
    if scheme.startswith(("http://", "https://")):
        return Url(value)
    if scheme.startswith("file://"):
        return File(value[len("file://") :])
    if "://" in value[:32]:
        raise InvalidInputError(
            f"{param}: the URL must be either a HTTP, data or file URL.", param=param
        )
    # A path has a suffix, which base64 has not.
    if len(value) <= _MAX_PATH_CHARS and value.lower().endswith(_MEDIA_SUFFIXES):
        return File(value)
    return Base64(value)


def _field_of(part: Mapping[str, Any], param: str) -> str:
    """The field that holds a part's content; its ``type`` names it, or the field itself does."""
    fields = (*_TEXT_FIELDS, *_IMAGE_FIELDS, *_VIDEO_FIELDS)
    kind = part.get("type")
    if kind in _REFUSED_FIELDS or (kind is None and any(name in part for name in _REFUSED_FIELDS)):
        raise UnsupportedInputError(
            f"{param}: this server embeds text, images and videos, not sound or documents",
            param=param,
        )
    if kind is not None and kind not in fields:
        raise InvalidInputError(
            f"{param}.type must be one of {', '.join(fields)}", param=f"{param}.type"
        )
    groups = [names for names in _GROUPS if kind in names]
    candidates: Sequence[str] = fields if kind is None else (kind, *groups[0])
    found = [name for name in candidates if part.get(name) is not None]
    if not found:
        wanted = kind or "text or image_url or video_url"
        raise InvalidInputError(f"{param} needs {wanted}", param=param)
    filled = [name for name in found if part[name] != ""] or found
    if not any(set(filled) <= set(group) for group in _GROUPS):
        raise InvalidInputError(
            f"{param} has {' and '.join(filled)}: give each a part of its own", param=param
        )
    return filled[0]


def _pointed_at(value: Any, param: str) -> Any:
    """The string itself, or the ``url`` (or ``data``) of an object."""
    if not isinstance(value, Mapping):
        return value
    for name in ("url", "image_url", "video_url", "data"):
        if value.get(name) is not None:
            return value[name]
    raise InvalidInputError(f"{param} needs url", param=param)


def _text(part: Mapping[str, Any], param: str) -> str:
    name = next(name for name in _TEXT_FIELDS if part.get(name) is not None)
    value = part[name]
    if not isinstance(value, str):
        raise InvalidInputError(
            f"{param}.{name} must be a string, got {json_type(value)}",
            param=f"{param}.{name}",
            code="invalid_type",
        )
    return value


def _message(value: Any, param: str) -> Message:
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            f"{param} must be a message: an object with role and content, got {json_type(value)}",
            param=param,
            code="invalid_type",
        )
    role = value.get("role", "user")
    if not isinstance(role, str):
        raise InvalidInputError(
            f"{param}.role must be a string, got {json_type(role)}",
            param=f"{param}.role",
            code="invalid_type",
        )
    return Message(role, parse_content(value.get("content"), f"{param}.content"))
