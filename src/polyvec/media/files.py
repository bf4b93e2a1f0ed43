"""Files of the server's own machine that callers may name: those below a media root, no others."""

import ctypes
import errno
import logging
import os
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from polyvec.errors import (
    InvalidInputError,
    MediaError,
    OverloadedError,
    UnsupportedInputError,
)
from polyvec.media.encoded import Wanted
from polyvec.media.policy import MediaPolicy

_log = logging.getLogger(__name__)

_FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_MAX_PATH_CHARS = 4096
_MAX_SHOWN_CHARS = 200

# Source: linux/openat2.h; the number is the same on every architecture that Python has wheels for.
_OPENAT2 = 437
_NO_MAGIC_LINKS = 0x02
_BENEATH = 0x08
_MAX_TRIES = 8


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_file(path: str, wanted: Wanted) -> BinaryIO:
    """Open a file below one of the policy's roots.

    Args:
        path: Absolute, relative to a root (the first that has it wins), or a ``file://`` URI. It
            may not have ``..`` in it. Links are followed where the kernel can make sure that they
            stay below the root, and are refused elsewhere.
        wanted: What it is opened for.

    Raises:
        UnsupportedInputError: The policy has no roots.
        MediaError: It is over its limit (``…_too_large``), or is not there, is no regular file or
            lies elsewhere (``media_not_found``, one text for all of these).
        OverloadedError: Too many files are open.
    """
    param, roots = wanted.param, wanted.policy.roots
    if not roots:
        raise UnsupportedInputError(
            f"{param}: this server reads no files of its own machine (no --media-root is set); "
            f"send the {wanted.noun} itself, as base64",
            param=param,
        )
    for root, parts in _places(path, roots):
        try:
            return _open_regular(root, parts, wanted)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise OverloadedError("the server has too many files open; try again") from None
            if error.errno not in _GONE:
                _log.info("a file was not opened for %s: %s", ascii(param), error.strerror)
    shown = path if len(path) <= _MAX_SHOWN_CHARS else path[:_MAX_SHOWN_CHARS] + "…"
    raise wanted.error(f"no file {shown!r} below this server's media roots", "media_not_found")


def check_place(path: str, policy: MediaPolicy, *, param: str) -> None:
    """Refuse a path that names a place outside every root, whether there is something or not.

    Raises:
        InvalidInputError: It does.
    """
    roots = policy.roots
    if roots and path and not any(True for _ in _places(path, roots)):
        shown = path if len(path) <= _MAX_SHOWN_CHARS else path[:_MAX_SHOWN_CHARS] + "…"
        raise InvalidInputError(f"Path outside allowed directory: {shown}", param=param)


def _places(path: str, roots: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Each root that may have the file, with the way from there to it."""
    found = _path_of_uri(path) if path[:5].lower() == "file:" else path
    if found is None or not _is_path(found) or found.endswith("/"):
        return
    parts = [part for part in found.split("/") if part not in {"", "."}]
    if not parts or ".." in parts:
        return
    for root in roots:
        if not found.startswith("/"):
            yield root, parts
            continue
        for spelling in dict.fromkeys((Path(root).absolute(), Path(root).resolve())):
            above = list(spelling.parts[1:])
            if parts[: len(above)] == above and len(parts) > len(above):
                yield root, parts[len(above) :]


def _is_path(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return "\0" not in text and len(text) <= _MAX_PATH_CHARS


def _path_of_uri(uri: str) -> str | None:
    try:
        url = urlsplit(uri)
        path = unquote(url.path, errors="strict")
    except ValueError:
        return None
    plain = url.netloc in {"", "localhost"} and not url.query and not url.fragment
    return path if plain and path.startswith("/") else None


def _open_regular(root: str, parts: list[str], wanted: Wanted) -> BinaryIO:
    folder = os.open(root, _FOLDER_FLAGS)
    try:
        opened = _open_beneath(folder, parts)
    finally:
        os.close(folder)
    try:
        _check_file(os.fstat(opened), wanted)
        return os.fdopen(opened, "rb")
    except (OSError, MediaError):
        os.close(opened)
        raise


def _check_file(found: os.stat_result, wanted: Wanted) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if found.st_size > wanted.limit_bytes:
        raise wanted.too_large()


def _open_beneath(folder: int, parts: list[str]) -> int:
    if not has_openat2():
        return open_by_steps(folder, parts)
    for _ in range(_MAX_TRIES - 1):
        try:
            return _openat2(folder, "/".join(parts))
        except BlockingIOError:  # something was renamed meanwhile, so the kernel cannot tell
            continue
    return _openat2(folder, "/".join(parts))


def open_by_steps(folder: int, parts: list[str]) -> int:
    """Open a file from folder to folder, following no link at all: for kernels without openat2.

    Raises:
        OSError: A part is missing, is a link, or is not a folder.
    """
    current = os.dup(folder)
    try:
        for part in parts[:-1]:
            deeper = os.open(part, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = deeper
        return os.open(parts[-1], _FILE_FLAGS | os.O_NOFOLLOW, dir_fd=current)
    finally:
        os.close(current)


@cache
def has_openat2() -> bool:
    """Whether the kernel has the call, and the container lets it through."""
    folder = os.open("/", _FOLDER_FLAGS)
    try:
        os.close(_openat2(folder, "."))
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(folder)


def _openat2(folder: int, path: str) -> int:
    how = _OpenHow(_FILE_FLAGS, 0, _BENEATH | _NO_MAGIC_LINKS)
    libc = ctypes.CDLL(None, use_errno=True)
    opened = libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(folder),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if opened < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(opened)
