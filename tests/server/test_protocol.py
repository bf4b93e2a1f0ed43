"""What one connection may make the server wait for or hold, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from polyvec.server.app import App
from polyvec.server.options import ServerOptions
from polyvec.server.run import Server, bind
from tests.server.driver import StubService, make_app

EMBED = b'{"input": "hello"}'
POST = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\n"
GET = b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n"
WAIT_S = 10


@dataclass
class Running:
    app: App
    server: Server
    port: int
    serving: "asyncio.Task[None]"

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):  # the server may have hung up first
                await writer.wait_closed()


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def status(self) -> int:
        """Read one answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_S)
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name == b"content-length":
                await asyncio.wait_for(self.reader.readexactly(int(value)), WAIT_S)
        return int(head.split()[1])

    async def is_closed(self) -> bool:
        """Wait for the end of the stream; anything before it is a failure."""
        try:
            return await asyncio.wait_for(self.reader.read(100), WAIT_S) == b""
        except ConnectionResetError:
            return True


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start servers that stop with the test."""
    async with AsyncExitStack() as stack:

        async def run(service: StubService | None = None, **options: object) -> Running:
            app = make_app(service, **options)
            settings = ServerOptions(port=0, **options)  # type: ignore[arg-type]
            listener = bind(settings)
            started = asyncio.Event()
            server = Server(app, settings, on_started=started.set)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            port = listener.getsockname()[1]

            async def stop() -> None:
                server.drain()
                await asyncio.wait_for(serving, WAIT_S)

            stack.push_async_callback(stop)
            await asyncio.wait_for(started.wait(), WAIT_S)
            return Running(app, server, port, serving)

        yield run


async def test_request_is_answered_and_the_connection_kept(start: Start) -> None:
    async with (await start()).connection() as client:
        for _ in range(3):
            client.writer.write(POST + b"content-length: 18\r\n\r\n" + EMBED)
            assert await client.status() == 200


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""])
async def test_header_over_the_limit_is_a_431(start: Start, end: bytes) -> None:
    async with (await start()).connection() as client:
        client.writer.write(GET[:-2] + b"x-big: " + b"x" * 40_000 + end)
        assert await client.status() == 431
        assert await client.is_closed()


async def test_many_small_headers_are_counted_together(start: Start) -> None:
    async with (await start()).connection() as client:
        client.writer.write(GET[:-2] + b"".join(b"x-%d: y\r\n" % n for n in range(8000)))
        assert await client.status() == 431


async def test_header_limit_holds_for_later_requests_of_a_connection(start: Start) -> None:
    async with (await start()).connection() as client:
        client.writer.write(GET)
        assert await client.status() == 200
        client.writer.write(GET[:-2] + b"x-big: " + b"x" * 40_000 + b"\r\n\r\n")
        assert await client.status() == 431


async def test_headers_below_the_limit_pass(start: Start) -> None:
    async with (await start()).connection() as client:
        client.writer.write(GET[:-2] + b"x-big: " + b"x" * 30_000 + b"\r\n\r\n")
        assert await client.status() == 200


async def test_body_is_not_counted_as_headers(start: Start) -> None:
    body = b'{"input": "' + b"x" * 200_000 + b'"}'
    async with (await start()).connection() as client:
        client.writer.write(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert await client.status() == 200


@pytest.mark.parametrize("sent", [b"GET /li", GET[:-2] + b"x-slow: y\r\n"])
async def test_slow_headers_are_a_408(start: Start, sent: bytes) -> None:
    async with (await start(header_timeout_s=0.05)).connection() as client:
        client.writer.write(sent)
        assert await client.status() == 408
        assert await client.is_closed()


async def test_silent_connection_is_closed_without_a_word(start: Start) -> None:
    async with (await start(keep_alive_s=0.05)).connection() as client:
        assert await client.is_closed()


async def test_silent_connection_may_wait_for_as_long_as_an_idle_one(start: Start) -> None:
    running = await start(header_timeout_s=0.0)
    async with running.connection() as silent, running.connection() as slow:
        slow.writer.write(b"GET /li")
        assert await slow.status() == 408  # all connections have been looked at
        silent.writer.write(GET)
        assert await silent.status() == 200


async def test_slow_headers_after_a_request_are_a_408(start: Start) -> None:
    async with (await start(header_timeout_s=0.3)).connection() as client:
        client.writer.write(GET)
        assert await client.status() == 200
        client.writer.write(b"\r\n\r\nGET /")
        assert await client.status() == 408


@pytest.mark.parametrize("framing", [b"content-length: 99", b"transfer-encoding: chunked"])
async def test_stalled_body_is_a_408(start: Start, framing: bytes) -> None:
    async with (await start(body_timeout_s=0.05)).connection() as client:
        client.writer.write(POST + framing + b"\r\n\r\n")
        assert await client.status() == 408
        assert await client.is_closed()


async def test_body_that_nobody_reads_ends_with_its_connection(start: Start) -> None:
    options = {"body_timeout_s": 0.05, "limit_body_bytes": 10}
    async with (await start(**options)).connection() as client:
        client.writer.write(POST + b"content-length: 99\r\n\r\nsome")
        assert await client.status() == 413
        assert await client.is_closed()  # and no second answer


async def test_client_still_sending_gets_to_read_its_413(start: Start) -> None:
    async with (await start(limit_body_bytes=10)).connection() as client:
        client.writer.write(POST + b"content-length: 1000000\r\n\r\n" + b"x" * 1_000_000)
        await client.writer.drain()
        assert await client.status() == 413
        client.writer.write(GET)
        assert await client.status() == 200


async def test_work_in_progress_is_not_timed_out(start: Start) -> None:
    service = StubService(waits=True)
    running = await start(service, header_timeout_s=0.0, body_timeout_s=0.0)
    async with running.connection() as client:
        client.writer.write(POST + b"content-length: 18\r\n\r\n" + EMBED)
        await asyncio.wait_for(service.started.wait(), WAIT_S)
        for connection in running.server.server_state.connections:
            connection.close_if_overdue(asyncio.get_running_loop().time() + 1e6)
        service.go.set()
        assert await client.status() == 200


async def test_client_that_hangs_up_cancels_its_work(start: Start) -> None:
    service = StubService(waits=True)
    running = await start(service)
    async with running.connection() as client:
        client.writer.write(POST + b"content-length: 18\r\n\r\n" + EMBED)
        await asyncio.wait_for(service.started.wait(), WAIT_S)
    await asyncio.wait_for(service.cancelled.wait(), WAIT_S)


async def test_client_that_hangs_up_after_a_large_body_cancels_its_work(start: Start) -> None:
    service = StubService(waits=True)
    running = await start(service)
    body = b'{"input": "%b"}' % (b"a" * 200_000)
    async with running.connection() as client:
        client.writer.write(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        await asyncio.wait_for(service.started.wait(), WAIT_S)
    await asyncio.wait_for(service.cancelled.wait(), WAIT_S)


async def test_expect_100_continue_is_honoured(start: Start) -> None:
    async with (await start()).connection() as client:
        client.writer.write(POST + b"content-length: 18\r\nexpect: 100-continue\r\n\r\n")
        line = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), WAIT_S)
        assert line == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.writer.write(EMBED)
        assert await client.status() == 200


async def test_offer_to_upgrade_is_ignored(start: Start) -> None:
    """Java's HttpClient offers h2c with every first request."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    async with (await start()).connection() as client:
        for _ in range(2):
            client.writer.write(POST + offer + b"content-length: 18\r\n\r\n" + EMBED[:7])
            client.writer.write(EMBED[7:])
            assert await client.status() == 200
        client.writer.write(GET)
        assert await client.status() == 200


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01 hello", b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n"]
)
async def test_what_is_not_our_http_is_a_400(start: Start, nonsense: bytes) -> None:
    async with (await start()).connection() as client:
        client.writer.write(nonsense)
        assert await client.status() == 400
        assert await client.is_closed()


