"""Content parts and what their strings point at."""

import pytest

from polyvec.dialects._content import parse_content, parse_messages, parse_part, source_of
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.types import Base64, DataUri, File, Image, Message, Text, Url, Video

PNG = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("a cat", Text("a cat")),
        ({"type": "text", "text": "a cat"}, Text("a cat")),
        ({"type": "input_text", "text": "a cat"}, Text("a cat")),
        ({"text": ""}, Text("")),
        ({"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}, Image(DataUri(PNG))),
        ({"type": "image_url", "image_url": PNG}, Image(DataUri(PNG))),
        ({"image_url": {"url": PNG}}, Image(DataUri(PNG))),
        ({"type": "image", "image": "QUJD"}, Image(Base64("QUJD"))),
        ({"type": "image_base64", "image_base64": PNG}, Image(DataUri(PNG))),
        ({"type": "input_image", "image_url": "http://h/a.png"}, Image(Url("http://h/a.png"))),
        ({"type": "video_url", "video_url": {"url": "http://h/v"}}, Video(Url("http://h/v"))),
        ({"type": "input_video", "input_video": {"data": "QUJD"}}, Video(Base64("QUJD"))),
        ({"type": "text", "text": "a", "image_url": None}, Text("a")),
        ({"text": "", "image": "QUJD"}, Image(Base64("QUJD"))),
    ],
)
def test_a_part_is_read_by_its_type_or_its_field(part, expected):
    assert parse_part(part, "input[0]") == expected


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"type": "text"},
        {"type": "text", "text": 1},
        {"type": "text", "text": None},
        {"type": "poem", "text": "a"},
        {"type": {}, "text": "a"},
        {"type": "image_url", "image_url": {}},
        {"type": "image_url", "image_url": ""},
        {"type": "image_url", "image_url": 5},
        {"type": "image_url", "image_url": "ftp://h/a.png"},
        {"text": "a", "image": "QUJD"},
        {"image": "QUJD", "video_url": "http://h/v"},
        7,
        None,
        ["a"],
    ],
)
def test_what_is_no_part_is_refused_by_name(part):
    with pytest.raises(InvalidInputError) as caught:
        parse_part(part, "input[3]")
    assert caught.value.param.startswith("input[3]")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"audio_url": {"url": "http://h/a.wav"}},
        {"type": "file", "file": {"file_id": "x"}},
    ],
)
def test_sound_and_documents_are_refused_as_such(part):
    with pytest.raises(UnsupportedInputError):
        parse_part(part, "input[0]")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, ()),
        ("a", (Text("a"),)),
        ({"type": "text", "text": "a"}, (Text("a"),)),
        ([], ()),
        (["a", {"type": "text", "text": "b"}], (Text("a"), Text("b"))),
    ],
)
def test_content_is_a_string_a_part_or_an_array(content, expected):
    assert parse_content(content, "content") == expected


def test_messages_keep_role_and_order():
    found = parse_messages([{"role": "query", "content": "a"}, {"content": ["b"]}], "messages")
    assert found == (Message("query", (Text("a"),)), Message("user", (Text("b"),)))


@pytest.mark.parametrize(
    "messages", [[], {}, "a", None, ["a"], [None], [{"role": 1, "content": "a"}], [{"content": 5}]]
)
def test_what_is_no_conversation_is_refused_by_name(messages):
    with pytest.raises(InvalidInputError) as caught:
        parse_messages(messages, "messages")
    assert caught.value.param.startswith("messages")


@pytest.mark.parametrize(
    ("string", "expected"),
    [
        ("DATA:image/png;base64,AA==", DataUri("DATA:image/png;base64,AA==")),
        ("HTTPS://h/x", Url("HTTPS://h/x")),
        ("file:///srv/a.png", File("/srv/a.png")),
        ("/srv/a.PNG", File("/srv/a.PNG")),
        ("film.mp4", File("film.mp4")),
        ("/9j/4AAQSkZJRg==", Base64("/9j/4AAQSkZJRg==")),
    ],
)
def test_a_string_points_at_what_it_looks_like(string, expected):
    assert source_of(string, "image") == expected
