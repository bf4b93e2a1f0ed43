"""Two texts → the token ids a cross-encoder reads, cut as its authors cut them.

Each text is tokenised by itself, so a query that goes with many documents is tokenised once; what
tokenizer.json puts around a pair is found once, by encoding a probe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import tokenizers

from polyvec.errors import CheckpointError
from polyvec.types import IntArray

Side = Literal["end", "start"]


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """What a model reads of a pair.

    Attributes:
        ids: (L,), special tokens included.
        segments: (L,), the number tokenizer.json gives each token's text: 0 or 1.
    """

    ids: IntArray
    segments: IntArray


class PairEncoding(Protocol):
    """How a model wants two texts put together."""

    def encode(
        self, pairs: Sequence[tuple[str, str]], *, limit: int | None = None, side: Side = "end"
    ) -> list[EncodedPair]:
        """Tokenise pairs.

        Args:
            pairs: First and second text (query and document).
            limit: Most tokens of a pair, special tokens included; None cuts nothing.
            side: Where an over-long text loses its tokens.
        """
        ...


@dataclass(frozen=True, slots=True)
class PairFrame:
    """What stands around the two texts of a pair.

    Attributes:
        before: Special tokens before the first text.
        between: Those between the texts.
        after: Those after the second text.
        text_segments: Segment of the first text's tokens and of the second's.
    """

    before: EncodedPair
    between: EncodedPair
    after: EncodedPair
    text_segments: tuple[int, int]

    @property
    def num_special(self) -> int:
        """Special tokens of a pair."""
        return len(self.before.ids) + len(self.between.ids) + len(self.after.ids)

    def around(self, first: IntArray, second: IntArray) -> EncodedPair:
        """The whole pair."""
        ids = (self.before.ids, first, self.between.ids, second, self.after.ids)
        segments = (
            self.before.segments,
            np.full(len(first), self.text_segments[0], np.int64),
            self.between.segments,
            np.full(len(second), self.text_segments[1], np.int64),
            self.after.segments,
        )
        return EncodedPair(np.concatenate(ids), np.concatenate(segments))


class TemplatePairs:
    """Pairs as tokenizer.json puts them together, as BERT-like cross-encoders read them.

    Args:
        tokenizer: Without truncation or padding; nothing of it is changed.

    Raises:
        CheckpointError: Special tokens stand elsewhere than around the two texts.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._frame = _pair_frame(tokenizer)

    def encode(
        self, pairs: Sequence[tuple[str, str]], *, limit: int | None = None, side: Side = "end"
    ) -> list[EncodedPair]:
        """Tokenise pairs; see `PairEncoding`."""
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = {
            text: np.array(encoding.ids, np.int64)
            for text, encoding in zip(texts, encodings, strict=True)
        }
        return [self._framed(ids[first], ids[second], limit, side) for first, second in pairs]

    def spans(
        self, pair: tuple[str, str], *, limit: int | None = None, side: Side = "end"
    ) -> IntArray:
        """Where each token of `encode` stands in its own text, (L, 2); -1 for special tokens."""
        encodings = self._tokenizer.encode_batch(list(pair), add_special_tokens=False)
        spans = [np.array(each.offsets, np.int64).reshape(-1, 2) for each in encodings]
        first, second = self._cut(spans[0], spans[1], limit, side)
        around = (self._frame.before, self._frame.between, self._frame.after)
        before, between, after = (np.full((len(part.ids), 2), -1, np.int64) for part in around)
        return np.concatenate([before, first, between, second, after])

    def _framed(
        self, first: IntArray, second: IntArray, limit: int | None, side: Side
    ) -> EncodedPair:
        return self._frame.around(*self._cut(first, second, limit, side))

    def _cut(
        self, first: IntArray, second: IntArray, limit: int | None, side: Side
    ) -> tuple[IntArray, IntArray]:
        if limit is None:
            return first, second
        room = max(limit - self._frame.num_special, 0)
        kept = longest_first(len(first), len(second), room)
        return cut(first, kept[0], side), cut(second, kept[1], side)


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each text stay, so that both fit: the longer text loses more.

    Source: https://github.com/huggingface/tokenizers, ``TruncationStrategy::LongestFirst``.
    """
    if first + second <= room:
        return first, second
    short = min(first, second)
    long = max(short, room - short)
    if short + long > room:
        short = room // 2
        long = room - short
    return (long, short) if first > second else (short, long)


def cut(ids: IntArray, kept: int, side: Side) -> IntArray:
    """The first or the last ``kept`` ids."""
    return ids[:kept] if side == "end" else ids[len(ids) - min(kept, len(ids)) :]


def _pair_frame(tokenizer: tokenizers.Tokenizer) -> PairFrame:
    """What stands around a pair, found by encoding a probe with and without it."""
    bare: list[int] = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a", "a")
    ids, segments, width = list(full.ids), list(full.type_ids), len(bare)
    starts = [start for start in range(len(ids)) if ids[start : start + width] == bare]
    if not bare or len(starts) < 2:  # noqa: PLR2004  (two texts)
        raise CheckpointError("tokenizer.json: special tokens do not stand around a pair's texts")
    one, two = starts[0], starts[-1]

    def part(start: int, end: int) -> EncodedPair:
        found = np.array(ids[start:end], np.int64), np.array(segments[start:end], np.int64)
        return EncodedPair(*found)

    return PairFrame(
        before=part(0, one),
        between=part(one + width, two),
        after=part(two + width, len(ids)),
        text_segments=(segments[one], segments[two]),
    )
