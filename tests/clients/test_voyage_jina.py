"""The voyageai client, and bodies in Jina's manner."""

import base64

import httpx
import numpy as np
import pytest
import voyageai

from tests.clients.pictures import CAPTIONS, PICTURES, data_uri, encoded
from tests.clients.serving import DEMO, MINILM, MINILM_DIMENSIONS
from tests.clients.vectors import TEXTS, Reference, Rows, assert_same


@pytest.fixture(scope="module")
def client(url: str) -> voyageai.Client:
    return voyageai.Client(api_key="pa-none", base_url=url + "/v1", max_retries=0)


@pytest.mark.parametrize("purpose", [None, "query", "document"])
def test_voyage_texts(client: voyageai.Client, expected: Reference, purpose: str | None) -> None:
    answer = client.embed(list(TEXTS), model=MINILM, input_type=purpose)
    assert_same(answer.embeddings, expected.rows(TEXTS))
    assert answer.total_tokens > 0


def test_c52_voyage_pictures_come_as_webp(
    client: voyageai.Client, expected: Reference, pictures: Rows
) -> None:
    answer = client.multimodal_embed([[CAPTIONS[0]], *([one] for one in PICTURES)], model=DEMO)
    text, *images = answer.embeddings
    assert_same([text], expected.rows(CAPTIONS[:1], DEMO))
    assert_same(images, pictures)


def test_c52_voyage_small_integers(client: voyageai.Client, expected: Reference) -> None:
    answer = client.embed(list(TEXTS), model=MINILM, output_dtype="int8")
    rows = np.array(answer.embeddings)
    assert rows.shape == (len(TEXTS), MINILM_DIMENSIONS)
    assert np.array_equal(rows, np.round(rows))
    assert_same(rows, expected.rows(TEXTS), min_cosine=0.99)


def test_c52_voyage_bits(client: voyageai.Client, expected: Reference) -> None:
    answer = client.embed(list(TEXTS), model=MINILM, output_dtype="ubinary")
    bits = np.packbits(expected.rows(TEXTS) > 0, axis=1)
    different = np.unpackbits(np.array(answer.embeddings, np.uint8) ^ bits).sum()
    # A number next to zero may have either sign.
    assert different <= 3


def test_voyage_chunks_of_documents(client: voyageai.Client, expected: Reference) -> None:
    answer = client.contextualized_embed([["first", "second"], ["third"]], model=MINILM)
    assert [len(one.embeddings) for one in answer.results] == [2, 1]
    rows = [row for one in answer.results for row in one.embeddings]
    assert_same(rows, expected.rows(["first", "second", "third"]))


@pytest.mark.parametrize("write", [data_uri, encoded], ids=["data URI", "raw base64"])
def test_c53_jina_texts_and_pictures(
    http: httpx.Client, expected: Reference, pictures: Rows, write
) -> None:
    body = {
        "model": DEMO,
        "input": [{"text": CAPTIONS[0]}, {"image": write(PICTURES[0])}, CAPTIONS[1]],
        "task": "text-matching",
        "normalized": True,
        "embedding_type": "float",
    }
    data = http.post("/v1/embeddings", json=body).raise_for_status().json()["data"]
    text, image, other = (one["embedding"] for one in data)
    assert_same([text, other], expected.rows(CAPTIONS[:2], DEMO))
    assert_same([image], pictures[:1])


def test_c53_jina_base64(http: httpx.Client, expected: Reference) -> None:
    body = {"model": MINILM, "input": list(TEXTS), "embedding_type": "base64", "normalized": True}
    data = http.post("/v1/embeddings", json=body).raise_for_status().json()["data"]
    rows = [np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in data]
    assert_same(rows, expected.rows(TEXTS))
