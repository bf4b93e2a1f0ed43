import base64

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.dialects._base import Call
from polyvec.dialects.openai import parse, render
from polyvec.errors import InvalidInputError, OverloadedError, UnprocessableInputError
from polyvec.types import Embedding, EmbedRequest, EmbedResult, Input, SparseVector, Text, Tokens
from tests.dialects.stub import CARD, ROWS, TEXT_CARD, StubService, answer, get, post


def _request(**fields):
    return parse({"input": "a", **fields})[0]


def _refused(**fields):
    with pytest.raises(InvalidInputError) as caught:
        parse({"input": "a", **fields})
    return caught.value


# input


def test_a_body_with_only_an_input_has_defaults():
    request, encoding = parse({"input": "a"})
    assert request == EmbedRequest(None, (Input((Text("a"),)),), outputs=("dense",))
    assert encoding == "float"


@pytest.mark.parametrize("text", ["", " ", "\n", "\x00", "😀"])
def test_any_string_is_an_input(text):
    assert _request(input=text).inputs == (Input((Text(text),)),)
    assert _request(input=[text]).inputs == (Input((Text(text),), param="input[0]"),)


@given(st.lists(st.text(), min_size=1))
def test_strings_keep_their_order_and_place(texts):
    inputs = _request(input=texts).inputs
    assert [part.text for item in inputs for part in item.parts] == texts
    assert [item.param for item in inputs] == [f"input[{i}]" for i in range(len(texts))]


def test_a_list_of_integers_is_one_input_of_token_ids():
    assert _request(input=[5, 0, 2**63 - 1]).inputs == (Input((Tokens((5, 0, 2**63 - 1)),)),)


def test_lists_of_integers_are_inputs_of_token_ids():
    assert _request(input=[[1, 2], [3]]).inputs == (
        Input((Tokens((1, 2)),), param="input[0]"),
        Input((Tokens((3,)),), param="input[1]"),
    )


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "input"),
        (5, "input"),
        (True, "input"),
        (1.5, "input"),
        ({}, "input"),
        ({"text": "a"}, "input"),
        ([], "input"),
        ([None], "input[0]"),
        ([True], "input[0]"),
        ([1.5], "input[0]"),
        ([{"text": "a"}], "input[0]"),
        (["a", "b", None], "input[2]"),
        (["a", 1], "input[1]"),
        ([1, "a"], "input[1]"),
        ([1, True], "input[1]"),
        ([1, 2.0], "input[1]"),
        ([1, -1], "input[1]"),
        ([1, 2**63], "input[1]"),
        ([[1], "a"], "input[1]"),
        ([[1], []], "input[1]"),
        ([[]], "input[0]"),
        ([[1], [2, None]], "input[1][1]"),
        ([["a"]], "input[0][0]"),
        ([[[1]]], "input[0][0]"),
        ([[1, 2**63]], "input[0][1]"),
    ],
)
def test_an_unusable_input_is_refused_by_place(value, param):
    error = _refused(input=value)
    assert error.param == param
    assert param in error.message


def test_a_missing_input_is_refused_by_name():
    with pytest.raises(InvalidInputError, match="input is required"):
        parse({})


@pytest.mark.parametrize("digits", ["9223372036854775808", "18446744073709551616", "1" * 200])
def test_ids_beyond_64_bits_are_refused_on_the_wire(digits):
    reply, body = post("/v1/embeddings", f'{{"input": [1, {digits}]}}'.encode())
    assert reply.status == 400
    assert body["error"]["param"] == "input[1]"


# other fields


@pytest.mark.parametrize("model", [None, ""])
def test_no_model_means_the_servers_first(model):
    assert _request(model=model).model is None


@pytest.mark.parametrize("dimensions", [1, 384, 2**40])
def test_dimensions_may_be_any_positive_integer(dimensions):
    assert _request(dimensions=dimensions).dimensions == dimensions


@pytest.mark.parametrize("dimensions", [True, False, "64", 0, -1, 64.5, 64.0, [], {}])
def test_other_dimensions_are_refused_with_the_allowed_form(dimensions):
    error = _refused(dimensions=dimensions)
    assert error.param == "dimensions"
    assert "positive integer or null" in error.message


@pytest.mark.parametrize("value", ["hex", "", "FLOAT", "bytes"])
def test_an_unknown_encoding_is_refused_with_the_known_ones(value):
    error = _refused(encoding_format=value)
    assert error.param == "encoding_format"
    assert '"float" or "base64"' in error.message


