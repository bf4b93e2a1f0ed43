"""Hostile videos, callers who leave, and servers that are killed in the middle of a video."""

import io
import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.e2e.clips import bars, clip
from tests.e2e.mmes import NAME, Mmes, mmes, text_of, video_base64, video_file
from tests.e2e.process import ServerProcess
from tests.e2e.processes import children, is_alive, open_media, wait_until

pytestmark = pytest.mark.e2e

MAX_FRAMES = 3000
ENDLESS = {"num_frames": MAX_FRAMES}
"""More than anybody waits for."""


@pytest.fixture(scope="module")
def endless() -> bytes:
    """A small file of one frame more than is allowed."""
    return clip(frames=(bars(number % 512) for number in range(MAX_FRAMES + 1)))


@pytest.fixture(scope="module")
def service(endless: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mmes]:
    """A server of this module, whose temporary files would be seen."""
    folder = tmp_path_factory.mktemp("abuse")
    (folder / "media").mkdir()
    (folder / "temporary").mkdir()
    (folder / "media" / "bars.mp4").write_bytes(clip(frames=30))
    (folder / "media" / "endless.mp4").write_bytes(endless)
    limit = ("--max-frames", str(MAX_FRAMES))
    with mmes(folder / "media", *limit, environ={"TMPDIR": str(folder / "temporary")}) as served:
        yield served
        assert served.server.stop() == 0
        assert "Traceback" not in served.server.log.read_text()
        assert list((folder / "temporary").iterdir()) == []


@pytest.fixture(autouse=True)
def unharmed(service: Mmes) -> Iterator[None]:
    """After every test the server answers, and nothing is left open."""
    yield
    assert service.vectors(video_file("bars.mp4", num_frames=2)).shape == (2, 128)
    service.health()
    wait_until(lambda: not media_in_use(service.server), "media are left open")


def media_in_use(server: ServerProcess) -> list[str]:
    pids = {server.process.pid, *children(server.process.pid)}
    return [name for pid in pids for name in open_media(pid)]


def refused(service: Mmes, data: bytes, *said: str, **config: Any) -> str:
    detail: str = service.refusal(video_base64(data, **config))
    assert detail.startswith("Invalid input data: input.video_base64: ")
    assert [part for part in said if part not in detail] == []
    return detail


# Files that are none, or half of one.


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}</BaseURL></MPD>',
        "[playlist]\nFile1={url}\nNumberOfEntries=1\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        "concat:{path}|{path}",
        "<svg><image href='{url}'/></svg>",
    ],
    ids=["m3u8", "ffconcat", "dash", "pls", "sdp", "protocol", "svg"],
)
def test_a_list_of_other_files_is_no_video(service: Mmes, text: str) -> None:
    url, path = service.web.url("/bars.mp4"), service.root / "bars.mp4"
    data = text.format(url=url, path=path).encode()
    asked = list(service.web.requests)
    said = refused(service, data, "not a video of a known container")
    assert url not in said
    (service.root / "list.mp4").write_bytes(data)
    detail = service.refusal(video_file("list.mp4"))
    assert "not a video of a known container" in detail
    assert service.web.requests == asked
    fetched = {"type": "video_url", "video_url": service.web.url("/list.mp4")}
    service.refusal({**fetched, "segment_config": {}})
    assert len(service.web.requests) == len(asked) + 1


def test_a_file_without_bytes_is_refused_wherever_it_comes_from(service: Mmes) -> None:
    (service.root / "empty.mp4").write_bytes(b"")
    assert "empty" in service.refusal(video_file("empty.mp4"))
    url = {"type": "video_url", "video_url": service.web.url("/empty.mp4")}
    assert "empty" in service.refusal({**url, "segment_config": {}})
    refused(service, b"", "empty")


def test_the_index_may_stand_at_either_end(service: Mmes) -> None:
    behind = clip(frames=30)
    before = clip(frames=30, container_options={"movflags": "faststart"})
    assert behind.index(b"moov") > behind.index(b"mdat")
    assert before.index(b"moov") < before.index(b"mdat")
    rows = [service.vectors(video_base64(data, num_frames=5)) for data in (behind, before)]
    assert np.abs(rows[0] - rows[1]).max() <= 1e-5


