"""Bodies of Text Embeddings Inference and of Hugging Face's tasks → requests. Pure.

Source: https://github.com/huggingface/text-embeddings-inference, router/src/http/types.rs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyvec.dialects._base import json_type
from polyvec.dialects._openai.wire import optional_bool, optional_int, optional_str, wrong_type
from polyvec.dialects._tei.errors import empty
from polyvec.errors import DimensionsError, InvalidInputError
from polyvec.types import (
    DetokenizeRequest,
    EmbedRequest,
    Input,
    ModelCard,
    Output,
    Pair,
    Part,
    ScoreRequest,
    Text,
    TokenizeRequest,
    Tokens,
    Truncate,
)

_MAX_TOKEN_ID: Final = 2**32 - 1
_PAIR: Final = 2
_SIDES: Final[dict[str, Truncate]] = {"right": "end", "left": "start"}
_EMBED_FORMS: Final = "a string, an array of token ids, or an array of strings and such arrays"
_PREDICT_FORMS: Final = (
    "a string, a pair of strings, or an array of arrays that hold one string or two"
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, and what the headers of its answer and its shape depend on.

    Attributes:
        request: For the service.
        num_chars: Characters and token ids that the caller sent.
        is_single: Whether the caller sent one input that is in no batch.
        is_raw: Whether scores are wanted as the model gives them.
    """

    request: EmbedRequest
    num_chars: int
    is_single: bool = False
    is_raw: bool = False


@dataclass(frozen=True, slots=True)
class RankAsk:
    """A request for ranks, and what the shape of its answer depends on.

    Attributes:
        request: For the service.
        with_text: Whether the texts are wanted back.
        is_raw: As in `Ask`.
    """

    request: ScoreRequest
    with_text: bool
    is_raw: bool


def parse_embed(body: Mapping[str, Any], card: ModelCard, output: Output) -> Ask:
    """Return what a body of ``POST /embed``, ``/embed_all`` or ``/embed_sparse`` asks for.

    Vectors have unit length unless the body says otherwise, whatever the checkpoint says. Raw token
    vectors stay as the model gives them; those of a late-interaction model are its main output.

    Raises:
        InvalidInputError: ``param`` names the field.
    """
    fields = _fields(body)
    parts, is_single = _parse_inputs(fields.get("inputs"), card)
    normalize = optional_bool(fields, "normalize") is not False
    if output == "tokens":
        normalize = card.outputs[:1] == ("tokens",)
    dimensions = _parse_dimensions(fields, card) if output == "dense" else None
    request = EmbedRequest(
        model=optional_str(fields, "model") or None,
        inputs=_named(parts, is_single=is_single),
        dimensions=dimensions,
        any_dimensions=dimensions is not None,
        normalize=normalize,
        truncate=_parse_truncate(fields, card),
        prompt_name=optional_str(fields, "prompt_name"),
        outputs=(output,),
    )
    return Ask(request, sum(map(_num_chars, parts)), is_single)


def parse_similarity(body: Mapping[str, Any], card: ModelCard) -> Ask:
    """Return what a body of ``POST /similarity`` asks for: the source sentence, then the others.

    Raises:
        InvalidInputError: ``param`` names the field.
    """
    fields = _fields(body)
    inputs = fields.get("inputs")
    if not isinstance(inputs, Mapping):
        allowed = "an object of source_sentence and sentences"
        raise wrong_type("inputs", allowed, inputs)
    source = _required_str(inputs, "source_sentence")
    sentences = _strings(inputs, "sentences")
    _check_batch(len(sentences), card)
    request = EmbedRequest(
        model=optional_str(fields, "model") or None,
        inputs=_named([Text(source), *map(Text, sentences)], is_single=False),
        normalize=True,
        truncate=_parse_truncate(fields, card),
        prompt_name=optional_str(fields, "prompt_name"),
        outputs=("dense",),
    )
    return Ask(request, len(source) + sum(map(len, sentences)))


