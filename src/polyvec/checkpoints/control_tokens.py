"""Control tokens that callers type stay text, also in what a chat template makes of it.

A template writes control tokens, and callers' texts between them. Wherever a text spells one, or
could be its beginning or end beside another text, a mark is put in, which goes through the template
and is taken out while the result is tokenised: after control tokens have been found.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers

from polyvec.checkpoints.template_conversation import END_MARK
from polyvec.checkpoints.text_ids import text_ids
from polyvec.errors import TemplateError
from polyvec.types import IntArray

MARK = "\ufdd0"
"""A noncharacter of Unicode, which no text of anybody holds."""
MAX_DEPTH = 32
"""How deep lists and objects of a request's template variables may lie in one another."""
_REPLACEMENT = "\ufffd"


class Shield:
    """Keeps callers' texts from spelling control tokens.

    Args:
        tokens: The vocabulary's control tokens.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        folded = {token.casefold() for token in tokens if len(token) > 1}
        self._tokens = re.compile(_any_of(folded)) if folded else None
        self._heads = _by_length(token[:end] for token in folded for end in range(1, len(token)))
        self._tails = _by_length(token[at:] for token in folded for at in range(1, len(token)))

    def text(self, text: str) -> str:
        """A text that a template may print beside others."""
        text = self.name(text)
        bare = text.rstrip()
        if _ends(bare.casefold(), self._heads):
            text = bare + MARK + text[len(bare) :]
        bare = text.lstrip()
        if _starts(bare.casefold(), self._tails):
            text = text[: len(text) - len(bare)] + MARK + bare
        return text

    def name(self, text: str) -> str:
        """A word that templates put control tokens around, such as a role."""
        if MARK in text or END_MARK in text:
            text = text.replace(MARK, _REPLACEMENT).replace(END_MARK, _REPLACEMENT)
        folded = text.casefold()
        found = () if self._tokens is None else self._tokens.finditer(folded)
        firsts = {match[0][0] for match in found}
        # In any case that a template may change it to.
        for first in {form for char in firsts for form in (char, char.upper())}:
            text = text.replace(first, first + MARK)
        return text

    def value(self, value: Any, depth: int = 0) -> Any:
        """A request's template variable: every text in it.

        Raises:
            TemplateError: It is nested too deeply.
        """
        if depth > MAX_DEPTH:
            raise TemplateError(f"template variables are nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                self.name(str(key)): self.value(inner, depth + 1) for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(inner, depth + 1) for inner in value]
        return value


class RenderedReader:
    """Reads what a template made: its control tokens are such, shielded ones are text.

    Args:
        tokenizer: The model's, which reads no control tokens; it is not changed.
        control_tokens: As the vocabulary spells them.

    Attributes:
        shield: For the texts that the template gets.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, control_tokens: Sequence[str]) -> None:
        self.shield = Shield(control_tokens)
        raw = json.loads(tokenizer.to_str())
        for token in raw["added_tokens"]:
            if token["special"]:
                # Found as the template spells them, before marks are taken out and before letters
                # are replaced by others that look alike.
                token["normalized"] = False
        own = [raw["normalizer"]] if raw.get("normalizer") else []
        clear = {"type": "Replace", "pattern": {"String": MARK}, "content": ""}
        raw["normalizer"] = {"type": "Sequence", "normalizers": [clear, *own]}
        self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(raw))
        self._tokenizer.encode_special_tokens = False

    def encode(self, text: str) -> IntArray:
        """Ids of a rendered text; nothing is put around it."""
        return np.array(text_ids(self._tokenizer, text), np.int64)


def _any_of(words: Iterable[str]) -> str:
    """A pattern that tries the words' common beginnings once, so that no text is slow to search."""
    tails: dict[str, set[str]] = {}
    for word in words:
        tails.setdefault(word[:1], set()).add(word[1:])
    ends_here = tails.pop("", None) is not None
    branches = [re.escape(first) + _any_of(rest) for first, rest in sorted(tails.items())]
    if not branches:
        return ""
    pattern = branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
    return f"(?:{pattern})?" if ends_here else pattern


def _by_length(pieces: Iterable[str]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for piece in pieces:
        found.setdefault(len(piece), set()).add(piece)
    return found


def _ends(text: str, pieces: Mapping[int, set[str]]) -> bool:
    return any(text[-length:] in some for length, some in pieces.items())


def _starts(text: str, pieces: Mapping[int, set[str]]) -> bool:
    return any(text[:length] in some for length, some in pieces.items())
