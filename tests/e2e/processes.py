"""Processes that a server has started, as the kernel tells of them."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

_PATIENCE_S = 30.0


def children(pid: int) -> set[int]:
    """Those that a process has started and that have not ended."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and _parent(int(folder.name)) == pid:
            found.add(int(folder.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether it exists and has not ended."""
    return _parent(pid) is not None


def open_media(pid: int) -> list[str]:
    """Videos and pictures that a process has open: anonymous files, and those of some folder."""
    opened = []
    folder = Path(f"/proc/{pid}/fd")
    try:
        for link in folder.iterdir():
            target = str(link.readlink())
            if "polyvec-media" in target or target.endswith((".mp4", ".png", "(deleted)")):
                opened.append(target)
    except (FileNotFoundError, ProcessLookupError):
        return opened
    return opened


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Look again and again.

    Raises:
        AssertionError: It did not come to be.
    """
    tick = threading.Event()
    give_up_at_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < give_up_at_s, what
        tick.wait(0.02)


def _parent(pid: int) -> int | None:
    """Of a process that has not ended."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = said.rpartition(")")[2].split()[:2]
    return None if state in "ZX" else int(parent)