def parse_predict(body: Mapping[str, Any], card: ModelCard) -> Ask:
    """Return what a body of ``POST /predict`` asks for.

    The service is asked for scores without an activation: TEI's is not always the model's own.

    Raises:
        InvalidInputError: ``param`` names the field.
    """
    fields = _fields(body)
    parts, is_single = _parse_sequences(fields.get("inputs"), card)
    request = EmbedRequest(
        model=optional_str(fields, "model") or None,
        inputs=_named(parts, is_single=is_single),
        normalize=False,
        truncate=_parse_truncate(fields, card),
        outputs=("score",),
    )
    is_raw = bool(optional_bool(fields, "raw_scores"))
    return Ask(request, sum(map(_num_chars, parts)), is_single, is_raw)


def parse_rerank(body: Mapping[str, Any], card: ModelCard) -> RankAsk:
    """Return what a body of ``POST /rerank`` asks for; see `parse_predict` for the activation.

    Raises:
        InvalidInputError: ``param`` names the field.
    """
    query = _required_str(body, "query")
    texts = _strings(body, "texts")
    _check_batch(len(texts), card)
    request = ScoreRequest(
        model=optional_str(body, "model") or None,
        queries=(query,),
        documents=tuple(texts),
        activate=False,
        truncate=_parse_truncate(body, card),
    )
    with_text = bool(optional_bool(body, "return_text"))
    return RankAsk(request, with_text, bool(optional_bool(body, "raw_scores")))


def parse_tokenize(body: Mapping[str, Any], card: ModelCard) -> TokenizeRequest:
    """Return what a body of ``POST /tokenize`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.
    """
    value = body.get("inputs")
    is_single = isinstance(value, str)
    texts = [value] if isinstance(value, str) else _strings(body, "inputs")
    _check_batch(len(texts), card)
    return TokenizeRequest(
        model=optional_str(body, "model") or None,
        inputs=_named(list(map(Text, texts)), is_single=is_single),
        add_special_tokens=optional_bool(body, "add_special_tokens") is not False,
        prompt_name=optional_str(body, "prompt_name"),
    )


def parse_decode(body: Mapping[str, Any], card: ModelCard) -> DetokenizeRequest:
    """Return what a body of ``POST /decode`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.
    """
    value = body.get("ids")
    if not isinstance(value, list):
        raise wrong_type("ids", "an array of token ids, or an array of such arrays", value)
    if not value:
        raise empty("ids")
    if isinstance(value[0], list):
        _check_batch(len(value), card)
        ids = tuple(_token_ids(each, f"ids[{index}]") for index, each in enumerate(value))
    else:
        ids = (_token_ids(value, "ids"),)
    return DetokenizeRequest(
        model=optional_str(body, "model") or None,
        ids=ids,
        skip_special_tokens=optional_bool(body, "skip_special_tokens") is not False,
    )


# Fields.


