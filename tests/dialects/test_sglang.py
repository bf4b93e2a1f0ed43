import asyncio
from dataclasses import replace

import pytest

from polyvec import __version__
from polyvec.dialects._base import Call
from polyvec.dialects._sglang.input import parse_embed
from polyvec.errors import (
    InferenceError,
    InputTooLongError,
    InvalidInputError,
    ModelNotFoundError,
    UnsupportedInputError,
)
from polyvec.types import (
    Base64,
    Chat,
    DataUri,
    File,
    Image,
    Message,
    Pair,
    Setting,
    Text,
    Url,
    Video,
)
from tests.dialects.stub import CARD, TEXT_CARD, StubService, answer, get, post

PNG = "data:image/png;base64,AA=="
PICTURE = Image(DataUri(PNG))
SOURCES = [
    ("https://example.com/a.jpg", Url("https://example.com/a.jpg")),
    (PNG, DataUri(PNG)),
    ("file:///srv/a.jpg", File("/srv/a.jpg")),
    ("/srv/a.jpg", File("/srv/a.jpg")),
    ("iVBORw0KGgo=", Base64("iVBORw0KGgo=")),
]


def parts_of(*items, card=CARD):
    request, _ = parse_embed({"input": list(items)}, card)
    return [item.parts for item in request.inputs]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
def test_each_object_gets_one_vector(path):
    service = StubService()
    reply, body = post(path, {"input": [{"text": "a"}, {"image": PNG}]}, service)
    assert reply.status == 200
    assert [one["index"] for one in body["data"]] == [0, 1]
    assert [item.parts for item in service.requests[0].inputs] == [(Text("a"),), (PICTURE,)]


@pytest.mark.parametrize(("value", "source"), SOURCES)
def test_pictures_and_videos_are_whatever_a_string_points_at(value, source):
    assert parts_of({"image": value}, {"video": value}) == [(Image(source),), (Video(source),)]


def test_a_picture_comes_before_a_video_and_that_before_the_text():
    video = Video(DataUri(PNG))
    assert parts_of({"text": "a", "video": PNG, "image": PNG}) == [(PICTURE, video, Text("a"))]


def test_an_empty_text_counts_only_where_there_is_nothing_else():
    assert parts_of({"text": "", "image": PNG}, {"text": ""}) == [(PICTURE,), (Text(""),)]


