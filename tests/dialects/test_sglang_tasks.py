import asyncio
from dataclasses import replace

import numpy as np
import orjson
import pytest

from polyvec.dialects._base import Call
from polyvec.dialects._recognise import is_sglang_detokenize, is_sglang_tokenize
from polyvec.dialects._sglang.tasks import parse_rerank, parse_score
from polyvec.errors import (
    InvalidInputError,
)
from polyvec.types import (
    DataUri,
    Embedding,
    EmbedResult,
    Image,
    Input,
    Text,
)
from tests.dialects.stub import CARD, StubService, answer, post

PNG = "data:image/png;base64,AA=="
PICTURE = Image(DataUri(PNG))


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_ranking_is_a_bare_array_sorted_by_score(method):
    body = {"query": "q", "documents": ["1", "333", "22"], "instruct": None, "top_n": 2}
    reply = asyncio.run(answer(Call(method, "/v1/rerank", body=orjson.dumps(body)), StubService()))
    ranked = orjson.loads(reply.body)
    assert [(one["index"], one["document"]) for one in ranked] == [(1, "333"), (2, "22")]


def test_documents_can_be_left_out_and_an_instruction_goes_along():
    service = StubService()
    body = {"query": "q", "documents": ["1"], "instruct": "find", "return_documents": False}
    _, ranked = post("/v1/rerank", body, service)
    assert ranked[0]["document"] is None
    assert service.scored[0].instruction == "find"


def test_a_query_and_documents_may_be_content_parts():
    url = {"type": "image_url", "image_url": {"url": PNG}}
    words = {"type": "text", "text": "a"}
    request, ranking = parse_rerank({"query": [url], "documents": [[words], [url, words]]}, CARD)
    assert request.queries == (Input((PICTURE,), param="query"),)
    assert request.documents == ("a", Input((PICTURE, Text("a")), param="documents[1]"))
    assert ranking.documents == ("a", "a")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"documents": ["a"]}, "Query cannot be empty"),
        ({"query": "", "documents": ["a"]}, "Query cannot be empty"),
        ({"query": " ", "documents": ["a"]}, "Query cannot be empty or whitespace only"),
        ({"query": "q", "documents": []}, "Documents cannot be empty"),
        ({"query": "q", "documents": ["a", ""]}, "Each document must be a non-empty string"),
        (
            {"query": "q", "documents": [" "]},
            "Each document cannot be empty or whitespace only",
        ),
        (
            {"query": "q", "documents": ["a"], "top_n": 0},
            "Value error, parameter top_n should be larger than 0.",
        ),
    ],
)
def test_a_refused_ranking_gets_the_words_of_the_original(body, message):
    with pytest.raises(InvalidInputError) as caught:
        parse_rerank(body, CARD)
    assert caught.value.message == message


def test_scores_are_one_for_each_item_in_the_items_order():
    _, body = post("/v1/score", {"query": "q", "items": ["aa", "b"]})
    assert body["scores"] == [[0.25], [0.125]]
    assert body["usage"]["prompt_tokens"] == 14


def test_items_can_come_first():
    request = parse_score({"query": "q", "items": ["a", "b"], "item_first": True}, CARD)
    assert (request.queries, request.documents) == (("a", "b"), ("q", "q"))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": "q", "items": []}, "items"),
        ({"query": "q", "items": [1]}, "items[0]"),
        ({"query": [1], "items": ["a"]}, "query"),
        ({"query": "q", "items": ["a"], "label_token_ids": [1]}, "label_token_ids"),
        ({"query": "q", "items": ["a"], "apply_softmax": True}, "apply_softmax"),
    ],
)
def test_a_score_that_cannot_be_given_names_its_field(body, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_score(body, CARD)
    assert caught.value.param == param


class _Classifier(StubService):
    async def embed(self, request):
        self.requests.append(request)
        scores = np.array([0.25, 0.75], np.float32)
        none = np.zeros(0, np.float32)
        found = tuple(Embedding(none, 5, scores=scores) for _ in request.inputs)
        return EmbedResult(CARD.name, found)


def test_classes_come_with_their_labels():
    service = _Classifier(cards=(replace(CARD, labels=("bad", "good")),))
    _, body = post("/v1/classify", {"input": ["a", "b"]}, service)
    assert service.requests[0].outputs == ("score",)
    assert body["data"][1] == {
        "index": 1, "label": "good", "probs": [0.25, 0.75], "num_classes": 2,
    }  # fmt: skip
    _, body = post("/v1/classify", {"input": "a"}, _Classifier())
    assert body["data"][0]["label"] == "LABEL_1"


def test_tokens_come_flat_for_one_text():
    _, body = post("/v1/tokenize", {"prompt": "hello world"})
    assert body == {"tokens": [1, 10, 11, 2], "count": 4, "max_model_len": 77}
    _, body = post("/v1/tokenize", {"prompt": ["a", "b c"], "add_special_tokens": False})
    assert (body["tokens"], body["count"]) == ([[10], [10, 11]], [1, 2])


def test_texts_come_flat_for_one_array_of_ids():
    service = StubService()
    _, body = post("/v1/detokenize", {"tokens": [1, 2], "skip_special_tokens": None}, service)
    assert body == {"text": "w1 w2"}
    assert service.detokenized[0].skip_special_tokens is True
    assert post("/v1/detokenize", {"tokens": [[1], [2]]})[1] == {"text": ["w1", "w2"]}
    for bad in ([["a"]], [[1], 2], [[-1]]):
        assert post("/v1/detokenize", {"tokens": bad})[0].status == 400


def test_bodies_with_tokens_and_texts_of_others_are_left_to_them():
    assert is_sglang_tokenize({"prompt": "a"})
    assert not is_sglang_tokenize({"text": "a", "model": "m"})
    assert not is_sglang_detokenize({"tokens": [1, 2], "model": "m"})
    for value in (None, [], "a", 1, {}, {"tokens": None}, {"tokens": []}):
        assert not is_sglang_tokenize(value)
        assert not is_sglang_detokenize(value)
