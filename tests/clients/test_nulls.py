"""Null in every field that may be left out, of every body that the server documents."""

import re
from typing import Any

import httpx

from tests.clients.pictures import CAPTIONS, PICTURES, data_uri
from tests.clients.serving import DEMO, SHORT

CHAT = [{"role": "user", "content": "a"}]
PAIR = {"query": "a", "documents": ["a", "b"]}
TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
# The least that each documented body must have.
BODIES: dict[str, dict[str, Any]] = {
    "cohere.DetokenizeBody": {"tokens": [2023]},
    "cohere.EmbedBody": {"texts": ["a"], "input_type": "search_query"},
    "cohere.TokenizeBody": {"text": "a"},
    "infinity.ClassifyBody": {"input": ["a"], "raw_scores": False},
    "infinity.EmbedBody": {"input": ["a"], "modality": "text"},
    "infinity.ImageBody": {"input": [data_uri(PICTURES[0])], "model": DEMO},
    "infinity.RerankBody": {**PAIR, "raw_scores": False},
    "jina.EmbedBody": {"input": ["a"]},
    "kserve.InferBody": {"inputs": [TENSOR]},
    "mmes.EmbedBody": {"model": DEMO, "input": {"type": "text", "text": "a"}},
    "ollama.EmbedBody": {"model": SHORT, "input": "a"},
    "ollama.EmbeddingsBody": {"model": SHORT, "prompt": "a"},
    "ollama.ShowBody": {"model": SHORT},
    "openai.EmbeddingInputBody": {"input": "a"},
    "openai.EmbeddingMessagesBody": {"messages": CHAT},
    "ovms.EmbedBody": {"model": SHORT, "input": "a"},
    "ovms.RerankBody": {**PAIR, "model": SHORT},
    "ovms.TokenizeBody": {"model": SHORT, "text": "a"},
    "qdrant.InferenceBody": {"inputs": [{"data": "a", "data_type": "text", "model": SHORT}]},
    "sglang.ClassifyBody": {"input": "a"},
    "sglang.DetokenizeBody": {"tokens": [2023]},
    "sglang.EmbedBody": {"input": [{"text": "a"}]},
    "sglang.EncodeBody": {"text": "a"},
    "sglang.RerankBody": {**PAIR, "instruct": None},
    "sglang.ScoreBody": {"query": "a", "items": ["a"]},
    "sglang.TokenizeBody": {"prompt": "a"},
    "tei.DecodeBody": {"ids": [2023]},
    "tei.EmbedBody": {"inputs": "a"},
    "tei.PredictBody": {"inputs": "a"},
    "tei.RawBody": {"inputs": "a"},
    "tei.RerankBody": {"query": "a", "texts": ["a"]},
    "tei.SimilarityBody": {"inputs": {"source_sentence": "a", "sentences": ["a"]}},
    "tei.TokenizeBody": {"inputs": "a"},
    "tei.VertexBody": {"instances": [{"inputs": "a"}]},
    "vllm.DataPairBody": {"data_1": "a", "data_2": "a"},
    "vllm.DetokenizeBody": {"model": SHORT, "tokens": [2023]},
    "vllm.PoolingInputBody": {"input": "a"},
    "vllm.PoolingMessagesBody": {"messages": CHAT},
    "vllm.QueriesDocumentsBody": {"queries": "a", "documents": ["a"]},
    "vllm.QueriesItemsBody": {"queries": "a", "items": ["a"]},
    "vllm.RerankBody": PAIR,
    "vllm.TextPairBody": {"text_1": "a", "text_2": "a"},
    "vllm.TokenizeMessagesBody": {"messages": CHAT},
    "vllm.TokenizePromptBody": {"prompt": "a"},
    "voyage.ContextualizedBody": {"inputs": [["a"]]},
    "voyage.EmbedBody": {"input": ["a"]},
    "voyage.MultimodalBody": {
        "model": DEMO,
        "inputs": [{"content": [{"type": "text", "text": CAPTIONS[0]}]}],
    },
    "voyage.RerankBody": {**PAIR, "top_k": 1},
    "weaviate.TextBody": {"text": "a"},
    "weaviate.TextsBody": {"texts": ["a"]},
    "weaviate.VectorizeBody": {"texts": ["a"]},
}
# MiniLM gives neither classes nor sparse vectors.
NOT_GIVEN = {"/classify", "/predict", "/v1/classify", "/embed_sparse"}
# OVMS tokenises at paths that end in that word.
NOT_THERE = {("/v3", "ovms.TokenizeBody"), ("/v3/{rest}", "ovms.TokenizeBody")}
PLACES = {"model": SHORT, "name": SHORT, "version": "1", "rest": "embeddings"}


def documented(http: httpx.Client) -> dict[tuple[str, str], list[str]]:
    """(path, name of a body) → fields that may be left out."""
    page = http.get("/openapi.json").raise_for_status().json()
    schemas = page["components"]["schemas"]
    found = {}
    for path, methods in page["paths"].items():
        if "requestBody" not in methods.get("post", {}):
            continue
        schema = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
        for one in schema.get("anyOf", [schema]):
            name = one["$ref"].rpartition("/")[2]
            required = schemas[name].get("required", [])
            found[path, name] = [key for key in schemas[name]["properties"] if key not in required]
    return found


def test_c16_null_means_absent_in_every_field_of_every_body(http: httpx.Client) -> None:
    bodies = documented(http)
    assert {name for _, name in bodies} == set(BODIES)
    wrong = {}
    for (path, name), fields in bodies.items():
        at = re.sub(r"{(\w+)}", lambda found: PLACES[found[1]], path)
        bare = BODIES[name]
        full = dict.fromkeys(fields) | bare
        statuses = [http.post(at, json=body).status_code for body in (bare, full)]
        may_refuse = path in NOT_GIVEN or (path, name) in NOT_THERE
        if statuses != [200, 200] and not (may_refuse and statuses in ([400, 400], [424, 424])):
            wrong[path, name] = (*statuses, http.post(at, json=full).text[:60])
    assert not wrong