def _fields(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A body with what Hugging Face's clients nest under ``parameters``; its own fields win."""
    parameters = body.get("parameters")
    if parameters is None:
        return body
    if not isinstance(parameters, Mapping):
        raise wrong_type("parameters", "an object or null", parameters)
    given = {name: value for name, value in body.items() if value is not None}
    return {**parameters, **given}


def _required_str(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        raise InvalidInputError(f"missing field `{name}`", param=name)
    raise wrong_type(name, "a string", value)


def _strings(body: Mapping[str, Any], name: str) -> list[str]:
    value = body.get(name)
    if value is None:
        raise InvalidInputError(f"missing field `{name}`", param=name)
    if not isinstance(value, list):
        raise wrong_type(name, "an array of strings", value)
    if not value:
        raise empty(name)
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise wrong_type(f"{name}[{index}]", "a string", text)
    return value


def _check_batch(size: int, card: ModelCard) -> None:
    if size > card.max_inputs:
        raise InvalidInputError(
            f"batch size {size} > maximum allowed batch size {card.max_inputs}", param="inputs"
        )


def _parse_truncate(fields: Mapping[str, Any], card: ModelCard) -> Truncate | None:
    """A direction alone does not turn truncation on."""
    direction = optional_str(fields, "truncation_direction")
    side = None if direction is None else _SIDES.get(direction.lower())
    if direction is not None and side is None:
        raise InvalidInputError(
            'truncation_direction must be "left", "right" or null', param="truncation_direction"
        )
    asked = optional_bool(fields, "truncate")
    if asked is None:
        return None if card.truncate == "none" else side
    return side or "end" if asked else "none"


def _parse_dimensions(fields: Mapping[str, Any], card: ModelCard) -> int | None:
    dimensions = optional_int(fields, "dimensions")
    if dimensions is None:
        return None
    if dimensions < 1:
        raise InvalidInputError(
            "Input validation error: `dimensions` should be positive", param="dimensions"
        )
    if 0 < card.dimensions < dimensions:
        raise DimensionsError("too long", dimensions=dimensions, native=card.dimensions)
    return dimensions


# Inputs.


def _named(parts: list[Part], *, is_single: bool) -> tuple[Input, ...]:
    if is_single:
        return (Input((parts[0],), param="inputs"),)
    return tuple(Input((part,), param=f"inputs[{index}]") for index, part in enumerate(parts))


def _num_chars(part: Part) -> int:
    if isinstance(part, Text):
        return len(part.text)
    if isinstance(part, Pair):
        return len(part.first) + len(part.second)
    return len(part.ids) if isinstance(part, Tokens) else 0


def _parse_inputs(value: Any, card: ModelCard) -> tuple[list[Part], bool]:
    """The inputs of an embedder, and whether they are one that is in no batch."""
    if isinstance(value, str):
        return [Text(value)], True
    if value is None:
        raise InvalidInputError("missing field `inputs`", param="inputs")
    if not isinstance(value, list):
        raise wrong_type("inputs", _EMBED_FORMS, value)
    if not value:
        raise empty("inputs")
    if type(value[0]) is int:
        return [Tokens(_token_ids(value, "inputs"))], True
    _check_batch(len(value), card)
    return [_text_or_ids(item, f"inputs[{index}]") for index, item in enumerate(value)], False


def _text_or_ids(value: Any, param: str) -> Part:
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, list):
        return Tokens(_token_ids(value, param))
    raise wrong_type(param, "a string or an array of token ids", value)


def _token_ids(value: Any, param: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise wrong_type(param, "an array of token ids", value)
    if not value:
        raise InvalidInputError(f"{param} must hold at least one token id", param=param)
    for index, token in enumerate(value):
        if type(token) is not int or not 0 <= token <= _MAX_TOKEN_ID:
            where = f"{param}[{index}]"
            given = f", got {json_type(token)}" if type(token) is not int else ""
            raise InvalidInputError(
                f"{where} must be a token id: an integer from 0 to {_MAX_TOKEN_ID}{given}",
                param=where,
            )
    return tuple(value)


def _parse_sequences(value: Any, card: ModelCard) -> tuple[list[Part], bool]:
    """The texts and pairs of a cross-encoder, and whether they are one that is in no batch."""
    if isinstance(value, str):
        return [Text(value)], True
    if value is None:
        raise InvalidInputError("missing field `inputs`", param="inputs")
    if not isinstance(value, list):
        raise wrong_type("inputs", _PREDICT_FORMS, value)
    if not value:
        raise empty("inputs")
    if isinstance(value[0], str):
        return [_sequence(value, "inputs")], True
    _check_batch(len(value), card)
    return [_sequence(item, f"inputs[{index}]") for index, item in enumerate(value)], False


def _sequence(value: Any, param: str) -> Part:
    is_texts = isinstance(value, list) and all(isinstance(text, str) for text in value)
    if not is_texts or not 1 <= len(value) <= _PAIR:
        raise InvalidInputError(
            f"{param} must be one string or two in an array; inputs must be {_PREDICT_FORMS}",
            param=param,
        )
    return Pair(value[0], value[1]) if len(value) == _PAIR else Text(value[0])
