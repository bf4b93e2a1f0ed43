"""Clients as they are, without their code: who answers their bodies, and with what they read."""

import asyncio
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.dialects._base import Call
from tests.dialects.client_bodies import RANKINGS, VECTORS
from tests.dialects.stub import CARD, ROWS, TABLE, StubService, answer
from tests.server.driver import ask, make_app

SENT = [*VECTORS, *RANKINGS]
IDS = [f"{sent.client} {sent.path}" for sent in SENT]
SERVICE_CARD = replace(CARD, name="m")
APP = make_app(StubService((SERVICE_CARD,)))
SHARED = {
    path: owners
    for (method, path), owners in TABLE.owners.items()
    if len(owners) > 1 and method == "POST"
}
FIELDS = st.sampled_from(
    [
        "input", "inputs", "messages", "texts", "documents", "query", "queries", "items", "top_k",
        "top_n", "instruct", "modality", "embedding_type", "normalized", "late_chunking", "task",
        "output_dtype", "output_dimension", "truncation", "data", "text", "image", "content",
        "raw_scores", "type", "role", "model", "prompt", "instances",
    ]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.sampled_from(["", "a", "text-matching", 1])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


def _service():
    return StubService((SERVICE_CARD,))


def _owners_that_recognise(owners, body):
    return [
        owner.dialect.name
        for owner in owners
        if owner.route.owns is not None and owner.route.owns(body)
    ]


def _post(sent, body=None):
    call = Call("POST", sent.path, body=orjson.dumps(sent.body if body is None else body))
    reply = asyncio.run(answer(call, _service()))
    return reply.status, orjson.loads(reply.body)


@pytest.mark.parametrize("sent", SENT, ids=IDS)
def test_a_body_goes_to_its_dialect(sent):
    found = TABLE.resolve(Call("POST", sent.path, body=orjson.dumps(sent.body)))
    assert found is not None
    assert found[0].name == sent.owner


@pytest.mark.parametrize("sent", VECTORS, ids=IDS[: len(VECTORS)])
def test_a_client_finds_its_vectors_in_order(sent):
    status, said = _post(sent)
    assert status == 200, said
    vectors = sent.read(said)
    assert len(vectors) == sent.num
    for vector, row in zip(vectors, ROWS, strict=False):
        assert vector == pytest.approx(row.tolist())


@pytest.mark.parametrize("sent", RANKINGS, ids=IDS[len(VECTORS) :])
def test_a_client_finds_its_ranking(sent):
    status, said = _post(sent)
    assert status == 200, said
    # The stub scores a text by its length.
    assert [index for index, _ in sent.read(said)] == [2, 0, 1]


@pytest.mark.parametrize("sent", SENT, ids=IDS)
def test_unknown_fields_change_nothing(sent):
    body = {**sent.body, "never_heard_of": {"a": [1, None]}}
    (status, said), (_, usual) = _post(sent, body), _post(sent)
    assert status == 200, said
    assert sent.read(said) == sent.read(usual)


@pytest.mark.parametrize("sent", SENT, ids=IDS)
async def test_the_content_type_does_not_matter(sent):
    body = orjson.dumps(sent.body)
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/json; a=b"}):
        reply = await ask(APP, "POST", sent.path, body=body, headers=headers)
        assert reply.status == 200, headers


@pytest.mark.parametrize("path", SHARED)
def test_a_body_of_a_client_is_of_one_dialect(path):
    for sent in SENT:
        assert len(_owners_that_recognise(SHARED[path], sent.body)) <= 1, sent.client


@settings(max_examples=100, deadline=None)
@given(body=st.dictionaries(FIELDS, VALUES, max_size=7) | VALUES)
def test_no_body_is_of_two_dialects(body):
    for path, owners in SHARED.items():
        assert len(_owners_that_recognise(owners, body)) <= 1, path
