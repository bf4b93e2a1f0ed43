import numpy as np
import orjson
import pytest

from polyvec.dialects.vllm import parse_rerank, parse_score
from polyvec.errors import InvalidInputError
from polyvec.types import Embedding, EmbedResult, SparseVector
from tests.dialects.stub import StubService, post


@pytest.mark.parametrize(
    ("first", "second"),
    [("queries", "documents"), ("queries", "items"), ("text_1", "text_2"), ("data_1", "data_2")],
)
def test_pairs_come_under_any_of_the_known_names(first, second):
    request = parse_score({first: "q", second: ["a", {"text": "b"}, {"content": "c"}]})
    assert request.queries == ("q",)
    assert request.documents == ("a", "b", "c")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"documents": ["a"]}, "queries"),
        ({"queries": "q", "documents": []}, "documents"),
        ({"queries": ["a", 1], "documents": ["a", "b"]}, "queries[1]"),
        ({"queries": "q", "documents": [None]}, "documents"),
        ({"queries": "q", "documents": ["a"], "use_activation": 1}, "use_activation"),
        (
            {"queries": "q", "documents": ["a"], "truncate_prompt_tokens": 7},
            "truncate_prompt_tokens",
        ),
    ],
)
def test_a_score_that_cannot_be_read_names_its_field(body, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_score(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": "q"}, "documents"),
        ({"query": "q", "documents": ["a"], "top_n": -1}, "top_n"),
        ({"query": "q", "documents": ["a"], "top_n": "1"}, "top_n"),
        ({"query": "q", "documents": ["a"], "return_documents": 1}, "return_documents"),
    ],
)
def test_a_rerank_that_cannot_be_read_names_its_field(body, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_rerank(body)
    assert caught.value.param == param


def test_reranking_sorts_by_score_and_returns_all_without_a_limit():
    _, body = post("/rerank", {"query": "q", "documents": ["1", "333", "22"], "top_n": 0})
    assert [result["index"] for result in body["results"]] == [1, 2, 0]
    scores = [result["relevance_score"] for result in body["results"]]
    assert scores == sorted(scores, reverse=True)


def test_texts_can_be_left_out_of_a_ranking():
    _, body = post("/rerank", {"query": "q", "documents": ["1"], "return_documents": False})
    assert "document" not in body["results"][0]


def test_logits_are_asked_for_without_the_activation():
    assert (
        parse_score({"queries": "q", "documents": "d", "use_activation": False}).activate is False
    )
    assert parse_score({"queries": "q", "documents": "d"}).activate is True


class _Service(StubService):
    async def embed(self, request):
        self.requests.append(request)
        found = {
            ("sparse",): Embedding(
                np.zeros(0, np.float32),
                2,
                sparse=SparseVector(np.array([4]), np.array([0.5], np.float32)),
            ),
            ("tokens",): Embedding(
                np.zeros(0, np.float32), 2, token_vectors=np.ones((2, 1), np.float32)
            ),
            ("score",): Embedding(np.zeros(0, np.float32), 2, scores=np.ones(1, np.float32)),
        }[request.outputs]
        return EmbedResult("m", (found,))


@pytest.mark.parametrize(
    ("task", "data"),
    [
        ("sparse_embed", {"indices": [4], "values": [0.5]}),
        ("token_embed", [[1.0], [1.0]]),
        ("classify", [1.0]),
    ],
)
def test_pooling_gives_the_output_of_its_task(task, data):
    reply, body = post("/pooling", {"input": "a", "task": task}, _Service())
    assert reply.status == 200
    assert body["data"] == [{"index": 0, "object": "pooling", "data": data}]


def test_an_unknown_task_is_refused_with_the_known_ones():
    reply, body = post("/pooling", {"input": "a", "task": "plugin"})
    assert reply.status == 400
    assert body["error"]["message"].startswith("Unsupported task: 'plugin' Supported tasks: [")
    assert orjson.loads(reply.body)["error"]["param"] == "task"
