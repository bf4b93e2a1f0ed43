"""Input → Prepared: what the model reads, its cost and its key. Pure but for fetching a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from polyvec.engine.cache import content_key
from polyvec.engine.options import EngineOptions
from polyvec.engine.prompts import adapter_of, prompt_of
from polyvec.errors import InputTooLongError, InvalidInputError, UnsupportedInputError
from polyvec.media.image import decode_image
from polyvec.media.policy import MediaPolicy
from polyvec.models._model import ImageRules, Model, TextRules
from polyvec.types import (
    EmbedRequest,
    Float32Array,
    Image,
    Input,
    IntArray,
    Modality,
    Output,
    Pair,
    Part,
    Text,
    Tokens,
    Truncate,
)


@dataclass(frozen=True, slots=True)
class Route:
    """The way of an input through the model; inputs of a batch share it.

    Attributes:
        modality: Which tower reads it.
        outputs: What is made of it.
        adapter: Index of the adapter it goes through, or None.
    """

    modality: Modality
    outputs: tuple[Output, ...] = ("dense",)
    adapter: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether only the dense row is wanted."""
        return self.outputs == ("dense",)

    @property
    def name(self) -> str:
        """For content keys; empty for the plain route without adapter."""
        outputs = "" if self.is_plain else "+".join(self.outputs)
        return outputs if self.adapter is None else f"{outputs}@{self.adapter}"


_PLAIN_TEXT = Route("text")
_PLAIN_IMAGE = Route("image")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the model reads of one input.

    Attributes:
        route: Its way through the model.
        array: Token ids (L,) int64, or pixels (3, H, W) float32.
        cost: Tokens or patches, at least 1.
        num_tokens: Tokens that are counted for the caller; 0 for a picture.
        key: Equal for inputs that must get the same vector.
        segments: For a pair, 0 in its first text and 1 in the second, (L,); None for all 0.
        skipped: Leading tokens that pooling leaves out.
    """

    route: Route
    array: IntArray | Float32Array
    cost: int
    num_tokens: int
    key: bytes
    segments: IntArray | None = None
    skipped: int = 0


def route_of(request: EmbedRequest, model: Model) -> Route:
    """The way of a request's texts through the model.

    Raises:
        UnsupportedInputError: The model does not give an output that is asked for.
        InvalidInputError: The task or the prompt is not one of the model's.
    """
    outputs = request.outputs or model.outputs[:1]
    for output in outputs:
        if output not in model.outputs:
            raise UnsupportedInputError(
                f"this model gives no {output} output; it gives {', '.join(model.outputs)}",
                param="outputs",
            )
    adapter = adapter_of(request, model)
    if outputs == ("dense",) and adapter is None:
        return _PLAIN_TEXT
    return Route("text", tuple(dict.fromkeys(outputs)), adapter)


def modalities_of(request: EmbedRequest, model: Model) -> list[Modality]:
    """Which tower reads each input of a request.

    Raises:
        UnsupportedInputError: The model has no such tower, or an input has several parts.
    """
    return [_modality_of(item, model) for item in request.inputs]


def _modality_of(item: Input, model: Model) -> Modality:
    if len(item.parts) != 1:
        raise UnsupportedInputError(
            f"{item.param} has {len(item.parts)} parts; the active model takes exactly one text or "
            "image per input",
            param=item.param,
        )
    modality: Modality = "image" if isinstance(item.parts[0], Image) else "text"
    if isinstance(item.parts[0], Pair) and "score" not in model.outputs:
        raise UnsupportedInputError(
            f"{item.param} is a pair of texts, which only a cross-encoder reads", param=item.param
        )
    if (model.image if modality == "image" else model.text) is None:
        raise UnsupportedInputError(
            f"{modality.capitalize()} inputs are not supported by the active model, which takes "
            f"{' and '.join(model.modalities)}",
            param=item.param,
        )
    return modality


def num_chars(inputs: Sequence[Input]) -> int:
    """Characters and token ids to read: what preparing texts costs."""
    return sum(_size(item.parts[0]) for item in inputs)


def _size(part: Part) -> int:
    if isinstance(part, Text):
        return len(part.text)
    if isinstance(part, Pair):
        return len(part.first) + len(part.second)
    return len(part.ids) if isinstance(part, Tokens) else 0


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Token ids of an input and what goes with them; see `Prepared`."""

    ids: IntArray
    segments: IntArray | None = None
    skipped: int = 0


