"""URL → encoded bytes, without letting callers look around in the server's network."""

import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from ssl import SSLContext
from tempfile import TemporaryFile
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httpcore2

from polyvec.errors import OverloadedError, PolyvecError, UnsupportedInputError
from polyvec.media.connect import Deadline, GuardedBackend, check_addresses, look_up
from polyvec.media.encoded import Encoded, Wanted
from polyvec.media.urls import Location, RefusedError, check_name, join_url, parse_url

_log = logging.getLogger(__name__)

_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MEMORY_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
_ZLIB_OR_GZIP = 47


def fetch(url: str, wanted: Wanted) -> Encoded:
    """Get what a URL names: a picture or a manifest as bytes, a video of some size as a file.

    Blocks until the policy's time is up at most. Sends no cookies and no credentials.

    Raises:
        UnsupportedInputError: The policy allows no URLs.
        MediaError: It is no http(s) URL (``invalid_url``), is over its limit (``…_too_large``), or
            cannot be had (``media_unavailable``). The latter says the same whether the address is
            forbidden, the host is down or too slow, or the file is not there, so that callers
            cannot probe the network; the reason goes to the log.
        OverloadedError: The server has no room for it.
    """
    policy, param = wanted.policy, wanted.param
    if not policy.fetches_urls:
        raise UnsupportedInputError(
            f"{param}: this server does not fetch URLs (--allow-media-urls is none); send the "
            f"{wanted.noun} itself, as base64 or as a data URI such as data:{_example(wanted)},…",
            param=param,
        )
    try:
        location = parse_url(url.strip())
    except RefusedError as error:
        raise wanted.error(str(error), "invalid_url") from None
    job = _Fetch(wanted, Deadline.after(policy.fetch_timeout_s))
    try:
        return job.follow(location)
    except PolyvecError:
        raise
    except Exception as error:  # noqa: BLE001  (one answer for whatever went wrong on the way)
        reason = f"{type(error).__name__}: {error}"
        _log.info("fetch from %s failed: %s", job.origin, ascii(reason)[1:-1])
        raise wanted.error(
            "the URL could not be fetched: it must be one that this server is allowed to fetch, "
            f"and answer with a {wanted.noun} in time",
            "media_unavailable",
        ) from None


class _Fetch:
    def __init__(self, wanted: Wanted, deadline: Deadline) -> None:
        self._wanted = wanted
        self._deadline = deadline
        self.origin = ""

    def follow(self, location: Location) -> Encoded:
        for _ in range(self._wanted.policy.max_redirects + 1):
            self.origin = location.origin
            answer = self._visit(location)
            if not isinstance(answer, Location):
                return answer
            location = answer
        raise RefusedError("too many redirects")

    def _visit(self, location: Location) -> Encoded | Location:
        """What is there, or where it says to go."""
        policy = self._wanted.policy
        check_name(location, policy)
        proxy = _proxy_for(location) if policy.trust_env_proxies else None
        if proxy is not None:
            self._check_ahead_of_proxy(location)
        backend = GuardedBackend(policy, self._deadline, to_proxy=proxy is not None)
        with (
            httpcore2.ConnectionPool(
                ssl_context=_verifying_context(), proxy=proxy, network_backend=backend
            ) as pool,
            pool.stream("GET", _request_url(location), headers=_headers(location)) as response,
        ):
            if response.status in _REDIRECTS:
                return join_url(location, _header(response, b"location").decode("utf-8"))
            if response.status != _OK:
                raise RefusedError(f"the answer has status {response.status}")
            return self._receive(response)

    def _check_ahead_of_proxy(self, location: Location) -> None:
        ends = Deadline.after(self._deadline.left_s(self._wanted.policy.connect_timeout_s))
        try:
            addresses = look_up(location.host, location.port, ends)
        except RefusedError:
            return  # names of the outside are often known to the proxy alone
        check_addresses(addresses, self._wanted.policy)

    def _receive(self, response: httpcore2.Response) -> Encoded:
        declared = _header(response, b"content-length")
        if declared.isdigit() and int(declared) > self._wanted.limit_bytes:
            raise self._wanted.too_large()
        body = _Body(self._wanted)
        try:
            for chunk in _decompressed(response):
                body.add(chunk)
            return body.finish()
        except BaseException:
            body.discard()
            raise


