"""Cohere's routes: answers, errors, and what the service is asked."""

import asyncio
import base64
from dataclasses import dataclass

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.dialects._base import Call
from polyvec.types import Embedding, EmbedRequest, EmbedResult, TokenizeRequest
from tests.dialects.prompted import prompted
from tests.dialects.stub import ROWS, StubService, answer, post

PNG = "data:image/png;base64,AAAA"
BYTES = np.array([0.5, -0.5, 0.25, -0.25, 0.125, 0.0, -1.0, 1.0] * 2, np.float32)
TYPES = ["float", "int8", "uint8", "binary", "ubinary", "base64"]


@dataclass
class SixteenService(StubService):
    """Gives every input the same sixteen entries."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        await super().embed(request)
        return EmbedResult("m", tuple(Embedding(BYTES, 5) for _ in request.inputs))


def test_all_types_come_in_one_answer():
    reply, body = post(
        "/v2/embed", {"texts": ["a", "b"], "embedding_types": TYPES}, SixteenService()
    )
    assert reply.status == 200
    assert list(body["embeddings"]) == TYPES
    assert all(len(vectors) == 2 for vectors in body["embeddings"].values())
    found = {name: vectors[1] for name, vectors in body["embeddings"].items()}
    assert found["float"] == BYTES.tolist()
    assert found["ubinary"] == np.packbits(BYTES >= 0).tolist()
    assert found["binary"] == [byte - 128 for byte in found["ubinary"]]
    assert found["uint8"] == [entry + 128 for entry in found["int8"]]
    raw = base64.b64decode(found["base64"], validate=True)
    assert np.frombuffer(raw, "<f4").tolist() == BYTES.tolist()


@pytest.mark.parametrize("types", [None, [], "absent"])
def test_version_2_gives_floats_by_type_where_none_is_named(types):
    fields = {} if types == "absent" else {"embedding_types": types}
    _, body = post("/v2/embed", {"texts": ["a"], **fields})
    assert list(body["embeddings"]) == ["float"]
    assert body["response_type"] == "embeddings_by_type"


def test_version_1_gives_one_array_where_no_type_is_named():
    _, body = post("/v1/embed", {"texts": ["a", "b"], "truncate": None, "embedding_types": None})
    assert body["response_type"] == "embeddings_floats"
    assert body["embeddings"] == orjson.loads(
        orjson.dumps(ROWS[:2], option=orjson.OPT_SERIALIZE_NUMPY)
    )
    assert body["texts"] == ["a", "b"]
    assert body["meta"]["api_version"] == {"version": "1"}


def test_version_1_gives_types_where_they_are_named():
    _, body = post("/v1/embed", {"texts": ["a"], "embedding_types": ["int8"]})
    assert body["response_type"] == "embeddings_by_type"
    assert list(body["embeddings"]) == ["int8"]


def test_texts_and_pictures_are_counted_apart():
    _, texts = post("/v2/embed", {"texts": ["a", "b"]})
    assert texts["meta"]["billed_units"] == {"input_tokens": 10, "image_tokens": 0}
    content = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PNG}}]
    _, mixed = post("/v2/embed", {"inputs": [{"content": content}]})
    assert mixed["meta"]["billed_units"] == {"input_tokens": 0, "images": 1, "image_tokens": 5}
    assert mixed["texts"] == []


def test_bits_of_a_length_that_eight_does_not_divide_are_refused():
    reply, body = post("/v2/embed", {"texts": ["a"], "embedding_types": ["ubinary"]})
    assert reply.status == 400
    assert "must be a multiple of 8 for binary embedding types, but got 3." in body["message"]


@pytest.mark.parametrize("path", ["/v1/embed", "/v2/embed"])
def test_an_input_type_becomes_a_prompt(path):
    service = prompted("search_query")
    reply, _ = post(path, {"texts": ["a"], "input_type": "search_query"}, service)
    assert reply.status == 200
    assert service.requests[0].prompt_name == "search_query"


def test_an_unknown_input_type_is_refused_by_its_values():
    reply, body = post("/v2/embed", {"texts": ["a"], "input_type": "haiku"}, prompted("sonnet"))
    assert reply.status == 400
    assert body["message"].startswith("Unsupported input_type 'haiku'. Supported values: ")
    assert "sonnet" in body["message"]


def test_an_error_has_an_id_and_a_message_and_no_more():
    reply, body = post("/v2/embed", {"texts": ["a"], "model": "nobody", "input_type": "image"})
    assert reply.status == 404
    assert list(body) == ["id", "message"]
    assert all(isinstance(value, str) and value for value in body.values())


def test_tokens_come_without_special_ones():
    service = StubService()
    reply, body = post("/v1/tokenize", {"text": "a cat", "model": None}, service)
    assert reply.status == 200
    assert body["tokens"] == [10, 11]
    assert body["token_strings"] == ["a", "cat"]
    (request,) = service.tokenized
    assert isinstance(request, TokenizeRequest)
    assert not request.add_special_tokens


def test_tokens_become_a_text_again():
    reply, body = post("/v1/detokenize", {"tokens": [3, 4], "model": "m"})
    assert reply.status == 200
    assert body == {"text": "w3 w4", "meta": {"api_version": {"version": "1"}}}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/tokenize", {}, "text"),
        ("/v1/tokenize", {"text": ["a"]}, "text"),
        ("/v1/detokenize", {}, "tokens"),
        ("/v1/detokenize", {"tokens": [1, True]}, "tokens[1]"),
        ("/v1/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/v1/detokenize", {"tokens": [2**63]}, "tokens[0]"),
    ],
)
def test_unusable_tokens_and_texts_are_refused_by_name(path, body, field):
    reply, said = post(path, body)
    assert reply.status == 400
    assert field in said["message"]


def test_a_key_that_came_this_far_is_valid():
    reply, body = post("/v1/check-api-key", b"")
    assert (reply.status, body) == (200, {"valid": True})


FIELDS = st.sampled_from(
    ["texts", "images", "inputs", "content", "type", "text", "input_type", "embedding_types",
     "truncate", "max_tokens", "output_dimension", "priority", "model", "image_url", "url"]
)  # fmt: skip
WORDS = st.sampled_from(["text", "image_url", "float", "binary", "END", "image", PNG, "a"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(fields=st.dictionaries(FIELDS, VALUES, max_size=6), path=st.sampled_from(["1", "2"]))
def test_any_fields_get_an_answer(fields, path):
    call = Call("POST", f"/v{path}/embed", body=orjson.dumps(fields))
    reply = asyncio.run(answer(call, SixteenService()))
    assert reply.status in (200, 400, 404)
