"""Tensors of the Open Inference Protocol: JSON data, and raw bytes behind the JSON.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import orjson

from polyvec.dialects._base import Call, json_type
from polyvec.errors import InvalidInputError

HEADER_LENGTH: Final = "inference-header-content-length"
"""Header that says how many bytes of a body are JSON."""

_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a request whose elements are byte strings.

    Attributes:
        name: As the caller calls it.
        elements: Texts as they came in JSON, or bytes.
        param: Where it is in the request.
    """

    name: str
    elements: tuple[str | bytes, ...]
    param: str


def split_body(call: Call) -> tuple[dict[str, Any], bytes]:
    """Return the JSON object of a body and the bytes behind it.

    Raises:
        InvalidInputError: It is no JSON object, or the header about its length is wrong.
    """
    given = call.headers.get(HEADER_LENGTH)
    if given is None:
        return call.json_object(), b""
    if not (given.isascii() and given.isdigit() and len(given) < 20):  # noqa: PLR2004
        raise InvalidInputError("Inference-Header-Content-Length must be a number of bytes")
    length = int(given)
    if length > len(call.body):
        raise InvalidInputError(
            f"Inference-Header-Content-Length is {length}, but the body has {len(call.body)} bytes"
        )
    head = Call(call.method, call.path, body=call.body[:length])
    return head.json_object(), call.body[length:]


def read_tensors(body: Mapping[str, Any], raw: bytes) -> tuple[Tensor, ...]:
    """Return the tensors of a request.

    Args:
        body: Its JSON.
        raw: What stands behind the JSON, in the order of the tensors.

    Raises:
        InvalidInputError: A tensor is not BYTES, or its shape and data disagree.
    """
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise InvalidInputError("inputs must be an array of tensors", param="inputs")
    tensors, start = [], 0
    for index, value in enumerate(inputs):
        param = f"inputs[{index}]"
        if not isinstance(value, Mapping):
            raise _wrong(param, "an object", value)
        num_bytes = _binary_size(value, param)
        if num_bytes is not None and start + num_bytes > len(raw):
            raise InvalidInputError(
                f"{param}: binary_data_size is over what follows the JSON", param=param
            )
        data = None if num_bytes is None else raw[start : start + num_bytes]
        start += num_bytes or 0
        tensors.append(_tensor(value, data, param))
    if start != len(raw):
        raise InvalidInputError("there is more data than the tensors' binary_data_size say")
    return tuple(tensors)


def text_of(element: str | bytes, param: str) -> str:
    """Return an element as text.

    Raises:
        InvalidInputError: It is not UTF-8.
    """
    if isinstance(element, str):
        return element
    try:
        return element.decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"{param} must be UTF-8 text", param=param) from None


def pack(header: Mapping[str, Any], raw: bytes) -> tuple[bytes, int]:
    """Return the body of a binary answer, and how many of its bytes are JSON."""
    head = orjson.dumps(header)
    return head + raw, len(head)


def _tensor(value: Mapping[str, Any], raw: bytes | None, param: str) -> Tensor:
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise _wrong(f"{param}.name", "a string", name)
    if value.get("datatype") != "BYTES":
        raise InvalidInputError(
            f'{param}.datatype must be "BYTES"; this model reads texts and pictures',
            param=f"{param}.datatype",
        )
    shape = _shape(value.get("shape"), f"{param}.shape")
    data = value.get("data")
    # A client that takes a text's characters for elements: litellm, for a lone string.
    if isinstance(data, str):
        return Tensor(name, (data,), param)
    elements: tuple[str | bytes, ...]
    elements = tuple(_unpacked(raw, param)) if raw is not None else tuple(_listed(data, param))
    if len(elements) != prod(shape):
        raise InvalidInputError(
            f"{param} has {len(elements)} elements, but its shape is {shape}", param=param
        )
    return Tensor(name, elements, param)


def _shape(value: Any, param: str) -> list[int]:
    """A shape that holds one element a row: [n], [n, 1] or [1, n]."""
    if not isinstance(value, list) or not value:
        raise _wrong(param, "an array of numbers", value)
    if not all(type(size) is int and 0 <= size < 2**31 for size in value):
        raise InvalidInputError(f"{param} must be an array of numbers", param=param)
    if len(value) > 8:  # noqa: PLR2004
        raise InvalidInputError(f"{param} has too many dimensions", param=param)
    return value


def _binary_size(value: Mapping[str, Any], param: str) -> int | None:
    parameters = value.get("parameters")
    if parameters is None:
        return None
    if not isinstance(parameters, Mapping):
        raise _wrong(f"{param}.parameters", "an object", parameters)
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        name = f"{param}.parameters.binary_data_size"
        raise InvalidInputError(f"{name} must be a number of bytes", param=name)
    return size


def _unpacked(raw: bytes, param: str) -> Iterator[bytes]:
    """Byte strings that stand one behind the other, each behind its length."""
    start = 0
    while start < len(raw):
        if start + _LENGTH.size > len(raw):
            raise InvalidInputError(f"{param}: its last element is cut short", param=param)
        (length,) = _LENGTH.unpack_from(raw, start)
        start += _LENGTH.size
        if start + length > len(raw):
            raise InvalidInputError(f"{param}: its last element is cut short", param=param)
        yield raw[start : start + length]
        start += length


def _listed(data: Any, param: str) -> Iterator[str]:
    """The elements of JSON data, which may be nested as its shape is."""
    where = f"{param}.data"
    if not isinstance(data, list):
        raise _wrong(where, "an array of strings", data)
    for item in data:
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            yield from _listed(item, param)
        else:
            raise _wrong(where, "an array of strings", item)


def _wrong(param: str, allowed: str, value: object) -> InvalidInputError:
    message = f"{param} must be {allowed}, got {json_type(value)}"
    return InvalidInputError(message, param=param, code="invalid_type")
