"""litellm, by each of its prefixes that can be pointed at a server."""

import pytest
from litellm import aembedding, embedding

from tests.clients.pictures import PICTURES, data_uri
from tests.clients.serving import DEMO, MINILM, SHORT
from tests.clients.vectors import TEXTS, Reference, Rows, assert_same

# Prefix, what its api_base ends in, and what it needs beside.
OPENAI_LIKE = ["openai", "hosted_vllm", "openai_like", "lm_studio", "llamafile", "xinference"]
PREFIXES = [
    *((prefix, "/v1", {}) for prefix in OPENAI_LIKE),
    ("jina_ai", "/v1", {}),
    ("voyage", "/v1", {}),
    ("infinity", "", {}),
    ("cohere", "/v2/embed", {}),
    ("huggingface", "", {"input_type": "embed"}),
    ("ollama", "", {}),
    ("azure", "", {"api_version": "2024-10-21"}),
]


@pytest.mark.parametrize(("prefix", "path", "options"), PREFIXES, ids=[one[0] for one in PREFIXES])
def test_c51_prefix(url: str, expected: Reference, prefix: str, path: str, options) -> None:
    # To a "sentence-transformers/…" of huggingface it sends a comparison instead.
    name = SHORT if prefix in {"azure", "huggingface"} else MINILM
    answer = embedding(
        model=f"{prefix}/{name}", input=list(TEXTS), api_base=url + path, api_key="none", **options
    )
    assert_same([one["embedding"] for one in answer.data], expected.rows(TEXTS))


@pytest.mark.parametrize("prefix", ["hosted_vllm", "voyage"])
async def test_c51_asynchronous(url: str, expected: Reference, prefix: str) -> None:
    answer = await aembedding(
        model=f"{prefix}/{MINILM}", input=list(TEXTS), api_base=url + "/v1", api_key="none"
    )
    assert_same([one["embedding"] for one in answer.data], expected.rows(TEXTS))


def test_c51_pictures_by_cohere(url: str, pictures: Rows) -> None:
    answer = embedding(
        model=f"cohere/{DEMO}",
        input=[data_uri(PICTURES[0])],
        api_base=url + "/v2/embed",
        api_key="none",
    )
    assert_same([answer.data[0]["embedding"]], pictures[:1])


def test_c51_pictures_by_jina(url: str, pictures: Rows) -> None:
    answer = embedding(
        model=f"jina_ai/{DEMO}",
        input=[data_uri(picture) for picture in PICTURES],
        api_base=url + "/v1",
        api_key="none",
    )
    assert_same([one["embedding"] for one in answer.data], pictures)


def test_c51_dimensions_by_hosted_vllm(url: str, expected: Reference) -> None:
    answer = embedding(
        model=f"hosted_vllm/{MINILM}",
        input=list(TEXTS),
        dimensions=384,
        api_base=url + "/v1",
        api_key="none",
    )
    assert_same([one["embedding"] for one in answer.data], expected.rows(TEXTS))
