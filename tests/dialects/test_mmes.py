from dataclasses import replace

import numpy as np
import pytest

from polyvec.dialects._mmes.fields import FieldError
from polyvec.dialects._mmes.input import parse_input
from polyvec.errors import (
    InferenceError,
    InputTooLongError,
    MediaError,
    NotReadyError,
    OverloadedError,
    UnsupportedInputError,
)
from polyvec.types import Base64, Image, Text, Url
from tests.dialects.stub import CARD, ROWS, TEXT_CARD, StubService, get, post

FLAT = ROWS[0].astype(float).round(7).tolist()
VIDEO_REFUSAL = "Video inputs are not supported by the active model"


def _embed(input_, service=None, **fields):
    return post("/embeddings", {"model": CARD.name, "input": input_, **fields}, service)


def _first_source(image_base64):
    parsed = parse_input({"input": {"type": "image_base64", "image_base64": image_base64}})
    (part,) = parsed.inputs[0].parts
    assert isinstance(part, Image)
    return part.source


# shapes


def test_a_string_gives_one_flat_vector():
    reply, body = _embed({"type": "text", "text": "a"})
    assert reply.status == 200
    assert body["embedding"] == pytest.approx(FLAT)
    assert set(body) == {"embedding"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_list_gives_nested_vectors_even_for_one(count):
    _, body = _embed({"type": "text", "text": ["a"] * count})
    assert [len(row) for row in body["embedding"]] == [3] * count


def test_an_empty_list_gives_an_empty_answer():
    service = StubService()
    reply, body = _embed({"type": "text", "text": []}, service)
    assert (reply.status, body, service.requests) == (200, {"embedding": []}, [])


def test_an_image_gives_one_flat_vector():
    _, body = _embed({"type": "image_base64", "image_base64": "aGk="})
    assert len(body["embedding"]) == 3
    assert isinstance(body["embedding"][0], float)


def test_one_frame_gives_nested_vectors_in_order():
    frame = {"type": "image_base64", "image_base64": "aGk="}
    _, one = _embed({"type": "video_frames", "video_frames": [frame]})
    _, three = _embed({"type": "video_frames", "video_frames": [frame] * 3})
    assert [len(row) for row in one["embedding"]] == [3]
    assert [row[2] for row in three["embedding"]] == [1.0, -3.0, 7.5]


class SeveralVectors(StubService):
    """Two vectors beside the one of each input."""

    async def embed(self, request):
        result = await super().embed(request)
        tokens = np.eye(2, 3, dtype=np.float32)
        several = tuple(replace(each, token_vectors=tokens) for each in result.embeddings)
        return replace(result, embeddings=several)


def test_a_pictures_several_vectors_come_beside_its_one_when_they_are_asked_for():
    picture = {"type": "image_base64", "image_base64": "aGk="}
    service = SeveralVectors()
    _, plain = _embed(picture, service)
    _, lone = _embed(picture, service, include=["tokens"])
    _, frames = _embed(
        {"type": "video_frames", "video_frames": [picture] * 2}, service, include="tokens"
    )
    assert set(plain) == {"embedding"}
    assert lone == {"embedding": plain["embedding"], "token_embeddings": [[1, 0, 0], [0, 1, 0]]}
    assert frames["token_embeddings"] == [lone["token_embeddings"]] * 2
    assert [one.outputs for one in service.requests] == [("dense",)] + [("dense", "tokens")] * 2


@pytest.mark.parametrize("value", ["float", "base64", "zzz", None])
def test_vectors_are_float_arrays_whatever_the_encoding_format(value):
    reply, body = _embed({"type": "text", "text": "a"}, encoding_format=value)
    assert reply.status == 200
    assert body["embedding"] == pytest.approx(FLAT)


def test_encoding_format_may_be_absent():
    assert _embed({"type": "text", "text": "a"})[0].status == 200


# requests


def test_vectors_have_unit_length_and_long_texts_are_cut():
    service = StubService()
    _embed({"type": "text", "text": ["a", ""]}, service)
    (request,) = service.requests
    assert (request.normalize, request.truncate, request.model) == (True, "end", CARD.name)
    assert [item.parts for item in request.inputs] == [(Text("a"),), (Text(""),)]
    assert [item.param for item in request.inputs] == ["input.text[0]", "input.text[1]"]


@pytest.mark.parametrize("wire", ["aGk=", "data:image/png;base64,aGk=", "whatever,aGk=", ",aGk="])
def test_what_precedes_the_first_comma_is_dropped(wire):
    assert _first_source(wire) == Base64("aGk=")


def test_only_the_first_comma_counts():
    assert _first_source("a,b,c") == Base64("b,c")


def test_an_image_url_is_passed_on():
    parsed = parse_input({"input": {"type": "image_url", "image_url": "https://e.com/a,b.png"}})
    assert parsed.inputs[0].parts == (Image(Url("https://e.com/a,b.png")),)


def test_frames_are_named_by_index():
    frames = [
        {"type": "image_url", "image_url": "https://e.com/1"},
        {"type": "image_base64", "image_base64": "aGk="},
    ]
    parsed = parse_input({"input": {"type": "video_frames", "video_frames": frames}})
    assert [item.param for item in parsed.inputs] == [
        "input.video_frames[0]",
        "input.video_frames[1]",
    ]


@pytest.mark.parametrize(
    "name",
    [CARD.name, CARD.aliases[0], "clip-vit-b-16", "CLIP-ViT-B-16", "clip/CLIP-vit-b-16"],
)
def test_a_model_answers_to_its_spellings(name):
    reply, _ = post("/embeddings", {"model": name, "input": {"type": "text", "text": "a"}})
    assert reply.status == 200


def test_each_of_several_models_is_found():
    service = StubService(cards=(TEXT_CARD, CARD))
    _embed({"type": "text", "text": "a"}, service)
    assert service.requests[0].model == CARD.name


def test_a_bare_name_of_two_models_is_a_mismatch():
    service = StubService(cards=(CARD, replace(CARD, name="other/clip-vit-b-16", aliases=())))
    body = {"model": "clip-vit-b-16", "input": {"type": "text", "text": "a"}}
    assert post("/embeddings", body, service)[0].status == 400


# refusals


VIDEO = {"type": "video_file", "video_path": "a.mp4", "segment_config": {}}


@pytest.mark.parametrize("input_", [{"type": "nope", "text": "a"}, VIDEO])
def test_a_model_mismatch_is_reported_before_what_the_type_asks_for(input_):
    reply, body = post("/embeddings", {"model": "X", "input": input_})
    assert reply.status == 400
    assert body["detail"].startswith("Model mismatch: requested model 'X' does not match")


@pytest.mark.parametrize("input_", [{"type": "nope"}, {"type": "text"}, {"type": None}, {}])
def test_malformed_fields_are_reported_before_a_model_mismatch(input_):
    assert post("/embeddings", {"model": "X", "input": input_})[0].status == 422


def test_an_endless_model_name_is_not_echoed_whole():
    reply, _ = post("/embeddings", {"model": "X" * 10**6, "input": {"type": "text", "text": "a"}})
    assert reply.status == 400
    assert len(reply.body) < 1000


@pytest.mark.parametrize(
    ("input_", "status", "detail"),
    [
        ({"type": "nope", "text": "a"}, 400, "Invalid input type"),
        ({"type": "", "text": "a"}, 400, "Invalid input type"),
        (
            {"type": "video_frames", "video_frames": []},
            422,
            "Invalid input data: video_frames must hold at least one frame",
        ),
    ],
)
def test_a_refused_input_has_a_text(input_, status, detail):
    reply, body = _embed(input_)
    assert (reply.status, body["detail"]) == (status, detail)


@pytest.mark.parametrize(
    ("input_", "kind", "place"),
    [
        ({"type": "text"}, "missing", ["text"]),
        ({"type": "text", "image_url": "https://e.com"}, "missing", ["text"]),
        ({"type": "text", "text": None}, "string_type", ["text"]),
        ({"type": "text", "text": {}}, "string_type", ["text"]),
        ({"type": "text", "text": ["a", 1]}, "string_type", ["text", 1]),
        ({"type": 5}, "string_type", ["type"]),
        ({"type": "image_url"}, "missing", ["image_url"]),
        ({"type": "image_base64", "image_base64": ["a"]}, "string_type", ["image_base64"]),
        ({"type": "image_file"}, "missing", ["image_path"]),
        ({"type": "video_frames"}, "missing", ["video_frames"]),
        ({"type": "video_frames", "video_frames": {}}, "list_type", ["video_frames"]),
        ({"type": "video_frames", "video_frames": ["a"]}, "dict_type", ["video_frames", 0]),
        (
            {"type": "video_frames", "video_frames": [{"type": "text", "text": "a"}]},
            "literal_error",
            ["video_frames", 0, "type"],
        ),
        (
            {"type": "video_frames", "video_frames": [{"type": "image_url"}]},
            "missing",
            ["video_frames", 0, "image_url"],
        ),
        ({"type": "video_url", "video_url": "https://e.com"}, "missing", ["segment_config"]),
        (
            {"type": "video_base64", "video_base64": "a", "segment_config": None},
            "dict_type",
            ["segment_config"],
        ),
        ({"type": "video_file", "segment_config": {}}, "missing", ["video_path"]),
        ({"type": "frames_batch"}, "missing", ["frames_manifest_path"]),
    ],
)
def test_a_malformed_input_is_422_by_place(input_, kind, place):
    reply, body = _embed(input_)
    (detail,) = body["detail"]
    assert reply.status == 422
    assert (detail["type"], detail["loc"]) == (kind, ["body", "input", *place])
    assert set(detail) == {"type", "loc", "msg"}


@pytest.mark.parametrize(
    ("body", "kind", "place"),
    [
        ({"input": {"type": "text", "text": "a"}}, "missing", ["model"]),
        ({"model": None, "input": {"type": "text", "text": "a"}}, "string_type", ["model"]),
        (
            {"model": CARD.name, "input": {"type": "text", "text": "a"}, "encoding_format": 1},
            "string_type",
            ["encoding_format"],
        ),
    ],
)
def test_a_malformed_field_beside_the_input_is_422_by_place(body, kind, place):
    reply, answered = post("/embeddings", body)
    assert reply.status == 422
    assert answered["detail"][0]["type"] == kind
    assert answered["detail"][0]["loc"] == ["body", *place]


@pytest.mark.parametrize("body", [{}, {"input": "a"}, {"input": []}])
def test_an_input_that_is_no_object_is_a_field_error(body):
    with pytest.raises(FieldError):
        parse_input(body)


@pytest.mark.parametrize(
    ("input_", "detail"),
    [
        (
            {"type": "image_url", "image_url": "https://e.com"},
            "Image inputs are not supported by the active model",
        ),
        (
            {
                "type": "video_frames",
                "video_frames": [{"type": "image_base64", "image_base64": ""}],
            },
            VIDEO_REFUSAL,
        ),
        (VIDEO, VIDEO_REFUSAL),
        ({"type": "frames_batch", "frames_manifest_path": "a.json"}, VIDEO_REFUSAL),
        (
            {"type": "image_file", "image_path": "a.png"},
            "Image inputs are not supported by the active model",
        ),
    ],
)
def test_a_text_model_refuses_images(input_, detail):
    service = StubService(cards=(TEXT_CARD,))
    reply, body = post("/embeddings", {"model": "minilm", "input": input_}, service)
    assert (reply.status, body["detail"], service.requests) == (400, detail, [])


def test_an_image_model_refuses_texts():
    service = StubService(cards=(replace(CARD, modalities=("image",)),))
    reply, body = _embed({"type": "text", "text": "a"}, service)
    assert reply.status == 400
    assert body["detail"] == "Text inputs are not supported by the active model"


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (MediaError("not base64"), 422, "Invalid input data: not base64"),
        (
            MediaError("not an image", param="input.video_frames[1]"),
            422,
            "Invalid input data: input.video_frames[1]: not an image",
        ),
        (
            InputTooLongError("input.text has 99 tokens", param="input.text"),
            422,
            "Invalid input data: input.text has 99 tokens",
        ),
        (UnsupportedInputError("no image URLs yet"), 400, "no image URLs yet"),
        (NotReadyError("loading"), 503, "Model is not initialized"),
        (OverloadedError("the queue is full"), 503, "the queue is full"),
    ],
)
def test_an_error_of_the_service_has_a_text(error, status, detail):
    reply, body = _embed({"type": "text", "text": "a"}, StubService(error=error))
    assert (reply.status, body["detail"]) == (status, detail)


