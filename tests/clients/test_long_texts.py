"""A text of 50 KB, by each dialect's own rule about texts that are too long."""

import cohere
import httpx
import huggingface_hub
import openai
import pytest

from tests.clients.serving import MINILM
from tests.clients.vectors import Reference, assert_same

LONG = "word " * 10_000
HEAD = "word " * 254
"""As much of it as MiniLM reads, beside its two special tokens."""


def test_c29_openai_refuses_it_by_its_own_code(url: str) -> None:
    with (
        openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.BadRequestError) as raised,
    ):
        client.embeddings.create(model=MINILM, input=LONG)
    assert raised.value.body["reason"] == "context_length_exceeded"
    assert "maximum context length is 256 tokens" in raised.value.message


def test_c29_openai_cuts_it_where_vllms_field_says_so(url: str, expected: Reference) -> None:
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        answer = client.embeddings.create(
            model=MINILM, input=LONG, extra_body={"truncate_prompt_tokens": -1}
        )
    assert_same([one.embedding for one in answer.data], expected.rows([HEAD]))


def test_c29_tei_cuts_it_where_truncate_is_true(url: str, expected: Reference) -> None:
    client = huggingface_hub.InferenceClient(url)
    assert_same(client.feature_extraction(LONG, truncate=True), expected.rows([HEAD]))


def test_c29_tei_refuses_it_where_truncate_is_false(url: str) -> None:
    client = huggingface_hub.InferenceClient(url)
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError) as raised:
        client.feature_extraction(LONG, truncate=False)
    assert raised.value.response.status_code in {413, 422}


@pytest.mark.parametrize("truncate", [None, "END", "START"])
def test_c29_cohere_cuts_it_unless_told_otherwise(
    url: str, expected: Reference, truncate: str | None
) -> None:
    client = cohere.ClientV2(api_key="none", base_url=url)
    options = {} if truncate is None else {"truncate": truncate}
    answer = client.embed(
        model=MINILM,
        texts=[LONG],
        input_type="search_document",
        embedding_types=["float"],
        **options,
    )
    assert_same(answer.embeddings.float_, expected.rows([HEAD]))


def test_c29_cohere_refuses_it_where_truncate_is_none(url: str) -> None:
    client = cohere.ClientV2(api_key="none", base_url=url)
    with pytest.raises(cohere.BadRequestError):
        client.embed(model=MINILM, texts=[LONG], input_type="search_document", truncate="NONE")


def test_c29_it_is_refused_in_plain_http_too(http: httpx.Client) -> None:
    answer = http.post("/v1/embeddings", json={"model": MINILM, "input": [LONG]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input[0]")
