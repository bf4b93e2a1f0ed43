"""What the kernel lets a decoding process do, whatever code comes to run in it.

Source: Linux's Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h.
"""

import ctypes
import os
import struct
import sys
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# (version, bits of file access, of TCP, of scopes) that it can deny; each knows all before it.
_VERSIONS = (
    (1, 13, 0, 0),
    (2, 14, 0, 0),
    (3, 15, 0, 0),
    (4, 15, 2, 0),
    (5, 16, 2, 0),
    (6, 16, 2, 2),
)
_LIBRARY_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")


def landlock_version() -> int:
    """Of this kernel; 0 for none, also where it is switched off."""
    return max(_call(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION), 0)


def restrict() -> bool:
    """Read nothing but Python's libraries, write and run nothing, reach nobody: for good.

    Open files stay usable. It holds for this thread and those that it starts.

    Returns:
        Whether this kernel can do it. Rights cannot be gained in any case.
    """
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = landlock_version()
    denied = [tuple((1 << bits) - 1 for bits in row[1:]) for row in _VERSIONS if row[0] <= version]
    if not denied:
        return False
    text = struct.pack("=QQQ", *denied[-1])
    # An old kernel knows a shorter form, which is the first fields of this one.
    fields = text if denied[-1][2] else text[:16] if denied[-1][1] else text[:8]
    rules = _call(_CREATE_RULESET, fields, ctypes.c_size_t(len(fields)), 0)
    if rules < 0:
        return False
    try:
        for path in dict.fromkeys([*_LIBRARY_FOLDERS, f"{sys.base_prefix}/lib", *sys.path]):
            _allow_reading(rules, path)
        return _call(_RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


def _allow_reading(rules: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        access = _READ_FILE | (_READ_DIR if Path(path).is_dir() else 0)
        _call(_ADD_RULE, rules, _RULE_PATH_BENEATH, struct.pack("=Qi", access, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    call = ctypes.CDLL(None).syscall
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(number), *arguments))
