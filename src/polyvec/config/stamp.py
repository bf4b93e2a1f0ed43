"""Whether files have changed since somebody looked: cheap enough to ask every second."""

from collections.abc import Iterable
from pathlib import Path

from polyvec.config.repository import CONFIG_FILE, GRAPH_FILE

_MAX_DEPTH = 3

Stamp = tuple[tuple[str, int, int], ...]


def stamp_of(paths: Iterable[str]) -> Stamp:
    """Names, times and sizes of files, and of what lists models in folders."""
    return tuple(found for path in paths for found in _stamps(Path(path), 0))


def _stamps(path: Path, depth: int) -> list[tuple[str, int, int]]:
    try:
        status = path.stat()
        own = (str(path), status.st_mtime_ns, status.st_size)
        if not path.is_dir():
            return [own]
        inner = [
            found
            for one in sorted(path.iterdir())
            if one.name in (CONFIG_FILE, GRAPH_FILE) or (one.is_dir() and depth < _MAX_DEPTH)
            for found in _stamps(one, depth + 1)
        ]
    except OSError:  # it is being replaced
        return [(str(path), 0, -1)]
    return [own, *inner]
