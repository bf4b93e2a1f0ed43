"""What happens around every request: API key, Host, request id, access line.

Plain functions that `app` calls, not nested ASGI layers: each layer would wrap every message.
"""

import base64
import binascii
import hashlib
import hmac
import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping

from polyvec.errors import AuthenticationError

RawHeaders = Mapping[bytes, bytes]

OPEN_PATHS = frozenset(
    {
        "/live",
        "/ready",
        "/health",
        "/ping",
        "/v2/health/live",
        "/v2/health/ready",
        "/.well-known/live",
        "/.well-known/ready",
    }
)
"""Answered without a key: an orchestrator's probes have none."""

MODEL_LIST_PATHS = frozenset({"/v1/models", "/models"})

_SANE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_MAX_LOGGED_PATH_CHARS = 200


class KeyRing:
    """API keys, kept as digests only.

    Attributes:
        is_open: There are no keys, so everybody may come in.
    """

    def __init__(
        self,
        keys: Iterable[str],
        *,
        public_models: bool = False,
        probe_path: str = "",
    ) -> None:
        self._digests = tuple(hashlib.sha256(key.encode()).digest() for key in keys)
        self._public_models = public_models
        self._probe_path = probe_path
        self.is_open = not self._digests

    def check(self, method: str, path: str, headers: RawHeaders) -> None:
        """Let a request pass or not. A path that nobody thought of needs a key.

        Args:
            method: Upper case.
            path: Without trailing slashes.
            headers: Names in lower case.

        Raises:
            AuthenticationError: The key is missing or wrong.
        """
        if self.is_open or path in OPEN_PATHS:
            return
        if method == "GET" and path == self._probe_path:
            return
        if self._public_models and method == "GET" and path in MODEL_LIST_PATHS:
            return
        offered = [key for key in _offered_keys(headers) if key]
        if not offered:
            raise AuthenticationError("an API key is needed: Authorization: Bearer <key>")
        if not any(self._has(key) for key in offered):
            raise AuthenticationError("the API key is not valid")

    def _has(self, key: bytes) -> bool:
        digest = hashlib.sha256(key).digest()
        # Every digest is compared, so that the time does not tell which one came close.
        return any([hmac.compare_digest(digest, known) for known in self._digests])  # noqa: C419


def _offered_keys(headers: RawHeaders) -> Iterable[bytes]:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        yield token.strip()
    if scheme.lower() == b"basic":
        yield _password(token.strip())
    yield headers.get(b"api-key", b"")
    yield headers.get(b"x-api-key", b"")


def _password(token: bytes) -> bytes:
    """The password of ``user:password`` in base64.

    Databases that call an embedding server take nothing but its address; what it has before the
    ``@`` is sent this way by the HTTP libraries of Go, Rust and Python.
    """
    try:
        return base64.b64decode(token, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


def request_ids() -> Callable[[RawHeaders], bytes]:
    """A function that gives every request its id: the caller's own when it is sane, else a new one.

    New ids are a random prefix of this process and a counter, which costs no system call.
    """
    prefix = os.urandom(10).hex().encode()
    counter = itertools.count()

    def id_of(headers: RawHeaders) -> bytes:
        offered = headers.get(b"x-request-id")
        if offered is not None and _SANE_ID.fullmatch(offered):
            return offered
        return b"%b%012x" % (prefix, next(counter))

    return id_of


def host_allowed(headers: RawHeaders, allowed: frozenset[str]) -> bool:
    """Whether the Host header names one of the allowed hosts; the port does not matter."""
    host = headers.get(b"host", b"").decode("latin-1").lower()
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    return name in allowed


def printable(text: str) -> str:
    """A path as one printable ASCII word, so that no caller can forge log lines."""
    shown = text if len(text) <= _MAX_LOGGED_PATH_CHARS else text[:_MAX_LOGGED_PATH_CHARS] + "..."
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1].replace(" ", "%20"), shown)
