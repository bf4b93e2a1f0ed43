"""Texts that are filled up to one length, because the model was trained on nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.errors import CheckpointError
from polyvec.types import IntArray


@dataclass(frozen=True, slots=True)
class Padding:
    """What every shorter text is filled up with, on the right; it is read like any other token.

    Attributes:
        length: Tokens of every text.
        token_id: The filling.
    """

    length: int
    token_id: int

    def filled(self, ids: IntArray) -> IntArray:
        """Token ids (L,) → (`length`,); longer ones stay as they are."""
        missing = self.length - len(ids)
        return np.pad(ids, (0, missing), constant_values=self.token_id) if missing > 0 else ids


def read_padding(
    declared: Padding | None, tokenizer: Tokenizer, config: Mapping[str, Any]
) -> Padding | None:
    """The padding with the token that the tokenizer's own config names.

    Args:
        declared: The family's; its token holds where the config names none.
        tokenizer: Knows the token's id.
        config: tokenizer_config.json.

    Raises:
        CheckpointError: The token is not in the vocabulary.
    """
    token = config.get("pad_token")
    token = token.get("content") if isinstance(token, Mapping) else token
    if declared is None or token is None:
        return declared
    token_id = tokenizer.token_id(token) if isinstance(token, str) else None
    if token_id is None:
        raise CheckpointError(
            f"tokenizer_config.json: pad_token {token!r} is not in the vocabulary",
            param="pad_token",
        )
    return Padding(declared.length, token_id)
