"""One text → its token ids, without stopping every other thread."""

import tokenizers

MAX_ALONE_CHARS = 1000


def text_ids(tokenizer: tokenizers.Tokenizer, text: str, *, special: bool = False) -> list[int]:
    """Ids of a text.

    Args:
        tokenizer: Neither cuts nor pads.
        text: Of any length. The library holds Python's lock for as long as it reads a text alone,
            which is seconds for a megabyte, but not while it reads a batch. A batch of one costs
            half as much again where the text is short.
        special: Whether the special tokens are put around.
    """
    if len(text) <= MAX_ALONE_CHARS:
        alone: list[int] = tokenizer.encode(text, add_special_tokens=special).ids
        return alone
    (found,) = tokenizer.encode_batch_fast([text], add_special_tokens=special)
    ids: list[int] = found.ids
    return ids
