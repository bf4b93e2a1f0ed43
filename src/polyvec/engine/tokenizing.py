"""Which tokens a model reads, and token ids back to text. Pure, but for the way to a thread."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from polyvec.checkpoints.pair_encoding import Side, TemplatePairs
from polyvec.checkpoints.token_spans import Spelled, joined
from polyvec.engine.conversation import chat_ids, check_chat, is_rendered, parts_of
from polyvec.engine.options import EngineOptions
from polyvec.engine.parts import joined_text
from polyvec.engine.prepare import num_chars
from polyvec.engine.prepare_text import checked_text, pairs_asked, too_long
from polyvec.engine.prompts import prompt_name_of, role_of
from polyvec.errors import (
    InvalidInputError,
    TokenIdError,
    UnsupportedInputError,
)
from polyvec.models._late_interaction import LateInteractionRules
from polyvec.models._model import TextRules
from polyvec.types import (
    Chat,
    DetokenizeRequest,
    Input,
    Pair,
    Text,
    Tokenized,
    TokenizeRequest,
)

T = TypeVar("T")


async def tokenize(
    request: TokenizeRequest, rules: TextRules | None, options: EngineOptions
) -> tuple[Tokenized, ...]:
    """`tokenized`, in a thread where that is long.

    Raises:
        UnsupportedInputError: The model reads no text.
        InvalidInputError: An input cannot be tokenised.
    """
    found = _read_text(rules)
    has_chats = any(isinstance(part, Chat) for item in request.inputs for part in item.parts)
    return await _done(
        lambda: tokenized(request, found, options),
        # Templates may take long, whatever their length.
        is_short=not has_chats and num_chars(request.inputs) <= options.max_inline_chars,
    )


async def detokenize(
    request: DetokenizeRequest, rules: TextRules | None, options: EngineOptions
) -> tuple[str, ...]:
    """`detokenized`, in a thread where that is long.

    Raises:
        UnsupportedInputError: The model reads no text.
        TokenIdError: An id is not in the vocabulary.
    """
    found = _read_text(rules)
    return await _done(
        lambda: detokenized(request, found),
        is_short=sum(map(len, request.ids)) <= options.max_inline_chars,
    )


async def _done(work: Callable[[], T], *, is_short: bool) -> T:
    return work() if is_short else await asyncio.to_thread(work)


def _read_text(rules: TextRules | None) -> TextRules:
    if rules is None:
        raise UnsupportedInputError("the active model reads no text, so it has no tokens")
    return rules


# Text → tokens.


def tokenized(
    request: TokenizeRequest, rules: TextRules, options: EngineOptions
) -> tuple[Tokenized, ...]:
    """The tokens of each input.

    Args:
        request: Each of its inputs is one Text, Chat or Pair.
        rules: The model's.
        options: Limits.

    Raises:
        InvalidInputError: An input is of another kind, is not valid Unicode, or is too long while
            the request says to refuse that.
        PromptNotFoundError: The model has no such prompt.
    """
    limit = options.max_inputs_per_request
    if not 0 < len(request.inputs) <= limit:
        raise InvalidInputError(
            f"the request has {len(request.inputs)} inputs; 1 to {limit} are allowed",
            param="input",
        )
    texts = [_text_of(item, options) for item in request.inputs]
    found = iter(_tokenized_texts(request, [text for text in texts if text is not None], rules))
    tokens = []
    for item, text in zip(request.inputs, texts, strict=True):
        part = item.parts[0]
        if text is not None:
            tokens.append(next(found))
        elif isinstance(part, Pair):
            tokens.append(_tokenized_pair(request, part, item.param, rules, options))
        elif isinstance(part, Chat):
            tokens.append(_tokenized_chat(request, part, item.param, rules, options))
    return tuple(tokens)


def _tokenized(spelled: Spelled, text: str) -> Tokenized:
    return Tokenized(spelled.ids, spelled.tokens, spelled.is_added, spelled.spans, text)


def _text_of(item: Input, options: EngineOptions) -> str | None:
    """The text of an input; None for a Pair or a Chat.

    Raises:
        UnsupportedInputError: It is none of them.
    """
    part = item.parts[0] if len(item.parts) == 1 else None
    if isinstance(part, Text):
        return checked_text(part.text, item.param, options.max_text_chars)
    if isinstance(part, Pair | Chat):
        return None
    raise UnsupportedInputError(f"{item.param} is no text, so it has no tokens", param=item.param)


def _tokenized_texts(
    request: TokenizeRequest, texts: Sequence[str], rules: TextRules
) -> list[Tokenized]:
    """Every text with its prompt and its special tokens, cut where that is asked for."""
    if not texts:
        return []
    special = request.add_special_tokens
    if rules.late is not None and request.prompt_name is not None:
        return _tokenized_late(request, texts, rules, rules.late)
    name = prompt_name_of(request, rules.prompts)
    prompt = "" if name is None else rules.prompts[name]
    found = rules.tokenizer.spell(texts, prompt=prompt, special=special)
    return [
        _tokenized(_fit(spelled, request, rules), prompt + text)
        for spelled, text in zip(found, texts, strict=True)
    ]


def _tokenized_late(
    request: TokenizeRequest, texts: Sequence[str], rules: TextRules, late: LateInteractionRules
) -> list[Tokenized]:
    """Texts as a late-interaction model reads them, without what fills up short queries."""
    reading = late.of(role_of(request))
    tokenizer = rules.tokenizer
    ends = (tokenizer.prefix, tokenizer.suffix) if request.add_special_tokens else ((), ())
    before = tokenizer.spell_ids((*ends[0], *reading.marker))
    after = tokenizer.spell_ids(ends[1])
    bodies = tokenizer.spell(texts, prompt=reading.lead, special=False)
    return [
        _tokenized(_fit(joined([before, body, after]), request, rules), reading.lead + text)
        for body, text in zip(bodies, texts, strict=True)
    ]


def _fit(spelled: Spelled, request: TokenizeRequest, rules: TextRules) -> Spelled:
    limit, length = _limit(request, rules), len(spelled.ids)
    if request.truncate is None or length <= limit:
        return spelled
    if request.truncate == "none":
        raise too_long("the text", length, limit)
    if request.add_special_tokens:
        return spelled.at(rules.tokenizer.kept(length, limit, request.truncate))
    places = np.arange(length)
    return spelled.at(places[:limit] if request.truncate == "end" else places[-limit:])


def _limit(request: TokenizeRequest, rules: TextRules) -> int:
    return min(request.max_tokens or rules.max_input_tokens, rules.max_input_tokens)


# Pairs.


def _tokenized_pair(
    request: TokenizeRequest, pair: Pair, param: str, rules: TextRules, options: EngineOptions
) -> Tokenized:
    """A pair as a cross-encoder reads it. A judge's questions have no places in the two texts."""
    first, second = (
        checked_text(text, param, options.max_text_chars) for text in (pair.first, pair.second)
    )
    encoding = pairs_asked(rules, pair.instruction)
    side: Side = "start" if request.truncate == "start" else "end"
    limit = _limit(request, rules) if request.truncate in ("end", "start") else None
    (found,) = encoding.encode([(first, second)], limit=limit, side=side)
    if request.truncate == "none" and len(found.ids) > _limit(request, rules):
        raise too_long(param, len(found.ids), _limit(request, rules))
    spelled = rules.tokenizer.spell_ids(found.ids)
    if isinstance(encoding, TemplatePairs):
        spans = encoding.spans((first, second), limit=limit, side=side)
        return Tokenized(spelled.ids, spelled.tokens, spans[:, 0] < 0, spans)
    return _without_places(spelled, rules)


