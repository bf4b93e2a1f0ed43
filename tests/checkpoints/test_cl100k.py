import base64
import hashlib
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.checkpoints import cl100k

# Source: tiktoken_ext/openai_public.py and tiktoken/load.py: the address of the file, by which it
# is kept in the folder of downloads, and its hash, which tiktoken checks.
ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"


def published_file() -> bytes:
    lines = (
        base64.b64encode(cl100k.decode([token])) + f" {token}\n".encode()
        for token in range(cl100k.NUM_TOKENS)
    )
    return b"".join(lines)


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> tiktoken.Encoding:
    """tiktoken's own cl100k, from a folder in which its file lies already."""
    folder: Path = tmp_path_factory.mktemp("tiktoken")
    name = hashlib.sha1(ADDRESS.encode(), usedforsecurity=False).hexdigest()
    (folder / name).write_bytes(published_file())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        return tiktoken.get_encoding("cl100k_base")


def test_the_tokens_are_those_of_the_published_file() -> None:
    assert hashlib.sha256(published_file()).hexdigest() == SHA256


NAUGHTY = (
    "hello world",
    "",
    " ",
    "\n\n\t  \r\n",
    "Ünïcödé naïve café",
    "漢字かな交じり文 한국어 عربي עברית",
    "👨‍👩‍👧‍👦 🇩🇪 🏳️‍🌈 e\u0301 \u200b\ufeff\u202e",
    "\U0010ffff\U0001d518\0\x7f\x80",
    "<|endoftext|> [CLS] <s>",
    "a" * 1000 + "!" * 100,
    "def f(x):\n    return {'x': [x ** 2, \"é\"]}\n",
    "Z̸̢͝a̷l̶g̴o̵",
)


@pytest.mark.parametrize("text", NAUGHTY)
def test_ids_that_tiktoken_makes_of_a_text_become_the_text(
    encoding: tiktoken.Encoding, text: str
) -> None:
    ids = encoding.encode(text, disallowed_special=())
    assert cl100k.decode(ids).decode() == text
    assert cl100k.unknown_id(ids) is None


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=50))
def test_any_text_comes_back(encoding: tiktoken.Encoding, text: str) -> None:
    ids = encoding.encode(text, disallowed_special=())
    assert cl100k.decode(ids).decode() == text


def test_control_tokens_are_those_of_tiktoken(encoding: tiktoken.Encoding) -> None:
    known = [token for token in range(100_200, 100_400) if cl100k.unknown_id([token]) is None]
    special = {encoding.encode_single_token(name) for name in encoding.special_tokens_set}
    assert set(known) == {*range(100_200, 100_256), *special}
    for token in special:
        assert cl100k.decode([token]) == encoding.decode_single_token_bytes(token)


@pytest.mark.parametrize(
    ("ids", "wrong"),
    [([1, -1], -1), ([100_256], 100_256), ([5, 100_277, -3], 100_277), ([2**62], 2**62)],
)
def test_ids_beyond_the_encoding_are_found(ids: list[int], wrong: int) -> None:
    assert cl100k.unknown_id(ids) == wrong
    assert cl100k.unknown_id([]) is None


@pytest.mark.parametrize("text", ["a😀b", "é", "漢", "", "abc", "😀"])
def test_characters_that_were_cut_are_left_out(text: str) -> None:
    utf8 = text.encode()
    for start in range(len(utf8) + 1):
        for end in range(start, len(utf8) + 1):
            kept = cl100k.whole_characters(utf8[start:end]).decode()
            whole = [
                char
                for place, char in enumerate(text)
                if len(text[:place].encode()) >= start and len(text[: place + 1].encode()) <= end
            ]
            assert kept == "".join(whole)