def test_a_failed_inference_is_500_without_its_cause():
    service = StubService(error=InferenceError("std::bad_alloc in /opt/x.so"))
    reply, body = _embed({"type": "text", "text": "a"}, service)
    assert reply.status == 500
    assert body["detail"].startswith("Error creating embedding: ")
    assert "bad_alloc" not in body["detail"]


# other paths


@pytest.mark.parametrize(
    "path", ["/models", "/model/list", "/model/current", "/model/capabilities"]
)
def test_without_a_model_the_answer_is_503(path):
    reply, body = get(path, StubService(cards=()))
    assert (reply.status, body) == (503, {"detail": "Model is not initialized"})


def test_embedding_without_a_model_is_503():
    assert _embed({"type": "text", "text": "a"}, StubService(cards=()))[0].status == 503


def test_a_served_model_outside_the_known_ones_is_listed_by_its_family():
    _, body = get("/models", StubService(cards=(TEXT_CARD,)))
    assert body["current_model"] == "minilm"
    assert list(body["available_models"]) == ["CLIP", "QwenText", "bert"]
    assert body["available_models"]["bert"] == ["minilm"]
    assert body["total_models"] == 4


def test_current_model_tells_where_it_runs():
    _, body = get("/model/current", StubService(cards=(TEXT_CARD,)))
    assert (body["device"], body["use_openvino"]) == ("CPU", False)


