"""Text Embeddings Inference's own test of all-MiniLM-L6-v2, against a server process.

Source: https://github.com/huggingface/text-embeddings-inference, router/tests/test_http_embed.rs
and its snapshots.
"""

from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e

# Of the vector of "test", cut to 128 values and normalised; their tolerance is 4e-3.
FIRST_OF_128 = [
    0.020964134, 0.04565805, -0.066505864, 0.10739273, -0.013054413, -0.07467599, 0.13989426,
    0.06780755, 0.022699585, -0.011153332, 0.030836489, -0.13956574, -0.00076798, 0.050422817,
    -0.028967934, -0.12367706,
]  # fmt: skip
MAX_DIFFERENCE = 1e-3


@pytest.fixture(scope="module")
def client(minilm_server: ServerProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=minilm_server.url, timeout=60, trust_env=False) as client:
        yield client


def test_a_cut_vector_is_that_of_tei(client: httpx2.Client) -> None:
    body = {"inputs": "test", "dimensions": 128}
    (row,) = client.post("/embed", json=body).json()
    assert len(row) == 128
    np.testing.assert_allclose(row[:16], FIRST_OF_128, atol=MAX_DIFFERENCE)
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_a_batch_has_the_vector_of_its_text_alone(client: httpx2.Client) -> None:
    one = client.post("/embed", json={"inputs": "test"}).json()
    three = client.post("/embed", json={"inputs": ["test"] * 3}).json()
    np.testing.assert_allclose(three, one * 3, atol=1e-5)


def test_tokens_of_a_text_are_embedded_as_the_text_is(client: httpx2.Client) -> None:
    text = "naïve 😀 tokens"
    (tokens,) = client.post("/tokenize", json={"inputs": text}).json()
    for token in tokens:
        if not token["special"]:
            assert token["text"] == text[token["start"] : token["stop"]]
    ids = [token["id"] for token in tokens]
    rows = client.post("/embed", json={"inputs": [ids, text]}).json()
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    assert client.post("/decode", json={"ids": ids}).json() == ["naive tokens"]


def test_token_vectors_are_pooled_to_the_vector(client: httpx2.Client) -> None:
    (tokens,) = client.post("/embed_all", json={"inputs": "a cat sat"}).json()
    (row,) = client.post("/embed", json={"inputs": "a cat sat", "normalize": False}).json()
    np.testing.assert_allclose(np.mean(tokens, axis=0), row, atol=1e-4)
