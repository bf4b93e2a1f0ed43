"""What texts are embedded for, on models that know it and on those that do not."""

import pytest

from polyvec.dialects._purposes import (
    COHERE_PURPOSES,
    JINA_PURPOSES,
    VOYAGE_PURPOSES,
    embed_for,
)
from polyvec.errors import MediaError, ModelNotFoundError, PromptNotFoundError
from polyvec.types import EmbedRequest, Input, Text
from tests.dialects.prompted import prompted
from tests.dialects.stub import StubService

REQUEST = EmbedRequest(None, (Input((Text("a"),)),))
ALL = [
    *((COHERE_PURPOSES, word) for word in COHERE_PURPOSES),
    *((VOYAGE_PURPOSES, word) for word in VOYAGE_PURPOSES),
    *((JINA_PURPOSES, word) for word in JINA_PURPOSES),
]


async def _asked(word, purposes, service, request=REQUEST):
    await embed_for(word, purposes, request, service, param="input_type")
    (asked,) = service.requests
    return asked.prompt_name, asked.task


@pytest.mark.parametrize(("purposes", "word"), ALL)
async def test_every_purpose_is_accepted_on_a_model_without_prompts(purposes, word):
    assert await _asked(word, purposes, prompted()) == (None, None)


@pytest.mark.parametrize(("purposes", "word"), ALL)
async def test_every_purpose_is_accepted_on_a_model_with_other_prompts(purposes, word):
    assert await _asked(word, purposes, prompted("poetry")) == (None, None)


@pytest.mark.parametrize(
    ("purposes", "word", "prompt", "expected"),
    [
        (COHERE_PURPOSES, "search_query", "search_query", ("search_query", None)),
        (COHERE_PURPOSES, "search_document", "search_document", ("search_document", None)),
        (COHERE_PURPOSES, "classification", "classification", (None, "classification")),
        (COHERE_PURPOSES, "classification", "Classification", (None, "Classification")),
        (COHERE_PURPOSES, "clustering", "Clustering", (None, "Clustering")),
        (COHERE_PURPOSES, "clustering", "separation", (None, "separation")),
        (COHERE_PURPOSES, "image", "image", (None, None)),
        (VOYAGE_PURPOSES, "query", "query", ("query", None)),
        (VOYAGE_PURPOSES, "document", "document", ("document", None)),
        (JINA_PURPOSES, "retrieval.query", "query", ("query", None)),
        (JINA_PURPOSES, "retrieval.query", "retrieval.query", (None, "retrieval.query")),
        (JINA_PURPOSES, "text-matching", "text-matching", (None, "text-matching")),
        (JINA_PURPOSES, "code.passage", "document", ("document", None)),
        (JINA_PURPOSES, "nl2code.query", "nl2code_query", (None, "nl2code_query")),
    ],
)
async def test_a_purpose_becomes_the_prompt_that_the_model_has_for_it(
    purposes, word, prompt, expected
):
    assert await _asked(word, purposes, prompted(prompt, "other")) == expected


async def test_a_purpose_becomes_the_adapter_that_the_model_has_for_it():
    service = prompted(tasks=("retrieval.query", "separation"))
    assert await _asked("retrieval.query", JINA_PURPOSES, service) == (None, "retrieval.query")


async def test_a_model_that_is_not_loaded_is_asked():
    service = prompted(state="unloaded")
    assert await _asked("search_query", COHERE_PURPOSES, service) == (None, None)


async def test_without_a_word_nothing_is_changed():
    assert await _asked(None, COHERE_PURPOSES, prompted("query")) == (None, None)


async def test_any_other_word_may_be_a_prompt_or_an_adapter_of_the_model():
    assert await _asked("haiku", COHERE_PURPOSES, prompted("haiku")) == ("haiku", None)
    service = prompted(tasks=("haiku",))
    assert await _asked("haiku", COHERE_PURPOSES, service) == (None, "haiku")


@pytest.mark.parametrize("word", ["haiku", "", "SEARCH_QUERY", "x" * 500])
async def test_any_other_word_is_refused_with_the_words_that_there_are(word):
    service = prompted("sonnet", tasks=("limerick",))
    with pytest.raises(PromptNotFoundError) as caught:
        await _asked(word, COHERE_PURPOSES, service)
    assert caught.value.param == "input_type"
    assert caught.value.message.endswith(
        "Supported values: classification, clustering, image, limerick, search_document, "
        "search_query, sonnet"
    )
    assert len(caught.value.message) < 300
    assert not service.requests


async def test_a_model_without_prompts_is_not_asked_for_one():
    service = StubService()
    with pytest.raises(PromptNotFoundError):
        await _asked("haiku", COHERE_PURPOSES, service)
    assert not service.requests


async def test_other_errors_come_through():
    service = StubService(error=MediaError("broken"))
    with pytest.raises(MediaError):
        await _asked("search_query", COHERE_PURPOSES, service)
    with pytest.raises(ModelNotFoundError):
        await _asked("search_query", COHERE_PURPOSES, prompted(), EmbedRequest("nobody", ()))
