"""The doors that lead to several endpoints; the endpoints have tests of their own."""

import asyncio
from dataclasses import replace

import pytest

from polyvec.dialects._base import Call
from tests.dialects.stub import CARD, StubService, answer, post


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ({"input": "a"}, "embd-"),
        ({"messages": [{"role": "user", "content": "a"}]}, "embd-"),
        ({"query": "q", "documents": ["a"]}, "score-"),
        ({"queries": "q", "documents": ["a"]}, "score-"),
        ({"text_1": "q", "text_2": ["a"]}, "score-"),
        ({"data_1": "q", "data_2": ["a"]}, "score-"),
    ],
)
def test_the_fields_of_an_invocation_say_what_it_is(body, start):
    reply, answered = post("/invocations", body)
    assert reply.status == 200
    assert answered["id"].startswith(start)


@pytest.mark.parametrize(
    ("output", "start"), [("dense", "embd-"), ("score", "classify-"), ("sparse", "pooling-")]
)
def test_inputs_of_an_invocation_become_what_the_model_makes(output, start):
    service = StubService(cards=(replace(CARD, outputs=(output,)),))
    _, answered = post("/invocations", {"input": "a"}, service)
    assert answered["id"].startswith(start)
    assert service.requests[0].outputs == (output,)


def test_an_invocation_of_nothing_names_the_fields():
    reply, answered = post("/invocations", {"model": CARD.name, "input": None})
    assert reply.status == 400
    assert answered["message"].startswith("Cannot find suitable handler for request.")
    assert "queries with documents" in answered["message"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("is_up", "status"), [(True, 200), (False, 503)])
def test_a_ping_tells_whether_the_model_is_ready(method, is_up, status):
    reply = asyncio.run(answer(Call(method, "/ping"), StubService(is_up=is_up)))
    assert reply.status == status
    assert bool(reply.body) == (status != 200)
