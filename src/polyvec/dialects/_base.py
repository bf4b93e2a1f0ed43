"""What every dialect is made of: a call, a reply, routes, and the dialect that owns them.

A dialect is pure translation. The server turns HTTP into a `Call`, the registry finds the `Route`,
its endpoint turns the call into an `EmbedRequest`, asks the `Service` and turns the answer into a
`Reply`. An endpoint raises `PolyvecError`; the dialect's ``render_error`` gives it a status and a
body.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from polyvec.errors import (
    InvalidInputError,
    NotReadyError,
    OverloadedError,
    PolyvecError,
    UnprocessableInputError,
)
from polyvec.service import Service

MAX_JSON_DEPTH: Final = 64
JSON_MEDIA_TYPE: Final = "application/json"
# Clients stop obeying a Retry-After that they find too long (openai-python: over two minutes).
MAX_RETRY_AFTER_S: Final = 120.0

_UNDECODED: Final = object()
_BRACKETS: Final = b"[]{}"
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_CURLY_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")


@dataclass(slots=True)
class Call:
    """One HTTP request with its body read, free of any framework.

    Attributes:
        method: Upper case.
        path: Percent-decoded, as in an ASGI scope.
        path_params: Values of the route's ``{name}`` segments; the registry fills them in.
        query: Last value of each key.
        headers: Names in lower case.
        body: Decompressed; empty when there is none or it was refused unread.
    """

    method: str
    path: str
    path_params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    _decoded: Any = field(default=_UNDECODED, init=False, repr=False, compare=False)

    def json(self) -> Any:
        """Return the body decoded as JSON, whatever its Content-Type; decoded once.

        Of two equal keys the last wins. Integers beyond 64 bits come out as floats.

        Raises:
            InvalidInputError: With code ``invalid_json``: not JSON, not UTF-8, a lone surrogate,
                ``NaN`` or ``Infinity``, or nested deeper than `MAX_JSON_DEPTH`.
        """
        if self._decoded is _UNDECODED:
            self._decoded = _decode_json(self.body)
        return self._decoded

    def json_object(self) -> dict[str, Any]:
        """Return the body decoded as a JSON object.

        Raises:
            InvalidInputError: It is not JSON, or not an object.
        """
        body = self.json()
        if not isinstance(body, dict):
            raise InvalidInputError(
                f"the body must be a JSON object, got {json_type(body)}", code="invalid_type"
            )
        return body


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the caller.

    Attributes:
        status: HTTP status.
        body: The whole body.
        headers: Beyond Content-Type and Content-Length, which the server writes.
        media_type: Content-Type.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON_MEDIA_TYPE


Endpoint = Callable[[Call, Service], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path of a dialect.

    Attributes:
        method: Upper case.
        path: Literal, or with ``{name}`` segments. Such a segment takes one or more segments of
            the called path, because model ids contain slashes.
        endpoint: Answers the call.
        owns: On a path that several dialects share: whether a decoded body is of this dialect.
            It must take any JSON value. None makes the route the owner of all that nobody else
            recognises.
        accepts: Type of the body, for the OpenAPI document: a TypedDict of the wire fields. None
            where there is no body.
        returns: Type of a good answer's body, likewise. None where it is empty or no JSON.
    """

    method: str
    path: str
    endpoint: Endpoint
    owns: Callable[[Any], bool] | None = None
    accepts: Any = None
    returns: Any = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One vendor's HTTP API.

    Attributes:
        name: Unique, as in the module's name.
        routes: Its paths.
        render_error: The reply for an error of a call to one of its routes.
        source: Where the API is described.
    """

    name: str
    routes: tuple[Route, ...]
    render_error: Callable[[PolyvecError, Call], Reply]
    source: str


def json_type(value: Any) -> str:
    """Return what JSON calls a decoded value's type; error messages use it instead of the value."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def retry_headers(error: PolyvecError) -> dict[str, str]:
    """Return the headers that tell a client whether and when to come back.

    Source: the retry logic of openai-python and openai-node, which read ``retry-after-ms`` before
    ``Retry-After`` and obey ``x-should-retry``.
    """
    if isinstance(error, UnprocessableInputError):
        return {"x-should-retry": "false"}
    if isinstance(error, OverloadedError | NotReadyError):
        return _retry_after(error.retry_after_s)
    return {}


def _retry_after(after_s: float) -> dict[str, str]:
    bounded_s = min(max(after_s, 0.001), MAX_RETRY_AFTER_S) if math.isfinite(after_s) else 1.0
    return {
        "Retry-After": str(math.ceil(bounded_s)),
        "retry-after-ms": str(math.ceil(bounded_s * 1000)),
    }


def _decode_json(body: bytes) -> Any:
    """Decode strictly: orjson refuses NaN, bad UTF-8 and lone surrogates, and bounds recursion."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("depth limit"):
            raise _too_deep() from None
        raise InvalidInputError(
            f"the body is not valid JSON (at line {error.lineno}, column {error.colno})",
            code="invalid_json",
        ) from None
    if _is_deep(body):
        raise _too_deep()
    return value


def _too_deep() -> InvalidInputError:
    return InvalidInputError(
        f"the body's JSON is nested deeper than {MAX_JSON_DEPTH} levels", code="invalid_json"
    )


def _is_deep(body: bytes) -> bool:
    """Whether valid JSON nests deeper than allowed.

    Works on the brackets of the text with whole-buffer operations; walking the decoded values
    would cost more than decoding them.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_JSON_DEPTH:
        return False
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    brackets = outside_strings.translate(_CURLY_TO_SQUARE, _NOT_BRACKETS)
    for _ in range(MAX_JSON_DEPTH):
        # Each pass takes away the innermost level.
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True
