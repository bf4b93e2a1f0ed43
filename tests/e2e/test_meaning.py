"""The bundled model finds plain drawings by their captions, through both dialects."""

import httpx2
import numpy as np
import pytest

from tests.e2e.drawings import CAPTIONS, drawing, encoded

pytestmark = pytest.mark.e2e


def captions_by_mmes(http: httpx2.Client) -> np.ndarray:
    body = {"model": "polyvec-demo", "input": {"type": "text", "text": list(CAPTIONS)}}
    return np.array(http.post("/embeddings", json=body).raise_for_status().json()["embedding"])


def captions_by_openai(http: httpx2.Client) -> np.ndarray:
    body = {"model": "polyvec-demo", "input": list(CAPTIONS)}
    data = http.post("/v1/embeddings", json=body).raise_for_status().json()["data"]
    return np.array([one["embedding"] for one in data])


@pytest.fixture
def pictures(http: httpx2.Client) -> np.ndarray:
    """Rows in the order of CAPTIONS, alternately of PNG and JPEG files of several sizes."""
    rows = []
    for index, caption in enumerate(CAPTIONS):
        picture = drawing(caption, size=160 + 64 * index)
        value = encoded(picture, "JPEG" if index % 2 else "PNG")
        body = {
            "model": "polyvec-demo",
            "input": {"type": "image_base64", "image_base64": value},
        }
        answer = http.post("/embeddings", json=body).raise_for_status()
        rows.append(answer.json()["embedding"])
    return np.array(rows)


@pytest.mark.parametrize("captions_of", [captions_by_mmes, captions_by_openai])
def test_each_caption_finds_its_drawing_first(
    http: httpx2.Client, pictures: np.ndarray, captions_of
) -> None:
    scores = captions_of(http) @ pictures.T
    found = [CAPTIONS[index] for index in scores.argmax(axis=1)]
    assert found == list(CAPTIONS)


def test_each_drawing_finds_its_caption_first(http: httpx2.Client, pictures: np.ndarray) -> None:
    scores = captions_by_openai(http) @ pictures.T
    found = [CAPTIONS[index] for index in scores.argmax(axis=0)]
    assert found == list(CAPTIONS)
