"""openai-python, as it is published, against a server process."""

import asyncio
import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import openai
import pytest
import torch
from sentence_transformers import SentenceTransformer

from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e

MAX_DIFFERENCE = 1e-5
TEXTS = [
    "hello world",
    "a",
    "",
    "How do I reset my password?",
    "The quick brown fox jumps over the lazy dog. " * 10,
    "Größe, café, 東京 and 🙂",
    "one two three four five six seven eight nine ten",
    "x" * 90,
]


@pytest.fixture(scope="module")
def client(minilm_server: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=minilm_server.url + "/v1", api_key="none", max_retries=0, timeout=60
    ) as client:
        yield client


@pytest.fixture(scope="module")
def reference(minilm: Path) -> np.ndarray:
    """What sentence-transformers says of TEXTS, one at a time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = SentenceTransformer(str(minilm), device="cpu")
    rows = [model.encode(text, normalize_embeddings=True) for text in TEXTS]
    torch.set_num_threads(threads)
    return np.stack(rows)


def rows_of(answer: openai.types.CreateEmbeddingResponse) -> np.ndarray:
    return np.array([one.embedding for one in answer.data], np.float32)


def embed(client: openai.OpenAI, value, **options) -> np.ndarray:
    return rows_of(client.embeddings.create(model="minilm", input=value, **options))


def body_of(error: openai.APIStatusError) -> dict:
    """The error object; openai-python has already taken it out of its envelope."""
    assert isinstance(error.body, dict)
    return error.body


def test_default_base64_equals_explicit_floats_bit_for_bit(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="minilm", input="hello world")
    assert json.loads(raw.http_request.content)["encoding_format"] == "base64"
    wire = json.loads(raw.content)["data"][0]["embedding"]
    assert len(base64.b64decode(wire, validate=True)) == 384 * 4
    default = np.array(raw.parse().data[0].embedding, np.float32)
    explicit = embed(client, "hello world", encoding_format="float")[0]
    assert default.tobytes() == explicit.tobytes()


async def test_async_client_gets_what_the_sync_client_gets(
    client: openai.OpenAI, minilm_server: ServerProcess
) -> None:
    async with openai.AsyncOpenAI(
        base_url=minilm_server.url + "/v1", api_key="none", max_retries=0
    ) as other:
        answers = await asyncio.gather(
            *(other.embeddings.create(model="minilm", input=text) for text in TEXTS)
        )
    theirs = np.concatenate([rows_of(answer) for answer in answers])
    assert np.abs(theirs - embed(client, TEXTS)).max() <= MAX_DIFFERENCE


def test_single_texts_equal_sentence_transformers(
    client: openai.OpenAI, reference: np.ndarray
) -> None:
    ours = np.concatenate([embed(client, text) for text in TEXTS])
    assert np.abs(ours - reference).max() <= MAX_DIFFERENCE


def test_a_list_keeps_its_order_and_equals_sentence_transformers(
    client: openai.OpenAI, reference: np.ndarray
) -> None:
    order = [*reversed(range(len(TEXTS))), 0, 3, 0]
    answer = client.embeddings.create(model="minilm", input=[TEXTS[i] for i in order])
    assert [one.index for one in answer.data] == list(range(len(order)))
    assert np.abs(rows_of(answer) - reference[order]).max() <= MAX_DIFFERENCE


def test_sixteen_threads_at_once_each_get_their_own_vectors(
    client: openai.OpenAI, reference: np.ndarray
) -> None:
    def ask(worker: int) -> float:
        order = [(worker * 3 + i) % len(TEXTS) for i in range(worker % 5 + 1)]
        ours = embed(client, [TEXTS[i] for i in order])
        return float(np.abs(ours - reference[order]).max())

    with ThreadPoolExecutor(16) as pool:
        assert max(pool.map(ask, range(64))) <= MAX_DIFFERENCE


def test_empty_text_has_a_vector_of_unit_length(client: openai.OpenAI) -> None:
    assert np.linalg.norm(embed(client, "")[0]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("wrap", [list, lambda ids: [ids]], ids=["one input", "list of inputs"])
def test_token_ids_equal_the_text_they_come_from(client: openai.OpenAI, wrap) -> None:
    text = embed(client, "hello world")
    assert np.abs(embed(client, wrap([101, 7592, 2088, 102])) - text).max() <= MAX_DIFFERENCE


def test_native_dimensions_are_accepted(client: openai.OpenAI) -> None:
    assert embed(client, "hello world", dimensions=384).shape == (1, 384)


@pytest.mark.parametrize("dimensions", [1, 256, 385])
def test_other_dimensions_are_a_bad_request(client: openai.OpenAI, dimensions: int) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        embed(client, "hello world", dimensions=dimensions)
    error = body_of(raised.value)
    assert (error["code"], error["reason"]) == (400, "invalid_dimensions")
    assert (error["param"], error["allowed"]) == ("dimensions", [384])
    assert error["message"].endswith(
        "does not support Matryoshka embeddings; dimensions must be unset (received "
        f"dimensions={dimensions})."
    )
    whole = raised.value.response.json()
    assert whole["message"].endswith(
        "does not support matryoshka representation, changing output dimensions will lead to poor "
        "results."
    )


def test_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.embeddings.create(model="text-embedding-3-small", input="hello")
    assert body_of(raised.value)["reason"] == "model_not_found"
    assert "minilm" in body_of(raised.value)["message"]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("text-embedding-3-small")


def test_too_long_text_is_a_bad_request_of_its_own_code(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        embed(client, ["short", "word " * 300])
    assert body_of(raised.value)["reason"] == "context_length_exceeded"
    assert raised.value.param == "input[1]"
    assert "256" in body_of(raised.value)["message"]


def test_too_long_text_is_cut_where_the_request_asks_for_it(client: openai.OpenAI) -> None:
    cut = embed(client, "word " * 300, extra_body={"truncate": "end"})
    assert np.abs(cut - embed(client, "word " * 254)).max() <= MAX_DIFFERENCE


def test_unknown_encoding_format_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        embed(client, "hello", encoding_format="int8")
    assert raised.value.param == "encoding_format"


def test_usage_counts_tokens_with_the_special_ones(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="minilm", input=["hello world", "hello"])
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (7, 7)


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["minilm"]
    assert client.models.retrieve("minilm").object == "model"


def test_2048_inputs_in_one_call_come_back_in_order(client: openai.OpenAI) -> None:
    inputs = [f"number {i}" for i in range(2048)]
    rows = embed(client, inputs)
    assert rows.shape == (2048, 384)
    some = [0, 1, 777, 1024, 2047]
    alone = np.concatenate([embed(client, inputs[i]) for i in some])
    assert np.abs(rows[some] - alone).max() <= MAX_DIFFERENCE
    assert (rows @ alone.T).argmax(axis=0).tolist() == some


def test_10000_inputs_are_a_bad_request_that_names_the_limit(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        embed(client, ["hello"] * 10_000)
    assert raised.value.param == "input"
    assert "2048" in body_of(raised.value)["message"]


def test_model_may_be_missing(minilm_server: ServerProcess) -> None:
    answer = httpx2.post(
        minilm_server.url + "/v1/embeddings", json={"input": "hello world"}, trust_env=False
    )
    assert answer.status_code == 200
    assert answer.json()["model"] == "minilm"
    assert isinstance(answer.json()["data"][0]["embedding"][0], float)


def test_unknown_fields_are_ignored(client: openai.OpenAI) -> None:
    extra = {"input_type": "search_query", "future": {"a": [1, None]}, "user": "me"}
    rows = embed(client, "hello world", extra_body=extra)
    assert rows.tobytes() == embed(client, "hello world").tobytes()
