"""What bodies of Voyage's API ask for."""

import pytest

from polyvec.dialects._voyage.input import (
    parse_contextualized,
    parse_embed,
    parse_multimodal,
    parse_rerank,
)
from polyvec.errors import InvalidInputError
from polyvec.types import (
    Base64,
    DataUri,
    EmbedRequest,
    Image,
    Input,
    ScoreRequest,
    Text,
    Url,
    Video,
)

WEBP = "data:image/webp;base64,AAAA"
MP4 = "data:video/mp4;base64,AAAA"


def _contextualized(body):
    return parse_contextualized(body, 77)


PARSERS = [
    (parse_embed, {"input": ["a"]}),
    (parse_multimodal, {"inputs": [{"content": [{"type": "text", "text": "a"}]}]}),
    (_contextualized, {"inputs": [["a"]]}),
]
NAMES = [
    "model", "input_type", "truncation", "output_dimension", "output_dtype", "encoding_format",
    "enable_auto_chunking", "chunk_size", "output_encoding",
]  # fmt: skip


def test_a_body_of_the_python_client_has_its_defaults():
    asked = parse_embed(
        {
            "input": ["a"], "model": "m", "input_type": None, "truncation": True,
            "output_dtype": None, "output_dimension": None, "encoding_format": "base64",
        }
    )  # fmt: skip
    inputs = (Input((Text("a"),), "input[0]"),)
    assert asked.request == EmbedRequest("m", inputs, truncate="end", outputs=("dense",))
    assert (asked.input_type, asked.dtype, asked.encoding) == (None, "float", "base64")


def test_one_string_is_one_input():
    assert parse_embed({"input": "a"}).request.inputs == (Input((Text("a"),)),)


@pytest.mark.parametrize(("parse", "body"), PARSERS)
def test_null_means_absent_everywhere(parse, body):
    assert parse({**body, **dict.fromkeys(NAMES)}) == parse(body)


def test_every_field_is_read():
    asked = parse_embed(
        {
            "input": "a", "input_type": "query", "truncation": False, "output_dimension": 2,
            "output_dtype": "ubinary",
        }
    )  # fmt: skip
    assert asked.request.truncate == "none"
    assert asked.request.dimensions == 2
    assert (asked.input_type, asked.dtype, asked.encoding) == ("query", "ubinary", "float")


def test_an_input_may_have_texts_pictures_and_videos():
    content = [
        {"type": "text", "text": "a"},
        {"type": "image_base64", "image_base64": WEBP},
        {"type": "image_base64", "image_base64": "QUJD"},
        {"type": "image_url", "image_url": "https://h/a.png"},
        {"type": "video_url", "video_url": "https://h/a.mp4"},
        {"type": "video_base64", "video_base64": MP4},
    ]
    (item,) = parse_multimodal({"inputs": [{"content": content}]}).request.inputs
    assert item == Input(
        (
            Text("a"),
            Image(DataUri(WEBP)),
            Image(Base64("QUJD")),
            Image(Url("https://h/a.png")),
            Video(Url("https://h/a.mp4")),
            Video(DataUri(MP4)),
        ),
        "inputs[0]",
    )


def test_chunks_are_inputs_one_after_the_other():
    documents = _contextualized({"inputs": [["a", "b"], ["c"]]})
    assert [item.param for item in documents.asked.request.inputs] == [
        "inputs[0][0]",
        "inputs[0][1]",
        "inputs[1][0]",
    ]
    assert documents.lengths == (2, 1)
    assert documents.texts is None
    assert documents.asked.request.truncate == "none"


def test_a_document_that_is_a_string_is_one_chunk():
    documents = _contextualized({"inputs": ["a", "b"], "input_type": "query"})
    assert documents.lengths == (1, 1)
    assert documents.asked.input_type == "query"


@pytest.mark.parametrize(("chunk_size", "limit"), [(8, 8), (77, None), (32000, None), (None, None)])
def test_chunking_by_the_server_takes_documents_of_one_chunk(chunk_size, limit):
    documents = _contextualized(
        {"inputs": [["a"], ["b"]], "enable_auto_chunking": True, "chunk_size": chunk_size}
    )
    assert documents.asked.request.max_tokens == limit
    assert documents.texts == ("a", "b")


@pytest.mark.parametrize(
    ("parse", "fields", "param"),
    [
        (parse_embed, {}, "input"),
        (parse_embed, {"input": []}, "input"),
        (parse_embed, {"input": ["a", 1]}, "input[1]"),
        (parse_embed, {"input": [[1]]}, "input[0]"),
        (parse_multimodal, {}, "inputs"),
        (parse_multimodal, {"inputs": "a"}, "inputs"),
        (parse_multimodal, {"inputs": []}, "inputs"),
        (parse_multimodal, {"inputs": ["a"]}, "inputs[0]"),
        (parse_multimodal, {"inputs": [{"content": []}]}, "inputs[0].content"),
        (parse_multimodal, {"inputs": [{"content": [{"type": "text"}]}]}, "inputs[0].content[0]"),
        (_contextualized, {}, "inputs"),
        (_contextualized, {"inputs": []}, "inputs"),
        (_contextualized, {"inputs": [[]]}, "inputs[0]"),
        (_contextualized, {"inputs": [["a"], [1]]}, "inputs[1][0]"),
        (_contextualized, {"inputs": [5]}, "inputs[0]"),
        (_contextualized, {"inputs": [["a"]], "chunk_size": 0}, "chunk_size"),
        (_contextualized, {"inputs": [["a"]], "enable_auto_chunking": 1}, "enable_auto_chunking"),
    ],
)
def test_unusable_inputs_are_refused_by_place(parse, fields, param):
    with pytest.raises(InvalidInputError) as caught:
        parse(fields)
    assert caught.value.param == param


@pytest.mark.parametrize(("parse", "body"), PARSERS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 1),
        ("input_type", 1),
        ("output_dimension", 0),
        ("output_dimension", True),
        ("output_dtype", "float16"),
        ("encoding_format", "hex"),
    ],
)
def test_an_unusable_field_is_refused_by_name(parse, body, field, value):
    with pytest.raises(InvalidInputError) as caught:
        parse({**body, field: value})
    assert caught.value.param == field


def test_reranking_takes_texts_and_a_number():
    request, top_k, with_texts = parse_rerank(
        {"query": "q", "documents": ["a", {"text": "b"}], "top_k": 1, "return_documents": True}
    )
    assert request == ScoreRequest(None, ("q",), ("a", "b"), truncate="end")
    assert (top_k, with_texts) == (1, True)
    request, top_k, with_texts = parse_rerank(
        {"query": "q", "documents": ["a", "b"], "top_k": None, "truncation": False}
    )
    assert request.truncate == "none"
    assert (top_k, with_texts) == (2, False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": None}, "query"),
        ({"query": 1}, "query"),
        ({"documents": None}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": ["a", {}]}, "documents[1]"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": True}, "top_k"),
        ({"return_documents": "yes"}, "return_documents"),
        ({"truncation": "END"}, "truncation"),
    ],
)
def test_an_unusable_field_of_reranking_is_refused_by_name(fields, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_rerank({"query": "q", "documents": ["a"], "top_k": None, **fields})
    assert caught.value.param == param
