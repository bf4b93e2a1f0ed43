"""Rankings for litellm, whose providers read different answers to equal bodies."""

import asyncio

import orjson
import pytest

from polyvec.dialects._base import Call
from tests.dialects.stub import StubService, answer

BODY = {"model": None, "query": "q", "documents": ["1", "22"], "return_documents": True}


def _ranked(path, agent):
    headers = {"user-agent": agent}
    call = Call("POST", path, headers=headers, body=orjson.dumps(BODY))
    return orjson.loads(asyncio.run(answer(call, StubService())).body)


@pytest.mark.parametrize("path", ["/rerank", "/rerank/"])
def test_on_the_path_of_two_providers_it_gets_no_documents(path):
    results = _ranked(path, "litellm/1.106.2")["results"]
    assert [set(result) for result in results] == [{"index", "relevance_score"}] * 2
    assert [result["index"] for result in results] == [1, 0]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_elsewhere_it_gets_documents_under_both_names(path):
    body = _ranked(path, "litellm/1.106.2")
    assert body["data"] == body["results"]
    assert body["results"][0]["document"]["text"] == "22"


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank"])
def test_nobody_else_gets_another_answer(path):
    body = _ranked(path, "python-requests/2.32")
    assert "data" not in body
    assert body["results"][0]["document"]["text"] == "22"
