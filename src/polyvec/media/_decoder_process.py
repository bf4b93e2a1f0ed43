"""A decoding process: what hostile files are decoded in.

Its standard input is a socket to the server. It gets one setup, then jobs with an open file each,
and answers them one by one until the socket closes. It may not outlive the server, use more memory
than allowed or gain rights; where the kernel has Landlock, it can open nothing but libraries.
"""

import ctypes
import math
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from polyvec.errors import InvalidInputError
from polyvec.media._decoder_sandbox import restrict
from polyvec.media._decoder_wire import (
    policy_of,
    receive,
    receive_with_file,
    sampling_of,
    send,
    transform_of,
)
from polyvec.media.encoded import Wanted
from polyvec.media.image import decode_image
from polyvec.media.policy import MediaPolicy
from polyvec.media.rgb import RgbArray
from polyvec.media.transform import ImageTransform

_PR_SET_PDEATHSIG = 1
_MAX_OPEN_FILES = 32
_VIDEO_NICENESS = 10


def main() -> None:
    """Set up, then serve until the server closes the socket."""
    # A terminal's Ctrl-C and a service manager's stop signal are the server's business: what is
    # being decoded belongs to requests that it still answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    link = socket.socket(fileno=0)
    setup = receive(link)
    if setup is None:
        return
    _restrict(setup.head)
    send(link, {"ready": True})
    with suppress(BrokenPipeError, ConnectionResetError):
        _serve(link, policy_of(setup.head["policy"]))


def _restrict(setup: Mapping[str, Any]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != setup["parent"]:
        raise SystemExit  # the server died before it could be said that it takes us along
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("1000")  # when the machine is out of memory, rather this process than the server
    for kind, limit in (
        (resource.RLIMIT_AS, setup["limit_memory_bytes"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        _, hard = resource.getrlimit(kind)
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (least, least))
    if setup["is_for_video"]:
        os.nice(_VIDEO_NICENESS)
    restrict()


def _serve(link: socket.socket, policy: MediaPolicy) -> None:
    while (received := receive_with_file(link)) is not None:
        message, descriptor = received
        if descriptor is None:
            continue  # asks for the end of a job that has ended by itself
        with os.fdopen(descriptor, "rb") as file:
            _answer(link, message.head, file, policy)


def _answer(
    link: socket.socket, job: Mapping[str, Any], file: BinaryIO, policy: MediaPolicy
) -> None:
    work = _frames if job["kind"] == "video" else _image
    try:
        work(link, job, file, policy)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except InvalidInputError as error:
        refusal = {"class": type(error).__name__, "message": error.message, "code": error.code}
        send(link, {"error": refusal})
    except Exception as error:  # noqa: BLE001 - hostile bytes can raise anything in the decoders
        send(link, {"failed": type(error).__name__})


def _image(
    link: socket.socket, job: Mapping[str, Any], file: BinaryIO, policy: MediaPolicy
) -> None:
    pixels = _fitted(file, transform_of(job["transform"]), policy, job["param"])
    send(link, {"shape": pixels.shape}, pixels)


def _fitted(file: BinaryIO, transform: ImageTransform, policy: MediaPolicy, param: str) -> RgbArray:
    wanted = Wanted("image", policy, param)
    data = file.read(wanted.limit_bytes + 1)
    if len(data) > wanted.limit_bytes:
        raise wanted.too_large()
    rgb = decode_image(data, policy, param=param, resized=transform.resized)
    return np.ascontiguousarray(transform.fitted(rgb))


def _frames(
    link: socket.socket, job: Mapping[str, Any], file: BinaryIO, policy: MediaPolicy
) -> None:
    # Only here: processes for pictures need none of it.
    from polyvec.media.video import sample_frames

    _limit_processor_time(job["cpu_s"])
    sampling, transform = sampling_of(job["sampling"]), transform_of(job["transform"])
    for frame in sample_frames(file, sampling, policy, transform, param=job["param"]):
        pixels = np.ascontiguousarray(frame.pixels)
        head = {
            "index": int(frame.index),
            "timestamp_s": float(frame.timestamp_s),
            "shape": pixels.shape,
        }
        send(link, head, pixels)
        if select.select([link], [], [], 0)[0]:
            break  # nobody wants the rest
    send(link, {"end": True})


def _limit_processor_time(seconds: float) -> None:
    """From now on; the kernel ends the process after it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))


if __name__ == "__main__":
    main()
