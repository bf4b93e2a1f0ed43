"""Where a picture, a video or a manifest is → its encoded bytes, or an open file of them."""

import re
from typing import Literal, overload
from urllib.parse import unquote

from polyvec.media.base64_text import decode_base64, invalid_base64
from polyvec.media.encoded import Encoded, Wanted
from polyvec.media.files import open_file
from polyvec.media.policy import MediaKind, MediaPolicy
from polyvec.types import Base64, Bytes, DataUri, File, Source, Url

__all__ = ["Encoded", "open_source", "read_source"]

_DATA_URI = re.compile(r"data:(?P<kind>[^;,]*)(?P<options>(?:;[^;,]*)*),", re.IGNORECASE)
# An animated picture may be asked for as a video.
_MEDIA_TYPES: dict[MediaKind, tuple[str, ...]] = {
    "image": ("image/",),
    "video": ("video/", "image/"),
    "manifest": ("application/json", "text/"),
}
_ANY_TYPE = "application/octet-stream"


@overload
def open_source(
    source: Source, policy: MediaPolicy, *, kind: Literal["image", "manifest"], param: str
) -> bytes: ...


@overload
def open_source(source: Source, policy: MediaPolicy, *, kind: MediaKind, param: str) -> Encoded: ...


def open_source(source: Source, policy: MediaPolicy, *, kind: MediaKind, param: str) -> Encoded:
    """The encoded file, not yet looked at: bytes, or for a video maybe an open file.

    A URL blocks until the policy's time is up at most; all else is quick.

    Raises:
        MediaError: Not base64 (``invalid_base64``), over its limit (``image_too_large``,
            ``video_too_large``, ``manifest_too_large``), empty (``invalid_image`` …), a data URI of
            something else (``unsupported_image_format`` …), or a URL or file that cannot be had
            (``media_unavailable``, ``media_not_found``).
        UnsupportedInputError: A URL or file, and the policy allows none.
    """
    wanted = Wanted(kind, policy, param)
    found = _opened(source, wanted)
    if isinstance(found, bytes):
        if not found:
            raise wanted.empty()
        return found
    if kind == "video":
        if not found.seek(0, 2):
            found.close()
            raise wanted.empty()
        found.seek(0)
        return found
    with found:
        data = found.read(wanted.limit_bytes + 1)
    if not data:
        raise wanted.empty()
    return _limited(data, wanted)


def read_source(source: Source, policy: MediaPolicy, *, param: str) -> bytes:
    """Bytes of an encoded picture; see `open_source`."""
    return open_source(source, policy, kind="image", param=param)


def _opened(source: Source, wanted: Wanted) -> Encoded:
    match source:
        case Bytes(data):
            return _limited(data, wanted)
        case Base64(text):
            return _read_text(text, wanted)
        case DataUri(uri):
            return _read_data_uri(uri, wanted)
        case File(path):
            return open_file(path, wanted)
        case Url(url):
            # The HTTP client takes a while to import, and few servers fetch anything.
            from polyvec.media.fetch import fetch

            return fetch(url, wanted)


def _read_text(text: str, wanted: Wanted) -> bytes:
    # Some clients paste a whole data URI into the field that is meant for its base64.
    if text[:64].lstrip()[:5].lower() == "data:":
        return _read_data_uri(text, wanted)
    if "," in text:
        raise invalid_base64(
            wanted, "it has a comma; send base64 alone or a whole data URI (data:…;base64,…)"
        )
    return decode_base64(text, wanted)


def _read_data_uri(uri: str, wanted: Wanted) -> bytes:
    uri = uri.lstrip()
    head = _DATA_URI.match(uri)
    if head is None:
        raise invalid_base64(
            wanted,
            "the data URI must look like data:image/png;base64,… with a comma before the data",
        )
    media_type = head["kind"].strip().lower()
    accepted = _MEDIA_TYPES[wanted.kind]
    if not media_type.startswith(accepted) and media_type not in ("", _ANY_TYPE):
        shown = [f"{name}…" if name.endswith("/") else name for name in accepted]
        raise wanted.error(
            f"the data URI's media type must be {', '.join(shown)} or {_ANY_TYPE}",
            f"unsupported_{wanted.kind}_format",
        )
    if head["options"].lower().rpartition(";")[2].strip() != "base64":
        raise invalid_base64(wanted, "the data URI must say ;base64 before its comma")
    # Percent-encoding is legal in any URI; unquoting leaves other text as it is.
    return decode_base64(unquote(uri[head.end() :]), wanted)


def _limited(data: bytes, wanted: Wanted) -> bytes:
    if len(data) > wanted.limit_bytes:
        raise wanted.too_large()
    return data
