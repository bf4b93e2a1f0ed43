"""Voyage's routes: answers, errors, and what the service is asked."""

import asyncio
import base64
from dataclasses import dataclass

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.dialects._base import Call
from polyvec.types import Embedding, EmbedRequest, EmbedResult
from tests.dialects.prompted import prompted
from tests.dialects.stub import StubService, answer, post

WEBP = "data:image/webp;base64,AAAA"
EIGHT = np.array([0.5, -0.5, 0.25, -0.25, 0.125, 0.0, -1.0, 1.0], np.float32)
TYPES = {
    "float": np.float32, "int8": np.int8, "uint8": np.uint8, "binary": np.int8, "ubinary": np.uint8,
}  # fmt: skip


@dataclass
class EightService(StubService):
    """Gives the n-th input the same eight entries, divided by n."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        await super().embed(request)
        rows = (EIGHT / (index + 1) for index in range(len(request.inputs)))
        return EmbedResult("m", tuple(Embedding(row.astype(np.float32), 5) for row in rows))


def _good(path, body, service=None):
    reply, answered = post(path, body, service or EightService())
    assert reply.status == 200, answered
    return answered


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("dtype", TYPES)
def test_base64_is_of_the_bytes_of_the_type(prefix, dtype):
    fields = {"input": ["a"], "truncation": True, "output_dtype": dtype}
    plain = _good(f"{prefix}/embeddings", fields)["data"][0]["embedding"]
    encoded = _good(f"{prefix}/embeddings", {**fields, "encoding_format": "base64"})
    raw = base64.b64decode(encoded["data"][0]["embedding"], validate=True)
    assert np.frombuffer(raw, TYPES[dtype]).tolist() == plain
    assert encoded["usage"] == {"total_tokens": 5}


@pytest.mark.parametrize("field", ["truncation", "output_dtype", "output_dimension"])
def test_fields_that_only_voyage_has_mark_its_bodies(field):
    assert list(_good("/v1/embeddings", {"input": ["a"], field: None})) == [
        "object",
        "data",
        "model",
        "usage",
    ]


@pytest.mark.parametrize("path", ["/multimodalembeddings", "/v1/multimodalembeddings"])
def test_usage_of_multimodal_inputs_has_four_numbers(path):
    content = [{"type": "image_base64", "image_base64": WEBP}]
    body = _good(path, {"inputs": [{"content": content}], "model": None})
    assert body["usage"] == {
        "text_tokens": 5,
        "image_pixels": 0,
        "video_pixels": 0,
        "total_tokens": 5,
    }
    assert body["data"] == [{"object": "embedding", "embedding": EIGHT.tolist(), "index": 0}]


@pytest.mark.parametrize("path", ["/contextualizedembeddings", "/v1/contextualizedembeddings"])
def test_chunks_come_by_document(path):
    body = _good(path, {"inputs": [["a", "b"], ["c"]], "model": None, "input_type": None})
    assert [document["index"] for document in body["data"]] == [0, 1]
    assert [[one["index"] for one in document["data"]] for document in body["data"]] == [
        [0, 1],
        [0],
    ]
    firsts = [[one["embedding"][0] for one in document["data"]] for document in body["data"]]
    assert firsts == [[0.5, 0.25], [pytest.approx(0.5 / 3)]]
    assert body["usage"] == {"total_tokens": 15}
    assert "text" not in body["data"][0]["data"][0]


def test_chunks_that_the_server_makes_come_with_their_text():
    body = {"inputs": ["a", "b"], "enable_auto_chunking": True, "input_type": "document"}
    answered = _good("/v1/contextualizedembeddings", body)
    assert [document["data"][0]["text"] for document in answered["data"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": ["a"], "truncation": True}),
        ("/v1/multimodalembeddings", {"inputs": [{"content": [{"type": "text", "text": "a"}]}]}),
        ("/v1/contextualizedembeddings", {"inputs": [["a"]]}),
    ],
)
def test_an_input_type_becomes_a_prompt(path, body):
    service = prompted("query", "document")
    _good(path, {**body, "input_type": "query"}, service)
    assert service.requests[0].prompt_name == "query"
    reply, said = post(path, {**body, "input_type": "haiku"}, prompted("query"))
    assert reply.status == 400
    assert said["detail"] == "Unsupported input_type 'haiku'. Supported values: document, query"


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank"])
def test_documents_come_best_first(path):
    body = {"query": "q", "documents": ["aa", "a", "aaa"], "top_k": None, "truncation": True}
    assert _good(path, body) == {
        "object": "list",
        "data": [
            {"index": 2, "relevance_score": 0.375},
            {"index": 0, "relevance_score": 0.25},
            {"index": 1, "relevance_score": 0.125},
        ],
        "model": "CLIP/clip-vit-b-16",
        "usage": {"total_tokens": 21},
    }


def test_the_best_documents_come_with_their_texts_where_that_is_asked():
    body = {"query": "q", "documents": ["aa", "a"], "top_k": 1, "return_documents": True}
    assert _good("/rerank", body)["data"] == [
        {"index": 0, "relevance_score": 0.25, "document": "aa"}
    ]
    assert len(_good("/rerank", {**body, "top_k": 99})["data"]) == 2


def test_an_error_is_the_detail_that_the_client_reads():
    reply, body = post("/v1/embeddings", {"input": [], "truncation": True})
    assert reply.status == 400
    assert body == {"detail": "input must hold at least one element"}


def test_bits_of_a_length_that_eight_does_not_divide_are_refused():
    reply, body = post("/v1/embeddings", {"input": ["a"], "output_dtype": "binary"})
    assert reply.status == 400
    assert "multiple of 8" in body["detail"]


FIELDS = st.sampled_from(
    ["input", "inputs", "content", "type", "text", "image_base64", "input_type", "truncation",
     "output_dtype", "output_dimension", "encoding_format", "query", "documents", "top_k",
     "chunk_size", "enable_auto_chunking", "model"]
)  # fmt: skip
WORDS = st.sampled_from(["text", "image_base64", "float", "binary", "base64", "query", WEBP, "a"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)
PATHS = st.sampled_from(
    ["embeddings", "multimodalembeddings", "contextualizedembeddings", "rerank"]
)


@settings(max_examples=100, deadline=None)
@given(fields=st.dictionaries(FIELDS, VALUES, max_size=6), path=PATHS)
def test_any_fields_get_an_answer(fields, path):
    marks = {"truncation": True, "top_k": 1} if path == "rerank" else {"truncation": True}
    call = Call("POST", f"/v1/{path}", body=orjson.dumps({**marks, **fields}))
    assert asyncio.run(answer(call, EightService())).status in (200, 400, 404)
