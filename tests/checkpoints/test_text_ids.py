"""A text is read the same whether it is short or long, and a long one holds up nobody."""

from typing import Any

import pytest

from polyvec.checkpoints.text_ids import MAX_ALONE_CHARS, text_ids
from tests import tiny


class Counting:
    """Counts what holds Python's lock."""

    def __init__(self) -> None:
        self.tokenizer = tiny.bert_tokenizer(200)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.num_alone = 0

    def encode(self, text: str, **options: Any) -> Any:
        self.num_alone += 1
        return self.tokenizer.encode(text, **options)

    def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
        return self.tokenizer.encode_batch_fast(texts, **options)


@pytest.mark.parametrize("special", [False, True])
def test_long_texts_are_not_read_alone(*, special: bool) -> None:
    counting: Any = Counting()
    short, long = "the cat", "the cat " * MAX_ALONE_CHARS
    for text in (short, long):
        expected = counting.tokenizer.encode(text, add_special_tokens=special).ids
        assert text_ids(counting, text, special=special) == expected
    assert counting.num_alone == 1
