"""Real decoding processes: what they decode, and what becomes of them when they cannot."""

import io
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from polyvec.errors import (
    ConfigError,
    InferenceError,
    InvalidInputError,
    MediaError,
    NotReadyError,
)
from polyvec.media.decoder_options import DecoderOptions
from polyvec.media.decoders import Decoders, DecoderStats
from polyvec.media.image import decode_image
from polyvec.media.policy import MediaPolicy
from polyvec.media.transform import ImageTransform
from polyvec.media.video import sample_frames
from polyvec.types import FrameSampling

POLICY = MediaPolicy()
TRANSFORM = ImageTransform(resize=24, crop=(24, 24))
LONG_S = 60.0


def picture(height=40, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image = PIL.Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **options)
    return buffer.getvalue()


FILE = encode(picture())


def here(data, transform=TRANSFORM, policy=POLICY):
    return transform.fitted(decode_image(data, policy, resized=transform.resized))


def options(**values):
    return DecoderOptions(**({"image_processes": 1, "image_timeout_s": LONG_S} | values))


@pytest.fixture(scope="module")
def decoders():
    with Decoders(POLICY, DecoderOptions(image_processes=2)) as made:
        yield made


@pytest.fixture
def lone():
    """One process for pictures, that has started."""
    with Decoders(POLICY, options()) as made:
        made.start()
        yield made


def decoded(decoders, data=FILE, transform=TRANSFORM):
    return decoders.image(data, transform, param="input[1]")


def refusal(decoders, data=FILE, transform=TRANSFORM):
    with pytest.raises(MediaError) as caught:
        decoded(decoders, data, transform)
    assert caught.value.param == "input[1]"
    assert caught.value.message.startswith("input[1]: ")
    assert "0x" not in caught.value.message
    assert "/" not in caught.value.message
    return caught.value


def only_pid(decoders):
    (pid,) = decoders.pids
    return pid


def until(condition):
    deadline_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.002)


def ends(descriptor):
    """Whether the process of a pidfd ends."""
    try:
        return bool(select.select([descriptor], [], [], LONG_S)[0])
    finally:
        os.close(descriptor)


# The same pixels as without processes.


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 90}),
        ("WEBP", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("AVIF", {}),
    ],
)
def test_pixels_are_those_of_decoding_in_the_server(decoders, kind, settings):
    data = encode(picture(), kind, **settings)
    pixels = decoded(decoders, data)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, here(data))


