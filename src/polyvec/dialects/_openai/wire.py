"""What APIs of OpenAI's shape share: fields, `input` in its four forms, usage and error bodies."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from polyvec.dialects._base import Call, json_type
from polyvec.errors import InvalidInputError, TokenIdError
from polyvec.types import EmbedResult, Input, Output, Text, Tokens, Vocabulary

INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)

_REQUEST_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_OPENAI_AGENT: Final = re.compile(r"(Async)?(Azure)?OpenAI/", re.ASCII)
_INTEGER: Final = re.compile(r"\s*[+-]?\d{1,19}\s*", re.ASCII)
EMPTY_INPUT: Final = "You must pass at least one prompt"
EMPTY_PROMPT: Final = "The decoder prompt cannot be empty"
"""Word for word what vLLM says."""

_OUTPUTS: Final = ("dense", "sparse", "tokens")
_INPUT_FORMS: Final = (
    "a string, an array of strings, an array of token ids or an array of arrays of token ids"
)


def request_id(call: Call, given: str | None = None) -> str:
    """Return the id that the caller gave the request in ``X-Request-Id``, or a new one.

    Args:
        call: Its header counts first.
        given: What the body says.
    """
    for candidate in (call.headers.get("x-request-id", ""), given or ""):
        if _REQUEST_ID.fullmatch(candidate):
            return candidate
    return os.urandom(16).hex()


def token_vocabulary(call: Call) -> Vocabulary:
    """Return in which vocabulary a caller's token ids are counted.

    OpenAI's own clients count in OpenAI's, whatever model they name: LangChain sends ids by
    default, through them.

    Source: the User-Agent of openai-python, openai-node and their siblings, such as
    ``OpenAI/Python 2.54.0`` and ``AsyncAzureOpenAI/Python 2.54.0``.
    """
    agent = call.headers.get("user-agent", "")
    return "openai" if _OPENAI_AGENT.match(agent) else "model"


def usage(result: EmbedResult) -> dict[str, int | None]:
    """Return OpenAI's ``usage`` of an embedding; see `token_usage`."""
    return token_usage(result.num_tokens)


def token_usage(num_tokens: int) -> dict[str, int | None]:
    """Return OpenAI's ``usage``: there is no completion, so both numbers are equal.

    Source: what vLLM answers; OpenAI's embeddings have the first two only.
    """
    return {
        "prompt_tokens": num_tokens,
        "total_tokens": num_tokens,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }


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


def coerced_int(body: Mapping[str, Any], name: str) -> int | None:
    """Return an integer field as `optional_int`, also from ``"5"`` and ``5.0``, as vLLM does.

    Raises:
        InvalidInputError: It is something else; a boolean is not an integer.
    """
    value: Any = body.get(name)
    is_whole = isinstance(value, float) and value.is_integer()
    if is_whole or (isinstance(value, str) and _INTEGER.fullmatch(value)):
        return optional_int({name: int(value)}, name)
    return optional_int(body, name)


def optional_bool(body: Mapping[str, Any], name: str) -> bool | None:
    """Return a boolean field, or None where it is absent or null.

    Raises:
        InvalidInputError: It is something else.
    """
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise wrong_type(name, "a boolean or null", value)


def one_of(body: Mapping[str, Any], name: str, allowed: Sequence[str]) -> str | None:
    """Return a string field that must be one of a few words, or None where it is absent or null.

    Raises:
        InvalidInputError: It is something else; the message names the words.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value in allowed:
        return value
    *first, last = map(repr, allowed)
    words = f"{', '.join(first)} or {last}" if first else last
    raise InvalidInputError(f"{name}: Input should be {words}", param=name)


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


def parse_input(body: Mapping[str, Any], vocabulary: Vocabulary = "model") -> tuple[Input, ...]:
    """Return the inputs that a body's ``input`` holds.

    An empty string is an input like any other; an empty array is not.

    Args:
        body: Decoded.
        vocabulary: In which its token ids are counted.

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
        raise InvalidInputError(EMPTY_INPUT, param="input")
    return _parse_elements(value, vocabulary)


def _parse_elements(values: list[Any], vocabulary: Vocabulary) -> tuple[Input, ...]:
    kind = type(values[0])
    if kind not in (str, int, list):
        raise wrong_type("input[0]", "a string, a token id or an array of token ids", values[0])
    _require_one_type(values, kind, "input")
    if kind is str:
        return tuple(
            Input((Text(text),), param=f"input[{index}]") for index, text in enumerate(values)
        )
    if kind is int:
        return (Input((_parse_tokens(values, "input", vocabulary),)),)
    return tuple(
        Input((_parse_tokens(ids, f"input[{index}]", vocabulary),), param=f"input[{index}]")
        for index, ids in enumerate(values)
    )


def _parse_tokens(ids: list[Any], param: str, vocabulary: Vocabulary) -> Tokens:
    if not ids:
        raise InvalidInputError(EMPTY_PROMPT, param=param)
    _require_one_type(ids, int, param)
    if min(ids) < 0 or max(ids) > INT64_MAX:
        index = next(i for i, token in enumerate(ids) if not 0 <= token <= INT64_MAX)
        message = f"Token id {ids[index]} is out of vocabulary"
        raise TokenIdError(message, param=f"{param}[{index}]", token=ids[index])
    return Tokens(tuple(cast("list[int]", ids)), vocabulary)


def _require_one_type(values: list[Any], kind: type, param: str) -> None:
    # A set of types is several times faster than a Python loop over a million token ids.
    if set(map(type, values)) == {kind}:
        return
    index = next(i for i, value in enumerate(values) if type(value) is not kind)
    allowed = {str: "a string", int: "an integer token id", list: "an array of token ids"}[kind]
    if index:
        allowed += " like the elements before it"
    raise wrong_type(f"{param}[{index}]", allowed, values[index])
