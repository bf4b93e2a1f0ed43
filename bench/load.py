"""A load generator on asyncio protocols, cheap enough to share a machine with the server."""

import asyncio
import time
from collections.abc import Sequence

import orjson


def request_bytes(path: str, payload: object) -> bytes:
    """A keep-alive POST, ready to send."""
    body = orjson.dumps(payload)
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Client(asyncio.Protocol):
    """One connection; `ask` sends a request and waits for the whole answer."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        start = head.index(b"content-length:") + 15
        length = int(head[start : head.find(b"\r\n", start) if b"\r\n" in head[start:] else None])
        if len(self._buffer) >= end + 4 + length and self._answer is not None:
            status = int(self._buffer[9:12])
            self._buffer = self._buffer[end + 4 + length :]
            self._answer.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed"))

    async def ask(self, request: bytes) -> float:
        """Seconds until the answer, which must be a 200."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        start = time.perf_counter()
        self._transport.write(request)
        status = await self._answer
        if status != 200:
            raise RuntimeError(f"status {status}")
        return time.perf_counter() - start


async def connect(host: str, port: int) -> Client:
    """A new connection."""
    _, client = await asyncio.get_running_loop().create_connection(Client, host, port)
    return client


async def _drive(host: str, port: int, requests: Sequence[bytes], clients: int) -> list[float]:
    waiting = iter(requests)
    latencies: list[float] = []

    async def client() -> None:
        connected = await connect(host, port)
        for request in waiting:
            latencies.append(await connected.ask(request))  # noqa: PERF401  (keep order of arrival)

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def drive(
    host: str, port: int, requests: Sequence[bytes], clients: int
) -> tuple[float, list[float]]:
    """Send every request once from ``clients`` connections; (seconds in all, seconds of each)."""
    start = time.perf_counter()
    latencies = asyncio.run(_drive(host, port, requests, clients))
    return time.perf_counter() - start, latencies
