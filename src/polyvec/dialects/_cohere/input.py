"""What bodies of Cohere's ``/embed`` ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from polyvec.dialects._cohere.wire import EmbeddingType
from polyvec.dialects._content import parse_content, source_of
from polyvec.dialects._openai.wire import one_of, optional_int, optional_str, wrong_type
from polyvec.errors import InvalidInputError
from polyvec.types import EmbedRequest, Image, Input, MediaPart, Text, Truncate

EMBEDDING_TYPES: Final = ("float", "int8", "uint8", "binary", "ubinary", "base64")

_INPUT_FIELDS: Final = ("texts", "images", "inputs")
_TRUNCATE: Final[Mapping[str, Truncate]] = {"NONE": "none", "START": "start", "END": "end"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What one body asks for.

    Attributes:
        request: Without the prompt that ``input_type`` stands for.
        input_type: As the caller wrote it.
        embedding_types: None where the body names none.
        texts: To repeat in the answer; empty when the inputs are no plain texts.
    """

    request: EmbedRequest
    input_type: str | None
    embedding_types: tuple[EmbeddingType, ...] | None
    texts: tuple[str, ...]


def parse(body: Mapping[str, Any]) -> Asked:
    """Return what a body of ``POST /v2/embed`` or ``POST /v1/embed`` asks for.

    A null in an optional field means the same as its absence; unknown fields are ignored.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.cohere.com/reference/embed.
    """
    name = _input_field(body)
    inputs = _parse_inputs(name, body[name])
    truncate = one_of(body, "truncate", tuple(_TRUNCATE)) or "END"
    request = EmbedRequest(
        model=optional_str(body, "model") or None,
        inputs=inputs,
        dimensions=_positive(body, "output_dimension"),
        truncate=_TRUNCATE[truncate],
        max_tokens=_positive(body, "max_tokens"),
        outputs=("dense",),
        priority=optional_int(body, "priority") or 0,
    )
    return Asked(
        request=request,
        input_type=optional_str(body, "input_type"),
        embedding_types=_parse_types(body),
        texts=tuple(body[name]) if name == "texts" else (),
    )


def _input_field(body: Mapping[str, Any]) -> str:
    """Which of the three fields holds the inputs; an empty array is as good as none."""
    for name in _INPUT_FIELDS:
        if body.get(name) is not None and not isinstance(body[name], list):
            raise wrong_type(name, "an array or null", body[name])
    given = [name for name in _INPUT_FIELDS if body.get(name)]
    if len(given) == 1:
        return given[0]
    raise InvalidInputError(
        "Exactly one of texts, images, or inputs must be provided, and it must be non-empty",
        param=given[1] if given else "texts",
    )


def _parse_inputs(name: str, values: list[Any]) -> tuple[Input, ...]:
    read = {"texts": _text, "images": _image, "inputs": _mixed}[name]
    params = (f"{name}[{index}]" for index in range(len(values)))
    return tuple(Input(read(value, param), param) for value, param in zip(values, params))  # noqa: B905


def _text(value: Any, param: str) -> tuple[MediaPart, ...]:
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)
    return (Text(value),)


def _image(value: Any, param: str) -> tuple[MediaPart, ...]:
    return (Image(source_of(value, param)),)


def _mixed(value: Any, param: str) -> tuple[MediaPart, ...]:
    if not isinstance(value, Mapping):
        raise wrong_type(param, "an object with content", value)
    parts = parse_content(value.get("content"), f"{param}.content")
    if not parts:
        raise InvalidInputError(
            f"{param}.content must hold at least one part", param=f"{param}.content"
        )
    return parts


def _positive(body: Mapping[str, Any], name: str) -> int | None:
    value = optional_int(body, name)
    if value is not None and value < 1:
        raise InvalidInputError(f"{name} must be a positive integer or null", param=name)
    return value


def _parse_types(body: Mapping[str, Any]) -> tuple[EmbeddingType, ...] | None:
    values = body.get("embedding_types")
    if values is None or values == []:
        return None
    allowed = ", ".join(EMBEDDING_TYPES)
    if not isinstance(values, list):
        raise wrong_type("embedding_types", f"an array of {allowed}, or null", values)
    for index, value in enumerate(values):
        if not isinstance(value, str) or value not in EMBEDDING_TYPES:
            where = f"embedding_types[{index}]"
            raise InvalidInputError(f"{where} must be one of {allowed}", param=where)
    return tuple(dict.fromkeys(cast("list[EmbeddingType]", values)))
