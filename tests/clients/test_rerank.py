"""One question and three documents, by every dialect that reranks."""

import httpx
import pytest
import voyageai
from litellm import rerank

from tests.clients.serving import MINILM

QUERY = "Where is my parcel?"
DOCUMENTS = ["A dog runs in the park.", "The parcel is at the door.", "I like tea."]
ORDER = [1, 0, 2]
"""By a bi-encoder's cosine, the best first."""


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_c36_documents_as_cohere_jina_and_vllm_send_them(http: httpx.Client, path: str) -> None:
    body = {"model": MINILM, "query": QUERY, "documents": DOCUMENTS}
    results = http.post(path, json=body).raise_for_status().json()["results"]
    assert results[0]["index"] == 1
    assert {one["index"] for one in results} == {0, 1, 2}
    scores = [one["relevance_score"] for one in results]
    assert scores == sorted(scores, reverse=True)


def test_c36_texts_as_tei_sends_them(http: httpx.Client) -> None:
    body = {"query": QUERY, "texts": DOCUMENTS, "return_text": True, "raw_scores": False}
    results = http.post("/rerank", json=body).raise_for_status().json()
    assert (results[0]["index"], results[0]["text"]) == (1, DOCUMENTS[1])
    assert len(results) == 3


def test_c36_voyages_client(url: str) -> None:
    client = voyageai.Client(api_key="pa-none", base_url=url + "/v1")
    answer = client.rerank(QUERY, DOCUMENTS, model=MINILM, top_k=2)
    assert answer.results[0].index == 1
    assert len(answer.results) == 2
    assert answer.total_tokens > 0


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("cohere", "/v2/rerank"),
        ("hosted_vllm", ""),
        ("hosted_vllm", "/v1"),
        ("jina_ai", "/v1/rerank"),
        ("huggingface", ""),
        ("voyage", "/v1"),
    ],
)
def test_c36_litellm(url: str, prefix: str, path: str) -> None:
    answer = rerank(
        model=f"{prefix}/{MINILM}",
        query=QUERY,
        documents=DOCUMENTS,
        top_n=2,
        api_base=url + path,
        api_key="none",
    )
    assert answer.results[0]["index"] == 1
    # TEI knows no number of results.
    assert len(answer.results) == (3 if prefix == "huggingface" else 2)


def test_c36_litellm_as_a_client_of_infinity(url: str) -> None:
    # With documents it wants strings, where its client of vLLM wants objects, from one path.
    answer = rerank(
        model=f"infinity/{MINILM}",
        query=QUERY,
        documents=DOCUMENTS,
        top_n=2,
        return_documents=False,
        api_base=url,
        api_key="none",
    )
    assert answer.results[0]["index"] == 1
    assert len(answer.results) == 2
