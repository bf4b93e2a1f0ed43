"""Vocabulary files of before tokenizer.json → the same tokenizer.

Source: transformers convert_slow_tokenizer, which makes tokenizer.json of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from polyvec.errors import CheckpointError

_END_OF_WORD = "</w>"
_CLIP_PIECES = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
_QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def tokenizer_of(folder: Path, config: Mapping[str, Any]) -> Tokenizer | None:
    """Build a tokenizer from vocab.json and merges.txt, or vocab.txt; None without them.

    Args:
        folder: Of the checkpoint.
        config: tokenizer_config.json.

    Raises:
        CheckpointError: A file is damaged.
    """
    try:
        if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            return _byte_pairs(folder, config)
        if (folder / "vocab.txt").is_file():
            return _word_pieces(folder / "vocab.txt", config)
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001  (the library raises no narrower class)
        raise CheckpointError(f"the vocabulary files cannot be read: {error}") from None
    return None


def _word_pieces(path: Path, config: Mapping[str, Any]) -> Tokenizer:
    # Not splitlines: Chinese vocabularies hold characters that it takes for the end of a line.
    lines = path.read_text("utf-8").removesuffix("\n").split("\n")
    vocab = {token: i for i, token in enumerate(lines)}
    is_mpnet = _class_of(config) == "MPNetTokenizer"
    first, last, unknown = (
        _token(config, key, default)
        for key, default in (
            ("cls_token", "<s>" if is_mpnet else "[CLS]"),
            ("sep_token", "</s>" if is_mpnet else "[SEP]"),
            ("unk_token", "[UNK]"),
        )
    )
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = (last, _id(vocab, last)), (first, _id(vocab, first))
    if is_mpnet:
        tokenizer.post_processor = processors.RobertaProcessing(
            *ends, trim_offsets=True, add_prefix_space=False
        )
    else:
        tokenizer.post_processor = processors.BertProcessing(*ends)
    _add_special(tokenizer, vocab, config, (first, last, unknown, "[PAD]", "<pad>", "[MASK]"))
    return tokenizer


def _byte_pairs(folder: Path, config: Mapping[str, Any]) -> Tokenizer:
    vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
    lines = (folder / "merges.txt").read_text("utf-8").splitlines()
    pairs = [line for line in lines if line and not line.startswith("#version")]
    merges = [(left, right) for left, right in (line.split(" ") for line in pairs)]
    if any(right.endswith(_END_OF_WORD) for _, right in merges) or "</w>" in "".join(
        token[-4:] for token in vocab
    ):
        return _clip(vocab, merges, config)
    return _byte_level(vocab, merges, config)


def _clip(
    vocab: dict[str, int], merges: list[tuple[str, str]], config: Mapping[str, Any]
) -> Tokenizer:
    first = _token(config, "bos_token", "<|startoftext|>")
    last = _token(config, "eos_token", "<|endoftext|>")
    unknown = _token(config, "unk_token", last)
    tokenizer = Tokenizer(
        models.BPE(
            vocab,
            merges,
            unk_token=unknown,
            continuing_subword_prefix="",
            end_of_word_suffix=_END_OF_WORD,
            fuse_unk=False,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        (last, _id(vocab, last)),
        (first, _id(vocab, first)),
        add_prefix_space=False,
        trim_offsets=False,
    )
    _add_special(tokenizer, vocab, config, (first, last, unknown))
    return tokenizer


def _byte_level(
    vocab: dict[str, int], merges: list[tuple[str, str]], config: Mapping[str, Any]
) -> Tokenizer:
    """RoBERTa's and GPT-2's kind, and Qwen2's, which splits numbers and composes characters."""
    tokenizer = Tokenizer(
        models.BPE(
            vocab, merges, continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False
        )
    )
    spaced = bool(config.get("add_prefix_space", False))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    tokenizer.pre_tokenizer = byte_level
    special = ["<|endoftext|>"]
    if _class_of(config).startswith("Qwen2"):
        tokenizer.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(_QWEN_PIECES), behavior="isolated")
        bare = pre_tokenizers.ByteLevel(add_prefix_space=spaced, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bare])
    elif "<s>" in vocab and "</s>" in vocab:
        first, last = _token(config, "cls_token", "<s>"), _token(config, "sep_token", "</s>")
        tokenizer.post_processor = processors.RobertaProcessing(
            (last, _id(vocab, last)),
            (first, _id(vocab, first)),
            add_prefix_space=spaced,
            trim_offsets=True,
        )
        special += [first, last, "<pad>", "<unk>", "<mask>"]
    _add_special(tokenizer, vocab, config, special)
    return tokenizer


def _add_special(
    tokenizer: Tokenizer,
    vocab: Mapping[str, int],
    config: Mapping[str, Any],
    own: Any,
) -> None:
    """Declare control tokens: those of the kind, and those that tokenizer_config.json lists."""
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in own if token in vocab]
    )
    listed = config.get("added_tokens_decoder")
    if not isinstance(listed, Mapping):
        return
    for _, spec in sorted(listed.items(), key=lambda pair: int(pair[0])):
        is_special = bool(spec.get("special"))
        token = AddedToken(
            spec["content"],
            special=is_special,
            lstrip=bool(spec.get("lstrip")),
            rstrip=bool(spec.get("rstrip")),
            single_word=bool(spec.get("single_word")),
            normalized=bool(spec.get("normalized", not is_special)),
        )
        add = tokenizer.add_special_tokens if is_special else tokenizer.add_tokens
        add([token])


def _class_of(config: Mapping[str, Any]) -> str:
    return str(config.get("tokenizer_class", "")).removesuffix("Fast")


def _token(config: Mapping[str, Any], key: str, default: str) -> str:
    found = config.get(key)
    found = found.get("content") if isinstance(found, Mapping) else found
    return found if isinstance(found, str) else default


def _id(vocab: Mapping[str, int], token: str) -> int:
    try:
        return vocab[token]
    except KeyError:
        raise CheckpointError(f"the vocabulary lacks the special token {token!r}") from None
