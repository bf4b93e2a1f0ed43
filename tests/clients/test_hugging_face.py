"""huggingface_hub's client and the routes of Text Embeddings Inference."""

import httpx
import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

from tests.clients.serving import MINILM, MINILM_DIMENSIONS
from tests.clients.vectors import TEXTS, Reference, assert_same

ASTRAL = "🙂 hello 東京 🙂🙂 world"


def test_c37_one_text_at_the_root(url: str, expected: Reference) -> None:
    row = InferenceClient(url).feature_extraction(TEXTS[0])
    assert row.shape == (1, MINILM_DIMENSIONS)
    assert_same(row, expected.rows(TEXTS[:1]))


def test_c37_several_texts_at_the_root(http: httpx.Client, expected: Reference) -> None:
    answer = http.post("/", json={"inputs": list(TEXTS)})
    assert_same(answer.raise_for_status().json(), expected.rows(TEXTS))


def test_c37_sentence_similarity_at_the_root(url: str, expected: Reference) -> None:
    scores = InferenceClient(url).sentence_similarity(TEXTS[0], other_sentences=list(TEXTS))
    rows = expected.rows(TEXTS)
    assert scores == pytest.approx((rows @ rows[0]).tolist(), abs=1e-4)


def test_c37_parameters_of_the_hub_client(url: str) -> None:
    client = InferenceClient(url)
    options = {"truncate": True, "truncation_direction": "left", "normalize": True}
    rows = client.feature_extraction("word " * 1000, **options)
    assert np.linalg.norm(rows) == pytest.approx(1, abs=1e-4)


async def test_c37_asynchronous_client(url: str, expected: Reference) -> None:
    row = await AsyncInferenceClient(url).feature_extraction(TEXTS[0])
    assert_same(row, expected.rows(TEXTS[:1]))


def test_c39_info_has_what_clients_read(http: httpx.Client) -> None:
    info = http.get("/info").raise_for_status().json()
    # Dify reads these four.
    assert info["model_id"] == MINILM
    assert "embedding" in info["model_type"]
    assert info["max_input_length"] == 256
    assert info["max_client_batch_size"] > 0
    assert {"max_concurrent_requests", "max_batch_tokens", "version"} <= info.keys()


def test_c40_offsets_count_characters(http: httpx.Client) -> None:
    answer = http.post("/tokenize", json={"inputs": ASTRAL}).raise_for_status().json()
    (tokens,) = answer
    words = {token["text"]: token for token in tokens if not token["special"]}
    for word in ("hello", "world"):
        token = words[word]
        assert ASTRAL[token["start"] : token["stop"]] == word


def test_llama_index_tei(url: str, expected: Reference) -> None:
    client = TextEmbeddingsInference(model_name=MINILM, base_url=url)
    assert_same(client.get_text_embedding_batch(list(TEXTS)), expected.rows(TEXTS))
    assert_same(client.get_query_embedding(TEXTS[0]), expected.rows(TEXTS[:1]))


def test_c46_elasticsearch_reads_rows(http: httpx.Client, expected: Reference) -> None:
    answer = http.post("/", json={"inputs": list(TEXTS)}).raise_for_status().json()
    rows = answer["embeddings"] if isinstance(answer, dict) else answer
    assert_same(rows, expected.rows(TEXTS))


def test_c46_elasticsearchs_other_shape_is_of_embed(
    http: httpx.Client, expected: Reference
) -> None:
    answer = http.post("/embed", json={"inputs": list(TEXTS)}).raise_for_status().json()
    rows = answer["embeddings"] if isinstance(answer, dict) else answer
    assert_same(rows, expected.rows(TEXTS))
