"""Where an image is → the bytes of its file."""

import binascii
import re
from urllib.parse import unquote_to_bytes

from polyvec.errors import MediaError, UnsupportedInputError
from polyvec.media.policy import MediaPolicy
from polyvec.types import Base64, Bytes, DataUri, Source, Url

_DATA_URI = re.compile(r"data:(?P<kind>[^;,]*)(?P<options>(?:;[^;,]*)*),", re.IGNORECASE)
_WHITESPACE = b" \t\r\n\f\v"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def read_source(source: Source, policy: MediaPolicy, *, param: str) -> bytes:
    """Bytes of the encoded file, not yet looked at.

    Raises:
        MediaError: Not base64 (``invalid_base64``), over the byte limit (``image_too_large``),
            empty (``invalid_image``), or a data URI of something else
            (``unsupported_image_format``).
        UnsupportedInputError: A URL.
    """
    match source:
        case Bytes(data):
            file = _limited(data, policy, param)
        case Base64(text):
            file = _read_text(text, policy, param)
        case DataUri(uri):
            file = _read_data_uri(uri, policy, param)
        case Url():
            raise UnsupportedInputError(
                f"{param}: this server does not fetch URLs; send the picture itself, as base64 or "
                "as a data URI such as data:image/png;base64,…",
                param=param,
            )
    if not file:
        raise MediaError(f"{param}: the picture is empty", param=param)
    return file


def _read_text(text: str, policy: MediaPolicy, param: str) -> bytes:
    # Some clients paste a whole data URI into the field that is meant for its base64.
    if text[:64].lstrip()[:5].lower() == "data:":
        return _read_data_uri(text, policy, param)
    if "," in text:
        raise _invalid_base64(
            param, "it has a comma; send base64 alone or a whole data URI (data:image/png;base64,…)"
        )
    try:
        return _decode(text.encode("ascii"), policy, param)
    except UnicodeEncodeError:
        raise _invalid_base64(param, "it has characters outside ASCII") from None


def _read_data_uri(uri: str, policy: MediaPolicy, param: str) -> bytes:
    uri = uri.lstrip()
    head = _DATA_URI.match(uri)
    if head is None:
        raise _invalid_base64(
            param,
            "the data URI must look like data:image/png;base64,… with a comma before the data",
        )
    kind = head["kind"].strip().lower()
    if not kind.startswith("image/") and kind != "application/octet-stream":
        raise MediaError(
            f"{param}: the data URI's media type must be image/… or application/octet-stream",
            param=param,
            code="unsupported_image_format",
        )
    if head["options"].lower().rpartition(";")[2].strip() != "base64":
        raise _invalid_base64(param, "the data URI must say ;base64 before its comma")
    # Percent-encoding is legal in any URI; unquoting leaves other text as it is.
    return _decode(unquote_to_bytes(uri[head.end() :]), policy, param)


def _decode(text: bytes, policy: MediaPolicy, param: str) -> bytes:
    """Decode base64 of either alphabet, with or without padding and line breaks."""
    digits = text.translate(_URL_SAFE, _WHITESPACE)
    unpadded = digits.rstrip(b"=")
    if len(unpadded) * 3 // 4 > policy.limit_bytes:
        raise _too_large(policy, param)
    missing = -len(unpadded) % 4
    if missing == 3 or len(digits) - len(unpadded) not in (0, missing):  # noqa: PLR2004 - of a group of 4
        raise _invalid_base64(param, "its length is not that of whole bytes; it may be cut off")
    try:
        return binascii.a2b_base64(unpadded + b"=" * missing, strict_mode=bool(unpadded))
    except binascii.Error:
        raise _invalid_base64(
            param, "only A-Z a-z 0-9 + / (or - _), padding and line breaks are allowed"
        ) from None


def _limited(data: bytes, policy: MediaPolicy, param: str) -> bytes:
    if len(data) > policy.limit_bytes:
        raise _too_large(policy, param)
    return data


def _invalid_base64(param: str, why: str) -> MediaError:
    return MediaError(f"{param}: not valid base64: {why}", param=param, code="invalid_base64")


def _too_large(policy: MediaPolicy, param: str) -> MediaError:
    return MediaError(
        f"{param}: the encoded picture is over the limit of {policy.limit_bytes} bytes",
        param=param,
        code="image_too_large",
    )
