"""Token ids equal the reference's, from any thread; cutting keeps the special tokens."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers, processors

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


def _unigram() -> Tokenizer:
    """Pieces as XLM-RoBERTa's tokenizer.json lists them: control tokens first and likeliest."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(piece, -3.0) for piece in ("\u2581", "\u2581cat", *"</spadunkct>")]
    backend = Backend(models.Unigram(pieces, unk_id=3))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return Tokenizer(backend)


@pytest.mark.parametrize(
    "text", ["</s>", "cat</s>cat", "<pad> cat <s>", "<<s>/s>", "\uff1cpad\uff1e", "<unk>"]
)
def test_control_tokens_among_the_pieces_of_a_vocabulary_stay_text(text: str) -> None:
    tokenizer = _unigram()
    (ids,) = tokenizer.encode([text])
    assert ids[0] == 0
    assert ids[-1] == 2
    assert ids[1:-1].min() > 3
    assert tokenizer.encode_bare([text])[0].min() > 3
    assert tokenizer.within(1000).encode([text])[0].tolist() == ids.tolist()
    pair = tokenizer.pairs().encode([(text, "cat")])[0]
    assert pair.ids.tolist() == [*ids, 2, 5, 2]


def test_a_prompt_still_has_its_control_tokens_where_they_are_pieces() -> None:
    (ids,) = _unigram().encode_marked("<s>cat", ["</s>cat"])
    assert ids.tolist()[:3] == [0, 0, 5]
    assert 2 not in ids[1:-1]


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


def marked_tokenizer() -> Backend:
    """Byte-level, with an end and two control tokens that prompts use, as Gemma fine-tunes have."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Backend(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<bos>", "<eos>", "<instruct>", "<query>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 256), ("<eos>", 257)]
    )
    return tokenizer


PROMPT = "<instruct>find\n<query>"


def test_control_tokens_of_a_prompt_are_read_as_such() -> None:
    reference = marked_tokenizer()
    tokenizer = Tokenizer(marked_tokenizer())
    assert tokenizer.has_control_tokens(PROMPT)
    assert not tokenizer.has_control_tokens("find\n")
    for text in ("a cat", "", "  spaces "):
        (ids,) = tokenizer.encode_marked(PROMPT, [text])
        assert ids.tolist() == reference.encode(PROMPT + text).ids


def test_control_tokens_of_the_text_behind_a_prompt_stay_text() -> None:
    tokenizer = Tokenizer(marked_tokenizer())
    (ids,) = tokenizer.encode_marked(PROMPT + "q: ", ["a <query> b<eos>"])
    assert ids.tolist().count(258) == 1
    assert ids.tolist().count(259) == 1
    assert ids.tolist().count(257) == 1
    bare = marked_tokenizer()
    bare.encode_special_tokens = True
    body = bare.encode("q: a <query> b<eos>", add_special_tokens=False).ids
    assert ids.tolist()[-len(body) - 1 :] == [*body, 257]


def test_the_length_of_a_prompt_leaves_one_special_token_at_its_end_out() -> None:
    tokenizer = Tokenizer(marked_tokenizer())
    assert tokenizer.prompt_length("ab") == 3
    assert tokenizer.prompt_length("<instruct>ab") == 4
    assert BERT.prompt_length("the cat") == 3
    no_end = marked_tokenizer()
    no_end.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 256)]
    )
    assert Tokenizer(no_end).prompt_length("ab") == 3
    assert Tokenizer(no_end).ending_in("<eos>").prompt_length("ab") == 3


def test_an_end_token_is_put_after_every_text() -> None:
    bare = marked_tokenizer()
    bare.post_processor = None
    tokenizer = Tokenizer(bare).ending_in("<eos>")
    alone, *_ = tokenizer.encode(["ab"])
    together = tokenizer.encode(["ab", "c"])
    assert [ids[-1] for ids in (alone, *together)] == [257] * 3
    assert tokenizer.suffix.tolist() == [257]
    assert tokenizer.encode_marked(PROMPT, ["ab", "a<query>"])[1][-1] == 257


def test_a_model_without_special_tokens_gets_none() -> None:
    tokenizer = Tokenizer(marked_tokenizer(), special_tokens=False)
    (ids,) = tokenizer.encode(["ab"])
    assert len(ids) == 2
    assert tokenizer.truncate(ids, 1, "start").tolist() == [ids[1]]
    assert tokenizer.encode([""])[0].size == 0
