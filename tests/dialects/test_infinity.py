"""Infinity's routes: what is asked, and what is answered."""

import asyncio
import base64
from dataclasses import dataclass, replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.dialects._base import Call
from polyvec.dialects.infinity import parse, parse_classify, parse_rerank
from polyvec.errors import InvalidInputError, MediaError, OverloadedError
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
from tests.dialects.stub import CARD, ROWS, TEXT_CARD, StubService, answer, post

PNG = "data:image/png;base64,AAAA"


@dataclass
class ScoringService(StubService):
    """Gives every input three scores, and twice the first row as its tokens."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        await super().embed(request)
        scores = np.array([0.25, 0.5, 0.125], np.float32)
        tokens = np.stack([ROWS[0], ROWS[0]])
        one = Embedding(ROWS[0][:0], 5, scores=scores, token_vectors=tokens)
        return EmbedResult("m", tuple(one for _ in request.inputs))


def _request(modality="text", card=CARD, **fields):
    return parse({"input": "a", **fields}, card, modality)[0]


def test_a_body_with_only_an_input_has_defaults():
    request, encoding = parse({"input": "a"}, CARD, "text")
    assert request == EmbedRequest(None, (Input((Text("a"),)),), truncate="end", outputs=("dense",))
    assert encoding == "float"
    names = ["model", "dimensions", "encoding_format", "user"]
    assert parse({"input": "a", **dict.fromkeys(names)}, CARD, "text") == (request, encoding)


def test_images_are_urls_data_uris_or_base64():
    request = _request("image", input=["https://h/a.png", PNG, "QUJD"])
    assert [item.parts[0] for item in request.inputs] == [
        Image(Url("https://h/a.png")),
        Image(DataUri(PNG)),
        Image(Base64("QUJD")),
    ]
    assert [item.param for item in request.inputs] == ["input[0]", "input[1]", "input[2]"]


@pytest.mark.parametrize(
    ("fields", "dimensions"),
    [
        ({"dimensions": 0}, None),
        ({"dimensions": 2}, 2),
        ({"output_dimension": 2}, 2),
        ({"dimensions": 3, "output_dimension": 2}, 3),
    ],
)
def test_no_dimensions_are_all_dimensions(fields, dimensions):
    assert _request(**fields).dimensions == dimensions


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [1]}, "input[0]"),
        ({"input": [[1]]}, "input[0]"),
        ({"dimensions": -1}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"model": 1}, "model"),
    ],
)
def test_an_unusable_field_is_refused_by_name(fields, param):
    with pytest.raises(InvalidInputError) as caught:
        _request(**fields)
    assert caught.value.param == param


def test_the_answer_is_openais_with_an_id_of_its_own():
    reply, body = post("/embeddings", {"input": ["a"], "modality": "text"})
    assert reply.status == 200
    assert body.pop("id").startswith("infinity-")
    assert isinstance(body.pop("created"), int)
    data = body.pop("data")
    assert [(one["object"], one["index"]) for one in data] == [("embedding", 0)]
    assert np.array(data[0]["embedding"], np.float32).tolist() == ROWS[0].tolist()
    assert body == {
        "object": "list",
        "model": CARD.name,
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }


def test_base64_is_of_little_endian_floats():
    fields = {"input": ["a", "b"], "modality": "text", "encoding_format": "base64"}
    _, body = post("/embeddings", fields)
    raw = base64.b64decode(body["data"][1]["embedding"], validate=True)
    assert np.frombuffer(raw, "<f4").tolist() == ROWS[1].tolist()


def test_a_model_of_many_vectors_gives_one_for_each_token():
    service = ScoringService((replace(CARD, outputs=("tokens",)),))
    _, body = post("/embeddings", {"input": ["a"], "modality": "text"}, service)
    assert service.requests[0].outputs == ("tokens",)
    assert np.shape(body["data"][0]["embedding"]) == (2, 3)


def test_a_model_that_is_not_loaded_gives_its_main_output():
    service = ScoringService((replace(CARD, state="unloaded"),))
    _, body = post("/embeddings", {"input": ["a"], "modality": "text"}, service)
    assert service.requests[0].outputs is None
    assert np.shape(body["data"][0]["embedding"]) == (2, 3)


@pytest.mark.parametrize(
    ("modality", "card"), [("audio", CARD), ("audio", TEXT_CARD), ("image", TEXT_CARD)]
)
def test_a_modality_that_the_model_lacks_is_refused_in_infinitys_words(modality, card):
    service = StubService((card,))
    reply, body = post("/embeddings", {"input": [PNG], "modality": modality}, service)
    assert reply.status == 400
    assert body["error"]["message"].startswith(
        f"ModelNotDeployedError: model=`{card.name}` does not support `embed` for modality "
        f"`{modality}`."
    )
    assert not service.requests


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"modality": "smell"}, "'text', 'image' or 'audio'"),
        ({"encoding_format": "hex"}, "'float' or 'base64'"),
        ({"dimensions": -1}, "0 or more"),
    ],
)
def test_a_value_that_no_body_may_have_is_unprocessable(fields, words):
    reply, body = post("/embeddings", {"input": ["a"], "modality": "text", **fields})
    assert reply.status == 422
    assert words in body["error"]["message"]


def test_the_older_path_for_images():
    service = StubService()
    reply, _ = post("/embeddings_image", {"input": [PNG], "model": CARD.name}, service)
    assert reply.status == 200
    assert service.requests[0].inputs[0].parts == (Image(DataUri(PNG)),)


RERANK = {"query": "q", "documents": ["aa", "a", "aaa"], "raw_scores": False}


def test_documents_come_best_first_and_as_strings():
    service = StubService()
    reply, body = post("/rerank", {**RERANK, "top_n": 2, "return_documents": True}, service)
    assert reply.status == 200
    assert body["object"] == "rerank"
    assert body["results"] == [
        {"relevance_score": 0.375, "index": 2, "document": "aaa"},
        {"relevance_score": 0.25, "index": 0, "document": "aa"},
    ]
    assert body["usage"] == {"prompt_tokens": 21, "total_tokens": 21}
    assert service.scored[0].activate


def test_documents_stay_away_unless_they_are_asked_for():
    _, body = post("/rerank", {**RERANK, "top_n": None, "return_documents": None})
    assert [set(one) for one in body["results"]] == [{"relevance_score", "index"}] * 3


def test_raw_scores_of_documents_are_without_activation():
    assert not parse_rerank({**RERANK, "raw_scores": True})[0].activate


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": None}, "query"),
        ({"documents": "a"}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": ["a", {"text": "b"}]}, "documents[1]"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": True}, "top_n"),
        ({"raw_scores": 1}, "raw_scores"),
        ({"return_documents": "yes"}, "return_documents"),
    ],
)
def test_an_unusable_field_of_reranking_is_unprocessable(fields, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_rerank({**RERANK, **fields})
    assert caught.value.param == param
    assert post("/rerank", {**RERANK, **fields})[0].status == 422


def test_classes_come_by_input_the_likeliest_first():
    service = ScoringService((replace(CARD, labels=("joy", "anger", "fear")),))
    reply, body = post("/classify", {"input": ["a", "b"], "raw_scores": False}, service)
    assert reply.status == 200
    assert body["object"] == "classify"
    assert body["data"][0] == [
        {"score": 0.5, "label": "anger"},
        {"score": 0.25, "label": "joy"},
        {"score": 0.125, "label": "fear"},
    ]
    assert len(body["data"]) == 2
    assert body["usage"] == {"prompt_tokens": 10, "total_tokens": 10}


def test_classes_without_names_have_numbers():
    _, body = post("/classify", {"input": ["a"], "raw_scores": None}, ScoringService())
    assert [one["label"] for one in body["data"][0]] == ["LABEL_1", "LABEL_0", "LABEL_2"]


@pytest.mark.parametrize(("raw", "normalize"), [(True, False), (False, None), (None, None)])
def test_raw_scores_are_without_activation(raw, normalize):
    request = parse_classify({"input": ["a"], "raw_scores": raw})
    assert request.normalize is normalize
    assert request.outputs == ("score",)


@pytest.mark.parametrize(
    ("error", "status"),
    [(MediaError("broken"), 400), (OverloadedError("full", retry_after_s=2), 429)],
)
def test_an_error_has_its_status_as_code(error, status):
    reply, body = post(
        "/embeddings", {"input": ["a"], "modality": "text"}, StubService(error=error)
    )
    assert reply.status == status
    assert body["error"]["code"] == status
    assert list(body["error"]) == ["message", "type", "param", "code"]


@pytest.mark.parametrize("body", [b"{", {"input": 5, "modality": "text"}])
def test_a_malformed_body_is_unprocessable(body):
    path = "/embeddings_image" if isinstance(body, bytes) else "/embeddings"
    reply, said = post(path, body)
    assert reply.status == 422
    assert said["detail"]


FIELDS = st.sampled_from(
    ["input", "modality", "dimensions", "encoding_format", "model", "raw_scores", "user"]
)
WORDS = st.sampled_from(["text", "image", "audio", "float", "base64", PNG, "a"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(
    fields=st.dictionaries(FIELDS, VALUES, max_size=6),
    path=st.sampled_from(["embeddings", "embeddings_image"]),
)
def test_any_fields_get_an_answer(fields, path):
    body = {"input": "a", **fields, "modality": fields.get("modality") or "text"}
    if not isinstance(body["modality"], str):
        body["modality"] = "text"
    call = Call("POST", f"/{path}", body=orjson.dumps(body))
    assert asyncio.run(answer(call, StubService())).status in (200, 400, 422)


def test_the_default_of_the_clients_names_no_model():
    service = StubService()
    body = {"model": "default/not-specified", "input": "a", "modality": "text"}
    reply, _ = post("/embeddings", body, service)
    assert (reply.status, service.requests[0].model) == (200, None)
