"""langchain-openai with its default settings, which send token ids of cl100k."""

from collections.abc import Iterator

import httpx
import openai
import pytest
import tiktoken
from langchain_openai import OpenAIEmbeddings

from tests.clients.serving import MINILM, serving
from tests.clients.vectors import TEXTS, Reference, assert_same, cosines
from tests.e2e.process import ServerProcess


def embeddings(url: str, **options) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(base_url=url + "/v1", api_key="none", model=MINILM, **options)


def cl100k(texts) -> list[list[int]]:
    return [tiktoken.get_encoding("cl100k_base").encode(text) for text in texts]


@pytest.fixture(scope="module", params=["auto", "model", "cl100k"])
def policy(
    request, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ServerProcess]]:
    folder = tmp_path_factory.mktemp("policy")
    with serving("--token-ids", request.param, folder=folder) as server:
        yield request.param, server


def test_c08_token_ids_under_each_policy(
    policy: tuple[str, ServerProcess], expected: Reference
) -> None:
    name, server = policy
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        own = client.embeddings.create(model=MINILM, input=[[101, 7592, 2088, 102]])
        foreign = client.embeddings.create(model=MINILM, input=cl100k(["hello world"]))
    true = expected.rows(["hello world"])
    found = {
        "own": cosines([own.data[0].embedding], true)[0] > 0.9999,
        "cl100k": cosines([foreign.data[0].embedding], true)[0] > 0.9999,
    }
    # `auto` knows the model's own ids by the special tokens at their ends.
    assert found == {"own": name != "cl100k", "cl100k": name != "model"}


def test_c08_langchain_is_right_under_cl100k_and_auto(
    policy: tuple[str, ServerProcess], expected: Reference
) -> None:
    name, server = policy
    texts = ["hello world", TEXTS[1]]
    nearness = cosines(embeddings(server.url).embed_documents(texts), expected.rows(texts))
    assert (nearness.min() > 0.9999) == (name != "model")


def test_c09_default_settings_equal_plain_texts(url: str, expected: Reference) -> None:
    client = embeddings(url)
    assert_same(client.embed_documents(list(TEXTS)), expected.rows(TEXTS))
    assert_same(client.embed_query(TEXTS[1]), expected.rows([TEXTS[1]]))


async def test_c09_default_settings_of_the_asynchronous_client(
    url: str, expected: Reference
) -> None:
    assert_same(await embeddings(url).aembed_documents(list(TEXTS)), expected.rows(TEXTS))


def test_c09_plain_texts_where_langchain_is_told_to(url: str, expected: Reference) -> None:
    client = embeddings(url, check_embedding_ctx_length=False)
    assert_same(client.embed_documents([*TEXTS, ""]), expected.rows([*TEXTS, ""]))


def test_c10_empty_document(url: str, expected: Reference) -> None:
    texts = [TEXTS[0], "", TEXTS[1]]
    assert_same(embeddings(url).embed_documents(texts), expected.rows(texts))


def test_c12_chunks_of_1000(url: str, expected: Reference) -> None:
    texts = [f"chunk {i}" for i in range(2100)]
    rows = embeddings(url).embed_documents(texts)
    some = [0, 999, 1000, 2099]
    assert_same([rows[i] for i in some], expected.rows([texts[i] for i in some]))


def test_c08_ids_that_no_vocabulary_has_are_a_bad_request(http: httpx.Client) -> None:
    answer = http.post("/v1/embeddings", json={"model": MINILM, "input": [[10_000_000]]})
    assert answer.status_code == 400
