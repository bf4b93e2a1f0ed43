import asyncio
from dataclasses import replace

import pytest

from polyvec.dialects._base import Call
from polyvec.types import Base64, DataUri, EmbedRequest, Image, Input, Text, Url, Video
from tests.dialects.stub import CARD, TEXT_CARD, StubService, answer, get, post

ASYMMETRIC = replace(TEXT_CARD, prompts={"query": "query: ", "passage": "passage: "})


def _request(body, path="/vectors", card=CARD):
    service = StubService((card,))
    reply, said = post(path, body, service)
    assert reply.status == 200, said
    (request,) = service.requests
    return request


def _status(path, service):
    return asyncio.run(answer(Call("GET", path), service)).status


def test_a_text_is_cut_at_the_end():
    assert _request({"text": "a"}) == EmbedRequest(
        None, (Input((Text("a"),), param="text"),), truncate="end", outputs=("dense",)
    )


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        ("query", "query"),
        ("passage", "document"),
        ("clustering", "clustering"),
        (None, "document"),
        ("", "document"),
    ],
)
def test_the_task_chooses_the_prompt_of_a_model_that_has_some(task, prompt):
    request = _request({"text": "a", "config": {"task_type": task}}, card=ASYMMETRIC)
    assert request.prompt_name == prompt


def test_a_text_without_a_config_is_a_document():
    assert _request({"text": "a"}, card=ASYMMETRIC).prompt_name == "document"


def test_the_task_changes_nothing_on_a_model_without_prompts():
    assert _request({"text": "a", "config": {"task_type": "query"}}).prompt_name is None


@pytest.mark.parametrize(("dimensions", "wanted"), [(2, 2), (0, None), (None, None)])
def test_dimensions_of_the_config_count_and_those_at_the_top_do_not(dimensions, wanted):
    body = {"text": "a", "dims": 7, "config": {"dimensions": dimensions}}
    assert _request(body).dimensions == wanted


def test_an_empty_text_is_a_text():
    assert _request({"text": ""}).inputs[0].parts == (Text(""),)


def test_several_texts_come_before_one():
    assert len(_request({"text": "", "texts": ["a", "b"]}).inputs) == 2


def test_no_texts_give_no_vectors():
    assert post("/vectors", {"texts": []})[1] == {"vectors": [], "dims": 3}


def test_a_body_needs_no_content_type():
    reply, said = post("/vectors/", b'{"text":"a","dims":0,"vector":null,"error":"","config":{}}')
    assert reply.status == 200
    assert said["dim"] == said["dims"] == len(said["vector"]) == 3


def test_pictures_and_texts_are_told_apart():
    body = {"texts": ["a"], "images": ["aGk=", "https://x.org/a.png", "data:image/png;base64,aGk="]}
    request = _request(body, "/vectorize")
    assert [item.parts[0] for item in request.inputs] == [
        Text("a"),
        Image(Base64("aGk=")),
        Image(Url("https://x.org/a.png")),
        Image(DataUri("data:image/png;base64,aGk=")),
    ]
    assert request.inputs[1].param == "images[0]"


def test_videos_have_a_list_of_their_own():
    body = {"texts": ["a"], "images": None, "video": ["aGk="]}
    assert _request(body, "/vectorize").inputs[1].parts == (Video(Base64("aGk=")),)
    _, said = post("/vectorize", body)
    assert list(map(len, (said["textVectors"], said["imageVectors"], said["videoVectors"]))) == [
        1, 0, 1,
    ]  # fmt: skip


@pytest.mark.parametrize("body", [{}, {"texts": None, "images": None}, {"texts": [], "images": []}])
def test_empty_lists_give_empty_lists(body):
    assert post("/vectorize", body)[1] == {"textVectors": [], "imageVectors": []}


def test_the_lists_of_modules_that_we_do_not_replace_may_be_empty_only():
    empty = dict.fromkeys(("audio", "imu", "IMU", "thermal", "depth"))
    assert post("/vectorize", {"texts": ["a"], **empty})[0].status == 200
    for value in (["aGk="], {}, 0):
        reply, said = post("/vectorize", {"texts": ["a"], "audio": value})
        assert reply.status == 400
        assert "audio" in said["error"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/vectors", {}, "text"),
        ("/vectors", {"text": None}, "text"),
        ("/vectors", {"text": 1}, "text"),
        ("/vectors", {"texts": "a"}, "texts"),
        ("/vectors", {"texts": ["a", None]}, "texts[1]"),
        ("/vectors", {"text": "a", "config": []}, "config"),
        ("/vectors", {"text": "a", "config": {"task_type": 1}}, "config.task_type"),
        ("/vectors", {"text": "a", "config": {"dimensions": -1}}, "config.dimensions"),
        ("/vectorize", {"texts": {}}, "texts"),
        ("/vectorize", {"images": [1]}, "images[0]"),
        ("/vectorize", {"images": [""]}, "images[0]"),
    ],
)
def test_a_wrong_field_is_named(path, body, param):
    reply, said = post(path, body)
    assert reply.status == 400
    assert said["error"].startswith(param)


@pytest.mark.parametrize("path", ["/vectors", "/vectorize"])
def test_a_model_may_be_named(path):
    body = {"text": "a", "texts": ["a"], "model": "minilm"}
    service = StubService((CARD, TEXT_CARD))
    assert post(path, body, service)[0].status == 200
    assert service.requests[0].model == "minilm"
    assert post(path, {**body, "model": "nobody"}, service)[0].status == 404


def test_probes_have_no_body():
    assert _status("/.well-known/live", StubService(is_up=False)) == 204
    assert _status("/.well-known/ready", StubService()) == 204
    assert _status("/.well-known/ready", StubService(is_up=False)) == 503


def test_meta_tells_what_runs():
    _, said = get("/meta")
    assert said["model"] == CARD.name
    assert said["dimensions"] == 3
    assert said["architectures"] == ["CLIPModel"]


def test_meta_without_models_is_not_ready():
    assert get("/meta", StubService(()))[0].status == 503
