"""Jina's embeddings: what is asked, and what is answered."""

import asyncio
import base64
from dataclasses import dataclass

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.dialects._base import Call
from polyvec.dialects.jina import parse
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.types import (
    Base64,
    DataUri,
    Embedding,
    EmbedRequest,
    EmbedResult,
    Image,
    Input,
    Text,
    Url,
)
from tests.dialects.prompted import prompted
from tests.dialects.stub import StubService, answer, post

PNG = "data:image/png;base64,AAAA"
EIGHT = np.array([0.5, -0.5, 0.25, -0.25, 0.125, 0.0, -1.0, 1.0], np.float32)


@dataclass
class EightService(StubService):
    """Gives every input the same eight entries, and twice as its tokens."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        await super().embed(request)
        one = Embedding(EIGHT, 5)
        if request.outputs == ("tokens",):
            one = Embedding(EIGHT[:0], 5, token_vectors=np.stack([EIGHT, -EIGHT]))
        return EmbedResult("m", tuple(one for _ in request.inputs))


def _asked(**fields):
    return parse({"input": "a", **fields})


def _answered(**fields):
    reply, body = post(
        "/v1/embeddings", {"input": ["a"], "normalized": None, **fields}, EightService()
    )
    assert reply.status == 200
    return body


def test_a_body_with_only_an_input_has_defaults():
    asked = _asked()
    assert asked.request == EmbedRequest(None, (Input((Text("a"),)),), outputs=("dense",))
    assert (asked.task, asked.embedding_types, asked.is_list) == (None, ("float",), False)


def test_null_means_absent_everywhere():
    names = [
        "model", "task", "dimensions", "normalized", "embedding_type", "late_chunking", "truncate",
        "return_multivector",
    ]  # fmt: skip
    assert _asked(**dict.fromkeys(names)) == _asked()


def test_every_field_is_read():
    asked = _asked(
        model="m", task="text-matching", dimensions=2, normalized=False, truncate=True,
        return_multivector=True, embedding_type="ubinary", late_chunking=False,
    )  # fmt: skip
    assert asked.request == EmbedRequest(
        "m", (Input((Text("a"),)),), dimensions=2, normalize=False, truncate="end",
        outputs=("tokens",),
    )  # fmt: skip
    assert (asked.task, asked.embedding_types) == ("text-matching", ("ubinary",))
    assert _asked(truncate=False).request.truncate == "none"


@pytest.mark.parametrize(
    ("item", "part"),
    [
        ("a", Text("a")),
        ({"text": "a"}, Text("a")),
        ({"image": "https://h/a.png"}, Image(Url("https://h/a.png"))),
        ({"image": "QUJD"}, Image(Base64("QUJD"))),
        ({"image": PNG}, Image(DataUri(PNG))),
        ({"url": "https://h/a.png"}, Image(Url("https://h/a.png"))),
        ({"bytes": "QUJD"}, Image(Base64("QUJD"))),
    ],
)
def test_an_input_is_a_text_or_a_picture(item, part):
    asked = parse({"input": [item, "b"]})
    assert asked.request.inputs == (
        Input((part,), "input[0]"),
        Input((Text("b"),), "input[1]"),
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["a", 5]}, "input[1]"),
        ({"input": [{}]}, "input[0]"),
        ({"input": [{"image": ""}]}, "input[0].image"),
        ({"input": [{"text": "a", "image": PNG}]}, "input[0]"),
        ({"input": [{"text": "a", "url": "https://h/a.png"}]}, "input[0]"),
        ({"model": 1}, "model"),
        ({"task": 1}, "task"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
        ({"normalized": "yes"}, "normalized"),
        ({"truncate": "END"}, "truncate"),
        ({"return_multivector": 1}, "return_multivector"),
        ({"late_chunking": 1}, "late_chunking"),
        ({"embedding_type": "int4"}, "embedding_type"),
        ({"embedding_type": []}, "embedding_type"),
        ({"embedding_type": ["float", {}]}, "embedding_type"),
        ({"encoding_type": "int4"}, "encoding_type"),
    ],
)
def test_an_unusable_field_is_refused_by_name(fields, param):
    with pytest.raises(InvalidInputError) as caught:
        _asked(**fields)
    assert caught.value.param == param


def test_late_chunking_is_refused_and_says_so():
    with pytest.raises(UnsupportedInputError, match="send false"):
        _asked(late_chunking=True)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
@pytest.mark.parametrize(
    "field",
    [
        {"task": "retrieval.query"},
        {"task": "classification"},
        {"embedding_type": "float"},
        {"encoding_type": "float"},
        {"normalized": True},
        {"late_chunking": False},
        {"return_multivector": False},
    ],
)
def test_fields_that_only_jina_has_mark_its_bodies(path, field):
    reply, body = post(path, {"input": ["a"], **field}, EightService())
    assert reply.status == 200
    assert body == {
        "model": "m",
        "object": "list",
        "usage": {"total_tokens": 5, "prompt_tokens": 5},
        "data": [{"object": "embedding", "index": 0, "embedding": EIGHT.tolist()}],
    }


def test_the_names_of_other_clients_for_the_type():
    assert _asked(encoding_type="binary").embedding_types == ("binary",)
    assert _asked(encoding_format="base64").embedding_types == ("base64",)
    assert _asked(encoding_format="base64", embedding_type="float").embedding_types == ("float",)


def test_a_task_in_a_body_of_openais_client_leaves_it_openais():
    body = {"input": ["a"], "task": "retrieval.query", "encoding_format": "base64"}
    _, answered = post("/v1/embeddings", body)
    assert "created" in answered
    assert isinstance(answered["data"][0]["embedding"], str)


@pytest.mark.parametrize(
    "fields",
    [
        {"truncate": "end"},
        {"outputs": ["dense"]},
        {"truncate_prompt_tokens": -1},
        {"prompt_name": None},
        {"input": [1, 2, 3]},
        {"input": [[1, 2], [3]]},
    ],
)
def test_a_task_beside_what_jina_has_not_leaves_a_body_openais(fields):
    body = {"input": ["a"], "task": "retrieval.query", **fields}
    reply, answered = post("/v1/embeddings", body)
    assert reply.status == 200
    assert "created" in answered


def test_one_type_gives_the_vector_itself():
    packed = np.packbits(EIGHT >= 0).tolist()
    assert _answered(embedding_type="float")["data"][0]["embedding"] == EIGHT.tolist()
    assert _answered(embedding_type="ubinary")["data"][0]["embedding"] == packed
    assert _answered(embedding_type="binary")["data"][0]["embedding"] == [packed[0] - 128]
    raw = base64.b64decode(_answered(embedding_type="base64")["data"][0]["embedding"])
    assert np.frombuffer(raw, "<f4").tolist() == EIGHT.tolist()


def test_a_list_of_types_gives_an_object_even_for_one():
    found = _answered(embedding_type=["float", "ubinary"])["data"][0]["embedding"]
    assert found == {"float": EIGHT.tolist(), "ubinary": np.packbits(EIGHT >= 0).tolist()}
    assert list(_answered(embedding_type=["float"])["data"][0]["embedding"]) == ["float"]


def test_several_vectors_for_an_input_have_a_name_of_their_own():
    found = _answered(return_multivector=True)["data"][0]
    assert found == {
        "object": "embedding",
        "index": 0,
        "embeddings": [EIGHT.tolist(), (-EIGHT).tolist()],
    }


def test_a_task_becomes_a_prompt_where_the_model_has_one():
    service = prompted("query")
    post("/v1/embeddings", {"input": ["a"], "task": "retrieval.query"}, service)
    assert service.requests[0].prompt_name == "query"


def test_an_unknown_task_is_refused_in_the_detail_that_clients_read():
    service = prompted("sonnet")
    body = {"input": ["a"], "task": "haiku", "normalized": True}
    reply, said = post("/v1/embeddings", body, service)
    assert reply.status == 400
    assert said["detail"].startswith("Unsupported task 'haiku'. Supported values: ")


FIELDS = st.sampled_from(
    ["input", "task", "dimensions", "normalized", "embedding_type", "late_chunking", "truncate",
     "return_multivector", "text", "image", "url", "model"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "binary", "float", PNG]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(fields=st.dictionaries(FIELDS, VALUES, max_size=6))
def test_any_fields_get_an_answer(fields):
    body = {"input": "a", "normalized": None, **fields}
    call = Call("POST", "/v1/embeddings", body=orjson.dumps(body))
    assert asyncio.run(answer(call, EightService())).status in (200, 400, 404)
