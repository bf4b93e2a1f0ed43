"""Base64 that is decoded in pieces is what it is when decoded at once."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.errors import MediaError
from polyvec.media import base64_text
from polyvec.media.base64_text import decode_base64
from polyvec.media.encoded import Wanted
from polyvec.media.policy import MediaPolicy

WANTED = Wanted("video", MediaPolicy(), "input")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that most texts have several, whose ends fall anywhere in a group."""
    monkeypatch.setattr(base64_text, "PIECE_CHARS", 7)


def refusal(text: str, wanted: Wanted = WANTED) -> MediaError:
    with pytest.raises(MediaError) as caught:
        decode_base64(text, wanted)
    return caught.value


@given(st.binary(max_size=60), st.booleans(), st.booleans(), st.integers(1, 20))
def test_every_spelling_of_bytes_gives_them_back(data, is_url_safe, is_padded, width):
    text = (base64.urlsafe_b64encode if is_url_safe else base64.b64encode)(data).decode()
    text = text if is_padded else text.rstrip("=")
    lines = [text[place : place + width] for place in range(0, len(text), width)]
    assert decode_base64(" \r\n".join(lines), WANTED) == data


@given(st.text(alphabet="ab=+-/_ \n!é", max_size=24))
def test_what_is_accepted_is_what_the_library_accepts_as_a_whole(text):
    plain = "".join(text.split()).replace("-", "+").replace("_", "/")
    digits = plain.rstrip("=")
    padded = digits + "=" * (-len(digits) % 4)
    try:
        assert plain in {digits, padded}
        whole = base64.b64decode(padded, validate=True)
        assert "=" not in digits
    except (AssertionError, ValueError):
        assert refusal(text).code == "invalid_base64"
    else:
        assert decode_base64(text, WANTED) == whole


@pytest.mark.parametrize("text", ["abc=defg", "abcdefgh=ijk", "ab==" * 8, "=abc"])
def test_padding_stands_at_the_end_only(text):
    assert "padding" in refusal(text).message


def test_the_limit_is_on_the_bytes():
    wanted = Wanted("video", MediaPolicy(limit_video_bytes=40), "input")
    assert len(decode_base64(base64.b64encode(bytes(40)).decode(), wanted)) == 40
    for size in (41, 42, 1000):
        text = base64.b64encode(bytes(size)).decode()
        assert refusal(text, wanted).code == "video_too_large"
        assert refusal("\n".join(text), wanted).code == "video_too_large"
