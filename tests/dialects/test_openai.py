import base64
from dataclasses import replace

import numpy as np
import orjson
import pytest

from polyvec.dialects._base import Call
from polyvec.dialects._openai.embed import parse, render
from polyvec.dialects._openai.encoding import PLAIN
from polyvec.errors import (
    InvalidInputError,
    OverloadedError,
    PromptNotFoundError,
    UnprocessableInputError,
)
from polyvec.types import (
    Embedding,
    EmbedResult,
    SparseVector,
)
from tests.dialects.stub import CARD, ROWS, StubService, answer, post


def test_base64_and_float_answers_hold_the_same_bits():
    body = {"input": ["a", "b", "c"]}
    _, floats = post("/v1/embeddings", body)
    _, packed = post("/v1/embeddings", body | {"encoding_format": "base64"})
    for row, as_list, as_text in zip(ROWS, floats["data"], packed["data"], strict=True):
        np.testing.assert_array_equal(np.array(as_list["embedding"], dtype=np.float32), row)
        np.testing.assert_array_equal(
            np.frombuffer(base64.b64decode(as_text["embedding"]), "<f4"), row
        )


def test_the_answer_is_in_request_order_with_usage():
    _, body = post("/v1/embeddings", {"input": ["a", "b", "c"]})
    assert [item["index"] for item in body["data"]] == [0, 1, 2]
    assert (body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]) == (15, 15)
    assert body["usage"]["completion_tokens"] == 0
    assert body["model"] == CARD.name


@pytest.mark.parametrize("given_id", ["", "bad id", "x" * 129, '"quote"', "é"])
async def test_an_unusable_request_id_is_replaced(given_id):
    call = Call("POST", "/v1/embeddings", headers={"x-request-id": given_id}, body=b'{"input":"a"}')
    answered = orjson.loads((await answer(call, StubService())).body)
    assert answered["id"].startswith("embd-")
    assert len(answered["id"]) == len("embd-") + 32


def test_overload_is_503_with_both_retry_headers():
    service = StubService(error=OverloadedError("the queue is full", retry_after_s=2.5))
    reply, body = post("/v1/embeddings", {"input": "a"}, service)
    assert reply.status == 503
    assert reply.headers == {"Retry-After": "3", "retry-after-ms": "2500"}
    assert body["error"]["type"] == "ServiceUnavailableError"
    assert (body["error"]["code"], body["error"]["reason"]) == (503, "overloaded")


def test_a_deterministic_failure_is_422_and_not_to_be_retried():
    service = StubService(error=UnprocessableInputError("no finite vector", param="input[0]"))
    reply, body = post("/v1/embeddings", {"input": "a"}, service)
    assert (reply.status, reply.headers) == (422, {"x-should-retry": "false"})
    assert body["error"]["param"] == "input[0]"


def test_an_error_repeats_its_message_for_other_clients():
    _, body = post("/v1/embeddings", {})
    assert body["message"] == body["detail"] == body["error"]["message"]


async def test_the_header_beats_the_bodys_request_id():
    body = b'{"input": "a", "request_id": "mine"}'
    for headers, expected in (({}, "embd-mine"), ({"x-request-id": "theirs"}, "embd-theirs")):
        reply = await answer(
            Call("POST", "/v1/embeddings", headers=headers, body=body), StubService()
        )
        assert orjson.loads(reply.body)["id"] == expected


async def test_the_path_of_a_deployment_names_the_model():
    service = StubService()
    path = f"/openai/deployments/{CARD.name}/embeddings"
    call = Call("POST", path, query={"api-version": "x"}, body=b'{"input": "a", "model": "other"}')
    assert (await answer(call, service)).status == 200
    assert service.requests[0].model == CARD.name


# Other outputs