def prepare_texts(
    request: EmbedRequest,
    inputs: Sequence[Input],
    rules: TextRules,
    options: EngineOptions,
    route: Route = _PLAIN_TEXT,
) -> list[Prepared]:
    """Tokenise texts in one call, check token ids, and hold all to the model's length.

    Args:
        request: Says prompt, truncation and salt.
        inputs: Those of its inputs that are one Text, Tokens or Pair.
        rules: The model's.
        options: Limits and the default truncation.
        route: Their way through the model.

    Raises:
        InvalidInputError: A text is not valid Unicode or gives no tokens, or an id is out of range.
        InputTooLongError: Longer than the model reads, and truncation is off.
    """
    truncate = request.truncate or options.truncate
    texts = iter(_encoded_texts(request, inputs, rules, options))
    pairs = iter(_encoded_pairs(inputs, rules, options, truncate))
    prepared = []
    for item in inputs:
        part = item.parts[0]
        if isinstance(part, Tokens):
            ids = _checked_ids(part, item.param, rules.vocab_size)
            encoded = _Encoded(_fit_tokens(ids, rules, truncate))
        elif isinstance(part, Pair):
            encoded = next(pairs)
        else:
            encoded = _fit_text(next(texts), rules, truncate)
        _known_ids(encoded.ids, item.param, rules)
        prepared.append(_prepared_text(encoded, item.param, rules, request.cache_salt, route))
    return prepared


def _encoded_texts(
    request: EmbedRequest, inputs: Sequence[Input], rules: TextRules, options: EngineOptions
) -> list[_Encoded]:
    """Every Text with its prompt, uncut."""
    prompt = prompt_of(request, rules)
    texts = [
        _checked_text(item.parts[0].text, item.param, options.max_text_chars)
        for item in inputs
        if isinstance(item.parts[0], Text)
    ]
    if not texts:
        return []
    if prompt in rules.marked_prompts:
        found = rules.tokenizer.encode_marked(prompt, texts)
    else:
        found = rules.tokenizer.encode([prompt + text for text in texts])
    leaves_out = rules.excludes_prompt and prompt
    skipped = rules.tokenizer.prompt_length(prompt) if leaves_out else 0
    return [_Encoded(ids, skipped=skipped) for ids in found]


def _encoded_pairs(
    inputs: Sequence[Input], rules: TextRules, options: EngineOptions, truncate: Truncate
) -> list[_Encoded]:
    """Every Pair, cut from the end of its longer text unless truncation is off."""
    limit = options.max_text_chars
    pairs = [
        (
            _checked_text(item.parts[0].first, item.param, limit),
            _checked_text(item.parts[0].second, item.param, limit),
        )
        for item in inputs
        if isinstance(item.parts[0], Pair)
    ]
    if not pairs:
        return []
    cut = None if truncate == "none" else rules.max_input_tokens
    if rules.pairs is None:
        raise UnsupportedInputError("the active model reads no pairs of texts")
    found = rules.pairs.encode(pairs, limit=cut)
    return [_Encoded(pair.ids, pair.segments) for pair in found]


def _checked_text(text: str, param: str, max_chars: int) -> str:
    """The text itself.

    Raises:
        InputTooLongError: Over the server's limit.
        InvalidInputError: It cannot be written as UTF-8.
    """
    if len(text) > max_chars:
        raise InputTooLongError(
            f"{param} has {len(text)} characters; at most {max_chars} are read", param=param
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
        InvalidInputError: There are none, or one is not of the model's vocabulary.
    """
    ids = part.ids
    if not ids:
        raise InvalidInputError(f"{param} has no token ids", param=param)
    if min(ids) < 0 or max(ids) >= vocab_size:
        position, token = next(
            (position, token) for position, token in enumerate(ids) if not 0 <= token < vocab_size
        )
        raise InvalidInputError(
            f"{param} has token id {token} at position {position}; this model's ids are 0 to "
            f"{vocab_size - 1}",
            param=param,
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
    return ids[:limit] if truncate == "end" else ids[-limit:]


def _prepared_text(
    encoded: _Encoded, param: str, rules: TextRules, salt: str, route: Route
) -> Prepared:
    length = len(encoded.ids)
    if length > rules.max_input_tokens:
        raise InputTooLongError(
            f"{param} has {length} tokens; the model reads at most {rules.max_input_tokens}: "
            "shorten it or ask for truncation",
            param=param,
        )
    if length == 0:
        raise InvalidInputError(f"{param} gives no tokens, so it has no embedding", param=param)
    content = encoded.ids.tobytes()
    if encoded.segments is not None:
        content += encoded.segments.tobytes()
    name = f"{route.name}~{encoded.skipped}" if encoded.skipped else route.name
    return Prepared(
        route=route,
        array=encoded.ids,
        cost=length,
        num_tokens=length,
        key=content_key("text", content, salt=salt, route=name),
        segments=encoded.segments,
        skipped=encoded.skipped,
    )


def prepare_image(
    data: bytes, rules: ImageRules, policy: MediaPolicy, *, param: str, salt: str
) -> Prepared:
    """Decode and transform one picture.

    Args:
        data: The encoded file.
        rules: The model's.
        policy: Byte and pixel limits; one engine has one, so it is not part of the key.
        param: The input's name in messages.
        salt: The request's.

    Raises:
        MediaError: It cannot be decoded under the policy.
    """
    pixels = rules.transform(decode_image(data, policy, param=param))
    return Prepared(
        route=_PLAIN_IMAGE,
        array=pixels,
        cost=rules.num_patches,
        num_tokens=0,
        key=content_key("image", data, salt=salt),
    )