def test_capabilities_of_a_text_model():
    _, body = get("/model/capabilities", StubService(cards=(TEXT_CARD,)))
    assert body == {
        "model": "minilm",
        "modalities": ["text"],
        "supports_text": True,
        "supports_image": False,
        "supports_video": False,
    }


def test_health_is_503_until_the_server_is_ready():
    reply, body = get("/health", StubService(is_up=False))
    assert reply.status == 503
    assert body == {"status": "unhealthy", "detail": "Model is not healthy"}


QWEN = replace(
    TEXT_CARD,
    name="QwenText/qwen3-embedding-0.6b",
    architecture="Qwen3ForCausalLM",
    prompts={"query": "Instruct: x\nQuery:", "document": ""},
)


@pytest.mark.parametrize(
    ("card", "text", "prompt_name"),
    [
        (QWEN, "a lone text is a query", "query"),
        (QWEN, ["texts of a list are documents"], None),
        (replace(QWEN, prompts={}), "no such prompt", None),
        (replace(QWEN, architecture="BertModel"), "another family", None),
    ],
)
def test_qwen_text_models_read_a_lone_text_as_a_query(card, text, prompt_name):
    service = StubService(cards=(card,))
    body = {"model": card.name, "input": {"type": "text", "text": text}}
    reply, _ = post("/embeddings", body, service)
    assert reply.status == 200
    assert service.requests[0].prompt_name == prompt_name
