"""A server process: started on a free port, measured, always stopped."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

START_LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Started:
    """A server that answers."""

    host: str
    port: int
    pid: int
    seconds_to_ready: float

    def rss_mib(self) -> float:
        """Resident memory."""
        return float(psutil.Process(self.pid).memory_info().rss) / 2**20


@contextmanager
def server(checkpoint: Path, *flags: str) -> Iterator[Started]:
    """``polyvec serve`` until the block ends."""
    command = [
        sys.executable,
        "-m",
        "polyvec",
        "serve",
        str(checkpoint),
        "--port",
        "0",
        "--no-access-log",
        *flags,
    ]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = time.perf_counter() - start
        if " at http" not in line:
            raise RuntimeError(f"the server did not start: {line!r}")
        url = urlsplit(line.rsplit(" at ", 1)[1].strip())
        yield Started(url.hostname or "", url.port or 0, process.pid, ready)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_LIMIT_S)
