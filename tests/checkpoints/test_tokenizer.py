"""Token ids equal the reference's, from any thread; cutting keeps the special tokens."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models

from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.errors import CheckpointError
from tests import tiny

BERT = Tokenizer(tiny.bert_tokenizer(200))


def test_baked_truncation_and_padding_are_switched_off() -> None:
    (short, long) = BERT.encode(["cat", "cat " * 30])
    assert len(short) == 3
    assert len(long) == 32


def test_genuine_vocabulary_gives_known_ids(minilm: Path) -> None:
    tokenizer = Tokenizer.open(minilm / "tokenizer.json")
    assert tokenizer.encode(["hello world"])[0].tolist() == [101, 7592, 2088, 102]
    assert tokenizer.encode([""])[0].tolist() == [101, 102]
    assert tokenizer.vocab_size == 30522


def test_control_tokens_typed_by_a_user_stay_text(minilm: Path) -> None:
    tokenizer = Tokenizer.open(minilm / "tokenizer.json")
    ids = tokenizer.encode(["a [SEP] b [CLS]"])[0]
    assert ids.tolist().count(102) == 1
    assert ids.tolist().count(101) == 1


def test_one_text_and_many_give_the_same_ids() -> None:
    texts = ["the cat sat", "", "a red dog"]
    for text, ids in zip(texts, BERT.encode(texts), strict=True):
        np.testing.assert_array_equal(BERT.encode([text])[0], ids)


def test_lower_casing_is_done_when_the_checkpoint_asks(tmp_path: Path) -> None:
    cased = tiny.roberta_tokenizer()
    cased.save(str(tmp_path / "tokenizer.json"))
    lower = Tokenizer.open(tmp_path / "tokenizer.json", lower_case=True)
    plain = Tokenizer.open(tmp_path / "tokenizer.json")
    np.testing.assert_array_equal(lower.encode(["The CAT"])[0], plain.encode(["the cat"])[0])
    assert plain.encode(["The CAT"])[0].tolist() != lower.encode(["The CAT"])[0].tolist()


def test_lower_casing_is_that_of_the_reference_tokenizer(tmp_path: Path) -> None:
    words = {"<s>": 0, "</s>": 1, "οδοσ": 2, "οδος": 3}
    cased = Backend(models.WordLevel(words, unk_token="<s>"))
    cased.save(str(tmp_path / "tokenizer.json"))
    lower = Tokenizer.open(tmp_path / "tokenizer.json", lower_case=True)
    # A final sigma is lowered like any other, letter by letter.
    assert lower.encode(["ΟΔΟΣ"])[0].tolist() == [2]


@given(st.integers(0, 40), st.integers(3, 20), st.sampled_from(["end", "start"]))
def test_truncation_keeps_both_special_tokens(words: int, limit: int, side: str) -> None:
    ids = BERT.encode(["cat " * words + "dog"])[0]
    cut = BERT.truncate(ids, limit, side)
    assert len(cut) == min(limit, len(ids))
    assert cut[0] == 2
    assert cut[-1] == 3
    kept = ids[1 : len(cut) - 1] if side == "end" else ids[len(ids) - len(cut) + 1 : -1]
    np.testing.assert_array_equal(cut[1:-1], kept)


def test_threads_with_different_limits_do_not_disturb_each_other() -> None:
    long = "the cat sat on the mat " * 8

    def cut(limit: int) -> int:
        return len(BERT.truncate(BERT.encode([long])[0], limit, "end"))

    limits = [5 + i % 30 for i in range(600)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(cut, limits)) == limits


@pytest.mark.parametrize("content", [None, "", "{}", "not json", '{"model": 3}'])
def test_a_missing_or_damaged_file_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        Tokenizer.open(tmp_path / "tokenizer.json")
