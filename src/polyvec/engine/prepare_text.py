"""Texts, token ids and pairs → Prepared: tokenised, cut and held to the model's limits. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polyvec.checkpoints.pair_encoding import PairEncoding, Side
from polyvec.engine.cache import content_key
from polyvec.engine.conversation import chat_ids
from polyvec.engine.options import EngineOptions
from polyvec.engine.prepare import EMPTY_PROMPT, PLAIN_TEXT, Prepared, Route
from polyvec.engine.prompts import prompt_of, role_of
from polyvec.engine.token_ids import read_ids
from polyvec.errors import (
    InputTooLongError,
    InvalidInputError,
    TokenIdError,
    UnsupportedInputError,
)
from polyvec.models._late_interaction import LateInteractionRules, read_late
from polyvec.models._model import TextRules
from polyvec.models._rerank_templates import JudgePairs
from polyvec.types import Chat, EmbedRequest, Input, IntArray, Pair, Text, Tokens, Truncate


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Token ids of an input and what goes with them; see `Prepared`."""

    ids: IntArray
    limit: int
    segments: IntArray | None = None
    skipped: int = 0
    attended: int | None = None
    kept: NDArray[np.bool_] | None = None
    num_tokens: int | None = None


def prepare_texts(
    request: EmbedRequest,
    inputs: Sequence[Input],
    rules: TextRules,
    options: EngineOptions,
    route: Route = PLAIN_TEXT,
) -> list[Prepared]:
    """Tokenise texts in one call, check token ids, and hold all to the model's length.

    Args:
        request: Says prompt, truncation and salt.
        inputs: Those of its inputs that are one Text, Tokens, Pair or Chat.
        rules: The model's.
        options: Limits and the default truncation.
        route: Their way through the model.

    Raises:
        InvalidInputError: A text is not valid Unicode or gives no tokens, or an id is out of range.
        InputTooLongError: Longer than the model reads, and truncation is off.
        TemplateError: A conversation cannot be rendered.
    """
    truncate = request.truncate or options.truncate
    inputs = read_ids(inputs, rules, options)
    rules = _asked_rules(request, rules)
    texts = iter(_encoded_texts(request, inputs, rules, options))
    pairs = iter(_encoded_pairs(inputs, rules, options, truncate))
    prepared = []
    for item in inputs:
        part = item.parts[0]
        if isinstance(part, Tokens):
            ids = _checked_ids(part, item.param, rules.vocab_size)
            encoded = _Encoded(_fit_tokens(ids, rules, truncate), rules.max_input_tokens)
        elif isinstance(part, Chat):
            encoded = _encoded_chat(request, part, item.param, rules, options)
        else:
            encoded = next(pairs if isinstance(part, Pair) else texts)
        _known_ids(encoded.ids, item.param, rules)
        prepared.append(_prepared(encoded, item.param, rules, request.cache_salt, route))
    return prepared


def _asked_rules(request: EmbedRequest, rules: TextRules) -> TextRules:
    """The rules as the request changes them: other lengths, or no special tokens."""
    if not request.add_special_tokens:
        rules = replace(rules, tokenizer=rules.tokenizer.bare())
    if request.whole_positions and rules.max_positions is not None and rules.late is None:
        rules = replace(rules, max_input_tokens=rules.max_positions)
    if request.max_tokens is None or request.max_tokens >= rules.max_input_tokens:
        return rules
    limit = max(request.max_tokens, 0)
    return replace(
        rules,
        max_input_tokens=limit,
        late=None if rules.late is None else rules.late.limited(limit),
    )


# Texts.


def _encoded_texts(
    request: EmbedRequest, inputs: Sequence[Input], rules: TextRules, options: EngineOptions
) -> list[_Encoded]:
    """Every Text with its prompt, cut where that is asked for."""
    texts = [
        checked_text(item.parts[0].text, item.param, options.max_text_chars)
        for item in inputs
        if isinstance(item.parts[0], Text)
    ]
    if not texts:
        return []
    truncate = request.truncate or options.truncate
    if rules.late is not None:
        return _late_texts(request, texts, rules, rules.late, truncate)
    prompt = prompt_of(request, rules)
    if prompt in rules.marked_prompts:
        found = rules.tokenizer.encode_marked(prompt, texts)
    else:
        found = rules.tokenizer.encode([prompt + text for text in texts])
    leaves_out = rules.excludes_prompt and prompt
    skipped = rules.tokenizer.prompt_length(prompt) if leaves_out else 0
    uncut = [_Encoded(ids, rules.max_input_tokens, skipped=skipped) for ids in found]
    return [_fit_text(encoded, rules, truncate) for encoded in uncut]