@pytest.mark.parametrize(
    "transform",
    [
        ImageTransform(resize=(10, 20), resample=2),
        ImageTransform(resize=None, crop=(90, 90), crop_rounding="half_even"),
        ImageTransform(resize=30, crop=(28, 26), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
    ],
)
def test_every_field_of_a_transform_arrives(decoders, transform):
    np.testing.assert_array_equal(
        decoded(decoders, transform=transform), here(FILE, transform=transform)
    )


def test_a_file_is_read_from_its_start_and_left_where_it_was(decoders):
    with tempfile.TemporaryFile() as file:
        file.write(FILE)
        file.flush()
        for _ in range(2):
            np.testing.assert_array_equal(decoded(decoders, file), here(FILE))
        assert file.tell() == len(FILE)


def test_the_policy_arrives():
    policy = MediaPolicy(
        max_pixels=100, formats=("PNG",), roots=("/srv",), allowed_networks=("10.0.0.0/8",)
    )
    with Decoders(policy, options()) as decoders:
        assert refusal(decoders).code == "image_too_large"
        assert refusal(decoders, encode(picture(), "GIF")).code == "unsupported_image_format"
        np.testing.assert_array_equal(
            decoded(decoders, encode(picture(10, 10))), here(encode(picture(10, 10)))
        )


def test_a_file_over_the_byte_limit_is_refused_unread():
    with Decoders(MediaPolicy(limit_bytes=100), options()) as decoders:
        assert refusal(decoders, FILE).code == "image_too_large"


def test_64_threads_get_their_own_pictures(decoders):
    files = [encode(picture(seed=seed)) for seed in range(64)]
    with ThreadPoolExecutor(64) as threads:
        found = list(threads.map(lambda data: decoded(decoders, data), files))
    for pixels, data in zip(found, files, strict=True):
        np.testing.assert_array_equal(pixels, here(data))
    assert len(decoders.pids) == 2


# Refusals leave the process alive.


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(width, height, *extra):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [
        chunk(b"IHDR", header),
        *extra,
        chunk(b"IDAT", zlib.compress(b"\0\0")),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def many_scans():
    data = encode(picture(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 200 + b"\xff\xd9"


def big_gif():
    frames = [PIL.Image.new("P", (2000, 2000), n) for n in range(3)]
    data = bytearray(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    data[6:10] = struct.pack("<HH", 65535, 65535)
    return bytes(data)


ABUSE = {
    "empty": (b"", "unsupported_image_format"),
    "text": (b"hello", "unsupported_image_format"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_image_format"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "unsupported_image_format"),
    "zip": (b"PK\x03\x04" + bytes(60), "unsupported_image_format"),
    "playlist": (b"#EXTM3U\nfile:///etc/passwd\n", "unsupported_image_format"),
    "169 megapixels": (encode(PIL.Image.new("1", (13000, 13000))), "image_too_large"),
    "81 megapixels": (encode(PIL.Image.new("1", (9000, 9000))), "image_too_large"),
    "no pixels": (png_with(0, 0), "invalid_image"),
    "text bomb": (
        png_with(1, 1, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(80_000_000)))),
        "invalid_image",
    ),
    "profile bomb": (
        png_with(1, 1, chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(80_000_000)))),
        "invalid_image",
    ),
    "many scans": (many_scans(), "image_too_large"),
    "gif canvas": (big_gif(), "image_too_large"),
    "cut off": (FILE[: len(FILE) // 2], "invalid_image"),
    "noise": (FILE[:12] + bytes(range(256)) * 8, "invalid_image"),
    "avif noise": (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + bytes(200), "invalid_image"),
}


@pytest.mark.parametrize("name", ABUSE)
def test_a_hostile_picture_is_refused_and_its_process_lives(decoders, name):
    decoded(decoders)
    before = decoders.pids
    data, code = ABUSE[name]
    assert refusal(decoders, data).code == code
    assert decoders.pids == before
    assert decoders.stats.died == 0


def test_more_memory_than_a_process_may_use_is_a_refusal():
    with Decoders(POLICY, options(limit_memory_bytes=300 << 20)) as decoders:
        error = refusal(decoders, encode(PIL.Image.new("RGBA", (6000, 6000))))
        assert error.code == "image_too_large"
        assert "memory" in error.message
        np.testing.assert_array_equal(decoded(decoders), here(FILE))
        assert decoders.stats == DecoderStats(started=1)


# Processes that die, hang or talk nonsense.


def has_a_job(decoders):
    """Whether a picture was handed to a process, not only a process to a picture."""
    return any(worker._is_busy for worker in tuple(decoders._images._workers))


def test_a_process_killed_while_it_decodes_fails_its_own_picture_only(lone):
    pid = only_pid(lone)
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        stuck = threads.submit(refusal, lone)
        until(lambda: has_a_job(lone))
        os.kill(pid, signal.SIGKILL)
        assert stuck.result().code == "invalid_image"
    np.testing.assert_array_equal(decoded(lone), here(FILE))
    assert only_pid(lone) != pid
    assert lone.stats == DecoderStats(started=2, died=1)


def test_a_process_that_died_idle_is_replaced_unnoticed(lone):
    pid = only_pid(lone)
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert ends(descriptor)
    np.testing.assert_array_equal(decoded(lone), here(FILE))
    assert lone.stats == DecoderStats(started=2, died=1)


def test_a_process_that_hangs_is_replaced():
    with Decoders(POLICY, options(image_timeout_s=3.0)) as decoders:
        decoders.start()
        pid = only_pid(decoders)
        os.kill(pid, signal.SIGSTOP)
        error = refusal(decoders)
        assert error.code == "media_timeout"
        assert error.message == "input[1]: decoding the picture takes too long"
        assert not Path(f"/proc/{pid}").exists()
        np.testing.assert_array_equal(decoded(decoders), here(FILE))
        assert decoders.stats == DecoderStats(started=2, timed_out=1)


def test_others_wait_for_a_hanging_process_and_are_served_after_it():
    with Decoders(POLICY, options(image_timeout_s=3.0)) as decoders:
        decoders.start()
        os.kill(only_pid(decoders), signal.SIGSTOP)
        with ThreadPoolExecutor(8) as threads:
            found = [threads.submit(decoded, decoders) for _ in range(8)]
            errors = [one.exception() for one in found]
        assert sum(error is not None for error in errors) == 1
        assert decoders.stats.timed_out == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense that is no message at all",
        b"pvd1" + struct.pack("!II", 2**31, 0),
        b"pvd1" + struct.pack("!II", 2, 2**31),
        b"pvd1" + struct.pack("!II", 2, 0) + b"[]",
        b"pvd1" + struct.pack("!II", 2, 0) + b"{]",
        b"pvd1" + struct.pack("!II", 2, 0) + b"{}",
        b"pvd1" + struct.pack("!II", 20, 3) + b'{"shape": [2, 1, 3]}' + b"\0\0\0",
        b"pvd1" + struct.pack("!II", 19, 0) + b'{"shape": [0,0,3]} ',
        b"pvd1" + struct.pack("!II", 19, 0) + b'{"shape": "1, 1, "}',
        b"pvd1" + struct.pack("!II", 12, 0) + b'{"error": 1}',
        b"pvd1" + struct.pack("!II", 28, 0) + b'{"error": {"class": "type"}}',
        b"pvd1" + struct.pack("!II", 38, 0) + b'{"error": {"class": "MediaError"}}    ',
    ],
)
def test_an_answer_that_is_none_ends_the_process(lone, answer, monkeypatch):
    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        with lone._images.lend() as worker:
            genuine = worker._link
            worker._link = mine
        pid = worker.pid
        assert refusal(lone).code == "invalid_image"
        genuine.close()
    assert not Path(f"/proc/{pid}").exists()
    np.testing.assert_array_equal(decoded(lone), here(FILE))
    assert lone.stats == DecoderStats(started=2, died=1)


def test_a_process_is_retired_after_its_share_of_jobs():
    with Decoders(POLICY, options(max_jobs=2)) as decoders:
        pids = []
        for _ in range(4):
            decoded(decoders)
            pids += decoders.pids
        assert decoders.stats == DecoderStats(started=2)
        assert len(set(pids)) == 2


def test_a_process_that_cannot_start_is_not_the_pictures_fault(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Decoders(POLICY, options()) as decoders:
        for _ in range(2):
            with pytest.raises(InferenceError):
                decoded(decoders)
        monkeypatch.undo()
        np.testing.assert_array_equal(decoded(decoders), here(FILE))
        assert decoders.stats == DecoderStats(started=3, died=2)


# What a process may do.


def status_of(pid, name):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def test_a_process_is_restricted(lone, monkeypatch):
    pid = only_pid(lone)
    limits = Path(f"/proc/{pid}/limits").read_text()
    rows = {line[:25].strip(): line[25:].split()[:2] for line in limits.splitlines()}
    assert rows["Max address space"] == [str(2 << 30)] * 2
    assert rows["Max core file size"] == ["0", "0"]
    assert rows["Max file size"] == ["0", "0"]
    assert rows["Max open files"] == ["32", "32"]
    assert status_of(pid, "NoNewPrivs") == "1"
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"


def test_a_process_sees_no_secret_of_the_server(monkeypatch):
    monkeypatch.setenv("POLYVEC_API_KEY", "hush")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")
    with Decoders(POLICY, options()) as decoders:
        decoders.start()
        environ = Path(f"/proc/{only_pid(decoders)}/environ").read_bytes().split(b"\0")
    assert not [one for one in environ if b"hush" in one]
    assert b"MALLOC_ARENA_MAX=1" in environ


def test_a_process_loads_neither_the_runtime_nor_the_web_stack(lone):
    maps = Path(f"/proc/{only_pid(lone)}/maps").read_text()
    assert "_imaging" in maps
    assert not [name for name in ("openvino", "torch", "orjson", "tokenizers") if name in maps]


def test_a_process_keeps_no_file_of_a_job(lone):
    decoded(lone)
    folder = Path(f"/proc/{only_pid(lone)}/fd")
    until(lambda: len(list(folder.iterdir())) == 3)  # the socket is one of the standard ones
    for _ in range(20):
        decoded(lone)
    until(lambda: len(list(folder.iterdir())) == 3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_meant_for_the_server_do_not_end_a_process(lone, number):
    pid = only_pid(lone)
    os.kill(pid, number)
    np.testing.assert_array_equal(decoded(lone), here(FILE))
    assert only_pid(lone) == pid


# Videos; animated pictures, which every installation decodes.


def animation(num_frames=12, side=64):
    frames = [
        PIL.Image.fromarray(picture(side, side, seed)).quantize(8) for seed in range(num_frames)
    ]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)


ALL = FrameSampling(num_frames=0)
LARGE = ImageTransform(resize=(256, 256), resample=0)
ANIMATION = animation()


@pytest.fixture
def videos():
    """One process for videos."""
    with Decoders(POLICY, options(video_processes=1, video_timeout_s=LONG_S)) as made:
        yield made


def stream(decoders, data=ANIMATION, sampling=ALL, transform=LARGE):
    return decoders.frames(data, sampling, transform, param="input[1]")


def video_refusal(frames, kind=MediaError):
    with pytest.raises(kind) as caught, frames:
        list(frames)
    assert caught.value.message.startswith("input[1]: ")
    return caught.value


@pytest.mark.parametrize(
    "sampling",
    [ALL, FrameSampling(num_frames=3), FrameSampling(indexes=(1, 5)), FrameSampling(0.5, 0.3)],
)
def test_frames_are_those_of_decoding_in_the_server(videos, sampling):
    want = list(sample_frames(io.BytesIO(ANIMATION), sampling, POLICY, TRANSFORM))
    with stream(videos, sampling=sampling, transform=TRANSFORM) as frames:
        found = list(frames)
    assert len(want) > 1
    assert [(one.index, one.timestamp_s) for one in found] == [
        (one.index, one.timestamp_s) for one in want
    ]
    for one, other in zip(found, want, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_video_may_be_a_file_that_is_closed_after_its_first_frame(videos):
    with tempfile.TemporaryFile() as file:
        file.write(ANIMATION)
        file.flush()
        frames = stream(videos, file)
        next(frames)
    assert len(list(frames)) == 11


def test_leaving_a_video_early_frees_its_process_for_the_next(videos):
    long = animation(200, 16)
    with stream(videos, long) as frames:
        assert next(frames).index == 0
        before = videos.pids
    for _ in range(3):
        with stream(videos, long) as frames:
            next(frames)
    with stream(videos) as frames:
        assert len(list(frames)) == 12
    assert videos.pids == before
    assert videos.stats == DecoderStats(started=1)


def test_a_video_that_was_never_looked_at_starts_nothing(videos):
    stream(videos).close()
    assert videos.stats == DecoderStats()


def test_a_process_decodes_little_more_than_was_asked_for(videos):
    with stream(videos, animation(60, 16)) as frames:
        next(frames)
        (pid,) = videos.pids
        link = next(iter(videos._videos._workers))._link
        ready = select.select([link], [], [], LONG_S)[0]
        assert ready
        until(lambda: status_of(pid, "State") == "S")
        waiting = link.recv(1 << 26, socket.MSG_PEEK)
        assert 0 < len(waiting) < 10 * 256 * 256 * 3


def test_pictures_do_not_wait_for_videos(videos):
    with stream(videos, animation(60, 16)) as frames:
        next(frames)
        np.testing.assert_array_equal(decoded(videos), here(FILE))
        assert len(videos.pids) == 2


def test_a_video_runs_at_a_lower_priority_than_pictures(videos):
    decoded(videos)
    (pid,) = videos.pids
    with stream(videos) as frames:
        next(frames)
        (other,) = videos.pids - {pid}
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, pid) == nice
        assert os.getpriority(os.PRIO_PROCESS, other) == min(nice + 10, 19)


def test_a_process_killed_inside_a_video_fails_this_video_only(videos):
    frames = stream(videos, animation(60, 16))
    next(frames)
    os.kill(only_pid(videos), signal.SIGKILL)
    assert video_refusal(frames).code == "invalid_video"
    with stream(videos) as frames:
        assert len(list(frames)) == 12
    assert videos.stats == DecoderStats(started=2, died=1)


def test_a_video_without_progress_is_given_up():
    with Decoders(POLICY, options(video_processes=1, video_timeout_s=3.0)) as decoders:
        frames = stream(decoders, animation(60, 16))
        next(frames)
        os.kill(only_pid(decoders), signal.SIGSTOP)
        error = video_refusal(frames)
        assert error.code == "media_timeout"
        assert error.message == "input[1]: decoding the video takes too long"
        with stream(decoders) as frames:
            assert len(list(frames)) == 12
        assert decoders.stats == DecoderStats(started=2, timed_out=1)


def test_a_process_that_does_not_leave_a_video_is_replaced(videos):
    with stream(videos, animation(60, 16)) as frames:
        next(frames)
        pid = only_pid(videos)
        os.kill(pid, signal.SIGSTOP)
    assert not Path(f"/proc/{pid}").exists()
    with stream(videos) as frames:
        assert len(list(frames)) == 12


def test_a_video_may_not_use_more_processor_time_than_allowed():
    limits = options(video_processes=1, video_timeout_s=LONG_S, video_cpu_s=0.5)
    with Decoders(POLICY, limits) as decoders:
        frames = [PIL.Image.new("L", (1000, 1000), shade) for shade in range(40)]
        slow = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
        wide = ImageTransform(resize=(1500, 1000), resample=1)
        assert video_refusal(stream(decoders, slow, transform=wide)).code == "media_timeout"
        assert decoders.stats.timed_out == 1


@pytest.mark.parametrize("data", [b"", b"noise" * 100, b"#EXTM3U\nfile:///etc/passwd\n", FILE[:30]])
def test_what_is_no_video_is_refused_and_its_process_lives(videos, data):
    assert "video" in video_refusal(stream(videos, data)).code
    assert videos.stats == DecoderStats(started=1)


def test_an_impossible_wish_keeps_its_class_and_code(videos):
    late = FrameSampling(start_s=1000.0)
    error = video_refusal(stream(videos, sampling=late), InvalidInputError)
    assert not isinstance(error, MediaError)
    assert error.param == "input[1]"
    assert videos.stats == DecoderStats(started=1)


# The end.


def test_nothing_starts_before_it_is_needed():
    with Decoders(POLICY) as decoders:
        assert decoders.pids == frozenset()
        assert decoders.stats == DecoderStats()


def test_close_leaves_no_process_and_no_file():
    files = len(list(Path("/proc/self/fd").iterdir()))
    threads = set(threading.enumerate())
    decoders = Decoders(POLICY, options(image_processes=2))
    decoders.start()
    decoded(decoders)
    pids = decoders.pids
    assert len(pids) == 2
    decoders.close()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert set(threading.enumerate()) == threads
    with pytest.raises(NotReadyError):
        decoded(decoders)
    decoders.close()


def test_start_starts_what_is_missing():
    with Decoders(POLICY, options(image_processes=2)) as decoders:
        decoded(decoders)
        assert len(decoders.pids) == 1
        for _ in range(2):
            decoders.start()
            assert len(decoders.pids) == 2


def test_close_frees_whoever_waits():
    decoders = Decoders(POLICY, options())
    decoders.start()
    os.kill(only_pid(decoders), signal.SIGSTOP)
    with ThreadPoolExecutor(3) as threads:
        stuck = [threads.submit(decoded, decoders) for _ in range(3)]
        until(lambda: has_a_job(decoders))
        decoders.close()
        assert {type(one.exception()) for one in stuck} == {NotReadyError}
    assert decoders.stats == DecoderStats(started=1)


SERVER = """
import sys
from polyvec.media.decoder_options import DecoderOptions
from polyvec.media.decoders import Decoders
from polyvec.media.policy import MediaPolicy
decoders = Decoders(MediaPolicy(), DecoderOptions(image_processes=2))
decoders.start()
print(*decoders.pids, flush=True)
sys.stdin.read()
{ending}
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_processes_end_with_a_server_that_is_killed(stopped):
    with subprocess.Popen(
        [sys.executable, "-c", SERVER.format(ending="")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        pids = [int(pid) for pid in server.stdout.readline().split()]
        descriptors = [os.pidfd_open(pid) for pid in pids]
        if stopped:
            os.kill(pids[0], signal.SIGSTOP)
        server.kill()
        assert len(descriptors) == 2
        assert [ends(descriptor) for descriptor in descriptors] == [True, True]


def test_processes_end_with_a_server_that_forgot_to_close_them():
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVER.format(ending="")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        descriptors = [os.pidfd_open(int(pid)) for pid in server.stdout.readline().split()]
        server.stdin.close()
        assert [ends(descriptor) for descriptor in descriptors] == [True, True]
        assert server.wait(LONG_S) == 0


# Options.


@pytest.mark.parametrize(
    "values",
    [{"image_processes": 0}, {"video_processes": 0}, {"image_timeout_s": 0.0}, {"max_jobs": 0}],
)
def test_impossible_options_are_refused_by_name(values):
    with pytest.raises(ConfigError) as caught:
        DecoderOptions(**values)
    assert caught.value.param in values
    assert caught.value.param in caught.value.message
