import asyncio
import base64
from dataclasses import replace

import numpy as np
import orjson
import pytest

from polyvec.dialects._base import Call
from polyvec.types import Chat, Embedding, EmbedResult, SparseVector
from tests.dialects.stub import CARD, StubService, answer, post

EMPTY = np.zeros(0, np.float32)
MATRIX = np.array([[1.0, 0.5], [0.0, -1.0], [2.0, 0.25]], np.float32)
FOUND = {
    "dense": Embedding(np.array([0.5, 1.0], np.float32), 2),
    "sparse": Embedding(
        EMPTY, 2, sparse=SparseVector(np.array([4]), np.array([0.5], np.float32))
    ),
    "tokens": Embedding(EMPTY, 2, token_vectors=MATRIX),
    "score": Embedding(EMPTY, 2, scores=np.array([0.25, 0.75], np.float32)),
}  # fmt: skip


class _Service(StubService):
    """Gives the output that is asked for."""

    async def embed(self, request):
        self.requests.append(request)
        (output,) = request.outputs
        return EmbedResult("m", (FOUND[output],) * len(request.inputs))


def _raw(body):
    call = Call("POST", "/pooling", body=orjson.dumps(body))
    return asyncio.run(answer(call, _service()))


def _service(*outputs, **card):
    return _Service(cards=(replace(CARD, outputs=outputs or tuple(FOUND), **card),))


@pytest.mark.parametrize(
    ("task", "data"),
    [
        (None, [0.5, 1.0]),
        ("embed", [0.5, 1.0]),
        ("sparse_embed", {"indices": [4], "values": [0.5]}),
        ("token_embed", MATRIX.tolist()),
        ("classify", [0.25, 0.75]),
    ],
)
def test_pooling_gives_the_output_of_its_task(task, data):
    reply, body = post("/pooling", {"input": "a", "task": task}, _service())
    assert reply.status == 200
    assert body["data"] == [{"index": 0, "object": "pooling", "data": data}]


def test_without_a_task_the_models_main_output_is_given():
    _, body = post("/pooling", {"input": ["a", "b"]}, _service("score"))
    assert [item["data"] for item in body["data"]] == [[0.25, 0.75]] * 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"task": "token_classify"},
            "Unsupported task: 'token_classify' Supported tasks: ['embed'] (parameter=task)",
        ),
        (
            {"task": "classify"},
            "Unsupported task: 'classify' Supported tasks: ['embed'] (parameter=task)",
        ),
        ({"task": "score"}, "`score` task was removed; use `classify` instead. (parameter=task)"),
        ({"dimensions": 8}, "dimensions is currently not supported (parameter=dimensions)"),
    ],
)
def test_pooling_refuses_in_vllms_words(fields, message):
    reply, body = post("/pooling", {"input": "a", **fields}, _service("dense"))
    assert (reply.status, body["message"]) == (400, message)


def test_there_are_no_plugins():
    reply, body = post("/pooling", {"task": "plugin", "data": {}})
    assert reply.status == 400
    assert body["message"].startswith("No IOProcessor plugin installed.")


def test_a_matrix_can_be_had_as_bytes_with_its_shape():
    reply = _raw({"input": "a", "task": "token_embed", "encoding_format": "bytes"})
    metadata = orjson.loads(reply.headers["metadata"])
    assert metadata["data"][0]["shape"] == [3, 2]
    assert metadata["id"].startswith("pooling-")
    assert reply.body == MATRIX.tobytes()


def test_a_matrix_can_be_had_as_base64():
    body = {"input": "a", "task": "token_embed", "encoding_format": "base64"}
    _, answered = post("/pooling", body, _service())
    assert base64.b64decode(answered["data"][0]["data"]) == MATRIX.tobytes()


@pytest.mark.parametrize("kind", ["base64", "bytes", "bytes_only"])
def test_sparse_vectors_are_numbers_only(kind):
    body = {"input": "a", "task": "sparse_embed", "encoding_format": kind}
    reply, answered = post("/pooling", body, _service())
    assert (reply.status, answered["error"]["param"]) == (400, "encoding_format")


def test_conversations_are_pooled_too():
    service = _service()
    post("/pooling", {"messages": [{"role": "user", "content": "a"}]}, service)
    assert isinstance(service.requests[0].inputs[0].parts[0], Chat)


# /classify


def test_an_input_gets_the_label_of_its_best_class():
    service = _service("score", labels=("bad", "good"))
    _, body = post("/classify", {"input": ["a", "b"], "use_activation": False}, service)
    assert body["id"].startswith("classify-")
    assert body["data"][1] == {
        "index": 1, "label": "good", "probs": [0.25, 0.75], "num_classes": 2,
    }  # fmt: skip
    assert (service.requests[0].outputs, service.requests[0].normalize) == (("score",), False)


def test_classes_without_names_have_no_label():
    _, body = post("/classify", {"messages": [{"role": "user", "content": "a"}]}, _service("score"))
    assert body["data"][0]["label"] is None


def test_a_model_that_classifies_nothing_says_so():
    reply, body = post("/classify", {"input": "a"}, _service("dense"))
    assert (reply.status, body["message"]) == (
        400,
        "Unsupported task: 'classify' Supported tasks: ['embed'] (parameter=task)",
    )
