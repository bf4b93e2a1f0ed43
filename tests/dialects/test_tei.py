from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from polyvec import errors
from polyvec.dialects.tei import task_of
from polyvec.types import (
    Embedding,
    EmbedRequest,
    EmbedResult,
    ModelCard,
    Setting,
    SparseVector,
    Text,
    Tokens,
)
from tests.dialects.stub import CARD, ROWS, TEXT_CARD, StubService, get, post

RERANKER = replace(TEXT_CARD, outputs=("score",), labels=("LABEL_0",), is_pair_model=True)
CLASSIFIER = replace(RERANKER, labels=("sad", "glad", "mad"))
SPLADE = replace(TEXT_CARD, outputs=("sparse", "tokens"))
COLBERT = replace(TEXT_CARD, outputs=("tokens",))
EMBEDDER = replace(TEXT_CARD, outputs=("dense", "tokens"))


@dataclass
class AllOutputs(StubService):
    """Also gives sparse vectors, token vectors and scores."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.requests.append(request)
        embedding = Embedding(
            ROWS[0],
            5,
            sparse=SparseVector(np.array([3, 70]), np.array([0.1, 2], np.float32)),
            token_vectors=ROWS[:2],
            scores=np.array([0.1, 0.7, -3], np.float32)[: len(self.cards[0].labels)],
        )
        return EmbedResult(self.cards[0].name, (embedding,) * len(request.inputs))


def parts_of(request: EmbedRequest) -> list[Any]:
    return [item.parts[0] for item in request.inputs]


# Answers.


@pytest.mark.parametrize(
    ("body", "card", "task"),
    [
        ({"inputs": "a"}, CARD, "embed"),
        ({"inputs": "a"}, SPLADE, "embed_sparse"),
        ({"inputs": "a"}, COLBERT, "embed_all"),
        ({"inputs": [["a", "b"]]}, RERANKER, "predict"),
        ({"inputs": {"source_sentence": "a", "sentences": []}}, RERANKER, "similarity"),
        ({"query": "a", "texts": []}, CARD, "rerank"),
        ({"query": "a", "texts": []}, CLASSIFIER, "rerank"),
        ({}, CARD, "embed"),
    ],
)
def test_the_front_path_does_what_the_body_and_the_model_are_for(
    body: Any, card: ModelCard, task: str
) -> None:
    assert task_of(body, card) == task


def test_sparse_vectors_are_lists_of_entries() -> None:
    service = AllOutputs((SPLADE,))
    for path in ("/embed_sparse", "/", "/invocations"):
        _, body = post(path, {"inputs": "a"}, service)
        assert body == [[{"index": 3, "value": 0.1}, {"index": 70, "value": 2.0}]]
    assert service.requests[0].outputs == ("sparse",)


def test_token_vectors_are_matrices() -> None:
    _, body = post("/embed_all", {"inputs": ["a", "b"]}, AllOutputs((EMBEDDER,)))
    assert np.array(body).shape == (2, 2, 3)


def test_predictions_are_sorted_and_named() -> None:
    service = AllOutputs((CLASSIFIER,))
    best_first = [
        {"score": 0.7, "label": "glad"},
        {"score": 0.1, "label": "sad"},
        {"score": -3.0, "label": "mad"},
    ]
    assert post("/predict", {"inputs": "a", "raw_scores": True}, service)[1] == best_first
    assert post("/", {"inputs": ["a", "b"], "raw_scores": True}, service)[1] == best_first
    assert post("/", {"inputs": [["a"]], "raw_scores": True}, service)[1] == [best_first]


def test_scores_of_several_labels_are_shares() -> None:
    _, body = post("/predict", {"inputs": "a"}, AllOutputs((CLASSIFIER,)))
    powers = np.exp([0.7, 0.1, -3])
    np.testing.assert_allclose([one["score"] for one in body], powers / powers.sum(), rtol=1e-6)
    assert [one["label"] for one in body] == ["glad", "sad", "mad"]


def test_a_single_score_is_a_probability() -> None:
    _, (found,) = post("/predict", {"inputs": ["a", "b"]}, AllOutputs((RERANKER,)))
    assert found["label"] == "LABEL_0"
    assert found["score"] == pytest.approx(1 / (1 + np.exp(-0.1)))


@pytest.mark.parametrize(
    ("card", "raw", "expected"),
    [(RERANKER, False, 1 / (1 + np.exp(-0.5))), (RERANKER, True, 0.5), (CARD, False, 0.5)],
)
def test_only_scores_of_a_cross_encoder_become_probabilities(
    card: ModelCard, raw: Any, expected: float
) -> None:
    body = {"query": "q", "texts": ["1234"], "raw_scores": raw}
    _, (rank,) = post("/rerank", body, StubService((card,)))
    assert rank == {"index": 0, "score": pytest.approx(expected)}


def test_similarities_are_those_with_the_source_sentence() -> None:
    service = StubService()
    inputs = {"source_sentence": "a", "sentences": ["b", "c"]}
    _, body = post("/similarity", {"inputs": inputs, "parameters": {"truncate": True}}, service)
    np.testing.assert_allclose(body, ROWS[1:] @ ROWS[0])
    assert service.requests[0].normalize is True
    assert service.requests[0].truncate == "end"


def test_an_answer_says_what_it_cost() -> None:
    reply, _ = post("/embed", {"inputs": ["ab", "😀", [1, 2, 3]]})
    assert reply.headers["x-compute-characters"] == "6"
    assert reply.headers["x-compute-tokens"] == "15"
    assert reply.headers["x-compute-type"] == "cpu"
    for name in ("compute", "total", "tokenization", "queue", "inference"):
        assert reply.headers[f"x-{name}-time"].isdigit()
    reply, _ = post("/rerank", {"query": "abc", "texts": ["d", "ef"]})
    assert reply.headers["x-compute-characters"] == "9"
    reply, _ = post("/", {"inputs": {"source_sentence": "ab", "sentences": ["c"]}})
    assert reply.headers["x-compute-characters"] == "3"


def test_token_ids_get_a_prompt_as_text() -> None:
    service = StubService()
    body = {"inputs": [[101, 7], "a"], "prompt_name": "query"}
    post("/embed", body, service)
    assert service.detokenized[0].ids == ((101, 7),)
    assert service.detokenized[0].skip_special_tokens is True
    assert parts_of(service.requests[0]) == [Text("w101 w7"), Text("a")]
    post("/embed", {"inputs": [101, 7]}, service)
    assert parts_of(service.requests[1]) == [Tokens((101, 7))]
    assert len(service.detokenized) == 1


def test_a_body_may_name_its_model_and_a_path_does() -> None:
    service = StubService((CARD, TEXT_CARD))
    post("/embed", {"inputs": "a", "model": "minilm"}, service)
    post("/models/minilm", {"inputs": "a", "model": CARD.name}, service)
    post("/pipeline/feature-extraction/minilm", {"inputs": "a"}, service)
    assert [request.model for request in service.requests] == ["minilm"] * 3
    reply, body = post("/embed", {"inputs": "a", "model": "x"}, service)
    assert (reply.status, body["error_type"]) == (404, "Validation")


def test_every_instance_of_a_vertex_body_is_answered() -> None:
    body = {"instances": [{"inputs": "a"}, {"query": "q", "texts": ["1234"]}, {"inputs": ["a"]}]}
    _, answer = post("/vertex", body)
    assert answer["predictions"][1] == [{"index": 0, "score": 0.5}]
    assert np.array(answer["predictions"][2]).shape == (1, 3)
    assert post("/vertex", {"instances": []})[1] == {"predictions": []}


@pytest.mark.parametrize("instances", [None, {}, ["a"], [{"inputs": 3}]])
def test_a_vertex_body_that_cannot_be_read_is_refused(instances: Any) -> None:
    reply, _ = post("/vertex", {"instances": instances})
    assert reply.status == 422


@pytest.mark.parametrize(
    ("path", "card", "text"),
    [
        ("/predict", CARD, "Model is not a classifier model"),
        ("/embed", RERANKER, "Model is not an embedding model"),
        ("/embed_all", RERANKER, "Model is not an embedding model"),
        ("/embed_sparse", CARD, "Model is not an embedding model with SPLADE pooling"),
    ],
)
def test_a_model_of_another_kind_is_a_failed_dependency(
    path: str, card: ModelCard, text: str
) -> None:
    reply, body = post(path, {"inputs": "a"}, StubService((card,)))
    assert reply.status == 424
    assert body == {"error": f"Backend error: {text}", "error_type": "Backend"}


def test_a_classifier_of_several_labels_ranks_nothing() -> None:
    reply, body = post("/rerank", {"query": "q", "texts": ["a"]}, StubService((CLASSIFIER,)))
    assert reply.status == 424
    assert body["error"] == "Backend error: model is not a re-ranker model"


def test_a_model_that_is_not_loaded_is_asked_all_the_same() -> None:
    card = replace(CARD, state="unloaded")
    reply, _ = post("/embed_sparse", {"inputs": "a"}, AllOutputs((card,)))
    assert reply.status == 200


@dataclass
class LoadsLater(AllOutputs):
    """Knows what its model is once a request has loaded it."""

    cards: tuple[ModelCard, ...] = (replace(CLASSIFIER, state="unloaded", outputs=(), labels=()),)

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.cards = (CLASSIFIER,)
        if request.outputs != ("score",):
            raise errors.UnsupportedInputError("no dense output")
        return await super().embed(request)


@pytest.mark.parametrize("inputs", ["a", ["a", "b"], [["a", "b"]], [["a"]]])
def test_the_first_request_of_a_model_finds_out_what_it_is_for(inputs: Any) -> None:
    _, first = post("/", {"inputs": inputs}, LoadsLater())
    assert first == post("/", {"inputs": inputs}, AllOutputs((CLASSIFIER,)))[1]


def test_a_task_that_no_other_stands_for_is_refused() -> None:
    service = StubService((EMBEDDER,), error=errors.UnsupportedInputError("no"))
    reply, _ = post("/", {"inputs": "a"}, service)
    assert reply.status == 424
    assert len(service.requests) == 1


# Information.


@pytest.mark.parametrize(
    ("card", "kind"),
    [
        (CARD, {"embedding": {"pooling": "mean"}}),
        (
            replace(CARD, settings={"pooling": Setting("last", "x")}),
            {"embedding": {"pooling": "last_token"}},
        ),
        (SPLADE, {"embedding": {"pooling": "splade"}}),
        (RERANKER, {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}),
        (
            CLASSIFIER,
            {
                "classifier": {
                    "id2label": {"0": "sad", "1": "glad", "2": "mad"},
                    "label2id": {"sad": 0, "glad": 1, "mad": 2},
                }
            },
        ),
    ],
)
def test_information_says_what_the_model_is(card: ModelCard, kind: Any) -> None:
    _, body = get("/info", StubService((card,)))
    assert body["model_type"] == kind
    assert body["max_input_length"] == 77
    assert body["max_client_batch_size"] == 2048
    assert body["auto_truncate"] is False
    assert body["model_id"] == body["served_model_name"] == card.name
    assert set(body) == {
        "model_id", "model_sha", "model_dtype", "served_model_name", "model_type",
        "max_concurrent_requests", "max_input_length", "max_batch_tokens", "max_batch_requests",
        "max_client_batch_size", "auto_truncate", "tokenization_workers", "version", "sha",
        "docker_label",
    }  # fmt: skip
