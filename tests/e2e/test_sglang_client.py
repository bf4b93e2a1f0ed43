"""Programs written for SGLang's multimodal embeddings, unchanged but for the host."""

import base64
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from tests.e2e.drawings import drawing, encoded
from tests.e2e.process import ServerProcess, running
from tests.media.web import Site, response, site

pytestmark = pytest.mark.e2e

TEXT = "Represent this image in embedding space."
CAPTION = "a red circle"
FILE = drawing(CAPTION)
MAX_DIFFERENCE = 1e-5


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    """A web server that answers every path with the picture."""
    with site(response(base64.b64decode(encoded(FILE)))) as served:
        yield served


@pytest.fixture(scope="module")
def server(web: Site) -> Iterator[ServerProcess]:
    """The bundled model under the flag that names the model in the documentation's example."""
    ports = {"POLYVEC_MEDIA_ALLOWED_PORTS": str(web.port)}
    flags = ("--chat-template", "gme-qwen2-vl", "--allowed-media-network", "127.0.0.1")
    with running(*flags, environ=ports) as found:
        yield found
        assert found.stop() == 0
        assert "Traceback" not in found.log.read_text()


def post(server: ServerProcess, path: str, body: dict) -> httpx2.Response:
    return httpx2.post(server.url + path, json=body, timeout=60, trust_env=False)


def rows(server: ServerProcess, **body) -> np.ndarray:
    answer = post(server, "/v1/embeddings", body).raise_for_status().json()
    return np.array([one.get("embedding") for one in answer.get("data", [])], np.float32)


@pytest.fixture
def expected(server: ServerProcess) -> np.ndarray:
    """The text by OpenAI's body, and the picture by Multimodal Embedding Serving's."""
    text = rows(server, model="polyvec-demo", input=TEXT)
    value = {"type": "image_base64", "image_base64": encoded(FILE)}
    body = {"model": "polyvec-demo", "input": value}
    picture = post(server, "/embeddings", body).raise_for_status().json()["embedding"]
    return np.stack([text[0], np.array(picture, np.float32)])


@pytest.mark.parametrize("kind", ["url", "data", "base64"])
def test_the_documented_example_gets_the_vectors_of_its_text_and_its_picture(
    server: ServerProcess, web: Site, expected: np.ndarray, kind: str
) -> None:
    image = {
        "url": web.url("/images/023.jpg"),
        "data": "data:image/png;base64," + encoded(FILE),
        "base64": encoded(FILE),
    }[kind]
    found = rows(server, model="gme-qwen2-vl", input=[{"text": TEXT}, {"image": image}])
    assert np.abs(found - expected).max() <= MAX_DIFFERENCE


def test_the_native_route_gives_the_same_vectors(
    server: ServerProcess, expected: np.ndarray
) -> None:
    text = post(server, "/encode", {"text": TEXT}).raise_for_status().json()
    picture = post(server, "/encode", {"text": "", "image_data": encoded(FILE)}).json()
    found = np.array([text["embedding"], picture["embedding"]], np.float32)
    assert np.abs(found - expected).max() <= MAX_DIFFERENCE
    assert text["meta_info"]["prompt_tokens"] > 2


def test_a_picture_ranks_its_caption_first(server: ServerProcess) -> None:
    documents = ["a blue square", CAPTION, "a green triangle"]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + encoded(FILE)}}
    body = {"query": [picture], "documents": documents, "instruct": None, "top_n": 2}
    ranked = post(server, "/v1/rerank", body).raise_for_status().json()
    assert ranked[0]["document"] == CAPTION
    assert len(ranked) == 2


def test_text_and_picture_in_one_object_are_refused_by_a_model_of_two_towers(
    server: ServerProcess,
) -> None:
    answer = post(server, "/v1/embeddings", {"input": [{"text": "a", "image": encoded(FILE)}]})
    assert answer.status_code == 400
    assert answer.json()["object"] == "error"


def test_health_that_runs_the_model_is_200(server: ServerProcess) -> None:
    answer = httpx2.get(server.url + "/health_generate", timeout=60, trust_env=False)
    assert (answer.status_code, answer.content) == (200, b"")
