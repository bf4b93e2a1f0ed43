"""One decoding process, from the server's side."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from polyvec.errors import InferenceError
from polyvec.media._decoder_wire import Message, WireError, policy_fields, receive, send
from polyvec.media.decoder_options import DecoderOptions
from polyvec.media.policy import MediaPolicy

_START_TIMEOUT_S = 60.0
_CANCEL_TIMEOUT_S = 1.0
# What a Python process needs to find its libraries. It gets nothing else: keys, tokens, addresses.
_KEPT_VARIABLES = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONPYCACHEPREFIX",
    "PYTHONDONTWRITEBYTECODE",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
)
_SET_VARIABLES = {
    "MALLOC_ARENA_MAX": "1",
    # Memory of everyday pictures is kept for the next one: asking for it anew costs a third of the
    # decoding. That of larger ones goes back at once.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class WorkerLostError(Exception):
    """The process ended, took too long, or said something that is no answer.

    Attributes:
        timed_out: It took too long.
    """

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__()
        self.timed_out = timed_out


class Worker:
    """A process and the socket to it. One thread at a time may use it; any may kill it.

    The process dies with the thread that made it, which must therefore live on.
    """

    def __init__(self, policy: MediaPolicy, options: DecoderOptions, *, is_for_video: bool) -> None:
        self._link, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _start(theirs)
        except BaseException:
            self._link.close()
            raise
        self._is_ready = False
        self._is_busy = False
        self._jobs_left = options.max_jobs
        self._setup = {
            "parent": os.getpid(),
            "policy": policy_fields(policy),
            "limit_memory_bytes": options.limit_memory_bytes,
            "is_for_video": is_for_video,
        }

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether it can take one more job."""
        return not self._is_busy and self._jobs_left > 0 and self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Returns once the process has loaded its libraries and restricted itself.

        Raises:
            InferenceError: It does not.
        """
        if self._is_ready:
            return
        self._is_busy = True
        try:
            self._link.settimeout(_START_TIMEOUT_S)
            send(self._link, self._setup)
            message = receive(self._link, deadline_s=time.monotonic() + _START_TIMEOUT_S)
        except (OSError, WireError):
            message = None
        if message is None or message.head != {"ready": True}:
            raise InferenceError("a decoding process does not start")
        self._is_ready = True
        self._is_busy = False

    def begin(self, job: Mapping[str, Any], file: int, *, timeout_s: float) -> None:
        """Hand over a job and the file it is about.

        Raises:
            InferenceError: The process does not start.
            WorkerLostError: It does not take the job.
        """
        self.wait_until_ready()
        self._is_busy = True
        self._jobs_left -= 1
        try:
            self._link.settimeout(timeout_s)
            send(self._link, job, file=file)
        except OSError as error:
            raise self._lost(error) from None

    def reply(self, *, timeout_s: float) -> Message:
        """The next part of the answer.

        Raises:
            WorkerLostError: There is none.
        """
        try:
            message = receive(self._link, deadline_s=time.monotonic() + timeout_s)
        except (OSError, WireError) as error:
            raise self._lost(error) from None
        if message is None:
            raise self._lost(None)
        return message

    def finish(self) -> None:
        """The answer is complete: the process waits for its next job."""
        self._is_busy = False

    def cancel(self) -> None:
        """Ask for the end of the job; the process stays busy if it does not obey at once."""
        deadline_s = time.monotonic() + _CANCEL_TIMEOUT_S
        with suppress(OSError, WireError):
            self._link.settimeout(_CANCEL_TIMEOUT_S)
            send(self._link, {"cancel": True})
            while (message := receive(self._link, deadline_s=deadline_s)) is not None:
                if "shape" not in message.head:
                    self.finish()
                    return

    def kill(self) -> None:
        """End the process; whoever waits for its answer learns it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and forget it."""
        self.kill()
        self._link.close()

    def _lost(self, error: Exception | None) -> WorkerLostError:
        self.kill()
        # A process that is ending keeps its own reason, whatever is sent to it.
        used_up = self._process.returncode == -signal.SIGXCPU
        return WorkerLostError(timed_out=used_up or isinstance(error, TimeoutError))


def _start(link: socket.socket) -> subprocess.Popen[bytes]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "polyvec.media._decoder_process"],
        stdin=link.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=kept | _SET_VARIABLES,
    )