def test_a_video_that_is_cut_off_has_the_frames_that_came(service: Mmes) -> None:
    whole = clip(frames=60, container_options={"movflags": "faststart"}, options={"g": "10"})
    half = whole[: len(whole) - (len(whole) - whole.index(b"mdat")) // 2]
    first = service.vectors(video_base64(whole, frame_indexes=[0, 5]))
    assert np.abs(service.vectors(video_base64(half, frame_indexes=[0, 5])) - first).max() <= 1e-5
    detail = refused(service, half, frame_indexes=[59])
    assert "damaged" in detail or "frame indexes" in detail


def test_a_video_without_its_index_is_refused(service: Mmes) -> None:
    whole = clip(frames=30)
    refused(service, whole[: whole.index(b"moov") - 4])
    refused(service, whole[:40])


def test_noise_in_the_right_box_is_refused(service: Mmes) -> None:
    noise = np.random.default_rng(0).bytes(100_000)
    for start in (b"\0\0\0\x18ftypmp42", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI ", b"GIF89a"):
        refused(service, start + noise)


def test_noise_inside_of_a_video_costs_its_own_request_only(service: Mmes) -> None:
    data = bytearray(clip(frames=30))
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = np.random.default_rng(1).bytes(end - start)
    refused(service, bytes(data))


# Files that unfold.


def tiny(container: str, codec: str) -> bytes:
    black = np.zeros((64, 64, 3), np.uint8)
    return clip(container, codec, frames=[black], options={"strict": "unofficial"})


def huge_mjpeg() -> bytes:
    """An AVI of 64 x 64 whose one picture says that it is 65,500 pixels wide and high."""
    data = tiny("avi", "mjpeg")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", 65500, 65500) + data[place + 4 :]


def huge_vp8() -> bytes:
    """A WebM of 64 x 64 whose one frame says that it is 16,383 pixels wide and high."""
    data = tiny("webm", "libvpx")
    place = data.index(b"\x9d\x01\x2a") + 3
    return data[:place] + struct.pack("<HH", 16383, 16383) + data[place + 4 :]


def huge_gif() -> bytes:
    """A few bytes that say 60,000 x 60,000."""
    file = io.BytesIO()
    pages = [Image.new("P", (8, 8), number) for number in (0, 1)]
    pages[0].save(file, "GIF", save_all=True, append_images=pages[1:])
    data = file.getvalue()
    return data[:6] + struct.pack("<HH", 60000, 60000) + data[10:]


@pytest.mark.parametrize("make", [huge_mjpeg, huge_vp8, huge_gif])
def test_a_small_file_of_huge_pictures_is_refused(service: Mmes, make: Any) -> None:
    data = make()
    assert len(data) < 10_000
    refused(service, data, num_frames=0)


def test_more_frames_than_are_allowed_are_refused(service: Mmes, endless: bytes) -> None:
    refused(service, endless, "3001 frames are asked for; at most 3000", num_frames=0)
    assert service.vectors(video_base64(endless, num_frames=3)).shape == (3, 128)


def test_endless_lists_are_refused(service: Mmes) -> None:
    for config in (
        {"frame_indexes": list(range(100_000))},
        {"num_frames": 10**9},
        {"frame_indexes": [10**400]},
        {"num_frames": 10**400},
        {"startOffsetSec": 10**400},
        {"extraction_fps": 1e308, "startOffsetSec": 1e308},
        {"clip_duration": 1e308, "startOffsetSec": 1e308},
    ):
        service.refusal(video_file("bars.mp4", **config))
    frame = {"type": "image_base64", "image_base64": "aGk="}
    service.refusal({"type": "video_frames", "video_frames": [frame] * 10_000})


def test_a_body_full_of_noise_is_refused(service: Mmes) -> None:
    noise = b"\0\0\0\x18ftypmp42" + os.urandom(20_000_000)
    refused(service, noise)
    value = {"type": "video_base64", "video_base64": "A" * (60 << 20), "segment_config": {}}
    assert "not a video" in service.refusal(value)
    assert service.post({**value, "video_base64": "A" * (64 << 20)}).status_code == 413


def test_a_long_video_of_a_url_goes_through_a_file_that_does_not_stay(service: Mmes) -> None:
    data = clip(frames=30)
    (service.root / "long.mp4").write_bytes(data + b"\0\x30\0\0free" + bytes((3 << 20) - 8))
    (service.root / "noise.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + os.urandom(2 << 20))
    value = {"type": "video_url", "segment_config": {"num_frames": 3}}
    found = service.vectors({**value, "video_url": service.web.url("/long.mp4")})
    assert np.abs(found - service.vectors(video_base64(data, num_frames=3))).max() <= 1e-5
    service.refusal({**value, "video_url": service.web.url("/noise.mp4")})


# Callers who leave, and ends of all kinds.


def asked(server: ServerProcess, value: dict[str, Any]) -> socket.socket:
    """A connection on which a request has been sent."""
    body = json.dumps({"model": NAME, "input": value}).encode()
    connection = socket.create_connection(server.address, timeout=60)
    head = f"POST /embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def decodes(server: ServerProcess) -> bool:
    """Whether one of its processes has a video open."""
    return any(open_media(pid) for pid in children(server.process.pid))


@pytest.mark.parametrize("kind", ["file", "base64"])
def test_the_video_of_a_caller_who_leaves_is_given_up(
    service: Mmes, endless: bytes, kind: str
) -> None:
    value = video_file("endless.mp4", **ENDLESS)
    if kind == "base64":
        value = video_base64(endless, **ENDLESS)
    # More of them than videos are decoded at the same time: the next one would have to wait.
    connections = [asked(service.server, value) for _ in range(4)]
    wait_until(lambda: decodes(service.server), "no video is decoded")
    for connection in connections:
        connection.close()
    wait_until(lambda: not media_in_use(service.server), "a video of nobody is still open")
    answer = httpx2.post(
        f"{service.server.url}/embeddings",
        json={"model": NAME, "input": video_file("bars.mp4", num_frames=2)},
        timeout=10,
        trust_env=False,
    )
    assert answer.status_code == 200


def test_a_decoding_process_that_is_killed_fails_its_own_request_only(service: Mmes) -> None:
    with ThreadPoolExecutor(1) as pool:
        ask = pool.submit(service.post, video_file("endless.mp4", **ENDLESS))
        wait_until(lambda: decodes(service.server), "no video is decoded")
        for pid in children(service.server.process.pid):
            if open_media(pid):
                os.kill(pid, signal.SIGKILL)
        answer = ask.result()
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("Invalid input data: input.video_path: ")
    assert service.vectors(video_file("bars.mp4", num_frames=2)).shape == (2, 128)


def test_a_killed_server_leaves_no_process(tmp_path: Path, endless: bytes) -> None:
    (tmp_path / "endless.mp4").write_bytes(endless)
    with mmes(tmp_path) as served:
        connection = asked(served.server, video_file("endless.mp4", **ENDLESS))
        wait_until(lambda: decodes(served.server), "no video is decoded")
        pids = children(served.server.process.pid)
        assert pids
        served.server.process.kill()
        assert served.server.wait() == -signal.SIGKILL
        wait_until(lambda: not any(map(is_alive, pids)), "decoding processes outlive the server")
        connection.close()


def test_a_stop_lets_a_video_end(tmp_path: Path, endless: bytes) -> None:
    (tmp_path / "endless.mp4").write_bytes(endless)
    with mmes(tmp_path) as served, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.post, video_file("endless.mp4", clip_duration=3, num_frames=0))
        wait_until(lambda: decodes(served.server), "no video is decoded")
        served.server.process.send_signal(signal.SIGTERM)
        assert len(answer.result().json()["embedding"]) == 90
        assert served.server.wait() == 0
        assert "Traceback" not in served.server.log.read_text()


def test_a_stop_does_not_wait_for_an_endless_video(tmp_path: Path, endless: bytes) -> None:
    (tmp_path / "temporary").mkdir()
    (tmp_path / "endless.mp4").write_bytes(endless)
    environ = {"TMPDIR": str(tmp_path / "temporary")}
    with mmes(tmp_path, "--drain-timeout", "1", environ=environ) as served:
        connection = asked(served.server, video_file("endless.mp4", **ENDLESS))
        wait_until(lambda: decodes(served.server), "no video is decoded")
        pids = children(served.server.process.pid)
        served.server.process.send_signal(signal.SIGTERM)
        assert served.server.wait() == 0
        assert b"200 OK" not in said(connection)
        assert not any(map(is_alive, pids))
        assert list((tmp_path / "temporary").iterdir()) == []
        assert "Traceback" not in served.server.log.read_text()


def said(connection: socket.socket) -> bytes:
    """What the server still sent before it hung up."""
    with connection:
        try:
            return connection.recv(65536)
        except ConnectionResetError:
            return b""


def test_base64_of_a_video_may_be_a_data_uri(service: Mmes) -> None:
    data = clip(frames=4)
    plain = service.vectors(video_base64(data, num_frames=1))
    value = {"type": "video_base64", "segment_config": {"num_frames": 1}}
    uri = f"data:video/mp4;base64,{text_of(data)}"
    assert np.abs(service.vectors({**value, "video_base64": uri}) - plain).max() <= 1e-5
