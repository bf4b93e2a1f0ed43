from dataclasses import dataclass, replace

import numpy as np
import pytest

from polyvec.types import (
    Base64,
    Embedding,
    EmbedResult,
    Image,
    SparseVector,
    Text,
    Url,
)
from tests.dialects.stub import CARD, TEXT_CARD, StubService, post

E5 = replace(TEXT_CARD, name="e5", prompts={"query": "query: ", "passage": "passage: "})
INDEXES = np.array([3, 70_000])
WEIGHTS = np.array([0.5, 2.0], np.float32)
TOKENS = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], np.float32)


@dataclass
class Making(StubService):
    """Gives every input the same embedding."""

    embedding: Embedding | None = None

    async def embed(self, request):
        self.requests.append(request)
        return EmbedResult("x", (self.embedding,) * len(request.inputs))


def _item(data="a", kind="text", model=CARD.name, **options):
    return {"data": data, "data_type": kind, "model": model, "options": options or None}


def _send(*items, inference="update", service=None):
    service = service or StubService((CARD, E5))
    body = {"inputs": list(items), "inference": inference, "token": None}
    reply, said = post("/qdrant/inference", body, service)
    assert reply.status == 200, said
    return said, service.requests


def _refused(*items, **fields):
    reply, said = post("/infer", {"inputs": list(items), **fields})
    assert reply.status == 400
    assert set(said) == {"error"}
    return said["error"]


def test_texts_are_cut_unless_the_caller_says_otherwise():
    assert _send(_item())[1][0].truncate == "end"
    assert _send(_item(truncate=False))[1][0].truncate == "none"


@pytest.mark.parametrize(
    ("data", "source"),
    [("https://x.org/a.png", Url("https://x.org/a.png")), ("aGk=", Base64("aGk="))],
)
def test_a_picture_is_a_url_or_base64(data, source):
    _, (request,) = _send(_item(data, "image"))
    assert request.inputs[0].parts == (Image(source),)


def test_an_object_is_a_content_part_or_several():
    part = {"image_url": {"url": "https://x.org/a.png"}}
    _, (request,) = _send(
        _item({"text": "a"}, "object"), _item([{"type": "text", "text": "b"}, part], "object")
    )
    picture = Image(Url("https://x.org/a.png"))
    assert [item.parts for item in request.inputs] == [(Text("a"),), (Text("b"), picture)]


def test_every_model_is_asked_once_and_the_order_stays():
    said, requests = _send(_item("a"), _item("b", model="e5"), _item("c"), inference=None)
    assert [(request.model, len(request.inputs)) for request in requests] == [
        (CARD.name, 2), ("e5", 1),
    ]  # fmt: skip
    first, second, third = said["embeddings"]
    assert first == second != third
    assert said["usage"] == {"models": {CARD.name: {"tokens": 10}, "e5": {"tokens": 5}}}


def test_inputs_of_unlike_options_are_not_mixed():
    said, requests = _send(_item(dimensions=2), _item(dimensions=3), _item(dimensions=2))
    assert [(request.dimensions, len(request.inputs)) for request in requests] == [(2, 2), (3, 1)]
    assert said["usage"] == {"models": {CARD.name: {"tokens": 15}}}


@pytest.mark.parametrize(
    ("inference", "prompt"), [("search", "query"), ("update", "document"), (None, None)]
)
def test_searches_and_updates_use_the_prompts_of_the_model(inference, prompt):
    _, (request,) = _send(_item(model="e5"), inference=inference)
    assert request.prompt_name == prompt


def test_a_model_without_prompts_gets_none():
    assert _send(_item(), inference="search")[1][0].prompt_name is None


@pytest.mark.parametrize(("name", "wanted"), [("passage", "passage"), ("", None)])
def test_a_prompt_of_the_options_wins(name, wanted):
    _, (request,) = _send(_item(model="e5", prompt_name=name), inference="search")
    assert request.prompt_name == wanted


def test_a_task_of_the_options_wins():
    _, (request,) = _send(_item(model="e5", task="retrieval.query"), inference="update")
    assert (request.task, request.prompt_name) == ("retrieval.query", None)


@pytest.mark.parametrize("name", ["dimensions", "output_dimension", "mrl"])
def test_a_length_has_three_names(name):
    assert _send(_item(**{name: 2}))[1][0].dimensions == 2


@pytest.mark.parametrize(
    ("output", "wanted"),
    [("dense", ("dense",)), ("sparse", ("sparse",)), ("multivector", ("tokens",)), (None, None)],
)
def test_the_kind_of_vector_may_be_chosen(output, wanted):
    assert _send(_item(output=output, normalize=False))[1][0].outputs == wanted


@pytest.mark.parametrize(
    ("embedding", "wire"),
    [
        (Embedding(np.array([1.0, 2.0], np.float32), 3), [1.0, 2.0]),
        (
            Embedding(np.empty(0, np.float32), 3, sparse=SparseVector(INDEXES, WEIGHTS)),
            {"indices": [3, 70_000], "values": [0.5, 2.0]},
        ),
        (Embedding(np.empty(0, np.float32), 3, token_vectors=TOKENS), TOKENS.tolist()),
    ],
)
def test_a_vector_is_dense_sparse_or_many(embedding, wire):
    said, _ = _send(_item(), _item(), service=Making(embedding=embedding))
    assert said["embeddings"] == [wire, wire]


def test_scores_are_no_vectors():
    scored = Embedding(np.empty(0, np.float32), 3, scores=np.ones(1, np.float32))
    reply, said = post("/infer", {"inputs": [_item()]}, Making(embedding=scored))
    assert reply.status == 400
    assert "scores" in said["error"]


def test_nothing_to_embed_gives_nothing():
    said, requests = _send()
    assert said == {"embeddings": [], "usage": {"models": {}}}
    assert not requests


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ("a", "inputs[0]"),
        ({"data": 1}, "inputs[0].data"),
        (_item(kind="audio"), "inputs[0].data_type"),
        (_item(1, "image"), "inputs[0].data"),
        (_item(None, "object"), "inputs[0].data"),
        (_item({"a": 1}, "object"), "inputs[0].data"),
        (_item(model=1), "inputs[0].model"),
        ({"data": "a", "options": []}, "inputs[0].options"),
        (_item(dimensions=True), "inputs[0].options.dimensions"),
        (_item(mrl=0), "inputs[0].options.mrl"),
        (_item(output="token"), "inputs[0].options.output"),
        (_item(truncate=1), "inputs[0].options.truncate"),
    ],
)
def test_a_wrong_field_is_named(item, param):
    assert _refused(item).startswith(param)


@pytest.mark.parametrize("value", ["delete", 1])
def test_an_unknown_kind_of_inference_is_refused(value):
    assert _refused(_item(), inference=value).startswith("inference must be")


def test_a_body_without_inputs_is_refused():
    reply, said = post("/qdrant/inference", {})
    assert reply.status == 400
    assert said["error"].startswith("inputs")
