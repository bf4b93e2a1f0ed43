import asyncio

import orjson
import pytest

from polyvec.dialects._base import Call
from polyvec.dialects._sglang.encode import parse_encode
from polyvec.errors import (
    InvalidInputError,
)
from polyvec.types import (
    DataUri,
    Image,
    Text,
    Tokens,
    Video,
)
from tests.dialects.stub import CARD, ROWS, StubService, answer

PNG = "data:image/png;base64,AA=="
PICTURE = Image(DataUri(PNG))


def encoded(body):
    request, asked = parse_encode(body, CARD)
    return [item.parts for item in request.inputs], asked


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_encode_gives_one_object_for_one_text_and_an_array_for_an_array(method):
    one, many = (
        asyncio.run(
            answer(Call(method, "/encode", body=orjson.dumps({"text": text})), StubService())
        )
        for text in ("a", ["a"])
    )
    single, (first,) = orjson.loads(one.body), orjson.loads(many.body)
    assert single["embedding"] == first["embedding"] == pytest.approx(ROWS[0].tolist())
    assert single["meta_info"]["prompt_tokens"] == 5
    assert single["meta_info"]["e2e_latency"] >= 0


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ({"text": "a"}, [(Text("a"),)]),
        ({"input_ids": [1, 2]}, [(Tokens((1, 2)),)]),
        ({"input_ids": [[1], [2]]}, [(Tokens((1,)),), (Tokens((2,)),)]),
        ({"image_data": PNG}, [(PICTURE,)]),
        ({"image_data": [PNG, [PNG, PNG]]}, [(PICTURE,), (PICTURE, PICTURE)]),
        ({"text": "a", "image_data": [PNG, PNG]}, [(PICTURE, PICTURE, Text("a"))]),
        ({"text": ["a", "b"], "image_data": [PNG, None]}, [(PICTURE, Text("a")), (Text("b"),)]),
        ({"text": ["a", "b"], "image_data": PNG}, [(PICTURE, Text("a")), (PICTURE, Text("b"))]),
        ({"text": "", "video_data": PNG}, [(Video(DataUri(PNG)),)]),
    ],
)
def test_encode_reads_texts_ids_pictures_and_videos(body, parts):
    found, _ = encoded(body)
    assert found == parts


def test_encode_repeats_the_ids_that_it_was_given():
    assert encoded({"text": ["a", "b"], "rid": ["x", "y"]})[1].request_ids == ("x", "y")
    assert encoded({"text": ["a", "b"], "rid": ["x"]})[1].request_ids == ()
    assert encoded({"text": "a", "rid": "x"})[1].request_ids == ("x",)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text"),
        ({"text": "a", "input_ids": [1]}, "input_ids"),
        ({"text": []}, "text"),
        ({"text": ["a", 1]}, "text[1]"),
        ({"input_ids": [1, "a"]}, "input_ids"),
        ({"input_ids": [[1], [-2]]}, "input_ids[1]"),
        ({"text": ["a", "b"], "image_data": [PNG]}, "image_data"),
        ({"text": "a", "image_data": [1]}, "image_data"),
        ({"image_data": [None]}, "text"),
        ({"text": "a", "audio_data": "AA=="}, "audio_data"),
        ({"text": "a", "return_pooled_hidden_states": True}, "return_pooled_hidden_states"),
    ],
)
def test_encode_names_what_it_cannot_use(body, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_encode(body, CARD)
    assert caught.value.param == param
