"""Inputs of Qdrant's inference service: what is in them and how they are to be embedded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyvec.dialects._base import json_type
from polyvec.dialects._content import parse_content, source_of
from polyvec.errors import InvalidInputError
from polyvec.types import EmbedRequest, Image, Input, Output, Part, Text, Truncate

_OUTPUTS: Final[Mapping[str, Output]] = {
    "dense": "dense",
    "sparse": "sparse",
    "multivector": "tokens",
}
_LENGTHS: Final = ("dimensions", "output_dimension", "mrl")
_DATA_TYPES: Final = ("text", "image", "object")


@dataclass(frozen=True, slots=True)
class InputSettings:
    """How an input is embedded; inputs of equal settings go to their model together.

    Attributes:
        model: As the caller names it.
        dimensions: Wanted vector length.
        normalize: As in `EmbedRequest`.
        output: Wanted kind of vector; None for the model's main one.
        prompt_name: A prompt that the caller names; an empty one is none at all.
        task: As in `EmbedRequest`.
        truncate: As in `EmbedRequest`.
    """

    model: str | None
    dimensions: int | None = None
    normalize: bool | None = None
    output: Output | None = None
    prompt_name: str | None = None
    task: str | None = None
    truncate: Truncate = "end"

    def request(self, inputs: tuple[Input, ...]) -> EmbedRequest:
        """Ask for the embeddings of some inputs."""
        return EmbedRequest(
            self.model,
            inputs,
            dimensions=self.dimensions,
            normalize=self.normalize,
            truncate=self.truncate,
            prompt_name=self.prompt_name or None,
            task=self.task,
            outputs=None if self.output is None else (self.output,),
        )


def parse_inference_input(value: Mapping[str, Any], param: str) -> tuple[Input, InputSettings]:
    """Return one input and its settings.

    Raises:
        InvalidInputError: ``param`` names the field.
    """
    options = value.get("options")
    if options is None:
        options = {}
    if not isinstance(options, Mapping):
        raise _wrong(f"{param}.options", "an object or null", options)
    model = _optional(value, "model", str, param)
    return Input(_parse_data(value, param), param=f"{param}.data"), _settings(
        model or None, options, f"{param}.options"
    )


def _parse_data(value: Mapping[str, Any], param: str) -> tuple[Part, ...]:
    kind = _optional(value, "data_type", str, param) or "text"
    where = f"{param}.data"
    data = value.get("data")
    if kind == "text":
        if not isinstance(data, str):
            raise _wrong(where, "a string", data)
        return (Text(data),)
    if kind == "image":
        return (Image(source_of(data, where)),)
    if kind != "object":
        raise InvalidInputError(
            f"{param}.data_type must be one of {', '.join(_DATA_TYPES)}",
            param=f"{param}.data_type",
        )
    parts = parse_content(data, where)
    if not parts:
        raise InvalidInputError(f"{where} needs a text, an image or a video", param=where)
    return parts


def _settings(model: str | None, options: Mapping[str, Any], param: str) -> InputSettings:
    length = next((name for name in _LENGTHS if options.get(name) is not None), _LENGTHS[0])
    dimensions = _optional(options, length, int, param)
    if dimensions is not None and dimensions < 1:
        raise InvalidInputError(
            f"{param}.{length} must be a positive integer or null", param=f"{param}.{length}"
        )
    output = _optional(options, "output", str, param)
    if output is not None and output not in _OUTPUTS:
        raise InvalidInputError(
            f"{param}.output must be one of {', '.join(_OUTPUTS)}", param=f"{param}.output"
        )
    cuts = _optional(options, "truncate", bool, param)
    return InputSettings(
        model,
        dimensions=dimensions,
        normalize=_optional(options, "normalize", bool, param),
        output=None if output is None else _OUTPUTS[output],
        prompt_name=_optional(options, "prompt_name", str, param),
        task=_optional(options, "task", str, param),
        truncate="none" if cuts is False else "end",
    )


def _optional(fields: Mapping[str, Any], name: str, kind: type, param: str) -> Any:
    """A field of one JSON type, or None; JSON's booleans are no integers."""
    value = fields.get(name)
    if value is None or type(value) is kind:
        return value
    wanted = {str: "a string", int: "an integer", bool: "a boolean"}[kind]
    raise _wrong(f"{param}.{name}", f"{wanted} or null", value)


def _wrong(param: str, wanted: str, value: Any) -> InvalidInputError:
    return InvalidInputError(
        f"{param} must be {wanted}, got {json_type(value)}", param=param, code="invalid_type"
    )
