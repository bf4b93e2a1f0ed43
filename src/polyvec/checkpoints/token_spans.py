"""Tokens with their spelling and their place in the text they were read from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyvec.types import IntArray


@dataclass(frozen=True, slots=True)
class Spelled:
    """The tokens of one text; see `polyvec.types.Tokenized`.

    Attributes:
        ids: Shape (L,).
        tokens: As the vocabulary spells them.
        is_added: Shape (L,), whether a token was put around the text or is a control token in it.
        spans: Shape (L, 2), characters of the text; -1 for tokens that were put around it.
    """

    ids: IntArray
    tokens: tuple[str, ...]
    is_added: NDArray[np.bool_]
    spans: IntArray

    def at(self, positions: IntArray) -> "Spelled":
        """Some of the tokens."""
        tokens = tuple(self.tokens[position] for position in positions)
        return Spelled(self.ids[positions], tokens, self.is_added[positions], self.spans[positions])

    def moved(self, num_chars: int) -> "Spelled":
        """The same tokens of a text with ``num_chars`` characters more before it."""
        spans = np.where(self.spans < 0, self.spans, self.spans + num_chars)
        return Spelled(self.ids, self.tokens, self.is_added, spans)


def read_spelled(encoding: Any, text: str, special_ids: frozenset[int]) -> Spelled:
    """What the tokenizers library found in a text.

    Args:
        encoding: Its answer, with places in characters.
        text: What was read.
        special_ids: Ids of control tokens. Where a text's own characters spell one, it is one;
            elsewhere such an id stands for a word that is not known.
    """
    ids = np.array(encoding.ids, np.int64)
    spans = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    around = np.array(encoding.special_tokens_mask, np.bool_)
    spans[around] = -1
    is_added = around.copy()
    for place in np.flatnonzero(np.isin(ids, tuple(special_ids)) & ~around):
        start, end = spans[place]
        is_added[place] = text[start:end].strip() == encoding.tokens[place].strip()
    return Spelled(ids, tuple(encoding.tokens), is_added, spans)


def around_text(ids: Iterable[int], tokens: Sequence[str]) -> Spelled:
    """Control tokens that stand in no text."""
    found = np.array(list(ids), np.int64)
    spans = np.full((len(found), 2), -1, np.int64)
    return Spelled(found, tuple(tokens), np.ones(len(found), np.bool_), spans)


def joined(parts: Sequence[Spelled]) -> Spelled:
    """Several runs of tokens as one."""
    return Spelled(
        np.concatenate([part.ids for part in parts]),
        tuple(token for part in parts for token in part.tokens),
        np.concatenate([part.is_added for part in parts]),
        np.concatenate([part.spans for part in parts]),
    )


def uncleaned(spelled: Spelled, cleaned: str, text: str) -> Spelled:
    """Tokens of a cleaned text, with their places in the text as it was given.

    Args:
        spelled: Tokens of ``cleaned``.
        cleaned: ``text`` with characters left out, folded to lower case or run together.
        text: As given.
    """
    if cleaned == text:
        return spelled
    origins = _origins(cleaned, text)
    spans = spelled.spans.copy()
    for place, (start, end) in enumerate(spelled.spans):
        if 0 <= start < end:
            spans[place] = origins[start], origins[end - 1] + 1
        elif start >= 0:
            at = origins[start] if start < len(origins) else len(text)
            spans[place] = at, at
    return Spelled(spelled.ids, spelled.tokens, spelled.is_added, spans)


def _origins(cleaned: str, text: str) -> list[int]:
    """Which character of ``text`` each one of ``cleaned`` comes from."""
    origins: list[int] = []
    for place, char in enumerate(text):
        for made in (char, char.lower(), " ", "ς"):
            came_of_it = made not in (" ", "ς") or made == char or _may_become(char, made)
            if came_of_it and cleaned.startswith(made, len(origins)):
                origins.extend([place] * len(made))
                break
    # What a cleaning wrote by itself comes after everything.
    origins.extend([max(len(text) - 1, 0)] * (len(cleaned) - len(origins)))
    return origins


def _may_become(char: str, made: str) -> bool:
    """Whether a cleaning writes ``made`` for a character: spaces, and a sigma at a word's end."""
    return char.isspace() or char == "_" if made == " " else char in "Σσ"
