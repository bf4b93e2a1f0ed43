"""uvicorn's HTTP protocol with the limits it lacks: header bytes, header time, body pauses.

Deadlines are plain timestamps that one sweep for all connections compares, so a request pays for no
timer of its own.
"""

import asyncio
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from polyvec.server.options import ServerOptions
from polyvec.server.routes import problem

CANCELS_ON_DISCONNECT = "polyvec.cancels_on_disconnect"
"""Scope extension: the request's task is cancelled when its client goes away."""

_TOO_LARGE = "Request Header Fields Too Large"
_TIMEOUT = "Request Timeout"

_UPGRADE_HEADERS = (b"connection", b"upgrade", b"http2-settings")

# What the connection waits for from its client.
_NOTHING, _HEADERS, _BODY = range(3)


class JoinedWrites:
    """A transport that holds an answer's head until its body comes: one system call, not two.

    Args:
        transport: What it writes to.
    """

    __slots__ = ("_head", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Hold a head, or send what is held with what follows it."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send a head that no body follows."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """Send everything, then close."""
        self.flush()
        self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """One connection, bounded in header bytes and in the time it may make us wait."""

    def __init__(self, *args: Any, options: ServerOptions, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._options = options
        self._waiting_for = _HEADERS
        self._waiting_since_s = self.loop.time()
        self._header_bytes = 0
        self._chunk_bytes = 0
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember where answers go."""
        super().connection_made(transport)
        self._answers = JoinedWrites(transport)

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse headers that are not complete within their limit."""
        if self._waiting_for == _NOTHING or self._is_silent():
            self._expect(_HEADERS)  # before parsing: blank lines alone begin no message
            self._header_bytes = 0
        if self._waiting_for == _HEADERS:
            self._header_bytes += len(data)
        self._chunk_bytes = len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        too_many = self._header_bytes > self._options.limit_header_bytes
        if self._waiting_for == _HEADERS and too_many and not self.transport.is_closing():
            self._refuse(431, _TOO_LARGE)

    def on_message_begin(self) -> None:
        """Start counting headers."""
        super().on_message_begin()
        self.scope["extensions"] = {CANCELS_ON_DISCONNECT: {}}
        if self._waiting_for != _HEADERS:
            # It begins behind another one's end, inside a chunk that is counted when headers end.
            self._header_bytes = 0
            self._expect(_HEADERS)

    def on_headers_complete(self) -> None:
        """Start the request unless its headers are too large."""
        if self.transport.is_closing() or self.parser.should_upgrade():
            return
        limit = self._options.limit_header_bytes
        # The sum is only worth its time when the chunks could hold that much.
        if self._header_bytes + self._chunk_bytes > limit and self._parsed_bytes() > limit:
            self._refuse(431, _TOO_LARGE)
            return
        self._expect(_BODY)
        super().on_headers_complete()
        self.cycle.transport = self._answers  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body and move its deadline, unless nobody wants the body any more."""
        if self.transport.is_closing():
            return
        if not self.cycle.response_complete:
            self._waiting_since_s = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End of the request's bytes; from here on it is the server that is waited for."""
        if self.transport.is_closing() or self.parser.should_upgrade():
            return
        self._waiting_for = _NOTHING
        super().on_message_complete()
        # A large body has stopped the reading, and who does not read never hears a client hang up.
        if not self.pipeline:
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """Send the rest, and wait for the next request."""
        self._answers.flush()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the work nobody waits for."""
        unfinished = self.cycle is not None and not self.cycle.response_complete
        self.pipeline.clear()
        super().connection_lost(exc)
        if unfinished and self._task is not None:
            self._task.cancel()

    def close_if_overdue(self, now_s: float) -> None:
        """Close the connection if its client has kept us waiting for too long.

        Args:
            now_s: The event loop's time.
        """
        if self._waiting_for == _NOTHING or self.transport.is_closing():
            return
        limit_s = self._options.header_timeout_s
        if self._waiting_for == _BODY:
            if self.flow.read_paused:
                return  # it is we who do not read
            limit_s = self._options.body_timeout_s
        elif self._is_silent():
            limit_s = self._options.keep_alive_s  # a busy client opens thousands, then sends
        if now_s - self._waiting_since_s < limit_s:
            return
        if self._is_silent():
            self.transport.close()  # nobody reads an answer
        else:
            self._refuse(408, _TIMEOUT)

    def _is_silent(self) -> bool:
        """Whether the client has never said a word."""
        return self._waiting_for == _HEADERS and not self._header_bytes + self._chunk_bytes

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._task = task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _feed(self, data: bytes) -> None:
        try:
            while True:
                try:
                    self.parser.feed_data(data)
                except httptools.HttpParserUpgrade as upgrade:
                    data = self._head_without_upgrade() + data[upgrade.args[0] :]
                else:
                    return
        except httptools.HttpParserError:
            if not self.transport.is_closing():
                self._refuse(400, "Bad Request")

    def _head_without_upgrade(self) -> bytes:
        """Start the request again as if it had not offered another protocol.

        Java's HttpClient offers h2c with every first request; the parser then takes the body for
        bytes of that protocol, and would stay in that state.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError("a proxy's method")
        connection = b"keep-alive" if self.parser.should_keep_alive() else b"close"
        lines = [b"%b %b HTTP/1.1" % (method, self.url), b"connection: " + connection]
        lines += [
            b"%b: %b" % header for header in self.headers if header[0] not in _UPGRADE_HEADERS
        ]
        self.parser = httptools.HttpRequestParser(self)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _expect(self, what: int) -> None:
        self._waiting_for = what
        self._waiting_since_s = self.loop.time()

    def _parsed_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, status: int, phrase: str) -> None:
        """Answer in place of the application, unless it has begun to, and hang up."""
        if self._may_answer():
            body = problem(status, phrase, code="bad_request").body
            head = (
                f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _may_answer(self) -> bool:
        # While an earlier request still runs, an answer would be taken for its own.
        if self._waiting_for == _BODY:
            return not self.cycle.response_started and not self.pipeline
        return self.cycle is None or self.cycle.response_complete


def bounded_protocol(options: ServerOptions) -> Any:
    """What uvicorn's ``http`` setting takes: makes a protocol for each connection."""
    return partial(BoundedProtocol, options=options)


def close_overdue(state: ServerState, now_s: float) -> None:
    """Sweep every connection of a server once."""
    for connection in tuple(state.connections):
        if isinstance(connection, BoundedProtocol):
            connection.close_if_overdue(now_s)
