"""Text → token ids, through tokenizer.json alone.

The tokenizers library keeps truncation and padding as state of the tokenizer, so with several
threads one applies another's. Both are switched off at load; cutting is done here, on arrays.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tokenizers
from tokenizers import normalizers

from polyvec.errors import CheckpointError
from polyvec.types import IntArray


class Tokenizer:
    """A tokenizer.json; safe to share between threads.

    Attributes:
        vocab_size: Ids are below it, added tokens included.
        prefix: Special tokens that every text starts with, (P,).
        suffix: Special tokens that every text ends with, (S,).
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, *, lower_case: bool = False) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # Control tokens that a caller types are text like any other.
        tokenizer.encode_special_tokens = True
        if lower_case:
            # Source: sentence_transformers Transformer, which puts it before the file's own.
            own = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
            tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
        self._tokenizer = tokenizer
        self.vocab_size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self.prefix, self.suffix = _special_ends(tokenizer)

    @classmethod
    def open(cls, path: Path, *, lower_case: bool = False) -> "Tokenizer":
        """Read a tokenizer.json.

        Args:
            path: The file.
            lower_case: Lower-case texts first (``do_lower_case`` in sentence_bert_config.json).

        Raises:
            CheckpointError: It is missing or damaged.
        """
        if not path.is_file():
            raise CheckpointError(
                f"{path.name} is missing; polyvec reads this file only, so save the tokenizer in "
                "its fast form"
            )
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)), lower_case=lower_case)
        except CheckpointError:
            raise
        except Exception as error:  # noqa: BLE001  (the library raises no narrower class)
            raise CheckpointError(f"{path.name} cannot be read: {error}") from None

    def encode(self, texts: Sequence[str]) -> list[IntArray]:
        """Ids of each text with its special tokens, uncut and unpadded."""
        if len(texts) == 1:  # a third cheaper than a batch of one
            return [np.array(self._tokenizer.encode(texts[0]).ids, np.int64)]
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return [np.array(encoding.ids, np.int64) for encoding in encodings]

    def truncate(self, ids: IntArray, limit: int, side: Literal["end", "start"]) -> IntArray:
        """Drop tokens of the text so that at most ``limit`` remain; special ones at the ends stay.

        Args:
            ids: (L,), as `encode` gives them.
            limit: Tokens to keep, special tokens included.
            side: Where to drop.
        """
        if len(ids) <= limit:
            return ids
        kept = limit - len(self.prefix) - len(self.suffix)
        if kept <= 0:
            return ids[:limit]
        body = ids[len(self.prefix) : len(ids) - len(self.suffix)]
        body = body[:kept] if side == "end" else body[len(body) - kept :]
        return np.concatenate([self.prefix, body, self.suffix])


def _special_ends(tokenizer: tokenizers.Tokenizer) -> tuple[IntArray, IntArray]:
    """Special tokens before and after every text, found by encoding a probe with and without."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a").ids
    extra = len(full) - len(bare)
    for start in range(extra + 1):
        if full[start : start + len(bare)] == bare:
            ends = full[:start], full[start + len(bare) :]
            return np.array(ends[0], np.int64), np.array(ends[1], np.int64)
    raise CheckpointError("tokenizer.json: special tokens do not stand at the ends of a text")
