"""How late-interaction models (ColBERT) read queries and documents: one vector for each token.

Both begin with a marker. Short queries are filled up with mask tokens, whose vectors count although
other tokens may not see them; of a document's vectors those of punctuation are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.types import IntArray

Role = Literal["query", "document"]


@dataclass(frozen=True, slots=True)
class Expansion:
    """Mask tokens after a short text.

    Attributes:
        length: Tokens that every text has at least.
        token_id: What fills it up.
        attended: Whether tokens see the ones that were added.
    """

    length: int
    token_id: int
    attended: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts of one role become token ids.

    Attributes:
        marker: Ids after the special tokens that every text starts with.
        lead: Text put before the caller's.
        limit: Most tokens, special ones and marker included.
        expansion: None for none.
        left_out: Ids of tokens whose vectors are not given.
    """

    marker: tuple[int, ...]
    lead: str
    limit: int
    expansion: Expansion | None = None
    left_out: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class LateInteractionRules:
    """How queries and documents are read."""

    query: Reading
    document: Reading

    def of(self, role: Role) -> Reading:
        """The reading of a role."""
        return self.query if role == "query" else self.document

    def limited(self, max_tokens: int) -> "LateInteractionRules":
        """The same for shorter texts; what fills a query up is not counted."""
        query, document = (
            replace(reading, limit=min(reading.limit, max_tokens))
            for reading in (self.query, self.document)
        )
        return LateInteractionRules(query, document)


@dataclass(frozen=True, slots=True)
class LateText:
    """What the model reads of a text, and what a caller gets.

    Attributes:
        ids: (L,), special tokens, marker and expansion included.
        num_attended: Leading tokens that may be seen; those after them only look.
        kept: (L,), whether a token's vector is given.
        num_tokens: Tokens without the expansion.
    """

    ids: IntArray
    num_attended: int
    kept: NDArray[np.bool_]
    num_tokens: int


def read_late(
    reading: Reading, tokenizer: Tokenizer, texts: Sequence[str], *, truncate: bool = True
) -> list[LateText]:
    """Tokenise texts of one role.

    Source: sentence_transformers MultiVectorEncoder, https://arxiv.org/abs/2004.12832.

    Args:
        reading: The role's.
        tokenizer: The model's.
        texts: As callers wrote them.
        truncate: Cut at `Reading.limit`; otherwise over-long texts come uncut.
    """
    bodies = tokenizer.encode_bare([reading.lead + text for text in texts])
    return [_late_text(reading, tokenizer, body, truncate=truncate) for body in bodies]


def _late_text(
    reading: Reading, tokenizer: Tokenizer, body: IntArray, *, truncate: bool
) -> LateText:
    body = np.concatenate([np.array(reading.marker, np.int64), body])
    if truncate:
        body = body[: max(0, reading.limit - len(tokenizer.prefix) - len(tokenizer.suffix))]
    ids = np.concatenate([tokenizer.prefix, body, tokenizer.suffix])
    num_tokens, num_attended = len(ids), len(ids)
    expansion = reading.expansion
    if expansion is not None and num_tokens < expansion.length:
        added = np.full(expansion.length - num_tokens, expansion.token_id, np.int64)
        ids = np.concatenate([ids, added])
        num_attended = len(ids) if expansion.attended else num_tokens
    kept = ~np.isin(ids, tuple(reading.left_out))
    return LateText(ids, num_attended, kept, num_tokens)
