"""Requests as the known clients of Multimodal Embedding Serving send them.

All of them post JSON with ``encoding_format: "float"`` and read nothing but ``["embedding"]``.
"""

from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest

from tests.e2e.drawings import CAPTIONS, drawing, encoded

pytestmark = pytest.mark.e2e

MODEL = "polyvec-demo"
DIMENSIONS = 128
PICTURE = encoded(drawing("a red circle"))


def post(http: httpx2.Client, value: dict, model: str = MODEL) -> httpx2.Response:
    body = {"model": model, "input": value, "encoding_format": "float"}
    return http.post("/embeddings", json=body)


def embedding(http: httpx2.Client, value: dict) -> np.ndarray:
    answer = post(http, value)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["embedding"]
    return np.array(answer.json()["embedding"], np.float32)


def test_probe_with_a_list_of_one_is_nested(http: httpx2.Client) -> None:
    value = {"type": "text", "text": ["probe_text"]}
    assert embedding(http, value).shape == (1, DIMENSIONS)


@pytest.mark.parametrize("text", ["probe_text", ""])
def test_probe_with_a_string_is_flat(http: httpx2.Client, text: str) -> None:
    assert embedding(http, {"type": "text", "text": text}).shape == (DIMENSIONS,)


def test_no_texts_give_no_vectors(http: httpx2.Client) -> None:
    assert embedding(http, {"type": "text", "text": []}).tolist() == []


def test_documents_keep_their_order_and_have_unit_length(http: httpx2.Client) -> None:
    rows = embedding(http, {"type": "text", "text": list(CAPTIONS)})
    alone = [embedding(http, {"type": "text", "text": caption}) for caption in CAPTIONS]
    assert (rows @ np.stack(alone).T).argmax(axis=1).tolist() == list(range(len(CAPTIONS)))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(PICTURE, id="plain"),
        pytest.param("data:image/png;base64," + PICTURE, id="data URI"),
        pytest.param("whatever," + PICTURE, id="any prefix with a comma"),
        pytest.param("\n".join(PICTURE[i : i + 76] for i in range(0, len(PICTURE), 76)), id="MIME"),
    ],
)
def test_base64_pictures_are_flat_and_equal_however_they_are_wrapped(
    http: httpx2.Client, value: str
) -> None:
    vector = embedding(http, {"type": "image_base64", "image_base64": value})
    plain = embedding(http, {"type": "image_base64", "image_base64": PICTURE})
    assert vector.shape == (DIMENSIONS,)
    assert np.abs(vector - plain).max() <= 1e-5
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_video_frames_are_nested_in_order(http: httpx2.Client) -> None:
    frames = [
        {"type": "image_base64", "image_base64": encoded(drawing(caption))} for caption in CAPTIONS
    ]
    rows = embedding(http, {"type": "video_frames", "video_frames": frames})
    alone = np.stack([embedding(http, frame) for frame in frames])
    assert np.abs(rows - alone).max() <= 1e-5


def test_eight_client_threads_get_their_own_frames(http: httpx2.Client) -> None:
    values = [
        {"type": "image_base64", "image_base64": encoded(drawing(caption), "JPEG")}
        for caption in CAPTIONS
    ]
    serial = np.stack([embedding(http, value) for value in values])
    with ThreadPoolExecutor(8) as pool:
        rows = np.stack(list(pool.map(lambda value: embedding(http, value), values * 4)))
    assert np.abs(rows - np.tile(serial, (4, 1))).max() <= 1e-5


def test_model_mismatch_has_the_text_that_clients_look_for(http: httpx2.Client) -> None:
    answer = post(http, {"type": "text", "text": "x"}, model="CLIP/clip-vit-b-32")
    assert answer.status_code == 400
    assert answer.json() == {
        "detail": "Model mismatch: requested model 'CLIP/clip-vit-b-32' does not match the "
        "currently loaded model 'polyvec-demo'. Please use the correct model name or restart the "
        "server with the desired model."
    }


def test_encoding_format_may_be_missing(http: httpx2.Client) -> None:
    body = {"model": MODEL, "input": {"type": "text", "text": "x"}}
    assert len(http.post("/embeddings", json=body).json()["embedding"]) == DIMENSIONS


@pytest.mark.parametrize("path", ["/models", "/model/list"])
def test_model_list_has_current_and_available_models(http: httpx2.Client, path: str) -> None:
    answer = http.get(path).json()
    assert answer["current_model"] == MODEL
    assert "clip-vit-b-32" in answer["available_models"]["CLIP"]
    assert answer["total_models"] == sum(map(len, answer["available_models"].values()))


def test_current_model_says_what_runs(http: httpx2.Client) -> None:
    answer = http.get("/model/current").json()
    assert (answer["model"], answer["device"], answer["use_openvino"]) == (MODEL, "CPU", True)


def test_capabilities_are_sorted(http: httpx2.Client) -> None:
    answer = http.get("/model/capabilities").json()
    assert answer["modalities"] == ["image", "text"]
    assert (answer["supports_text"], answer["supports_image"]) == (True, True)


def test_health_is_what_probes_compare_with(http: httpx2.Client) -> None:
    answer = http.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


def test_texts_of_both_dialects_share_the_path_and_the_vector(http: httpx2.Client) -> None:
    theirs = http.post("/embeddings", json={"model": MODEL, "input": "a red circle"}).json()
    ours = embedding(http, {"type": "text", "text": "a red circle"})
    assert np.abs(np.array(theirs["data"][0]["embedding"]) - ours).max() <= 1e-5


def test_pictures_are_refused_by_a_text_model(minilm_server) -> None:
    body = {"model": "minilm", "input": {"type": "image_base64", "image_base64": PICTURE}}
    answer = httpx2.post(minilm_server.url + "/embeddings", json=body, trust_env=False)
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Image inputs are not supported by the active model"}