def _encoded_chat(
    request: EmbedRequest, chat: Chat, param: str, rules: TextRules, options: EngineOptions
) -> _Encoded:
    """A conversation through its template, cut where that is asked for."""
    asks_for_prompt = request.prompt_name is not None or request.task is not None
    system = prompt_of(request, rules) if asks_for_prompt else ""
    for message in chat.messages:
        for part in message.parts:
            if isinstance(part, Text):
                checked_text(part.text, param, options.max_text_chars)
    ids = chat_ids(chat, rules, options, param, system=system)
    if not chat.add_special_tokens:
        rules = replace(rules, tokenizer=rules.tokenizer.bare())
    encoded = _Encoded(ids, rules.max_input_tokens)
    return _fit_text(encoded, rules, request.truncate or options.truncate)


def _late_texts(
    request: EmbedRequest,
    texts: Sequence[str],
    rules: TextRules,
    late: LateInteractionRules,
    truncate: Truncate,
) -> list[_Encoded]:
    """Queries or documents of a late-interaction model; the markers are in the reading."""
    reading = late.of(role_of(request))
    found = read_late(reading, rules.tokenizer, texts, truncate=truncate != "none")
    return [
        _Encoded(
            text.ids,
            reading.limit,
            attended=text.num_attended,
            kept=text.kept,
            num_tokens=text.num_tokens,
        )
        for text in found
    ]


def checked_text(text: str, param: str, max_chars: int) -> str:
    """The text itself.

    Raises:
        InputTooLongError: Over the server's limit.
        InvalidInputError: It cannot be written as UTF-8.
    """
    if len(text) > max_chars:
        raise InputTooLongError(
            f"{param} has {len(text)} characters; at most {max_chars} are read",
            param=param,
            length=len(text),
            limit=max_chars,
            unit="characters",
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"{param} has a lone surrogate at character {error.start}; text must be valid "
                "Unicode",
                param=param,
            ) from None
    return text


def _checked_ids(part: Tokens, param: str, vocab_size: int) -> IntArray:
    """The ids as they are.

    Raises:
        InvalidInputError: There are none.
        TokenIdError: One is not of the model's vocabulary.
    """
    ids = part.ids
    if not ids:
        raise InvalidInputError(f"{param} has no token ids", param=param)
    if min(ids) < 0 or max(ids) >= vocab_size:
        position, token = next(
            (position, token) for position, token in enumerate(ids) if not 0 <= token < vocab_size
        )
        raise TokenIdError(
            f"{param} has token id {token} at position {position}; this model's ids are 0 to "
            f"{vocab_size - 1}",
            param=param,
            token=token,
        )
    return np.array(ids, np.int64)


def _fit_text(encoded: _Encoded, rules: TextRules, truncate: Truncate) -> _Encoded:
    excess = len(encoded.ids) - rules.max_input_tokens
    if excess <= 0 or truncate == "none":
        return encoded
    ids = rules.tokenizer.truncate(encoded.ids, rules.max_input_tokens, truncate)
    skipped = encoded.skipped
    if skipped and truncate == "start":  # the prompt's own tokens are the first to go
        skipped = max(len(rules.tokenizer.prefix), skipped - excess)
    return replace(encoded, ids=ids, skipped=skipped)


def _known_ids(ids: IntArray, param: str, rules: TextRules) -> IntArray:
    """The ids as they are.

    Raises:
        InvalidInputError: One lies beyond the model's table, as tokens may that were added later.
    """
    if rules.tokenizer.vocab_size > rules.vocab_size and ids.max(initial=0) >= rules.vocab_size:
        raise InvalidInputError(
            f"{param} has a word that the checkpoint's tokenizer knows and its model does not",
            param=param,
        )
    return ids


