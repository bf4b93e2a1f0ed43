"""A tokenizer of vocabulary files gives the ids that transformers makes of the same files."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.errors import CheckpointError
from tests import tiny

TEXTS = [
    "the cat's Mat, 2024",
    "",
    "  Two  spaces\tand\n a\n\nline ",
    "Ünïcödé naïve 北京 é",
    "don't WE'LL 12345",
    "</s> [SEP] <|endoftext|>",
]
MERGES = [("t", "h"), ("th", "e"), ("c", "a"), ("Ġ", "the"), ("'", "s")]
CLIP_MERGES = [("t", "h"), ("th", "e</w>"), ("c", "a"), ("ca", "t</w>")]


def word_pieces(folder: Path, *, special: tuple[str, ...], **config: Any) -> Path:
    letters = [chr(c) for c in range(97, 123)]
    pieces = [*special, *tiny.WORDS, "The", *letters, *("##" + c for c in letters), *"',.12340é"]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{p}\n" for p in dict.fromkeys(pieces)))
    tiny.write_json(folder / "tokenizer_config.json", config)
    return folder


def byte_pairs(
    folder: Path, *, special: tuple[str, ...], merges: list, ends: bool = False, **config: Any
) -> Path:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = [*special, *letters]
    vocab += [letter + "</w>" for letter in letters] if ends else []
    vocab += [left + right for left, right in merges]
    tiny.write_json(folder / "vocab.json", {piece: i for i, piece in enumerate(vocab)})
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    tiny.write_json(folder / "tokenizer_config.json", config)
    return folder


BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
CLIP = ("<|startoftext|>", "<|endoftext|>")
ADDED = {"0": {"content": "<|endoftext|>", "special": True}}


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("BertTokenizer", {"do_lower_case": True}),
        ("BertTokenizer", {"do_lower_case": False}),
        ("BertTokenizer", {"do_lower_case": True, "strip_accents": False}),
        ("BertTokenizer", {"tokenize_chinese_chars": False}),
    ],
)
def test_word_pieces_of_bert(tmp_path: Path, kind: str, config: dict) -> None:
    folder = word_pieces(tmp_path, special=BERT, tokenizer_class=kind, **config)
    assert_as_reference(folder)


def test_word_pieces_of_mpnet(tmp_path: Path) -> None:
    config = {"do_lower_case": True}
    special = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
    folder = word_pieces(tmp_path, special=special, tokenizer_class="MPNetTokenizer", **config)
    assert_as_reference(folder)


@pytest.mark.parametrize("spaced", [False, True])
def test_byte_pairs_of_roberta(tmp_path: Path, *, spaced: bool) -> None:
    config = {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": spaced}
    assert_as_reference(byte_pairs(tmp_path, special=ROBERTA, merges=MERGES, **config))


def test_byte_pairs_of_qwen2(tmp_path: Path) -> None:
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|endoftext|>",
        "added_tokens_decoder": ADDED,
    }
    folder = byte_pairs(tmp_path, special=("<|endoftext|>",), merges=MERGES, **config)
    assert_as_reference(folder)


def test_byte_pairs_of_clip(tmp_path: Path) -> None:
    config = {"tokenizer_class": "CLIPTokenizer"}
    folder = byte_pairs(tmp_path, special=CLIP, merges=CLIP_MERGES, ends=True, **config)
    assert_as_reference(folder)


def test_word_pieces_may_hold_what_python_takes_for_the_end_of_a_line(tmp_path: Path) -> None:
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2028")
    assert_as_reference(word_pieces(tmp_path, special=special, tokenizer_class="BertTokenizer"))


def assert_as_reference(folder: Path) -> None:
    reference = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    backend = reference.backend_tokenizer
    backend.encode_special_tokens = True  # control tokens in a text stay text with us
    ours = Tokenizer.of(folder, json.loads((folder / "tokenizer_config.json").read_text()))
    for text in TEXTS:
        expected = backend.encode(text).ids
        assert ours.encode([text])[0].tolist() == expected, text
    assert ours.vocab_size == len(reference)


def test_a_folder_without_any_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing, and so are vocab\.txt"):
        Tokenizer.of(tmp_path, {})


@pytest.mark.parametrize(
    ("vocab", "merges"), [("not json", ""), ('{"a": 0}', "no pairs here\n"), ("[1]", "")]
)
def test_damaged_vocabulary_files_are_refused(tmp_path: Path, vocab: str, merges: str) -> None:
    (tmp_path / "vocab.json").write_text(vocab)
    (tmp_path / "merges.txt").write_text(merges)
    with pytest.raises(CheckpointError, match="vocabulary files cannot be read"):
        Tokenizer.of(tmp_path, {})


def test_a_vocabulary_without_its_special_tokens_is_refused(tmp_path: Path) -> None:
    folder = word_pieces(tmp_path, special=("[UNK]",))
    with pytest.raises(CheckpointError, match=r"lacks the special token '\[SEP\]'"):
        Tokenizer.of(folder, {})


def test_tokenizer_json_comes_before_vocabulary_files(tmp_path: Path) -> None:
    word_pieces(tmp_path, special=BERT)
    tiny.roberta_tokenizer().save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.of(tmp_path, {}).encode([""])[0].tolist() == [0, 2]
