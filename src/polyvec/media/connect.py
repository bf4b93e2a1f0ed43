"""Connections that go to checked addresses only, and end at a deadline."""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpcore2

from polyvec.media.addresses import is_allowed
from polyvec.media.policy import MediaPolicy
from polyvec.media.urls import RefusedError

# A look-up cannot be stopped, only left behind; a dead name server must not pile up threads.
_LOOKUPS = threading.BoundedSemaphore(64)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which a fetch must be over.

    Attributes:
        at_s: On the monotonic clock.
    """

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The moment in so many seconds."""
        return cls(time.monotonic() + seconds)

    def left_s(self, at_most: float | None = None) -> float:
        """Seconds until then.

        Raises:
            RefusedError: There are none.
        """
        left = self.at_s - time.monotonic()
        if left <= 0:
            raise RefusedError("the time is up")
        return left if at_most is None else min(left, at_most)


class GuardedBackend(httpcore2.NetworkBackend):
    """Looks a host up once, checks every address it has, and connects to one of those.

    There is no second look-up between check and connection, so a name that changes its address
    gains nothing.
    """

    def __init__(self, policy: MediaPolicy, deadline: Deadline, *, to_proxy: bool = False) -> None:
        self._policy = policy
        self._deadline = deadline
        self._to_proxy = to_proxy

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  (the policy's is taken)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect.

        Raises:
            RefusedError: The host has an address that may not be reached, or none.
        """
        ends = Deadline.after(self._deadline.left_s(self._policy.connect_timeout_s))
        addresses = look_up(host, port, ends)
        if not self._to_proxy:  # the operator chose the proxy, and it is likely private
            check_addresses(addresses, self._policy)
        reason: Exception = RefusedError("the host has no address")
        for index, address in enumerate(addresses):
            share = ends.left_s() / (len(addresses) - index)
            try:
                stream = httpcore2.SyncBackend().connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                reason = error
            else:
                return _TimedStream(stream, self._policy, self._deadline)
        raise reason


class _TimedStream(httpcore2.NetworkStream):
    """Waits for the first byte as the policy says, and for nothing beyond the deadline."""

    def __init__(
        self, stream: httpcore2.NetworkStream, policy: MediaPolicy, deadline: Deadline
    ) -> None:
        self._stream = stream
        self._policy = policy
        self._deadline = deadline
        self._patience_s: float | None = policy.first_byte_timeout_s

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        data = self._stream.read(max_bytes, self._deadline.left_s(self._patience_s))
        self._patience_s = None
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.left_s(self._policy.first_byte_timeout_s))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        left_s = self._deadline.left_s(self._policy.connect_timeout_s)
        secured = self._stream.start_tls(ssl_context, server_hostname, left_s)
        return _TimedStream(secured, self._policy, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def check_addresses(addresses: Iterable[str], policy: MediaPolicy) -> None:
    """See that all addresses of a host may be reached; one that may not spoils the host.

    Raises:
        RefusedError: One may not.
    """
    for address in addresses:
        networks, public = policy.allowed_networks, policy.reaches_public
        if not is_allowed(ip_address(address), networks, public=public):
            raise RefusedError(
                f"{address} is neither public nor in --allowed-media-network"
                if public
                else f"{address} is not in --allowed-media-network"
            )


def look_up(host: str, port: int, ends: Deadline) -> list[str]:
    """Every address of a host, in the system's order; of an address, itself.

    Raises:
        RefusedError: There is none, or the answer did not come in time.
    """
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    if not _LOOKUPS.acquire(timeout=ends.left_s()):
        raise RefusedError("too many look-ups hang")
    answers: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
    threading.Thread(
        target=_answer, args=(host, port, answers), name="polyvec-lookup", daemon=True
    ).start()
    try:
        addresses = answers.get(timeout=max(ends.left_s(), 0.001))
    except queue.Empty:
        raise RefusedError("the look-up took too long") from None
    if not addresses:
        raise RefusedError("the host has no address")
    return addresses


def _answer(host: str, port: int, answers: "queue.SimpleQueue[list[str] | None]") -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answers.put(list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)))
    except (OSError, UnicodeError):
        answers.put(None)
    finally:
        _LOOKUPS.release()