@pytest.mark.parametrize(
    ("fields", "truncate"),
    [
        ({}, None),
        ({"truncate": "end"}, "end"),
        ({"truncate": "start"}, "start"),
        ({"truncate": "none"}, "none"),
        ({"truncate": True}, "end"),
        ({"truncate": False}, "none"),
        ({"truncate": True, "truncation_side": "left"}, "start"),
        ({"truncate": "end", "truncation_side": "left"}, "end"),
        ({"truncation_side": "left"}, None),
        ({"truncate_prompt_tokens": -1}, "end"),
        ({"truncate_prompt_tokens": -1, "truncation_side": "right"}, "end"),
        ({"truncate_prompt_tokens": -1, "truncation_side": "left"}, "start"),
        ({"truncate_prompt_tokens": -1, "truncate": "start"}, "start"),
    ],
)
def test_truncation_is_joined_from_three_fields(fields, truncate):
    assert _request(**fields).truncate == truncate


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"truncate": "END"}, "truncate"),
        ({"truncate": 1}, "truncate"),
        ({"truncate": {}}, "truncate"),
        ({"truncate": "none", "truncate_prompt_tokens": -1}, "truncate"),
        ({"truncate": False, "truncate_prompt_tokens": -1}, "truncate"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": 128}, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": "-1"}, "truncate_prompt_tokens"),
        ({"truncation_side": "both"}, "truncation_side"),
        ({"model": 5}, "model"),
        ({"encoding_format": 5}, "encoding_format"),
        ({"prompt_name": ["query"]}, "prompt_name"),
        ({"priority": True}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": 2**63}, "priority"),
        ({"cache_salt": ""}, "cache_salt"),
        ({"cache_salt": "s" * 129}, "cache_salt"),
        ({"cache_salt": 7}, "cache_salt"),
    ],
)
def test_a_field_that_cannot_be_honoured_is_refused_by_name(fields, param):
    error = _refused(**fields)
    assert error.param == param
    assert param in error.message


def test_extensions_reach_the_request():
    request = _request(prompt_name="query", priority=-5, cache_salt="tenant")
    assert (request.prompt_name, request.priority, request.cache_salt) == ("query", -5, "tenant")


def test_null_means_absent_in_every_optional_field():
    names = [
        "model", "dimensions", "encoding_format", "user", "prompt_name", "truncate",
        "truncate_prompt_tokens", "truncation_side", "priority", "cache_salt", "unknown",
    ]  # fmt: skip
    assert parse({"input": "a"} | dict.fromkeys(names)) == parse({"input": "a"})


def test_user_and_unknown_fields_are_ignored():
    assert _request(user=7, unknown={"a": 1}) == _request()


@pytest.mark.parametrize("body", [[], "a", None, 5])
def test_a_body_that_is_no_object_is_refused(body):
    reply, answered = post("/v1/embeddings", body)
    assert reply.status == 400
    assert "JSON object" in answered["error"]["message"]


# responses


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
    assert body["usage"] == {"prompt_tokens": 15, "total_tokens": 15}
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
    assert body["error"]["type"] == "server_error"
    assert body["error"]["code"] == "overloaded"


def test_a_deterministic_failure_is_422_and_not_to_be_retried():
    service = StubService(error=UnprocessableInputError("no finite vector", param="input[0]"))
    reply, body = post("/v1/embeddings", {"input": "a"}, service)
    assert (reply.status, reply.headers) == (422, {"x-should-retry": "false"})
    assert body["error"]["param"] == "input[0]"


def test_an_error_repeats_its_message_for_other_clients():
    _, body = post("/v1/embeddings", {})
    assert body["message"] == body["detail"] == body["error"]["message"]


# models


def test_models_are_listed_without_server_paths():
    reply, body = get("/v1/models/", StubService(cards=(CARD, TEXT_CARD)))
    assert [model["id"] for model in body["data"]] == [CARD.name, TEXT_CARD.name]
    assert CARD.checkpoint.encode() not in reply.body


def test_a_model_is_found_by_its_alias():
    _, body = get(f"/v1/models/{CARD.aliases[0]}")
    assert body["id"] == CARD.name


# Other outputs


def test_outputs_beside_the_dense_vector_come_under_their_own_names():
    sparse = SparseVector(np.array([3, 9]), np.array([0.5, 2.0], np.float32))
    tokens = np.array([[1, 0], [0, 1]], np.float32)
    embedding = Embedding(np.array([1.0], np.float32), 2, sparse=sparse, token_vectors=tokens)
    reply = render(EmbedResult("m", (embedding,)), "float", request_id="1", created=1)
    (item,) = orjson.loads(reply.body)["data"]
    assert item["embedding"] == [1.0]
    assert item["sparse_embedding"] == {"indices": [3, 9], "values": [0.5, 2.0]}
    assert item["token_embeddings"] == [[1.0, 0.0], [0.0, 1.0]]


def test_outputs_and_task_reach_the_service():
    request = _request(outputs=["sparse", "dense", "sparse"], task="retrieval.query")
    assert request.outputs == ("sparse", "dense")
    assert request.task == "retrieval.query"


@pytest.mark.parametrize("outputs", ["sparse", [], ["colbert"], [1], {}])
def test_unknown_outputs_are_refused_with_the_known_ones(outputs):
    error = _refused(outputs=outputs)
    assert error.param == "outputs"
    assert "'dense', 'sparse', 'tokens'" in error.message
