"""The ollama client, both its routes, and what others send to them."""

import ollama
import pytest

from tests.clients.serving import MINILM, MINILM_DIMENSIONS, SHORT
from tests.clients.vectors import TEXTS, Reference, assert_same


@pytest.fixture(scope="module")
def client(url: str) -> ollama.Client:
    return ollama.Client(host=url)


def test_c41_embed(client: ollama.Client, expected: Reference) -> None:
    answer = client.embed(model=MINILM, input=list(TEXTS), keep_alive="5m", options={"seed": 8})
    assert_same(answer.embeddings, expected.rows(TEXTS))
    assert answer.prompt_eval_count > 0


def test_c41_one_text(client: ollama.Client, expected: Reference) -> None:
    answer = client.embed(model=SHORT, input=TEXTS[0], dimensions=MINILM_DIMENSIONS)
    assert_same(answer.embeddings, expected.rows(TEXTS[:1]))


def test_c41_older_route(client: ollama.Client, expected: Reference) -> None:
    answer = client.embeddings(model=MINILM, prompt=TEXTS[0])
    assert_same([answer.embedding], expected.rows(TEXTS[:1]))


def test_c41_long_text_is_cut_unless_truncate_is_false(client: ollama.Client) -> None:
    text = "word " * 1000
    assert len(client.embed(model=MINILM, input=text).embeddings) == 1
    with pytest.raises(ollama.ResponseError) as raised:
        client.embed(model=MINILM, input=text, truncate=False)
    assert raised.value.status_code == 400


def test_c41_models_are_listed(client: ollama.Client) -> None:
    assert any(one.model.startswith(MINILM) for one in client.list().models)


def test_c41_unknown_model_is_not_found(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as raised:
        client.embed(model="no-such", input="a")
    assert raised.value.status_code == 404
