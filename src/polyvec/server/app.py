"""Dialects and a service → one ASGI callable.

It is a single flat function on purpose: reading, checking and routing a request costs less than one
layer of framework, and the whole path of a request can be read from top to bottom.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from polyvec.dialects._base import Call, Dialect, Reply
from polyvec.dialects._registry import RouteTable
from polyvec.errors import AuthenticationError, InvalidInputError, NotReadyError, PolyvecError
from polyvec.server.body import UNSUPPORTED_ENCODING, ClientDisconnectedError, Receive, read_body
from polyvec.server.hosted_routes import with_hosted_routes
from polyvec.server.metrics import RequestMetrics
from polyvec.server.middleware import KeyRing, RawHeaders, host_allowed, printable, request_ids
from polyvec.server.options import ServerOptions
from polyvec.server.protocol import CANCELS_ON_DISCONNECT
from polyvec.server.routes import Snapshots, problem, render_error, server_dialect
from polyvec.service import Service

Scope = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]

_log = logging.getLogger(__name__)
_access_log = logging.getLogger("polyvec.access")

_MAX_QUERY_FIELDS = 100
_CLIENT_GONE = 499
_NO_CONTENT = 204
_NO_ROUTE = "other"


class HeaderView(Mapping[str, str]):
    """Raw headers read as texts, decoded only when somebody asks."""

    __slots__ = ("_raw",)

    def __init__(self, raw: RawHeaders) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode("latin-1")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


@dataclass(slots=True)
class _Exchange:
    """A request on its way through.

    Attributes:
        call: What the dialects see.
        headers: Names in lower case; of two equal names the last counts.
        request_id: Sent back with the answer.
        route: Path as declared, for the metrics.
        dialect: Whose error bodies the caller understands.
    """

    call: Call
    headers: RawHeaders
    request_id: bytes
    route: str = _NO_ROUTE
    dialect: Dialect | None = None


class App:
    """The ASGI application.

    Args:
        service: Answers the dialects.
        dialects: All of them are served at once, beside the server's own routes.
        options: Limits, keys and paths.
        snapshots: The engines' metrics by served name, where there are engines.

    Attributes:
        is_draining: Set before a stop, so that probes send no new requests here.
        routes: Who answers what.
        metrics: What `/metrics` shows of the HTTP side.
    """

    def __init__(
        self,
        service: Service,
        dialects: Iterable[Dialect],
        options: ServerOptions,
        *,
        snapshots: Snapshots = dict,
    ) -> None:
        self._service = service
        self._options = options
        self._keys = KeyRing(
            options.api_keys,
            public_models=options.public_models,
            probe_path=options.health_route,
        )
        self._hosts = frozenset(name.lower() for name in options.allowed_hosts)
        self._request_id = request_ids()
        self.metrics = RequestMetrics()
        self.is_draining = False
        own = server_dialect(
            self.metrics, snapshots=snapshots, is_draining=lambda: self.is_draining
        )
        self.routes = RouteTable(
            with_hosted_routes(
                (*dialects, own),
                predict_route=options.predict_route,
                health_route=options.health_route,
            )
        )
        self._known = frozenset(self.routes.owners)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; other ASGI scopes are not served."""
        if scope["type"] != "http":
            return
        started_s = time.perf_counter()
        exchange = self._exchange(scope)
        status = _CLIENT_GONE
        self.metrics.in_flight += 1
        try:
            reply = await self._reply(exchange, scope, receive)
            status = reply.status
            await _send_reply(send, reply, exchange, with_body=scope["method"] != "HEAD")
        except ClientDisconnectedError:
            pass
        except asyncio.CancelledError:
            # Our protocol cancels for clients that are gone, and uvicorn at the end of a drain;
            # under another server somebody may wait for the cancellation to come through.
            if CANCELS_ON_DISCONNECT not in scope.get("extensions", ()):
                raise
            if status == _CLIENT_GONE:  # nothing has been sent yet
                stopping = self._render(NotReadyError("the server is shutting down"), exchange)
                await _send_reply(send, stopping, exchange, with_body=scope["method"] != "HEAD")
            status = _CLIENT_GONE
        finally:
            self.metrics.in_flight -= 1
            self._note(exchange, scope, status, time.perf_counter() - started_s)

    def _exchange(self, scope: Scope) -> _Exchange:
        headers = dict(scope["headers"])
        path: str = scope["path"]
        root = self._options.root_path
        is_below = root and path.startswith(root) and path[len(root) :][:1] in ("", "/")
        # A prefix such as /v1 makes /v1/models ambiguous: whoever writes that means /v1/models.
        if is_below and not self.routes.allowed_methods(path):
            path = path[len(root) :] or "/"
        method = scope["method"]
        call = Call(
            method="GET" if method == "HEAD" else method,
            path=path,
            query=_query(scope["query_string"]) if scope["query_string"] else {},
            headers=HeaderView(headers),
        )
        return _Exchange(call, headers, self._request_id(headers))

    async def _reply(self, exchange: _Exchange, scope: Scope, receive: Receive) -> Reply:
        """The reply to a request, whatever happens to it."""
        try:
            refusal = self._refusal(exchange)
            if refusal is not None:
                return refusal
            if exchange.call.method != "GET":
                limit_bytes = self._options.limit_body_bytes
                exchange.call.body = await read_body(receive, exchange.headers, limit_bytes)
            if CANCELS_ON_DISCONNECT in scope.get("extensions", ()):
                return await self._run(exchange)
            return await _while_connected(self._run(exchange), receive)
        except PolyvecError as error:
            return self._render(error, exchange)
        except (ClientDisconnectedError, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001
            # The last line: whatever it was, this caller gets an answer and the others stay served.
            _log.exception("request %s failed", exchange.request_id.decode())
            return self._render(PolyvecError("internal server error"), exchange)

    async def _run(self, exchange: _Exchange) -> Reply:
        call = exchange.call
        found = self.routes.resolve(call)
        if found is None:  # another owner of the path answers this method
            return problem(404, "Not Found", code="not_found")
        exchange.dialect, route = found
        exchange.route = route.path
        return await route.endpoint(call, self._service)

    def _refusal(self, exchange: _Exchange) -> Reply | None:
        """What can be answered before a byte of the body is read.

        Raises:
            AuthenticationError: The key is missing or wrong.
        """
        call = exchange.call
        if self._hosts and not host_allowed(exchange.headers, self._hosts):
            return problem(421, "this server does not answer for this Host", code="wrong_host")
        if not self._keys.is_open:
            self._keys.check(call.method, call.path.rstrip("/") or "/", exchange.headers)
        if (call.method, call.path) in self._known:
            return None
        methods = self.routes.allowed_methods(call.path)
        if call.method in methods:
            return None
        if not methods:
            return problem(404, "Not Found", code="not_found")
        allow = {"Allow": ", ".join(_with_implied(methods))}
        if call.method == "OPTIONS":
            return Reply(204, b"", allow)
        return problem(405, "Method Not Allowed", code="method_not_allowed", headers=allow)

    def _render(self, error: PolyvecError, exchange: _Exchange) -> Reply:
        """The error in the words of the dialect that was called."""
        call, dialect = exchange.call, exchange.dialect
        # Before its body is read, a call to a shared path could be anybody's.
        if dialect is None and (call.body or not self.routes.is_shared(call)):
            found = self.routes.resolve(call)
            dialect = found[0] if found else None
        reply = dialect.render_error(error, call) if dialect else render_error(error, call)
        headers = dict(reply.headers)
        if isinstance(error, AuthenticationError):
            headers["WWW-Authenticate"] = "Bearer"
        if b"expect" in exchange.headers and not call.body:
            # Told no before it sent its body, a client may send it or not: start over.
            headers["Connection"] = "close"
        is_encoding = isinstance(error, InvalidInputError) and error.code == UNSUPPORTED_ENCODING
        return replace(reply, status=415 if is_encoding else reply.status, headers=headers)

    def _note(self, exchange: _Exchange, scope: Scope, status: int, duration_s: float) -> None:
        self.metrics.count(exchange.route, status, duration_s)
        if self._options.access_log and _access_log.isEnabledFor(logging.INFO):
            client = scope.get("client")
            _access_log.info(
                "%s %s %s %d %.1fms %s",
                client[0] if client else "-",
                scope["method"],
                printable(exchange.call.path),
                status,
                duration_s * 1000,
                exchange.request_id.decode("ascii"),
            )


def _with_implied(methods: Iterable[str]) -> list[str]:
    """The methods answered at a path with those that follow from them."""
    implied = {"OPTIONS", *methods}
    if "GET" in implied:
        implied.add("HEAD")
    return sorted(implied)


def _query(raw: bytes) -> dict[str, str]:
    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
    return dict(pairs[:_MAX_QUERY_FIELDS])


async def _while_connected(answer: Awaitable[Reply], receive: Receive) -> Reply:
    """Wait for an answer, and cancel it when its client goes away.

    Raises:
        ClientDisconnectedError: It did.
    """
    work = asyncio.ensure_future(answer)
    watch = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise ClientDisconnectedError
    finally:
        watch.cancel()
        work.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_reply(send: Send, reply: Reply, exchange: _Exchange, *, with_body: bool) -> None:
    headers = [(b"x-request-id", exchange.request_id)]
    if reply.body:
        headers.append((b"content-type", reply.media_type.encode("latin-1")))
    if reply.status != _NO_CONTENT:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    if reply.headers:
        headers += [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in reply.headers.items()
        ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    body = reply.body if with_body else b""
    await send({"type": "http.response.body", "body": body, "more_body": False})
