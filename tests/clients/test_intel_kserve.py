"""Intel's typed inputs, OVMS's paths, and KServe's interface with the client of Triton."""

import json

import httpx
import numpy as np
import openai
import pytest
import tritonclient.http as triton

from tests.clients.intel import FRAMES, Demo, clip_base64
from tests.clients.pictures import CAPTIONS, PICTURES, encoded
from tests.clients.serving import DEMO, DEMO_DIMENSIONS, MINILM, MINILM_DIMENSIONS, SHORT
from tests.clients.vectors import TEXTS, Reference, Rows, assert_same
from tests.e2e.process import ServerProcess

QUOTED = MINILM.replace("/", "%2F")
FRAME = {"type": "image_base64", "image_base64": encoded(PICTURES[0])}


def typed(demo: httpx.Client, value: dict) -> np.ndarray:
    body = {"model": DEMO, "input": value, "encoding_format": "float"}
    return np.array(demo.post("/embeddings", json=body).raise_for_status().json()["embedding"])


def test_c55_intel_text(demo: httpx.Client, expected: Reference) -> None:
    row = typed(demo, {"type": "text", "text": CAPTIONS[0]})
    assert_same(row, expected.rows(CAPTIONS[:1], DEMO))
    rows = typed(demo, {"type": "text", "text": list(CAPTIONS)})
    assert_same(rows, expected.rows(CAPTIONS, DEMO))


def test_c55_intel_pictures(demo: httpx.Client, alone: Demo, pictures: Rows) -> None:
    kinds = [
        FRAME,
        {"type": "image_url", "image_url": f"{alone.site}/picture.png"},
        {"type": "image_file", "image_path": "picture.png"},
    ]
    for kind in kinds:
        assert_same(typed(demo, kind), pictures[:1])


def test_c55_intel_videos_have_a_row_for_each_frame(demo: httpx.Client, alone: Demo) -> None:
    config = {"segment_config": {"startOffsetSec": 0, "clip_duration": -1, "num_frames": FRAMES}}
    kinds = [
        {"type": "video_url", "video_url": f"{alone.site}/clip.mp4", **config},
        {"type": "video_base64", "video_base64": clip_base64(), **config},
        {"type": "video_file", "video_path": "clip.mp4", **config},
    ]
    first, *others = [typed(demo, kind) for kind in kinds]
    assert first.shape == (FRAMES, DEMO_DIMENSIONS)
    for other in others:
        assert_same(other, first)


def test_c55_intel_frames(demo: httpx.Client, alone: Demo, pictures: Rows) -> None:
    rows = typed(demo, {"type": "video_frames", "video_frames": [FRAME, FRAME]})
    assert_same(rows, pictures[[0, 0]])
    frames = [
        {"frame_number": 0, "timestamp": 0.0, "type": "full_frame", "image_path": "picture.png"}
    ]
    (alone.root / "frames.json").write_text(json.dumps({"frames": frames}))
    rows = typed(demo, {"type": "frames_batch", "frames_manifest_path": "frames.json"})
    assert_same(rows, pictures[:1])


@pytest.mark.parametrize("path", ["/v3", "/v3/v1", "/v3/embeddings"])
def test_c56_ovms_by_openais_client(url: str, expected: Reference, path: str) -> None:
    with openai.OpenAI(base_url=url + path, api_key="unused", max_retries=0) as client:
        answer = client.embeddings.create(model=MINILM, input=list(TEXTS))
    assert_same([one.embedding for one in answer.data], expected.rows(TEXTS))


def test_c56_ovms_ignores_dimensions(http: httpx.Client) -> None:
    body = {"model": MINILM, "input": ["a"], "dimensions": 1, "encoding_format": "float"}
    answer = http.post("/v3/embeddings", json=body).raise_for_status().json()
    assert len(answer["data"][0]["embedding"]) == MINILM_DIMENSIONS


def test_c56_ovms_takes_the_last_part_of_a_name(http: httpx.Client, expected: Reference) -> None:
    body = {"model": MINILM.rpartition("/")[2], "input": list(TEXTS)}
    data = http.post("/v3/embeddings", json=body).raise_for_status().json()["data"]
    assert_same([one["embedding"] for one in data], expected.rows(TEXTS))


def test_c56_readiness_of_a_name_with_a_slash(http: httpx.Client) -> None:
    assert http.get(f"/v2/models/{QUOTED}/ready").status_code == 200
    assert http.get("/v2/models/no-such/ready").status_code != 200
    config = http.get("/v1/config").raise_for_status().json()
    assert config[MINILM]["model_version_status"][0]["state"] == "AVAILABLE"


def texts_tensor(*, binary: bool) -> triton.InferInput:
    tensor = triton.InferInput("input_text", [len(TEXTS)], "BYTES")
    data = np.array([text.encode() for text in TEXTS], object)
    tensor.set_data_from_numpy(data, binary_data=binary)
    return tensor


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("name", [SHORT, MINILM])
def test_c58_tritons_client_sends_bytes_and_gets_floats(
    server: ServerProcess, expected: Reference, name: str, *, binary: bool
) -> None:
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
        described = client.get_model_metadata(name)
        (output,) = described["outputs"]
        assert (output["datatype"], output["shape"]) == ("FP32", [-1, MINILM_DIMENSIONS])
        wanted = triton.InferRequestedOutput(output["name"], binary_data=binary)
        answer = client.infer(name, [texts_tensor(binary=binary)], outputs=[wanted])
        rows = answer.as_numpy(output["name"])
    assert rows.dtype == np.float32
    assert_same(rows, expected.rows(TEXTS))


def test_c58_tritons_client_asks_for_health(server: ServerProcess) -> None:
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(SHORT)
        assert not client.is_model_ready("no-such")
        assert client.get_server_metadata()["name"]


def test_c51_litellms_triton(url: str, expected: Reference) -> None:
    from litellm import embedding

    answer = embedding(
        model=f"triton/{SHORT}",
        input=list(TEXTS),
        api_base=f"{url}/v2/models/{SHORT}/infer",
        api_key="none",
    )
    assert_same([one["embedding"] for one in answer.data], expected.rows(TEXTS))