class _Body:
    """Bytes that have come; those of a big video are put into a file without a name."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._memory = bytearray()
        self._file: BinaryIO | None = None
        self._num_bytes = 0

    def add(self, chunk: bytes) -> None:
        self._num_bytes += len(chunk)
        if self._num_bytes > self._wanted.limit_bytes:
            raise self._wanted.too_large()
        self._memory += chunk
        if self._wanted.kind == "video" and len(self._memory) > _MEMORY_BYTES:
            with _room_on_disk():
                self._file = self._file or TemporaryFile()  # noqa: SIM115  (the caller's)
                self._file.write(self._memory)
            self._memory = bytearray()

    def finish(self) -> Encoded:
        if self._file is None:
            return bytes(self._memory)
        with _room_on_disk():
            self._file.write(self._memory)
            self._file.seek(0)
        return self._file

    def discard(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # closing writes what is buffered, and the disk may be full
                self._file.close()


@contextmanager
def _room_on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _log.error("no room for a download: %s", error.strerror)
        raise OverloadedError(
            "the server has no room for the download now; try again later", retry_after_s=10
        ) from None


def _decompressed(response: httpcore2.Response) -> Iterator[bytes]:
    """The body in chunks of bounded size, whatever a compressed one would grow to."""
    coding = _header(response, b"content-encoding").decode("latin-1").strip().lower()
    if coding in {"", "identity"}:
        yield from response.iter_stream()
        return
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise RefusedError("the answer is compressed in a way that was not asked for")
    inflater = zlib.decompressobj(wbits=_ZLIB_OR_GZIP)
    for received in response.iter_stream():
        waiting = received
        while waiting:
            yield inflater.decompress(waiting, _CHUNK_BYTES)
            waiting = inflater.unconsumed_tail
    yield inflater.flush()
    if not inflater.eof or inflater.unused_data:
        raise RefusedError("the compressed answer is cut off or has something behind it")


def _request_url(location: Location) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=location.scheme, host=location.host, port=location.port, target=location.target
    )


def _headers(location: Location) -> dict[str | bytes, str | bytes]:
    host = location.origin.partition("://")[2]
    default = {"http": ":80", "https": ":443"}[location.scheme]
    return {
        "Host": host.removesuffix(default),
        "User-Agent": "polyvec",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def _header(response: httpcore2.Response, name: bytes) -> bytes:
    return next((value for key, value in response.headers if key.lower() == name), b"")


def _proxy_for(location: Location) -> httpcore2.Proxy | None:
    """The proxy that the environment names, in the spelling of curl and others."""
    proxies = getproxies_environment()
    text = proxies.get(location.scheme) or proxies.get("all")
    if not text or proxy_bypass(f"{location.host}:{location.port}", proxies):
        return None
    url = urlsplit(text if "://" in text else f"http://{text}")
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise RefusedError("the proxy of the environment is not http or https")
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    auth = (unquote(url.username), unquote(url.password or "")) if url.username else None
    return httpcore2.Proxy(
        httpcore2.URL(scheme=url.scheme, host=url.hostname, port=port, target="/"), auth=auth
    )


def _example(wanted: Wanted) -> str:
    kinds = {"image": "image/png", "video": "video/mp4", "manifest": "application/json"}
    return f"{kinds[wanted.kind]};base64"


@cache
def _verifying_context() -> SSLContext:
    """The system's authorities, or those of ``SSL_CERT_FILE``; made once, since it is slow."""
    return httpcore2.default_ssl_context()
