"""Errors in Text Embeddings Inference's words.

Source: https://github.com/huggingface/text-embeddings-inference, router/src/lib.rs (types and
statuses) and core/src/tokenization.rs (texts).
"""

from typing import Final

from polyvec.dialects._base import Call, Reply, retry_headers
from polyvec.dialects._encode import json_reply
from polyvec.dialects._tei.wire import ErrorBody
from polyvec.errors import (
    AuthenticationError,
    DimensionsError,
    InferenceError,
    InputTooLongError,
    InvalidInputError,
    ModelNotFoundError,
    NotReadyError,
    OverloadedError,
    PayloadTooLargeError,
    PolyvecError,
    PromptNotFoundError,
    TokenIdError,
    UnprocessableInputError,
    UnsupportedInputError,
)

EMPTY: Final = "empty_input"
"""Code of the errors about an empty batch, which have a type of their own."""

_BAD_REQUEST: Final = 400
_SERVER_ERROR: Final = 500

# First match wins, so subclasses stand before their bases.
_TYPES: Final[tuple[tuple[type[PolyvecError], int, str], ...]] = (
    (UnprocessableInputError, 424, "Backend"),
    (UnsupportedInputError, 424, "Backend"),
    (TokenIdError, 422, "Tokenizer"),
    (InvalidInputError, 422, "Validation"),
    (PayloadTooLargeError, 413, "Validation"),
    (ModelNotFoundError, 404, "Validation"),
    (AuthenticationError, 401, "Unauthorized"),
    (OverloadedError, 429, "Overloaded"),
    (NotReadyError, 503, "Unhealthy"),
    (InferenceError, 424, "Backend"),
)
# What other errors say is for the operator: it may hold paths or a runtime's own words.
_FAULT: Final = "Backend error: the server failed to answer this request; its log says why"


def empty(name: str) -> InvalidInputError:
    """The error for a batch without anything in it."""
    return InvalidInputError(f"`{name}` cannot be empty", param=name, code=EMPTY)


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as ``{"error": …, "error_type": …}``."""
    status, error_type = _kind(error)
    body = ErrorBody(error=_text(error, status), error_type=error_type)
    return json_reply(body, status=status, headers=retry_headers(error))


def _kind(error: PolyvecError) -> tuple[int, str]:
    if error.code == EMPTY:
        return _BAD_REQUEST, "Empty"
    if error.code == "invalid_json":
        return _BAD_REQUEST, "Validation"
    for kind, status, error_type in _TYPES:
        if isinstance(error, kind):
            return status, error_type
    return _SERVER_ERROR, "Backend"


def _text(error: PolyvecError, status: int) -> str:
    if isinstance(error, InputTooLongError) and error.limit:
        return (
            f"Input validation error: `inputs` must have less than {error.limit} {error.unit}. "
            f"Given: {error.length}"
        )
    if isinstance(error, PromptNotFoundError):
        return f"Input validation error: {_unknown_prompt(error)}"
    if isinstance(error, DimensionsError) and error.dimensions > error.native:
        return (
            "Input validation error: `dimensions` should be smaller than the maximum embedding "
            f"dimension. It is {error.native}. Given: {error.dimensions}"
        )
    if isinstance(error, OverloadedError):
        return "Model is overloaded"
    if isinstance(error, UnsupportedInputError | UnprocessableInputError):
        return f"Backend error: {error.message}"
    is_fault = isinstance(error, InferenceError) or status == _SERVER_ERROR
    return _FAULT if is_fault else error.message


def _unknown_prompt(error: PromptNotFoundError) -> str:
    name = f"`default-prompt-name` is set to `{error.name}` but"
    if not error.known:
        return f"{name} no prompts were found in the Sentence Transformers configuration"
    known = ", ".join(f'"{known}"' for known in error.known)
    return (
        f"{name} it was not found in the Sentence Transformers prompts. "
        f"Available prompts: [{known}]"
    )
