"""Real server processes on free ports of this machine, and ways to see them fail."""

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

READY_S = 60.0
STOP_S = 20.0
READY_LINE = re.compile(
    r"polyvec \S+ serves (?P<models>.+) at (?P<url>http://127\.0\.0\.1:\d+)\S*\n"
)


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that has said where it listens.

    Attributes:
        process: Its process.
        url: Such as ``http://127.0.0.1:41837``.
        ready_line: What it printed on stdout.
        log: What it has written to stderr so far, in a file.
    """

    process: "subprocess.Popen[str]"
    url: str
    ready_line: str
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as `socket.create_connection` wants them."""
        return "127.0.0.1", int(self.url.rpartition(":")[2])

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None

    def stop(self) -> int:
        """Send SIGTERM unless it has ended, and return its exit code.

        Raises:
            AssertionError: It did not end in time.
        """
        if self.is_running():
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end of a process that has been signalled and return its exit code.

        Raises:
            AssertionError: It did not end in time; the message holds its log.
        """
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_S)
            said = self.log.read_text()
        raise AssertionError(f"did not stop within {STOP_S} s:\n{said}")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables without any of polyvec's, offline, and some more."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("POLYVEC_")}
    return own | {"HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1"} | dict(extra or {})


def run_cli(
    *arguments: str, environ: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run ``polyvec ARGUMENTS`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "polyvec", *arguments],
        env=environment(environ),
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )


@contextmanager
def running(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    port: str | None = "0",
    python: str = sys.executable,
) -> Iterator[ServerProcess]:
    """Run ``polyvec serve ARGUMENTS`` until the block ends, whatever happens in it.

    Args:
        arguments: Of ``polyvec serve``.
        environ: Variables beside this process's own.
        port: Value of ``--port``, or None for no such flag.
        python: Interpreter whose packages have polyvec.

    Raises:
        AssertionError: It ended or kept silent instead of getting ready, or did not stop; the
            message holds its log.
    """
    flags = [] if port is None else ["--port", port]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [python, "-m", "polyvec", "serve", *arguments, *flags],
                env=environment(environ),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert process.stdout is not None
        with process.stdout:
            try:
                line = _first_line(process.stdout)
                found = READY_LINE.fullmatch(line)
                assert found is not None, f"not ready: {line!r}\n{log.read_text()}"
                server = ServerProcess(process, found["url"], line, log)
                yield server
                server.stop()
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait(STOP_S)


def _first_line(stream: IO[str]) -> str:
    """The first line, or what there is of it when the writer ends or time is up."""
    collected = b""
    give_up_at_s = time.monotonic() + READY_S
    while not collected.endswith(b"\n"):
        left_s = give_up_at_s - time.monotonic()
        if left_s <= 0 or not select.select([stream], [], [], left_s)[0]:
            break
        part = os.read(stream.fileno(), 65536)
        if not part:
            break
        collected += part
    return collected.decode()
