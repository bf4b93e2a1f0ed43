"""Makes the demo model's tokenizer: CLIP's layout with a small, constructed vocabulary.

The merges are not trained. They follow from the list of words that captions use, so that each of
these words becomes one token and the file is the same wherever it is made. All 256 byte symbols
are in the vocabulary, with and without the end-of-word mark, so any other text encodes too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from training.captions import words

START = "<|startoftext|>"
END = "<|endoftext|>"
MAX_LENGTH = 77
_END_OF_WORD = "</w>"
_PATTERN = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)

Merge = tuple[str, str]


def byte_symbols() -> list[str]:
    """Lists the printable characters that stand for the 256 bytes in byte-level BPE.

    Returns:
        256 one-character strings in CLIP's order: printable bytes first, as themselves, then the
        others as the characters from U+0100 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = len(set(range(256)) - set(printable))
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(others)]


def _pieces(word: str, ranks: dict[Merge, int]) -> list[str]:
    """Splits a word the way a BPE with the given merges does."""
    pieces = [*word[:-1], word[-1] + _END_OF_WORD]
    while len(pieces) > 1:
        pairs = list(pairwise(pieces))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        at = pairs.index(best)
        pieces[at : at + 2] = ["".join(best)]
    return pieces


def build_merges(vocabulary: Iterable[str]) -> list[Merge]:
    """Constructs merges under which every given word becomes one token.

    Each word is first split with the merges so far; what is left over is merged from left to
    right. Later merges rank after earlier ones, and an earlier word always has an earlier merge
    to apply until it is whole, so no word is broken by the words after it.

    Args:
        vocabulary: Distinct lower-case ASCII words.

    Returns:
        Merges in order of rank.
    """
    ranks: dict[Merge, int] = {}
    for word in vocabulary:
        pieces = _pieces(word, ranks)
        while len(pieces) > 1:
            ranks.setdefault((pieces[0], pieces[1]), len(ranks))
            pieces[0:2] = [pieces[0] + pieces[1]]
    return list(ranks)


def build_tokenizer() -> Tokenizer:
    """Builds the tokenizer.

    Returns:
        A CLIP tokenizer: lower-casing, byte-level BPE with ``</w>``, text framed by the start and
        end tokens, which have the two highest ids.
    """
    merges = build_merges(words())
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + _END_OF_WORD for symbol in symbols)]
    tokens += list(dict.fromkeys(left + right for left, right in merges))
    tokens += [START, END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(
        BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=END,
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
            pre_tokenizers.Split(Regex(_PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        (END, vocabulary[END]),
        (START, vocabulary[START]),
        trim_offsets=False,
        add_prefix_space=False,
    )
    tokenizer.add_special_tokens([START, END])
    return tokenizer


def special_ids(tokenizer: Tokenizer) -> tuple[int, int]:
    """Looks up the special tokens.

    Args:
        tokenizer: What :func:`build_tokenizer` made.

    Returns:
        The ids of the start and of the end token.
    """
    vocabulary = tokenizer.get_vocab()
    return vocabulary[START], vocabulary[END]


def write_tokenizer(folder: Path) -> None:
    """Writes ``tokenizer.json`` and ``tokenizer_config.json``.

    Args:
        folder: An existing folder.
    """
    build_tokenizer().save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": MAX_LENGTH,
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "add_prefix_space": False,
        "do_lower_case": True,
        "clean_up_tokenization_spaces": True,
        "errors": "replace",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_tokenizer(arguments.out)