async def test_head_has_no_body_and_the_connection_goes_on(start: Start) -> None:
    async with (await start()).connection() as client:
        client.writer.write(b"HEAD /live HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), WAIT_S)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        client.writer.write(b"OPTIONS /live HTTP/1.1\r\nhost: x\r\n\r\n" + GET)
        assert [await client.status() for _ in range(2)] == [204, 200]


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    async with (await start()).connection() as client:
        client.writer.write(GET + b"GET /nope HTTP/1.1\r\nhost: x\r\n\r\n" + GET)
        assert [await client.status() for _ in range(3)] == [200, 404, 200]


async def test_drain_finishes_what_is_in_flight_and_accepts_no_more(start: Start) -> None:
    service = StubService(waits=True)
    running = await start(service)
    async with running.connection() as client:
        client.writer.write(POST + b"content-length: 18\r\n\r\n" + EMBED)
        await asyncio.wait_for(service.started.wait(), WAIT_S)
        running.server.drain()
        await asyncio.wait_for(_refused(running.port), WAIT_S)
        service.go.set()
        assert await client.status() == 200
        assert await client.is_closed()
    await asyncio.wait_for(running.serving, WAIT_S)


async def test_drain_does_not_wait_for_ever(start: Start) -> None:
    service = StubService(waits=True)
    running = await start(service, drain_timeout_s=1.0)
    async with running.connection() as client:
        client.writer.write(POST + b"content-length: 18\r\n\r\n" + EMBED)
        await asyncio.wait_for(service.started.wait(), WAIT_S)
        running.server.drain()
        assert await client.status() == 503
        await asyncio.wait_for(running.serving, WAIT_S)
        assert service.cancelled.is_set()


async def _refused(port: int) -> None:
    """Return once nobody listens any more."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        writer.close()
        await writer.wait_closed()