def _without_places(spelled: Spelled, rules: TextRules) -> Tokenized:
    is_special = np.isin(spelled.ids, tuple(rules.tokenizer.special_ids))
    return Tokenized(spelled.ids, spelled.tokens, is_special, spelled.spans)


# Conversations.


def _tokenized_chat(
    request: TokenizeRequest, chat: Chat, param: str, rules: TextRules, options: EngineOptions
) -> Tokenized:
    """A conversation through its template, or the texts of one that goes through none."""
    check_chat(chat, options, param)
    texts = [part for part in parts_of(chat) if isinstance(part, Text)]
    if len(texts) < len(parts_of(chat)):
        raise UnsupportedInputError(f"{param} has parts that have no tokens", param=param)
    if not is_rendered(chat, rules):
        text = checked_text(joined_text(texts), param, options.max_text_chars)
        asked = replace(request, add_special_tokens=True)
        return _tokenized_texts(asked, [text], rules)[0]
    for part in texts:
        checked_text(part.text, param, options.max_text_chars)
    spelled = rules.tokenizer.spell_ids(chat_ids(chat, rules, options, param))
    asked = replace(request, add_special_tokens=chat.add_special_tokens)
    return _without_places(_fit(spelled, asked, rules), rules)


# Tokens → text.


def detokenized(request: DetokenizeRequest, rules: TextRules) -> tuple[str, ...]:
    """The text of each tuple of ids.

    Raises:
        TokenIdError: An id is not in the vocabulary.
    """
    tokenizer = rules.tokenizer
    size = max(tokenizer.vocab_size, rules.vocab_size)
    for ids in request.ids:
        wrong = next((token for token in ids if not 0 <= token < size), None)
        if wrong is not None:
            raise TokenIdError(
                f"token id {wrong} is not in this model's vocabulary; its ids are 0 to {size - 1}",
                param="ids",
                token=wrong,
            )
    return tuple(
        tokenizer.decode(ids, skip_special_tokens=request.skip_special_tokens)
        for ids in request.ids
    )
