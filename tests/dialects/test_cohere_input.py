"""What bodies of Cohere's /embed ask for."""

import pytest

from polyvec.dialects._cohere.input import parse
from polyvec.errors import InvalidInputError
from polyvec.types import Base64, DataUri, EmbedRequest, Image, Input, Text, Url

PNG = "data:image/png;base64,AAAA"


def _refused(**fields):
    with pytest.raises(InvalidInputError) as caught:
        parse({"texts": ["a"], **fields})
    return caught.value


def test_a_body_with_only_texts_has_defaults():
    asked = parse({"texts": ["a", ""]})
    inputs = (Input((Text("a"),), "texts[0]"), Input((Text(""),), "texts[1]"))
    assert asked.request == EmbedRequest(None, inputs, truncate="end", outputs=("dense",))
    assert (asked.input_type, asked.embedding_types, asked.texts) == (None, None, ("a", ""))


def test_null_means_absent_everywhere():
    names = [
        "images", "inputs", "model", "input_type", "embedding_types", "truncate", "max_tokens",
        "output_dimension", "priority",
    ]  # fmt: skip
    assert parse({"texts": ["a"], **dict.fromkeys(names)}) == parse({"texts": ["a"]})
    assert parse({"texts": ["a"], "unknown": 1}) == parse({"texts": ["a"]})


def test_every_field_is_read():
    asked = parse(
        {
            "texts": ["a"], "model": "m", "input_type": "search_query", "truncate": "START",
            "embedding_types": ["int8", "float", "int8"], "max_tokens": 9, "output_dimension": 2,
            "priority": 3,
        }
    )  # fmt: skip
    assert asked.request == EmbedRequest(
        "m", (Input((Text("a"),), "texts[0]"),), dimensions=2, truncate="start", max_tokens=9,
        outputs=("dense",), priority=3,
    )  # fmt: skip
    assert asked.input_type == "search_query"
    assert asked.embedding_types == ("int8", "float")


@pytest.mark.parametrize(("value", "truncate"), [("NONE", "none"), ("START", "start")])
def test_truncation_has_three_words(value, truncate):
    assert parse({"texts": ["a"], "truncate": value}).request.truncate == truncate


def test_images_are_data_uris_urls_or_base64():
    asked = parse({"images": [PNG, "https://h/a.png", "QUJD"]})
    sources = [item.parts[0].source for item in asked.request.inputs]
    assert sources == [DataUri(PNG), Url("https://h/a.png"), Base64("QUJD")]
    assert [item.param for item in asked.request.inputs] == ["images[0]", "images[1]", "images[2]"]
    assert asked.texts == ()


def test_an_input_may_have_several_parts():
    content = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PNG}}]
    asked = parse({"inputs": [{"content": content}, {"content": [{"type": "text", "text": "b"}]}]})
    assert asked.request.inputs == (
        Input((Text("a"), Image(DataUri(PNG))), "inputs[0]"),
        Input((Text("b"),), "inputs[1]"),
    )
    assert asked.texts == ()


def test_an_empty_array_beside_a_full_one_is_as_good_as_none():
    assert parse({"texts": [], "images": [PNG]}) == parse({"images": [PNG]})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "texts"),
        ({"texts": []}, "texts"),
        ({"texts": None}, "texts"),
        ({"texts": ["a"], "images": [PNG]}, "images"),
        ({"texts": ["a"], "inputs": [{"content": "a"}]}, "inputs"),
        ({"texts": "a"}, "texts"),
        ({"texts": ["a"], "images": "b"}, "images"),
        ({"texts": ["a", None]}, "texts[1]"),
        ({"texts": [["a"]]}, "texts[0]"),
        ({"images": [""]}, "images[0]"),
        ({"images": [PNG, {"url": PNG}]}, "images[1]"),
        ({"images": ["ftp://h/a"]}, "images[0]"),
        ({"inputs": ["a"]}, "inputs[0]"),
        ({"inputs": [{}]}, "inputs[0].content"),
        ({"inputs": [{"content": []}]}, "inputs[0].content"),
        ({"inputs": [{"content": [{"type": "text"}]}]}, "inputs[0].content[0]"),
        ({"inputs": [{"content": [{"type": "image_url"}]}]}, "inputs[0].content[0]"),
    ],
)
def test_exactly_one_field_of_sound_inputs_is_needed(body, param):
    with pytest.raises(InvalidInputError) as caught:
        parse(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("model", 5, "model"),
        ("input_type", ["a"], "input_type"),
        ("truncate", "end", "truncate"),
        ("truncate", True, "truncate"),
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", True, "max_tokens"),
        ("max_tokens", 1.0, "max_tokens"),
        ("output_dimension", -1, "output_dimension"),
        ("output_dimension", "2", "output_dimension"),
        ("priority", False, "priority"),
        ("priority", 2**63, "priority"),
        ("embedding_types", "float", "embedding_types"),
        ("embedding_types", ["float", "int4"], "embedding_types[1]"),
        ("embedding_types", [None], "embedding_types[0]"),
        ("embedding_types", [{}], "embedding_types[0]"),
    ],
)
def test_an_unusable_field_is_refused_by_name(field, value, param):
    assert _refused(**{field: value}).param == param


def test_a_wrong_type_is_answered_with_the_types_that_there_are():
    message = _refused(embedding_types=["float16"]).message
    assert "float, int8, uint8, binary, ubinary, base64" in message
    assert "'NONE', 'START' or 'END'" in _refused(truncate="LEFT").message
