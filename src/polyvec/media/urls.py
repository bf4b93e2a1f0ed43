"""The text of a URL → where exactly a fetch would go. One parser, so there is nothing to differ."""

import re
import socket
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

import httpx2

from polyvec.media.policy import MediaPolicy

Scheme = Literal["http", "https"]

_MAX_URL_CHARS = 8192
_MAX_PORT = 65_535
_MAX_HOST_CHARS = 253
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.IGNORECASE
)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]:@%]+)(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_DELIMITER = re.compile(r"[/?#@:\[\]%\\\s]")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BAD_CHARACTER = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
_DEFAULT_PORTS: dict[Scheme, int] = {"http": 80, "https": 443}


class RefusedError(Exception):
    """Why a URL is not fetched: for the log, or for the caller when its text alone is wrong."""


@dataclass(frozen=True, slots=True)
class Location:
    """What a URL names, in the one spelling that is checked, looked up and sent.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Lower case, ASCII, no trailing dot; an address in its canonical form, no brackets.
        port: Given, or the scheme's.
        target: Path and query as they are sent, percent-encoded.
        address: The host, when it is an address and not a name.
    """

    scheme: Scheme
    host: str
    port: int
    target: str
    address: IPv4Address | IPv6Address | None = None

    @property
    def origin(self) -> str:
        """The URL without path and query, which may hold secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_url(text: str) -> Location:
    """Read an absolute URL.

    Raises:
        RefusedError: It is not http or https, names a user, has characters that parsers read
            differently (backslashes, blanks, control characters), or its host is no host.
    """
    if len(text) > _MAX_URL_CHARS:
        raise RefusedError(f"the URL has more than {_MAX_URL_CHARS} characters")
    if _BAD_CHARACTER.search(text):
        raise RefusedError("the URL has a backslash, blank or control character")
    url = _URL.fullmatch(text)
    if url is None:
        raise RefusedError("the URL does not begin with http:// or https://")
    authority = _AUTHORITY.fullmatch(url["authority"])
    if authority is None:
        raise RefusedError("the URL names a user, or its host or port cannot be read")
    scheme: Scheme = "https" if url["scheme"].lower() == "https" else "http"
    host = normalize_host(authority["host"])
    port = int(authority["port"] or _DEFAULT_PORTS[scheme])
    if not 1 <= port <= _MAX_PORT:
        raise RefusedError("the URL's port is not one")
    return Location(scheme, host, port, _encoded(url["target"]), _address(host))


def join_url(base: Location, text: str) -> Location:
    """Where a redirect leads.

    Raises:
        RefusedError: As `parse_url`, or it leads from https to http.
    """
    if _BAD_CHARACTER.search(text):
        raise RefusedError("the redirect has a backslash, blank or control character")
    try:
        joined = str(httpx2.URL(base.origin + base.target).join(text))
    except (httpx2.InvalidURL, ValueError) as error:
        raise RefusedError("the redirect is not a URL") from error
    location = parse_url(joined)
    if (base.scheme, location.scheme) == ("https", "http"):
        raise RefusedError("the redirect leads from https to http")
    return location


def check_name(location: Location, policy: MediaPolicy) -> None:
    """See that host and port may be named, whatever their addresses are.

    Raises:
        RefusedError: They may not.
    """
    ports = set(policy.allowed_ports)
    if policy.allowed_domains:
        matching = [
            port
            for name, port in map(_split_pattern, policy.allowed_domains)
            if _matches(location.host, name)
        ]
        if not matching:
            raise RefusedError("the host is not among --allowed-media-domain")
        ports |= {port for port in matching if port is not None}
    if location.port not in ports:
        raise RefusedError("the port is not among the allowed ones")


@lru_cache(maxsize=1024)
def normalize_host(text: str) -> str:
    """The one spelling of a host: an address, or a name in lower case and ASCII.

    What the system's resolver would read as an IPv4 address (``127.1``, ``0x7f000001``,
    ``2130706433``, ``①②⑦.⓪.⓪.①``) becomes that address.

    Raises:
        RefusedError: It is neither.
    """
    if text.startswith("["):
        try:
            return str(IPv6Address(text[1:-1]))
        except ValueError:
            raise RefusedError("the host is not an IPv6 address") from None
    compatible = unicodedata.normalize("NFKC", text).lower()
    if _DELIMITER.search(compatible):  # such as ℀, which becomes a/c
        raise RefusedError("the host is not a host name")
    name = _ascii(compatible).removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _dotted(name)
    if len(name) > _MAX_HOST_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise RefusedError("the host is not a host name")
    return name


def _ascii(name: str) -> str:
    if name.isascii():
        return name
    try:
        return httpx2.URL(f"http://{name}/").raw_host.decode("ascii")
    except (httpx2.InvalidURL, ValueError) as error:
        raise RefusedError("the host is not an international host name") from error


def _dotted(name: str) -> str:
    try:
        return str(IPv4Address(socket.inet_aton(name)))
    except OSError:
        raise RefusedError("the host is not an IPv4 address") from None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    if ":" in host:
        return IPv6Address(host)
    return IPv4Address(host) if host.rpartition(".")[2].isdecimal() else None


def _encoded(target: str) -> str:
    try:
        return httpx2.URL(f"http://host{target}").raw_path.decode("ascii")
    except (httpx2.InvalidURL, ValueError) as error:
        raise RefusedError("the URL's path cannot be read") from error


@lru_cache(maxsize=256)
def _split_pattern(pattern: str) -> tuple[str, int | None]:
    wild = "*." if pattern.startswith("*.") else ""
    found = _AUTHORITY.fullmatch(pattern[len(wild) :])
    if found is None:
        raise RefusedError("an entry of --allowed-media-domain is not a host")
    port = int(found["port"]) if found["port"] else None
    return wild + normalize_host(found["host"]), port


def _matches(host: str, name: str) -> bool:
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
