"""Text → token ids, through tokenizer.json, or the vocabulary files that came before it.

The tokenizers library keeps truncation and padding as state of the tokenizer, so with several
threads one applies another's. Both are switched off at load; cutting is done here, on arrays.
"""

import json
import re
from collections.abc import Mapping, Sequence
from copy import copy
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tokenizers
from tokenizers import normalizers, pre_tokenizers

from polyvec.checkpoints.control_tokens import RenderedReader
from polyvec.checkpoints.pair_encoding import TemplatePairs
from polyvec.checkpoints.text_cleaning import Cleaning
from polyvec.checkpoints.text_ids import text_ids
from polyvec.checkpoints.token_spans import (
    Spelled,
    around_text,
    joined,
    read_spelled,
    uncleaned,
)
from polyvec.checkpoints.vocabulary import tokenizer_of
from polyvec.errors import CheckpointError
from polyvec.types import IntArray


class Tokenizer:
    """A tokenizer.json; safe to share between threads.

    Attributes:
        vocab_size: Ids are below it, added tokens included.
        special_ids: Ids of control tokens.
        control_tokens: Their spelling.
        rendered: Gives what reads a chat template's texts.
        prefix: Special tokens that every text starts with, (P,).
        suffix: Special tokens that every text ends with, (S,).
    """

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        *,
        lower_case: bool = False,
        special_tokens: bool = True,
    ) -> None:
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
        controls = {
            index: token.content
            for index, token in tokenizer.get_added_tokens_decoder().items()
            if token.special
        }
        self.special_ids = frozenset(controls)
        self.control_tokens = tuple(controls.values())
        self._clean: Cleaning | None = None
        _cut_spelled(tokenizer, self.control_tokens)
        self._special_tokens = special_tokens
        self._end = _NO_IDS
        # Made when they are needed; copies of this tokenizer share them.
        self._marking_tokenizer = cache(partial(_marking, tokenizer))
        self.rendered = cache(partial(RenderedReader, tokenizer, self.control_tokens))
        self.prefix, self.suffix = (
            _special_ends(tokenizer) if special_tokens else (_NO_IDS, _NO_IDS)
        )

    @classmethod
    def of(
        cls,
        folder: Path,
        config: Mapping[str, Any],
        *,
        lower_case: bool = False,
        special_tokens: bool = True,
    ) -> "Tokenizer":
        """Read a folder's tokenizer.json, or else its vocabulary files.

        Args:
            folder: Of the checkpoint.
            config: tokenizer_config.json; vocabulary files need it.
            lower_case: See `open`.
            special_tokens: See `open`.

        Raises:
            CheckpointError: There is neither, or a file is damaged.
        """
        if not (folder / "tokenizer.json").is_file():
            built = tokenizer_of(folder, config)
            if built is not None:
                return cls(built, lower_case=lower_case, special_tokens=special_tokens)
        return cls.open(
            folder / "tokenizer.json", lower_case=lower_case, special_tokens=special_tokens
        )

    @classmethod
    def open(
        cls, path: Path, *, lower_case: bool = False, special_tokens: bool = True
    ) -> "Tokenizer":
        """Read a tokenizer.json.

        Args:
            path: The file.
            lower_case: Lower-case texts first (``do_lower_case`` in sentence_bert_config.json).
            special_tokens: Whether texts get the special tokens that the file puts around them;
                static models want none.

        Raises:
            CheckpointError: It is missing or damaged.
        """
        if not path.is_file():
            raise CheckpointError(
                f"{path.name} is missing, and so are vocab.txt, and vocab.json with merges.txt; "
                "save the tokenizer in its fast form"
            )
        try:
            return cls(
                tokenizers.Tokenizer.from_file(str(path)),
                lower_case=lower_case,
                special_tokens=special_tokens,
            )
        except CheckpointError:
            raise
        except Exception as error:  # noqa: BLE001  (the library raises no narrower class)
            raise CheckpointError(f"{path.name} cannot be read: {error}") from None

    def encode(self, texts: Sequence[str]) -> list[IntArray]:
        """Ids of each text with its special tokens, uncut and unpadded."""
        special = self._special_tokens
        texts = self._cleaned(texts)
        if len(texts) == 1:  # a third cheaper than a batch of one
            return [self._ended(text_ids(self._tokenizer, texts[0], special=special))]
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=special)
        return [self._ended(encoding.ids) for encoding in encodings]

    def encode_bare(self, texts: Sequence[str]) -> list[IntArray]:
        """Ids of each text without special tokens."""
        encodings = self._tokenizer.encode_batch_fast(
            list(self._cleaned(texts)), add_special_tokens=False
        )
        return [np.array(encoding.ids, np.int64) for encoding in encodings]

    def encode_frame(self, text: str) -> IntArray:
        """Ids of a template's own text: its control tokens are such, and nothing is put around."""
        return np.array(text_ids(self._marking_tokenizer(), text), np.int64)

    def bare(self) -> "Tokenizer":
        """The same tokenizer, which puts no special tokens around texts."""
        changed = copy(self)
        changed._special_tokens = False  # noqa: SLF001
        changed._end = changed.prefix = changed.suffix = _NO_IDS  # noqa: SLF001
        return changed

    def cleaned(self, text: str) -> str:
        """A text as it is read."""
        return text if self._clean is None else self._clean(text)

    def token_id(self, token: str) -> int | None:
        """Where the vocabulary has a token, or None."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def encode_marked(self, prompt: str, texts: Sequence[str]) -> list[IntArray]:
        """Ids of ``prompt`` + each text, where the prompt's control tokens are control tokens.

        Those in a text stay text, as in `encode`.
        """
        marking = self._marking_tokenizer()
        marks = self._marks(prompt)
        return [self._encode_marked(marking, marks, prompt, text) for text in self._cleaned(texts)]

    def spell(
        self, texts: Sequence[str], *, prompt: str = "", special: bool = True
    ) -> list[Spelled]:
        """The tokens of ``prompt`` + each text, spelled, with their places in it.

        Args:
            texts: As given.
            prompt: Put before each; its control tokens are such.
            special: Whether the special tokens are put around.
        """
        special_tokens = special and self._special_tokens
        marks = self._marks(prompt)
        if marks:
            return [
                self._spell_marked(prompt, marks, text, special=special_tokens) for text in texts
            ]
        whole = [prompt + text for text in texts]
        cleaned = list(self._cleaned(whole))
        found = self._spell(self._tokenizer, cleaned, special=special_tokens)
        return [
            self._spelled_end(uncleaned(tokens, clean, given), special=special)
            for tokens, clean, given in zip(found, cleaned, whole, strict=True)
        ]

    def spell_ids(self, ids: Sequence[int] | IntArray) -> Spelled:
        """Tokens that stand in no text; an id that the vocabulary lacks is spelled as nothing."""
        numbers = [int(token) for token in ids]
        spelled = [self._tokenizer.id_to_token(token) or "" for token in numbers]
        return around_text(numbers, spelled)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Ids of the vocabulary put together to a text."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def prompt_length(self, prompt: str) -> int:
        """Leading tokens of a text that are its prompt's, special ones before it included.

        Source: sentence_transformers Transformer._get_prompt_length: the prompt is tokenised by
        itself, and one special token at its end does not count.
        """
        marked = self.has_control_tokens(prompt)
        (ids,) = self.encode_marked(prompt, [""]) if marked else self.encode([prompt])
        ids = ids[: len(ids) - len(self._end)]
        return len(ids) - int(len(ids) > 0 and int(ids[-1]) in self.special_ids)

    def has_control_tokens(self, prompt: str) -> bool:
        """Whether control tokens of the vocabulary stand in a prompt."""
        return bool(self._marks(prompt))

    def has_token(self, token: str) -> bool:
        """Whether the vocabulary holds a token."""
        return self._tokenizer.token_to_id(token) is not None

    def ending_in(self, token: str) -> "Tokenizer":
        """The same tokenizer, with ``token`` of its vocabulary put after every text."""
        changed = copy(self)
        changed._end = np.array([self._tokenizer.token_to_id(token)], np.int64)  # noqa: SLF001
        changed.suffix = np.concatenate([self.suffix, changed._end])  # noqa: SLF001
        return changed

    def cleaning(self, clean: Cleaning) -> "Tokenizer":
        """The same tokenizer, with ``clean`` applied to every text before it is read."""
        changed = copy(self)
        changed._clean = clean  # noqa: SLF001
        return changed

    def within(self, vocab_size: int) -> "Tokenizer":
        """The same tokenizer without added tokens that lie beyond a model's table.

        Such words are text then, read in smaller pieces. Models are published whose tokenizer was
        made for a larger one.
        """
        if max(self._tokenizer.get_added_tokens_decoder(), default=0) < vocab_size:
            return self
        raw = json.loads(self._tokenizer.to_str())
        raw["added_tokens"] = [token for token in raw["added_tokens"] if token["id"] < vocab_size]
        smaller = tokenizers.Tokenizer.from_str(json.dumps(raw))
        return Tokenizer(smaller, special_tokens=self._special_tokens)

    def _cleaned(self, texts: Sequence[str]) -> Sequence[str]:
        return texts if self._clean is None else [self._clean(text) for text in texts]

    def _ended(self, ids: Sequence[int]) -> IntArray:
        array = np.array(ids, np.int64)
        return np.concatenate([array, self._end]) if self._end.size else array

    def _marks(self, text: str) -> list[str]:
        """The vocabulary's control tokens that stand in a text."""
        return [token for token in self.control_tokens if token in text]

    def _encode_marked(
        self, marking: tokenizers.Tokenizer, marks: Sequence[str], prompt: str, text: str
    ) -> IntArray:
        special = self._special_tokens
        if not self._marks(text):
            return self._ended(text_ids(marking, prompt + text, special=special))
        # Control tokens cut a text in pieces that are tokenised apart, so the last of the prompt's
        # is a place to change over.
        end = max(prompt.rindex(mark) + len(mark) for mark in marks)
        ids = text_ids(marking, prompt[:end])
        ids += text_ids(self._tokenizer, prompt[end:] + text)
        return np.concatenate([self.prefix, np.array(ids, np.int64), self.suffix])

    def _spell(
        self, tokenizer: tokenizers.Tokenizer, texts: Sequence[str], *, special: bool
    ) -> list[Spelled]:
        # Not the fast form, which leaves out the places.
        encodings = tokenizer.encode_batch(list(texts), add_special_tokens=special)
        return [
            read_spelled(encoding, text, self.special_ids)
            for encoding, text in zip(encodings, texts, strict=True)
        ]

    def _spell_marked(
        self, prompt: str, marks: Sequence[str], text: str, *, special: bool
    ) -> Spelled:
        """See `_encode_marked`, whose cuts these are."""
        marking = self._marking_tokenizer()
        (clean,) = self._cleaned([text])
        if not self._marks(clean):
            (whole,) = self._spell(marking, [prompt + clean], special=special)
            given, read = prompt + text, prompt + clean
            return self._spelled_end(uncleaned(whole, read, given), special=special)
        end = max(prompt.rindex(mark) + len(mark) for mark in marks)
        (head,) = self._spell(marking, [prompt[:end]], special=False)
        (tail,) = self._spell(self._tokenizer, [prompt[end:] + clean], special=False)
        tail = uncleaned(tail, prompt[end:] + clean, prompt[end:] + text).moved(end)
        if not special:
            return joined([head, tail])
        return joined([self.spell_ids(self.prefix), head, tail, self.spell_ids(self.suffix)])

    def _spelled_end(self, spelled: Spelled, *, special: bool) -> Spelled:
        if not (special and self._end.size):
            return spelled
        return joined([spelled, self.spell_ids(self._end)])

    def pairs(self) -> TemplatePairs:
        """Pairs of texts as tokenizer.json puts them together.

        Raises:
            CheckpointError: Its special tokens do not stand around the texts.
        """
        return TemplatePairs(self._tokenizer)

    def truncate(self, ids: IntArray, limit: int, side: Literal["end", "start"]) -> IntArray:
        """Drop tokens of the text so that at most ``limit`` remain; special ones at the ends stay.

        Args:
            ids: (L,), as `encode` gives them.
            limit: Tokens to keep, special tokens included.
            side: Where to drop.
        """
        return ids if len(ids) <= limit else ids[self.kept(len(ids), limit, side)]

    def kept(self, length: int, limit: int, side: Literal["end", "start"]) -> IntArray:
        """Places of the tokens that `truncate` keeps of ``length``, which is over ``limit``."""
        places = np.arange(length)
        first, last = len(self.prefix), length - len(self.suffix)
        kept = limit - first - (length - last)
        if kept <= 0:
            return places[:limit]
        body = places[first:last]
        body = body[:kept] if side == "end" else body[len(body) - kept :]
        return np.concatenate([places[:first], body, places[last:]])


_NO_IDS: IntArray = np.zeros(0, np.int64)


def _marking(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """A twin that reads control tokens; a second one, since that is state of a tokenizer."""
    twin = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    twin.encode_special_tokens = False
    return twin


def _cut_spelled(tokenizer: tokenizers.Tokenizer, controls: Sequence[str]) -> None:
    """Cut control tokens that a text spells, where the vocabulary would read them as one piece.

    Unigram vocabularies list their control tokens among the pieces, as the likeliest of all.
    """
    whole = [token for token in controls if _reads_whole(tokenizer, token)]
    if not whole:
        return
    places = "|".join(f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in whole)
    cut = pre_tokenizers.Split(tokenizers.Regex(places), "merged_with_previous")
    own = [tokenizer.pre_tokenizer] if tokenizer.pre_tokenizer is not None else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*own, cut])


def _reads_whole(tokenizer: tokenizers.Tokenizer, token: str) -> bool:
    spans = tokenizer.encode(token, add_special_tokens=False).offsets
    return len(token) > 1 and any(end - start == len(token) for start, end in spans)


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
