"""Token ids of OpenAI's cl100k encoding → text.

Clients made for OpenAI's models count in it and send its ids, whatever model they name. Only ids
are read here; nothing is encoded. The tokens come with this package, so nothing is downloaded; the
encoding is final, so they never change.

Source: https://github.com/openai/tiktoken (MIT, see LICENSE beside this file); made by
``training/cl100k.py``.
"""

import lzma
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

import numpy as np

from polyvec.types import IntArray

NUM_TOKENS: Final = 100_256

# Source: tiktoken_ext/openai_public.py. The ids between are not given.
_CONTROL: Final = {
    100_257: b"<|endoftext|>",
    100_258: b"<|fim_prefix|>",
    100_259: b"<|fim_middle|>",
    100_260: b"<|fim_suffix|>",
    100_276: b"<|endofprompt|>",
}
_MAX_CONTINUATIONS: Final = 3


def unknown_id(ids: Sequence[int]) -> int | None:
    """The first id that is none of the encoding's, or None."""
    if not ids or (min(ids) >= 0 and max(ids) < NUM_TOKENS):
        return None
    return next((i for i in ids if not 0 <= i < NUM_TOKENS and i not in _CONTROL), None)


def decode(ids: Sequence[int]) -> bytes:
    """The UTF-8 of a text, or of a part of it that may begin and end within a character.

    Args:
        ids: Of the encoding; see `unknown_id`.
    """
    blob, starts = _tokens()
    numbers = np.array(ids, np.int64)
    plain = np.where(numbers < NUM_TOKENS, numbers, 0)
    places = zip(numbers.tolist(), starts[plain].tolist(), starts[plain + 1].tolist(), strict=True)
    return b"".join(
        blob[start:end] if token < NUM_TOKENS else _CONTROL[token] for token, start, end in places
    )


def whole_characters(utf8: bytes) -> bytes:
    """A part of a text without the characters at its ends that were cut.

    Clients cut long texts between tokens, of which a character may have several.
    """
    start, end = 0, len(utf8)
    while start < min(end, _MAX_CONTINUATIONS) and _continues(utf8[start]):
        start += 1
    for place in range(end - 1, max(start, end - 1 - _MAX_CONTINUATIONS) - 1, -1):
        if not _continues(utf8[place]):
            return utf8[start : place if _length(utf8[place]) > end - place else end]
    return utf8[start:end]


def _continues(byte: int) -> bool:
    return _leading_ones(byte) == 1


def _length(lead: int) -> int:
    """Bytes of a character that begins with ``lead``."""
    return _leading_ones(lead) or 1


def _leading_ones(byte: int) -> int:
    return 8 - (byte ^ 0xFF).bit_length()


@cache
def _tokens() -> tuple[bytes, IntArray]:
    """All tokens end to end, and where each begins, (NUM_TOKENS + 1,); 30 ms, once."""
    packed = resources.files(__package__).joinpath("tokens.xz").read_bytes()
    raw = lzma.decompress(packed)
    lengths = np.frombuffer(raw, np.uint8, NUM_TOKENS)
    starts = np.zeros(NUM_TOKENS + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return raw[NUM_TOKENS:], starts
