"""What APIs of OpenAI's shape share: fields, `input` in its four forms, usage and error bodies."""

import re
import uuid
from collections.abc import Mapping
from typing import Any, Final, cast

from polyvec.dialects._base import Call, Reply, json_type, retry_headers
from polyvec.dialects._encode import json_reply
from polyvec.errors import (
    AuthenticationError,
    InvalidInputError,
    ModelNotFoundError,
    NotReadyError,
    OverloadedError,
    PayloadTooLargeError,
    PolyvecError,
    UnprocessableInputError,
)
from polyvec.types import EmbedResult, Input, Output, Text, Tokens

_REQUEST_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)

INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)
SERVER_ERROR: Final = 500

# First match wins, so subclasses stand before their bases.
_STATUS: Final[tuple[tuple[type[PolyvecError], int, str], ...]] = (
    (UnprocessableInputError, 422, "invalid_request_error"),
    (InvalidInputError, 400, "invalid_request_error"),
    (PayloadTooLargeError, 413, "invalid_request_error"),
    (ModelNotFoundError, 404, "invalid_request_error"),
    (AuthenticationError, 401, "authentication_error"),
    (OverloadedError, 503, "server_error"),
    (NotReadyError, 503, "server_error"),
)
# What other errors say is for the operator: it may hold paths or a runtime's own words.
_SERVER_FAULT: Final = "the server failed to answer this request; its log says why"

_OUTPUTS: Final = ("dense", "sparse", "tokens")
_INPUT_FORMS: Final = (
    "a string, an array of strings, an array of token ids or an array of arrays of token ids"
)


def error_reply(error: PolyvecError) -> Reply:
    """Return an error in OpenAI's body, with ``message`` and ``detail`` repeated at the top.

    Source: https://platform.openai.com/docs/guides/error-codes. pymilvus reads a top-level
    ``message``, clients of FastAPI servers a top-level ``detail``.
    """
    status, kind = error_status(error)
    message = _SERVER_FAULT if status == SERVER_ERROR else error.message
    body = {"message": message, "type": kind, "param": error.param, "code": error.code}
    payload = {"error": body, "message": message, "detail": message}
    return json_reply(payload, status=status, headers=retry_headers(error))


def error_status(error: PolyvecError) -> tuple[int, str]:
    """Return an error's HTTP status and OpenAI's ``type`` for it."""
    for kind, status, openai_type in _STATUS:
        if isinstance(error, kind):
            return status, openai_type
    return SERVER_ERROR, "server_error"


def request_id(call: Call) -> str:
    """Return the id that the caller gave the request in ``X-Request-Id``, or a new one."""
    given = call.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def usage(result: EmbedResult) -> dict[str, int]:
    """Return OpenAI's ``usage``: an embedding has no completion, so both numbers are equal."""
    return {"prompt_tokens": result.num_tokens, "total_tokens": result.num_tokens}


def optional_str(body: Mapping[str, Any], name: str) -> str | None:
    """Return a string field, or None where it is absent or null.

    Raises:
        InvalidInputError: It is something else.
    """
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong_type(name, "a string or null", value)


def optional_int(body: Mapping[str, Any], name: str) -> int | None:
    """Return an integer field that fits 64 bits, or None where it is absent or null.

    Raises:
        InvalidInputError: It is something else; a boolean is not an integer.
    """
    value = body.get(name)
    if value is None:
        return None
    # Not isinstance: JSON's true and false arrive as bool, which Python counts as int.
    if type(value) is not int:
        raise wrong_type(name, "an integer or null", value)
    if not INT64_MIN <= value <= INT64_MAX:
        raise InvalidInputError(f"{name} must fit a signed 64-bit integer", param=name)
    return value


def parse_outputs(body: Mapping[str, Any]) -> tuple[Output, ...]:
    """Return the outputs that ``outputs`` asks for; a dense vector when it is absent.

    Raises:
        InvalidInputError: It is no array of outputs, or an empty one.
    """
    value = body.get("outputs")
    if value is None:
        return ("dense",)
    if not isinstance(value, list) or not value or not all(item in _OUTPUTS for item in value):
        raise InvalidInputError(
            f"outputs must be an array of {', '.join(map(repr, _OUTPUTS))}", param="outputs"
        )
    return tuple(dict.fromkeys(cast("list[Output]", value)))


def wrong_type(name: str, allowed: str, value: object) -> InvalidInputError:
    """Return the error for a field of the wrong JSON type; it names the type, never the value."""
    message = f"{name} must be {allowed}, got {json_type(value)}"
    return InvalidInputError(message, param=name, code="invalid_type")


def parse_input(body: Mapping[str, Any]) -> tuple[Input, ...]:
    """Return the inputs that a body's ``input`` holds.

    An empty string is an input like any other; an empty array is not.

    Raises:
        InvalidInputError: ``param`` names the field or element that cannot be used.
    """
    value = body.get("input")
    if isinstance(value, str):
        return (Input((Text(value),)),)
    if value is None:
        raise InvalidInputError(f"input is required: {_INPUT_FORMS}", param="input")
    if not isinstance(value, list):
        raise wrong_type("input", _INPUT_FORMS, value)
    if not value:
        raise InvalidInputError("input must hold at least one element", param="input")
    return _parse_elements(value)


def _parse_elements(values: list[Any]) -> tuple[Input, ...]:
    kind = type(values[0])
    if kind not in (str, int, list):
        raise wrong_type("input[0]", "a string, a token id or an array of token ids", values[0])
    _require_one_type(values, kind, "input")
    if kind is str:
        return tuple(
            Input((Text(text),), param=f"input[{index}]") for index, text in enumerate(values)
        )
    if kind is int:
        return (Input((_parse_tokens(values, "input"),)),)
    return tuple(
        Input((_parse_tokens(ids, f"input[{index}]"),), param=f"input[{index}]")
        for index, ids in enumerate(values)
    )


def _parse_tokens(ids: list[Any], param: str) -> Tokens:
    if not ids:
        raise InvalidInputError(f"{param} must hold at least one token id", param=param)
    _require_one_type(ids, int, param)
    if min(ids) < 0 or max(ids) > INT64_MAX:
        index = next(i for i, token in enumerate(ids) if not 0 <= token <= INT64_MAX)
        where = f"{param}[{index}]"
        raise InvalidInputError(f"{where} must be a token id: an integer from 0", param=where)
    return Tokens(tuple(cast("list[int]", ids)))


def _require_one_type(values: list[Any], kind: type, param: str) -> None:
    # A set of types is several times faster than a Python loop over a million token ids.
    if set(map(type, values)) == {kind}:
        return
    index = next(i for i, value in enumerate(values) if type(value) is not kind)
    allowed = {str: "a string", int: "an integer token id", list: "an array of token ids"}[kind]
    if index:
        allowed += " like the elements before it"
    raise wrong_type(f"{param}[{index}]", allowed, values[index])