def test_items_of_content_parts_get_one_vector_each():
    url = {"type": "image_url", "image_url": {"url": PNG}}
    items = [{"content": [{"type": "text", "text": "a"}, url]}, {"content": "b"}]
    assert parts_of(*items) == [(Text("a"), PICTURE), (Text("b"),)]


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"text": "a", "url": "x"}, "input[0]"),
        ({"text": "a", "content": []}, "input[0]"),
        ({"text": None}, "input[0]"),
        ({"content": []}, "input[0]"),
        ({"text": 1}, "input[0].text"),
        ({"image": 1}, "input[0].image"),
        ({"image": ""}, "input[0].image"),
        ("a", "input[0]"),
    ],
)
def test_an_item_that_cannot_be_read_is_named(item, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_embed({"input": [item]}, CARD)
    assert caught.value.param == param


def test_sound_is_refused_clearly():
    with pytest.raises(UnsupportedInputError, match="not sound"):
        parts_of({"content": [{"type": "input_audio", "input_audio": {"data": "AA=="}}]})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "3"}, "dimensions"),
        ({"lora_path": "adapter"}, "lora_path"),
        ({"embed_overrides": []}, "embed_overrides"),
        ({"priority": "x"}, "priority"),
        ({"input": []}, "input"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(body, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_embed({"input": [{"text": "a"}], **body}, CARD)
    assert caught.value.param == param


def templated(card, origin):
    settings = {"chat_template": Setting("10 characters", origin)}
    return replace(card, has_chat_template=True, settings=settings)


def test_only_a_template_that_the_operator_gave_is_put_around_items():
    text = (Text("a"),)
    asked = templated(TEXT_CARD, "--chat-template gme-qwen2-vl")
    own = templated(TEXT_CARD, "tokenizer_config.json: chat_template")
    chat = Chat((Message("user", text),), add_generation_prompt=True)
    assert parts_of({"text": "a"}, card=asked) == [(chat,)]
    assert parts_of({"text": "a"}, card=own) == [text]


def test_a_tower_for_texts_reads_no_template_of_a_model_for_both():
    card = templated(CARD, "--chat-template gme-qwen2-vl")
    assert parts_of({"text": "a"}, {"image": PNG}, card=card) == [(Text("a"),), (PICTURE,)]


def test_default_is_the_first_model_and_other_names_must_be_served():
    reply, body = post("/v1/embeddings", {"model": "default", "input": [{"text": "a"}]})
    assert (reply.status, body["model"]) == (200, CARD.name)
    reply, body = post("/v1/embeddings", {"model": "none", "input": [{"text": "a"}]})
    assert (reply.status, body["error"]["param"]) == (404, "model")


def test_errors_have_the_keys_of_both_shapes_and_the_words_for_long_texts():
    error = InputTooLongError("too long", length=92, limit=77)
    _, body = post("/v1/embeddings", {"input": [{"text": "a"}]}, StubService(error=error))
    message = "The input (92 tokens) is longer than the model's context length (77 tokens)."
    assert (body["object"], body["code"], body["type"]) == ("error", 400, "BadRequestError")
    assert body["message"] == body["error"]["message"] == message


def test_information_says_what_the_model_is_and_no_path():
    settings = {"pooling": Setting("mean", "1_Pooling/config.json"), "normalize": Setting(True, "")}
    service = StubService(cards=(replace(CARD, settings=settings, matryoshka=(2,)),))
    reply, body = get("/model_info", service)
    assert body == get("/get_model_info", service)[1]
    assert b"/srv" not in reply.body
    block = body["embedding"]
    assert (block["pooling"], block["normalize"], block["matryoshka_dimensions"]) == (
        "mean", True, [2],
    )  # fmt: skip
    assert (body["is_generation"], body["has_image_understanding"]) == (False, True)


@pytest.mark.parametrize("path", ["/server_info", "/get_server_info"])
def test_server_information_has_the_version_and_the_model(path):
    _, body = get(path)
    assert (body["version"], body["is_embedding"]) == (__version__, True)
    assert (body["model_path"], body["context_length"]) == (CARD.name, 77)


def health(service):
    return asyncio.run(answer(Call("GET", "/health_generate"), service))


def test_health_asks_the_model_and_never_the_cache():
    service = StubService()
    assert (health(service).status, health(service).status) == (200, 200)
    salts = {request.cache_salt for request in service.requests}
    assert len(salts) == 2
    assert "" not in salts


def test_health_is_503_when_the_model_does_not_answer():
    for service in (StubService(error=InferenceError("broken")), StubService(is_up=False)):
        reply = health(service)
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")


def test_health_asks_a_cross_encoder_with_a_pair_and_leaves_an_unloaded_model_alone():
    pair = StubService(cards=(replace(TEXT_CARD, is_pair_model=True),))
    unloaded = StubService(cards=(replace(CARD, state="unloaded"),))
    assert (health(pair).status, health(unloaded).status) == (200, 200)
    assert isinstance(pair.requests[0].inputs[0].parts[0], Pair)
    assert not unloaded.requests


def test_flushing_the_cache_is_always_done():
    reply = asyncio.run(answer(Call("POST", "/flush_cache"), StubService()))
    assert reply.status == 200


def test_a_wrong_model_is_named_on_every_route_with_a_body():
    error = ModelNotFoundError
    for path, body in (
        ("/encode", {"text": "a"}),
        ("/v1/rerank", {"query": "q", "documents": ["a"], "instruct": None}),
        ("/v1/score", {"query": "q", "items": ["a"]}),
        ("/v1/classify", {"input": "a"}),
        ("/v1/tokenize", {"prompt": "a"}),
        ("/v1/detokenize", {"tokens": [[1]]}),
    ):
        reply, answered = post(path, {**body, "model": "none"})
        assert (reply.status, answered["error"]["reason"]) == (404, error.code)


def test_items_beside_a_field_that_sglang_has_not_are_openais():
    service = StubService()
    body = {"input": [{"text": "a"}], "truncate": "end"}
    reply, answered = post("/v1/embeddings", body, service)
    assert (reply.status, service.requests[0].truncate) == (200, "end")
    assert "created" in answered