def _fit_tokens(ids: IntArray, rules: TextRules, truncate: Truncate) -> IntArray:
    """Plain cut: which of a caller's ids are special tokens is not ours to guess."""
    limit = rules.max_input_tokens
    if len(ids) <= limit or truncate == "none":
        return ids
    return ids[:limit] if truncate == "end" else ids[len(ids) - limit :]


# Pairs.


def _encoded_pairs(
    inputs: Sequence[Input], rules: TextRules, options: EngineOptions, truncate: Truncate
) -> Iterator[_Encoded]:
    """Every Pair in order, cut unless truncation is off."""
    limit = options.max_text_chars
    asked = [(item.param, item.parts[0]) for item in inputs if isinstance(item.parts[0], Pair)]
    texts: dict[str | None, list[tuple[str, str]]] = {}
    for param, pair in asked:
        checked = tuple(checked_text(text, param, limit) for text in (pair.first, pair.second))
        texts.setdefault(pair.instruction, []).append((checked[0], checked[1]))
    encode = _pair_encoder(rules, truncate)
    found = {instruction: iter(encode(instruction, pairs)) for instruction, pairs in texts.items()}
    return (next(found[pair.instruction]) for _, pair in asked)


def pairs_asked(rules: TextRules, instruction: str | None) -> PairEncoding:
    """How the model puts two texts together.

    Raises:
        UnsupportedInputError: It reads no pairs, or takes no instruction.
    """
    encoding = rules.pairs
    if encoding is None:
        raise UnsupportedInputError("the active model reads no pairs of texts")
    if instruction is None:
        return encoding
    if not isinstance(encoding, JudgePairs):
        raise UnsupportedInputError("this model takes no instruction", param="instruction")
    return encoding.instructed(instruction)


def _pair_encoder(
    rules: TextRules, truncate: Truncate
) -> Callable[[str | None, list[tuple[str, str]]], list[_Encoded]]:
    cut = None if truncate == "none" else rules.max_input_tokens

    def encode(instruction: str | None, pairs: list[tuple[str, str]]) -> list[_Encoded]:
        encoding = pairs_asked(rules, instruction)
        side: Side = "start" if truncate == "start" else "end"
        return [
            _Encoded(pair.ids, rules.max_input_tokens, segments=pair.segments)
            for pair in encoding.encode(pairs, limit=cut, side=side)
        ]

    return encode


# Every kind.


def _prepared(encoded: _Encoded, param: str, rules: TextRules, salt: str, route: Route) -> Prepared:
    length = len(encoded.ids) if encoded.num_tokens is None else encoded.num_tokens
    if length > encoded.limit:
        raise too_long(param, length, encoded.limit)
    if length == 0 and not rules.empty_is_zero:
        raise InvalidInputError(EMPTY_PROMPT, param=param)
    encoded = _filled(encoded, rules)
    return Prepared(
        route=route,
        array=encoded.ids,
        cost=max(len(encoded.ids), 1),
        num_tokens=length,
        key=_key(encoded, salt, route),
        segments=encoded.segments,
        skipped=encoded.skipped,
        attended=encoded.attended,
        kept=encoded.kept,
    )


def too_long(param: str, length: int, limit: int) -> InputTooLongError:
    """The error for a text of too many tokens."""
    return InputTooLongError(
        f"{param} has {length} tokens; the model reads at most {limit}: "
        "shorten it or ask for truncation",
        param=param,
        length=length,
        limit=limit,
    )


def _filled(encoded: _Encoded, rules: TextRules) -> _Encoded:
    """With the padding that the model reads; the vectors of its tokens are nobody's."""
    ids = rules.filled(encoded.ids)
    if len(ids) == len(encoded.ids):
        return encoded
    return replace(encoded, ids=ids, kept=np.arange(len(ids)) < len(encoded.ids))


def _key(encoded: _Encoded, salt: str, route: Route) -> bytes:
    """Equal only where everything that the model reads is equal."""
    content = encoded.ids.tobytes()
    if encoded.segments is not None:
        content += encoded.segments.tobytes()
    name = route.name
    if encoded.skipped or encoded.attended is not None:
        name += f"~{encoded.skipped},{encoded.attended}"
    if encoded.kept is not None:
        content += encoded.kept.tobytes()
    return content_key("text", content, salt=salt, route=name)
