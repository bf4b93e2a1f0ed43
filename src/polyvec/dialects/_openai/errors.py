"""Errors in one body that clients of OpenAI, vLLM, SGLang, FastAPI and Milvus understand."""

from collections.abc import Mapping
from typing import Any, Final, TypedDict

from polyvec.dialects._base import Reply, retry_headers
from polyvec.dialects._encode import json_reply
from polyvec.errors import (
    AuthenticationError,
    DimensionsError,
    InputTooLongError,
    InvalidInputError,
    ModelNotFoundError,
    NotReadyError,
    OverloadedError,
    PayloadTooLargeError,
    PolyvecError,
    TokenIdError,
    UnprocessableInputError,
)

SERVER_ERROR: Final = 500

# First match wins, so subclasses stand before their bases.
_STATUS: Final[tuple[tuple[type[PolyvecError], int, str], ...]] = (
    (UnprocessableInputError, 422, "UnprocessableEntityError"),
    (InvalidInputError, 400, "BadRequestError"),
    (PayloadTooLargeError, 413, "RequestEntityTooLarge"),
    (ModelNotFoundError, 404, "NotFoundError"),
    (AuthenticationError, 401, "AuthenticationError"),
    (OverloadedError, 503, "ServiceUnavailableError"),
    (NotReadyError, 503, "ServiceUnavailableError"),
)
# What other errors say is for the operator: it may hold paths or a runtime's own words.
SERVER_FAULT: Final = "the server failed to answer this request; its log says why"
_BUSY: Final = (
    "The engine is currently busy and cannot accept new requests. Please try again later or on a "
    "different instance."
)


class ErrorObject(TypedDict):
    """What is wrong; ``reason`` is a stable word for programs, ``code`` the HTTP status."""

    message: str
    type: str
    param: str | None
    code: int
    reason: str


class ErrorBody(TypedDict):
    """Body of an error; what stands at the top repeats `ErrorObject`."""

    error: ErrorObject
    object: str
    message: str
    type: str
    param: str | None
    code: int
    detail: str


def error_reply(error: PolyvecError) -> Reply:
    """Return an error in a body that every client of OpenAI's shape finds its own keys in.

    Source: https://platform.openai.com/docs/guides/error-codes for ``error``;
    https://docs.vllm.ai/en/stable/serving/openai_compatible_server for ``code`` as the status and
    the names of types, and the same keys at the top as older releases and SGLang write them.
    pymilvus reads a top-level ``message``, clients of FastAPI servers ``detail``.
    """
    status, kind = error_status(error)
    message = SERVER_FAULT if status == SERVER_ERROR else said_by_vllm(error)
    body = error_body(status, message, kind=kind, param=error.param, reason=error.code)
    if isinstance(error, DimensionsError):
        return _reply(_with_lengths(body, error), status, error)
    return _reply(body, status, error)


def _with_lengths(body: ErrorBody, error: DimensionsError) -> dict[str, Any]:
    """With the lengths that are allowed, which the sentence may not name.

    Where no other length is, releases of vLLM differ in words and shape: SGLang's and the older
    ones' sentence stands at the top, today's in ``error``.
    """
    allowed = sorted({error.native, *error.matryoshka} - {0})
    inner = {**body["error"], "allowed": allowed}
    if error.model and not error.matryoshka:
        inner["message"] = (
            f"Model '{error.model}' does not support Matryoshka embeddings; dimensions must be "
            f"unset (received dimensions={error.dimensions})."
        )
    return {**body, "error": inner}


def error_body(
    status: int, message: str, *, kind: str, param: str | None, reason: str
) -> ErrorBody:
    """Return the body of an error.

    Args:
        status: Of HTTP.
        message: For people.
        kind: vLLM's ``type``.
        param: The field it is about.
        reason: For programs.
    """
    return {
        "error": {
            "message": message,
            "type": kind,
            "param": param,
            "code": status,
            "reason": reason,
        },
        "object": "error",
        "message": message,
        "type": kind,
        "param": param,
        "code": status,
        "detail": message,
    }


def error_status(error: PolyvecError) -> tuple[int, str]:
    """Return an error's HTTP status and vLLM's ``type`` for it."""
    for kind, status, vllm_type in _STATUS:
        if isinstance(error, kind):
            return status, vllm_type
    return SERVER_ERROR, "InternalServerError"


def said_by_vllm(error: PolyvecError) -> str:
    """Return an error's message as vLLM words it; the error's own where vLLM has no words.

    Source: https://github.com/vllm-project/vllm/blob/main/vllm/renderers/params.py and the texts
    that its other request checks give.
    """
    if isinstance(error, InputTooLongError) and error.limit:
        return _too_long(error)
    if isinstance(error, TokenIdError):
        return f"Token id {error.token} is out of vocabulary"
    if isinstance(error, ModelNotFoundError) and error.name:
        served = f" Valid aliases: {', '.join(error.served)}." if error.served else ""
        return f"The model `{error.name}` does not exist.{served}"
    if isinstance(error, OverloadedError):
        return f"{_BUSY} ({error.message})"
    return error.message


def _too_long(error: InputTooLongError) -> str:
    unit, length, limit = error.unit, error.length, error.limit
    head = f"This model's maximum context length is {limit} {unit}. However, your "
    tail = "Please reduce the length of the input prompt."
    if unit != "tokens":
        field = f"(parameter=input_text, value={length})"
        return f"{head}prompt contains {length} {unit}. {tail} {field}"
    return (
        f"{head}prompt contains at least {length} input tokens, which exceeds this limit even "
        f"without any output tokens. {tail} (parameter=input_tokens, value={length})"
    )


def _reply(body: Mapping[str, Any], status: int, error: PolyvecError) -> Reply:
    return json_reply(body, status=status, headers=retry_headers(error))
