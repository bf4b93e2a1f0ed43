"""openai-python, as it is published."""

import base64
import json
from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest

from tests.clients.serving import MINILM, MINILM_DIMENSIONS
from tests.clients.vectors import TEXTS, Reference, Rows, assert_same

HELLO_WORLD = [101, 7592, 2088, 102]
"""MiniLM's own ids."""


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def embed(client: openai.OpenAI, value, **options) -> Rows:
    answer = client.embeddings.create(model=MINILM, input=value, **options)
    assert [one.index for one in answer.data] == list(range(len(answer.data)))
    return np.array([one.embedding for one in answer.data], np.float32)


def test_c01_default_base64(client: openai.OpenAI, expected: Reference) -> None:
    raw = client.embeddings.with_raw_response.create(model=MINILM, input=list(TEXTS))
    assert json.loads(raw.http_request.content)["encoding_format"] == "base64"
    assert all(isinstance(one["embedding"], str) for one in json.loads(raw.content)["data"])
    assert_same([one.embedding for one in raw.parse().data], expected.rows(TEXTS))


def test_c02_explicit_floats(client: openai.OpenAI, expected: Reference) -> None:
    assert_same(embed(client, list(TEXTS), encoding_format="float"), expected.rows(TEXTS))


def test_c03_explicit_base64_is_the_same_floats_bit_for_bit(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=MINILM, input="hello", encoding_format="base64")
    text = answer.data[0].embedding
    assert isinstance(text, str)
    floats = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    assert floats.tobytes() == embed(client, "hello", encoding_format="float")[0].tobytes()


def test_c05_no_encoding_format_means_floats(http: httpx.Client) -> None:
    answer = http.post("/v1/embeddings", json={"model": MINILM, "input": "hello"})
    assert isinstance(answer.json()["data"][0]["embedding"][0], float)


def test_c06_unknown_encoding_format_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        embed(client, "hello", encoding_format="int7")
    assert raised.value.param == "encoding_format"


def test_c07_one_array_of_token_ids(client: openai.OpenAI, expected: Reference) -> None:
    assert_same(embed(client, HELLO_WORLD), expected.rows(["hello world"]))


def test_c11_2048_inputs(client: openai.OpenAI, expected: Reference) -> None:
    inputs = [f"number {i}" for i in range(2048)]
    rows = embed(client, inputs)
    assert rows.shape == (2048, MINILM_DIMENSIONS)
    some = [0, 1, 1024, 2047]
    assert_same(rows[some], expected.rows([inputs[i] for i in some]))


def test_c13_native_dimensions_are_accepted(client: openai.OpenAI, expected: Reference) -> None:
    assert_same(embed(client, "hello", dimensions=MINILM_DIMENSIONS), expected.rows(["hello"]))


def test_c14_other_dimensions_are_refused_with_the_allowed_ones(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        embed(client, "hello", dimensions=256)
    assert raised.value.param == "dimensions"
    assert "384" in raised.value.message


def test_c15_dimensions_of_zero_are_refused_and_null_means_all(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        embed(client, "hello", dimensions=0)
    assert raised.value.param == "dimensions"
    rows = embed(client, "hello", extra_body={"dimensions": None})
    assert rows.shape == (1, MINILM_DIMENSIONS)


def test_c26_vectors_come_in_the_order_of_the_inputs(
    client: openai.OpenAI, expected: Reference
) -> None:
    inputs = ["word " * (1 + i * 37 % 90) + str(i) for i in range(40)]
    assert_same(embed(client, inputs), expected.rows(inputs))


def test_c27_duplicate_inputs(client: openai.OpenAI, expected: Reference) -> None:
    inputs = ["a", "b", "a", "a", "b"]
    rows = embed(client, inputs)
    assert_same(rows, expected.rows(inputs))
    assert rows[0].tobytes() == rows[2].tobytes() == rows[3].tobytes()


@pytest.mark.parametrize("text", ["", " ", "\n\t"], ids=["empty", "space", "newline"])
def test_c28_empty_and_blank_texts_have_unit_vectors(client: openai.OpenAI, text: str) -> None:
    rows = embed(client, [text, "hello"])
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-4)


def test_c61_request_id_comes_back(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(
        model=MINILM, input="hello", extra_headers={"X-Request-Id": "my-own-id"}
    )
    assert answer._request_id == "my-own-id"
    assert client.embeddings.create(model=MINILM, input="hello")._request_id


async def test_asynchronous_client_gets_the_same(url: str, expected: Reference) -> None:
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        answer = await client.embeddings.create(model=MINILM, input=list(TEXTS))
    assert_same([one.embedding for one in answer.data], expected.rows(TEXTS))
