"""Fields of bodies of Multimodal Embedding Serving, and what is said of those that are wrong."""

from collections.abc import Mapping
from typing import Any

from polyvec.errors import InvalidInputError

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


def require(fields: Mapping[str, Any], name: str, location: Location) -> Any:
    """A field that must be there.

    Raises:
        FieldError: It is not.
    """
    if name not in fields:
        raise FieldError("missing", (*location, name), "Field required")
    return fields[name]


def require_str(fields: Mapping[str, Any], name: str, location: Location) -> str:
    """A field that must be a string.

    Raises:
        FieldError: It is missing or something else.
    """
    value = require(fields, name, location)
    if not isinstance(value, str):
        raise FieldError("string_type", (*location, name), "Input should be a valid string")
    return value


def require_object(fields: Mapping[str, Any], name: str, location: Location) -> Mapping[str, Any]:
    """A field that must be an object.

    Raises:
        FieldError: It is missing or something else.
    """
    value = require(fields, name, location)
    if not isinstance(value, dict):
        raise FieldError("dict_type", (*location, name), "Input should be a valid dictionary")
    return value
