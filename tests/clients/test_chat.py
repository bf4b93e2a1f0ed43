"""Bodies of vLLM, SGLang, Dify and OpenRouter: chats, pictures in messages, and vLLM's fields."""

import base64

import httpx
import numpy as np
import pytest

from tests.clients.pictures import CAPTIONS, PICTURES, data_uri
from tests.clients.serving import DEMO, MINILM
from tests.clients.vectors import TEXTS, Reference, Rows, assert_same


def embed(http: httpx.Client, **body) -> list:
    data = http.post("/v1/embeddings", json=body).raise_for_status().json()["data"]
    return [one["embedding"] for one in data]


def picture(index: int) -> dict:
    return {"type": "image_url", "image_url": {"url": data_uri(PICTURES[index])}}


def said(*parts) -> list[dict]:
    return [{"role": "user", "content": list(parts)}]


def test_c48_dify_sends_three_messages_for_a_picture(http: httpx.Client, pictures: Rows) -> None:
    messages = [
        {"role": "system", "content": [{"type": "text", "text": ""}]},
        {"role": "user", "content": [picture(0), {"type": "text", "text": ""}]},
        {"role": "assistant", "content": [{"type": "text", "text": ""}]},
    ]
    rows = embed(
        http,
        model=DEMO,
        messages=messages,
        encoding_format="float",
        continue_final_message=True,
        add_special_tokens=True,
    )
    assert_same(rows, pictures[:1])


def test_c57_messages_of_one_text(http: httpx.Client, expected: Reference) -> None:
    messages = [{"role": "user", "content": TEXTS[0]}]
    assert_same(embed(http, model=MINILM, messages=messages), expected.rows(TEXTS[:1]))


def test_c57_messages_of_one_picture(http: httpx.Client, pictures: Rows) -> None:
    assert_same(embed(http, model=DEMO, messages=said(picture(1))), pictures[1:2])


def test_c57_messages_of_several_chats(
    http: httpx.Client, expected: Reference, pictures: Rows
) -> None:
    chats = [said({"type": "text", "text": CAPTIONS[0]}), said(picture(2))]
    text, image = embed(http, model=DEMO, messages=chats, encoding_format="float")
    assert_same([text], expected.rows(CAPTIONS[:1], DEMO))
    assert_same([image], pictures[2:])


def test_c57_fields_of_vllm_are_accepted(http: httpx.Client, expected: Reference) -> None:
    rows = embed(
        http,
        model=MINILM,
        input=list(TEXTS),
        mm_processor_kwargs={},
        cache_salt="salt",
        priority=0,
        request_id="mine",
        add_special_tokens=True,
        truncate_prompt_tokens=-1,
    )
    assert_same(rows, expected.rows(TEXTS))


@pytest.mark.parametrize("endianness", ["native", "little", "big"])
@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_c57_numbers_in_other_formats(
    http: httpx.Client, expected: Reference, kind: str, endianness: str
) -> None:
    texts = embed(
        http,
        model=MINILM,
        input=list(TEXTS),
        encoding_format="base64",
        embed_dtype=kind,
        endianness=endianness,
    )
    order = ">" if endianness == "big" else "<"
    rows = [np.frombuffer(base64.b64decode(one), f"{order}f{int(kind[5:]) // 8}") for one in texts]
    assert_same(rows, expected.rows(TEXTS))


def test_c57_answers_are_numbered_as_vllm_does(http: httpx.Client) -> None:
    answer = http.post("/v1/embeddings", json={"model": MINILM, "input": "a"}).json()
    assert answer["id"].startswith("embd-")


def test_c54_sglangs_items(http: httpx.Client, expected: Reference, pictures: Rows) -> None:
    items = [{"text": CAPTIONS[0]}, {"image": data_uri(PICTURES[0])}]
    text, image = embed(http, model=DEMO, input=items)
    assert_same([text], expected.rows(CAPTIONS[:1], DEMO))
    assert_same([image], pictures[:1])


def test_openrouters_items(http: httpx.Client, expected: Reference, pictures: Rows) -> None:
    items = [
        {"content": [{"type": "text", "text": CAPTIONS[0]}]},
        {"content": [picture(0)]},
    ]
    text, image = embed(http, model=DEMO, input=items)
    assert_same([text], expected.rows(CAPTIONS[:1], DEMO))
    assert_same([image], pictures[:1])
