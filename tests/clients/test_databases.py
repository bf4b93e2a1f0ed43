"""Databases that ask a server for vectors: bodies as their own clients write them.

None of them can be had as a Python package that asks, so these are their captured bodies.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.clients.pictures import CAPTIONS, PICTURES, data_uri, encoded
from tests.clients.serving import DEMO, MINILM, MINILM_DIMENSIONS, SPLADE
from tests.clients.vectors import TEXTS, Reference, Rows, assert_same

WEAVIATE_LIMIT_S = 0.5
"""What its client waits for /.well-known/ready."""


def post_untyped(http: httpx.Client, path: str, body) -> httpx.Response:
    """Without a Content-Type, as Weaviate's Go client does."""
    request = http.build_request("POST", path, content=json.dumps(body).encode())
    request.headers.pop("content-type", None)
    return http.send(request)


def test_c42_weaviate_one_text(http: httpx.Client, expected: Reference) -> None:
    body = {"text": TEXTS[0], "dims": 0, "vector": None, "error": "", "config": {}}
    for path in ("/vectors", "/vectors/"):
        answer = post_untyped(http, path, body).raise_for_status().json()
        assert (answer["text"], answer["dim"]) == (TEXTS[0], MINILM_DIMENSIONS)
        assert_same([answer["vector"]], expected.rows(TEXTS[:1]))


def test_c42_weaviate_several_texts(http: httpx.Client, expected: Reference) -> None:
    body = {
        "texts": list(TEXTS),
        "config": {"task_type": "passage", "pooling_strategy": "masked_mean"},
    }
    answer = post_untyped(http, "/vectors", body).raise_for_status().json()
    assert_same(answer["vectors"], expected.rows(TEXTS))
    assert answer["dims"] == MINILM_DIMENSIONS


def test_c42_weaviate_errors_are_text_of_json(http: httpx.Client) -> None:
    answer = post_untyped(http, "/vectors", {"text": 1})
    assert answer.status_code in {400, 422}
    assert isinstance(answer.json()["error"], str)


def test_c42_weaviate_meta(http: httpx.Client) -> None:
    assert isinstance(http.get("/meta").raise_for_status().json(), dict)


def test_c42_ready_in_time_while_every_core_is_busy(url: str, http: httpx.Client) -> None:
    body = {"model": MINILM, "input": ["busy " * 250] * 64}
    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(http.post, "/v1/embeddings", json=body) for _ in range(4)]
        statuses = [
            httpx.get(url + "/.well-known/ready", timeout=WEAVIATE_LIMIT_S).status_code
            for _ in range(20)
        ]
        assert {answer.result().status_code for answer in busy} == {200}
    assert max(statuses) < 300


def test_c43_multi2vec(demo: httpx.Client, expected: Reference, pictures: Rows) -> None:
    body = {"texts": list(CAPTIONS), "images": [encoded(picture) for picture in PICTURES]}
    answer = post_untyped(demo, "/vectorize", body).raise_for_status().json()
    assert_same(answer["textVectors"], expected.rows(CAPTIONS, DEMO))
    assert_same(answer["imageVectors"], pictures)


def test_c43_multi2vec_with_nulls(demo: httpx.Client, expected: Reference) -> None:
    body = {"texts": list(CAPTIONS), "images": None}
    answer = post_untyped(demo, "/vectorize", body).raise_for_status().json()
    assert_same(answer["textVectors"], expected.rows(CAPTIONS, DEMO))


def test_c44_qdrant_texts_and_pictures(
    http: httpx.Client, expected: Reference, pictures: Rows
) -> None:
    body = {
        "inputs": [
            {"data": CAPTIONS[0], "data_type": "text", "model": DEMO, "options": None},
            {"data": data_uri(PICTURES[1]), "data_type": "image", "model": DEMO, "options": {}},
        ],
        "inference": "update",
        "token": None,
    }
    answer = http.post("/", json=body).raise_for_status().json()
    text, image = answer["embeddings"]
    assert_same([text], expected.rows(CAPTIONS[:1], DEMO))
    assert_same([image], pictures[1:2])
    assert isinstance(answer["usage"]["models"][DEMO]["tokens"], int)


def test_c44_qdrant_sparse_vectors(http: httpx.Client) -> None:
    inputs = [{"data": "one two three", "data_type": "text", "model": SPLADE}]
    answer = http.post("/", json={"inputs": inputs, "inference": "search"}).raise_for_status()
    (vector,) = answer.json()["embeddings"]
    assert len(vector["indices"]) == len(vector["values"]) > 0
    assert sorted(set(vector["indices"])) == vector["indices"]


def test_c44_qdrant_several_models_in_one_call(http: httpx.Client, expected: Reference) -> None:
    inputs = [{"data": "a", "data_type": "text", "model": model} for model in (MINILM, DEMO)]
    answer = http.post("/", json={"inputs": inputs, "inference": "search"})
    one, other = answer.raise_for_status().json()["embeddings"]
    assert_same([one], expected.rows(["a"]))
    assert_same([other], expected.rows(["a"], DEMO))


def test_c44_qdrant_errors_are_text_of_json(http: httpx.Client) -> None:
    inputs = [{"data": "a", "data_type": "text", "model": "no-such"}]
    answer = http.post("/", json={"inputs": inputs, "inference": "search"})
    assert answer.status_code in {400, 404}
    assert isinstance(answer.json()["error"], str)


def test_c45_milvus_by_tei(http: httpx.Client, expected: Reference) -> None:
    body = {"inputs": list(TEXTS), "truncate": True, "truncation_direction": "Right"}
    answer = http.post("/embed", json=body).raise_for_status()
    assert_same(answer.json(), expected.rows(TEXTS))
    body = {"query": TEXTS[0], "texts": list(TEXTS), "truncate": True}
    assert http.post("/rerank", json=body).raise_for_status().json()[0]["index"] == 0


def test_c45_milvus_by_vllm(http: httpx.Client, expected: Reference) -> None:
    body = {"input": list(TEXTS), "encoding_format": "float"}
    data = http.post("/v1/embeddings", json=body).raise_for_status().json()["data"]
    assert_same([one["embedding"] for one in data], expected.rows(TEXTS))
    body = {"query": TEXTS[0], "documents": list(TEXTS)}
    answer = http.post("/rerank", json=body).raise_for_status().json()
    assert answer["results"][0]["index"] == 0


def test_c45_pymilvus_reads_the_message_of_an_error_at_the_top(http: httpx.Client) -> None:
    answer = http.post("/v1/embeddings", json={"input": [None]})
    assert answer.status_code == 400
    assert answer.json()["message"]
