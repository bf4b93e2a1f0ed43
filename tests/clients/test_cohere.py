"""The cohere client, version 7, against both versions of the interface."""

import base64

import cohere
import numpy as np
import pytest

from tests.clients.pictures import CAPTIONS, PICTURES, data_uri
from tests.clients.serving import DEMO, MINILM, MINILM_DIMENSIONS
from tests.clients.vectors import TEXTS, Reference, Rows, assert_same

TYPES = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
PURPOSES = ["search_document", "search_query", "classification", "clustering"]


@pytest.fixture(scope="module")
def client(url: str) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="none", base_url=url)


@pytest.fixture(scope="module")
def first(url: str) -> cohere.Client:
    """The client of the first version."""
    return cohere.Client(api_key="none", base_url=url)


def test_c30_all_types_in_one_call_are_packed_as_cohere_defines(
    client: cohere.ClientV2, expected: Reference
) -> None:
    answer = client.embed(
        model=MINILM, texts=list(TEXTS), input_type="search_document", embedding_types=TYPES
    )
    found = answer.embeddings
    floats = np.array(found.float_, np.float32)
    assert_same(floats, expected.rows(TEXTS))
    signs = (floats > 0).astype(np.uint8)
    bits = np.packbits(signs, axis=1)
    assert np.array_equal(np.array(found.ubinary), bits)
    assert np.array_equal(np.array(found.binary), bits.astype(int) - 128)
    decoded = [np.frombuffer(base64.b64decode(text), "<f4") for text in found.base64]
    assert np.array_equal(np.stack(decoded), floats)
    int8, uint8 = np.array(found.int8), np.array(found.uint8)
    assert int8.shape == uint8.shape == floats.shape
    assert np.array_equal(uint8, int8 + 128)
    assert (int8.min(), int8.max()) >= (-128, -128)
    assert_same(int8, floats, min_cosine=0.99)


def test_c30_answer_has_id_texts_and_meta(client: cohere.ClientV2) -> None:
    answer = client.embed(
        model=MINILM, texts=list(TEXTS), input_type="search_query", embedding_types=["float"]
    )
    assert answer.id
    assert answer.texts == list(TEXTS)
    assert answer.meta.billed_units.input_tokens > 0


def test_c30_200_texts_in_one_call(client: cohere.ClientV2, expected: Reference) -> None:
    texts = [f"text {i}" for i in range(200)]
    answer = client.embed(
        model=MINILM, texts=texts, input_type="search_document", embedding_types=["float"]
    )
    rows = answer.embeddings.float_
    assert_same([rows[0], rows[96], rows[199]], expected.rows([texts[i] for i in (0, 96, 199)]))


def test_c31_first_version_answers_floats(first: cohere.Client, expected: Reference) -> None:
    answer = first.embed(texts=list(TEXTS), model=MINILM, input_type="search_document")
    assert answer.response_type == "embeddings_floats"
    assert_same(answer.embeddings, expected.rows(TEXTS))


def test_c31_first_version_answers_by_type(first: cohere.Client, expected: Reference) -> None:
    answer = first.embed(
        texts=list(TEXTS),
        model=MINILM,
        input_type="search_document",
        embedding_types=["float", "ubinary"],
    )
    assert answer.response_type == "embeddings_by_type"
    assert_same(answer.embeddings.float_, expected.rows(TEXTS))
    assert len(answer.embeddings.ubinary[0]) == MINILM_DIMENSIONS // 8


def test_c32_first_version_sends_chunks_of_96_in_parallel(
    first: cohere.Client, expected: Reference
) -> None:
    texts = [f"chunk {i}" for i in range(300)]
    rows = first.embed(texts=texts, model=MINILM, input_type="search_document").embeddings
    some = [0, 95, 96, 299]
    assert_same([rows[i] for i in some], expected.rows([texts[i] for i in some]))


@pytest.mark.parametrize("purpose", PURPOSES)
def test_c33_input_types_are_accepted_by_a_model_without_prompts(
    client: cohere.ClientV2, expected: Reference, purpose: str
) -> None:
    answer = client.embed(
        model=MINILM, texts=list(TEXTS), input_type=purpose, embedding_types=["float"]
    )
    assert_same(answer.embeddings.float_, expected.rows(TEXTS))


def test_c33_an_unknown_input_type_is_a_bad_request_in_coheres_words(
    client: cohere.ClientV2,
) -> None:
    with pytest.raises(cohere.BadRequestError) as raised:
        client.embed(model=MINILM, texts=["a"], input_type="no_such", embedding_types=["float"])
    assert "search_query" in raised.value.body["message"]


def test_c34_inputs_of_texts_and_pictures(
    client: cohere.ClientV2, expected: Reference, pictures: Rows
) -> None:
    picture = {"type": "image_url", "image_url": {"url": data_uri(PICTURES[0])}}
    answer = client.embed(
        model=DEMO,
        inputs=[
            {"content": [{"type": "text", "text": CAPTIONS[1]}]},
            {"content": [picture]},
        ],
        input_type="search_document",
        embedding_types=["float"],
    )
    text, image = answer.embeddings.float_
    assert_same([text], expected.rows([CAPTIONS[1]], DEMO))
    assert_same([image], pictures[:1])


def test_c34_text_and_picture_in_one_input_of_two_towers_is_a_bad_request(
    client: cohere.ClientV2,
) -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": data_uri(PICTURES[0])}},
    ]
    with pytest.raises(cohere.BadRequestError):
        client.embed(
            model=DEMO,
            inputs=[{"content": parts}],
            input_type="search_document",
            embedding_types=["float"],
        )


def test_c35_pictures(client: cohere.ClientV2, pictures: Rows) -> None:
    answer = client.embed(
        model=DEMO,
        images=[data_uri(picture) for picture in PICTURES],
        input_type="image",
        embedding_types=["float"],
    )
    assert_same(answer.embeddings.float_, pictures)


def test_c36_rerank_by_coheres_client(client: cohere.ClientV2, expected: Reference) -> None:
    documents = ["A dog runs in the park.", "The parcel is at the door.", "I like tea."]
    answer = client.rerank(model=MINILM, query="Where is my parcel?", documents=documents, top_n=2)
    assert answer.results[0].index == 1
    assert len(answer.results) == 2
    scores = [one.relevance_score for one in answer.results]
    assert scores == sorted(scores, reverse=True)


def test_unknown_model_is_not_found_in_coheres_words(client: cohere.ClientV2) -> None:
    with pytest.raises(cohere.NotFoundError) as raised:
        client.embed(model="no-such", texts=["a"], input_type="search_query")
    assert MINILM in raised.value.body["message"]
