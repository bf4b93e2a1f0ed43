"""A server in the place of a container of Multimodal Embedding Serving, set by its variables."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.clips import bars, clip, png
from tests.e2e.mmes import manifest, picture, video_file
from tests.e2e.process import ServerProcess, running

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server takes for the machine's temporary folder."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def container(temporary: Path) -> Iterator[ServerProcess]:
    """Started with the original's variables and no flag but ``--mmes``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        "EMBEDDING_MODEL_NAME": "polyvec-demo",
        "EMBEDDING_DEVICE": "CPU",
        "EMBEDDING_USE_OV": "false",
        "EMBEDDING_OV_MODELS_DIR": str(temporary / "ov-models"),
        "EMBEDDING_SERVER_PORT": str(port),
        "DEFAULT_START_OFFSET_SEC": "1",
        "DEFAULT_CLIP_DURATION": "2",
        "DEFAULT_NUM_FRAMES": "4",
        "INFER_BATCH_SIZE": "16",
        "VIDEO_FRAME_BATCH_SIZE": "64",
        "OV_PERFORMANCE_MODE": "LATENCY",
        "APP_NAME": "multimodal-embedding-serving",
        "http_proxy": "",
        "https_proxy": "",
        "no_proxy_env": ",10.0.0.1",
        "TMPDIR": str(temporary),
        # A test must not listen where others can reach it.
        "POLYVEC_HOST": "127.0.0.1",
    }
    with running("--mmes", environ=environ, port=None) as server:
        assert server.address[1] == port
        yield server
        assert server.stop() == 0


def frames(server: ServerProcess, value: dict) -> list[int]:
    body = {"model": "polyvec-demo", "input": value, "include": ["frames"]}
    answer = httpx2.post(f"{server.url}/embeddings", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return [frame["index"] for frame in answer.json()["frames"]]


def test_the_variables_hold(container: ServerProcess) -> None:
    current = httpx2.get(f"{container.url}/model/current", trust_env=False).json()
    assert (current["model"], current["device"]) == ("polyvec-demo", "CPU")
    assert current["dtype"] == "float32"  # not to use OpenVINO meant the exact model


def test_bare_names_mean_its_folder_and_the_segment_has_its_defaults(
    container: ServerProcess, temporary: Path
) -> None:
    (temporary / "videoQnA" / "sample.mp4").write_bytes(clip(frames=150))
    assert frames(container, video_file("sample.mp4")) == [30, 45, 60, 75]
    asked = video_file("sample.mp4", startOffsetSec=0, clip_duration=-1, num_frames=2)
    assert frames(container, asked) == [0, 75]


def test_manifests_name_pictures_of_the_temporary_folder(
    container: ServerProcess, temporary: Path
) -> None:
    shared = temporary / "dataprep"
    shared.mkdir()
    (shared / "a.png").write_bytes(png(bars(7)))
    entry = {"frame_number": 7, "timestamp": 0.2, "type": "full_frame"}
    content = {"frames": [{**entry, "image_path": str(shared / "a.png")}]}
    bare = manifest(temporary / "videoQnA", "frames.json", content)
    assert frames(container, bare) == [7]
    (shared / "frames_manifest.json").write_text(json.dumps(content))
    absolute = str(shared / "frames_manifest.json")
    assert frames(container, {"type": "frames_batch", "frames_manifest_path": absolute}) == [7]


def test_urls_of_its_own_machine_stay_closed(container: ServerProcess) -> None:
    value = {"type": "image_url", "image_url": "http://127.0.0.1/a.png"}
    body = {"model": "polyvec-demo", "input": value}
    answer = httpx2.post(f"{container.url}/embeddings", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 422
    assert "could not be fetched" in answer.text


def test_a_picture_is_embedded(container: ServerProcess) -> None:
    body = {"model": "polyvec-demo", "input": picture(bars(1)), "encoding_format": "float"}
    answer = httpx2.post(f"{container.url}/embeddings", json=body, timeout=60, trust_env=False)
    assert len(answer.json()["embedding"]) == 128