def test_outputs_beside_the_dense_vector_come_under_their_own_names():
    sparse = SparseVector(np.array([3, 9]), np.array([0.5, 2.0], np.float32))
    tokens = np.array([[1, 0], [0, 1]], np.float32)
    embedding = Embedding(np.array([1.0], np.float32), 2, sparse=sparse, token_vectors=tokens)
    result = EmbedResult("m", (embedding,))
    reply = render(result, PLAIN, request_id="1", created=1, is_lone=False)
    (item,) = orjson.loads(reply.body)["data"]
    assert item["embedding"] == [1.0]
    assert item["sparse_embedding"] == {"indices": [3, 9], "values": [0.5, 2.0]}
    assert item["token_embeddings"] == [[1.0, 0.0], [0.0, 1.0]]


def test_a_model_of_token_vectors_answers_with_a_matrix():
    class _TokenService(StubService):
        async def embed(self, request):
            self.requests.append(request)
            vectors = np.array([[1, 0], [0, 1]], np.float32)
            empty = np.zeros(0, np.float32)
            return EmbedResult("m", (Embedding(empty, 2, token_vectors=vectors),))

    service = _TokenService(cards=(replace(CARD, outputs=("tokens",)),))
    _, body = post("/v1/embeddings", {"input": "a"}, service)
    assert body["data"][0]["embedding"] == [[1.0, 0.0], [0.0, 1.0]]
    assert service.requests[0].outputs == ("tokens",)
    _, body = post("/v1/embeddings", {"input": "a", "outputs": ["tokens"]}, service)
    assert body["data"][0]["token_embeddings"] == [[1.0, 0.0], [0.0, 1.0]]


def test_a_classifier_gives_no_embeddings_and_says_what_it_gives():
    service = StubService(cards=(replace(CARD, outputs=("score",)),))
    reply, body = post("/v1/embeddings", {"input": "a"}, service)
    assert reply.status == 400
    assert body["message"] == (
        "Unsupported task: 'embed' Supported tasks: ['classify'] (parameter=task)"
    )


# Prompts


class _PromptService(StubService):
    """Knows one prompt."""

    async def embed(self, request):
        name = request.prompt_name or request.task
        if name not in (None, "query"):
            raise PromptNotFoundError("no", param="prompt_name", name=name, known=("query",))
        return await super().embed(request)


@pytest.mark.parametrize("field", ["input_type", "prompt_name"])
def test_coheres_input_types_are_ignored_where_there_is_no_prompt_for_them(field):
    service = _PromptService()
    for word in ("search_document", "clustering", "image"):
        reply, _ = post("/v1/embeddings", {"input": "a", field: word}, service)
        assert reply.status == 200
    assert {request.prompt_name for request in service.requests} == {None}


def test_an_input_type_may_be_a_prompt_of_the_model():
    service = _PromptService(cards=(replace(CARD, prompts={"query": "q: "}),))
    reply, _ = post("/v1/embeddings", {"input": "a", "input_type": "query"}, service)
    assert (reply.status, service.requests[0].prompt_name) == (200, "query")


def test_any_other_input_type_is_refused_with_the_values_that_there_are():
    service = _PromptService(cards=(replace(CARD, prompts={"query": "q: "}),))
    reply, body = post("/v1/embeddings", {"input": "a", "input_type": "poem"}, service)
    assert (reply.status, body["error"]["param"]) == (400, "input_type")
    assert "query" in body["message"]
    assert "search_document" in body["message"]


def test_outputs_and_task_reach_the_service():
    fields = {"outputs": ["sparse", "dense", "sparse"], "task": "retrieval.query"}
    request = parse({"input": "a", **fields}).request
    assert request.outputs == ("sparse", "dense")
    assert request.task == "retrieval.query"


@pytest.mark.parametrize("outputs", ["sparse", [], ["colbert"], [1], {}])
def test_unknown_outputs_are_refused_with_the_known_ones(outputs):
    with pytest.raises(InvalidInputError, match="'dense', 'sparse', 'tokens'") as caught:
        parse({"input": "a", "outputs": outputs})
    assert caught.value.param == "outputs"
