"""What a decoding process can still do once it has restricted itself; in processes of their own."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from polyvec.media._decoder_sandbox import landlock_version

WITHOUT_FILES = landlock_version() >= 1
WITHOUT_TCP = landlock_version() >= 4
WITHOUT_SIGNALS = landlock_version() >= 6

PRELUDE = """
import os, signal, socket, sys
from polyvec.media._decoder_process import _restrict
_restrict({"parent": os.getppid(), "limit_memory_bytes": 1 << 31, "is_for_video": False})
try:
    exec(sys.argv[1])
except PermissionError:
    print("denied")
else:
    print("allowed")
"""


def outcome(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PRELUDE, code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def expected(*, denied: bool) -> str:
    return "denied" if denied else "allowed"


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ"])
def test_files_cannot_be_read(path: str) -> None:
    assert outcome(f"open({path!r})") == expected(denied=WITHOUT_FILES)


def test_a_file_that_anyone_may_read_cannot_be_read_nor_listed(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hush")
    assert outcome(f"open({str(file)!r})") == expected(denied=WITHOUT_FILES)
    assert outcome(f"os.listdir({str(tmp_path)!r})") == expected(denied=WITHOUT_FILES)


def test_files_cannot_be_made() -> None:
    with tempfile.TemporaryDirectory() as folder:
        code = f"os.close(os.open({folder + '/new'!r}, os.O_CREAT | os.O_WRONLY))"
        assert outcome(code) == expected(denied=WITHOUT_FILES)


def test_programs_cannot_be_run() -> None:
    assert outcome("os.execv('/bin/echo', ['echo', 'allowed'])") == expected(denied=WITHOUT_FILES)


def test_hosts_cannot_be_reached() -> None:
    with_listener = "socket.socket().bind(('127.0.0.1', 0))"
    assert outcome(with_listener) == expected(denied=WITHOUT_TCP)


def test_other_processes_cannot_be_signalled() -> None:
    assert outcome("os.kill(os.getppid(), 0)") == expected(denied=WITHOUT_SIGNALS)


@pytest.mark.parametrize("module", ["wave", "encodings.utf_16_be", "PIL.PcxImagePlugin"])
def test_libraries_can_still_be_loaded(module: str) -> None:
    assert outcome(f"import {module}") == "allowed"
