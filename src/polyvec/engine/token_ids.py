"""Token ids of OpenAI's vocabulary → texts. Pure.

Clients made for OpenAI's models send the ids of cl100k whatever model they name. Read as a model's
own, they are other words, and nothing fails: most ids exist in every vocabulary.
"""

from collections.abc import Sequence
from dataclasses import replace

from polyvec.checkpoints import cl100k
from polyvec.engine.options import EngineOptions, TokenIds
from polyvec.errors import InvalidInputError, TokenIdError
from polyvec.models._model import TextRules
from polyvec.types import Input, Text, Tokens


def read_ids(inputs: Sequence[Input], rules: TextRules, options: EngineOptions) -> Sequence[Input]:
    """Inputs in which ids of cl100k have become the texts they stand for.

    Args:
        inputs: Of one request; all its ids are of one vocabulary.
        rules: The model's.
        options: Says how ids are read.

    Raises:
        TokenIdError: An id is not of cl100k, while all ids are to be.
        InvalidInputError: Ids of cl100k that stand for no text.
    """
    found = [item.parts[0] for item in inputs if isinstance(item.parts[0], Tokens)]
    if not found or not _is_cl100k(found, rules, options.token_ids):
        return inputs
    return [
        replace(item, parts=(Text(_text(item.parts[0], item.param)),))
        if isinstance(item.parts[0], Tokens)
        else item
        for item in inputs
    ]


def _is_cl100k(found: Sequence[Tokens], rules: TextRules, asked: TokenIds) -> bool:
    if asked != "auto":
        return asked == "cl100k"
    if any(tokens.vocabulary != "openai" for tokens in found):
        return False
    return not any(_is_evidently_own(tokens.ids, rules) for tokens in found)


def _is_evidently_own(ids: Sequence[int], rules: TextRules) -> bool:
    """Whether ids that an OpenAI client sent can only be the model's.

    Special tokens at one end alone prove nothing: T5's end is cl100k's quotation mark.
    """
    if not ids or cl100k.unknown_id(ids) is not None:
        return True
    prefix, suffix = rules.tokenizer.prefix.tolist(), rules.tokenizer.suffix.tolist()
    if prefix and suffix and len(ids) >= len(prefix) + len(suffix):
        framed = [*ids[: len(prefix)], *ids[-len(suffix) :]]
        if framed == prefix + suffix:
            return True
    try:
        cl100k.whole_characters(cl100k.decode(ids)).decode()
    except UnicodeDecodeError:
        return True
    return False


def _text(tokens: Tokens, param: str) -> str:
    if not tokens.ids:
        raise InvalidInputError(f"{param} has no token ids", param=param)
    wrong = cl100k.unknown_id(tokens.ids)
    if wrong is not None:
        raise TokenIdError(
            f"{param} has token id {wrong}; ids of cl100k are 0 to {cl100k.NUM_TOKENS - 1}",
            param=param,
            token=wrong,
        )
    return cl100k.whole_characters(cl100k.decode(tokens.ids)).decode(errors="replace")
