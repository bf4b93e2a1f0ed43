"""SGLang's own way to ask for vectors: ``POST /encode``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from polyvec.dialects._base import Reply
from polyvec.dialects._content import source_of
from polyvec.dialects._encode import json_reply, wire_vector
from polyvec.dialects._openai.wire import optional_int, wrong_type
from polyvec.dialects._sglang.input import parse_dimensions, refuse_unserved
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.types import (
    EmbedRequest,
    EmbedResult,
    Image,
    Input,
    ModelCard,
    Part,
    Text,
    Tokens,
    Video,
)

_NOTHING: Final = "Either text, input_ids, image_data or video_data should be provided."
_MEDIA: Final = ("image_data", "video_data")
_MAX_RID_CHARS: Final = 128


@dataclass(frozen=True, slots=True)
class Asked:
    """What is left of an encode body after its `EmbedRequest`.

    Attributes:
        is_single: Whether the answer is one object and not an array.
        request_ids: The caller's names of the inputs; empty for none.
    """

    is_single: bool
    request_ids: tuple[str, ...]


def parse_encode(body: Mapping[str, Any], card: ModelCard) -> tuple[EmbedRequest, Asked]:
    """Return what a body of ``POST /encode`` asks for.

    Args:
        body: As decoded.
        card: Of the model that it goes to.

    Raises:
        UnsupportedInputError: It has sound, or asks for something that there is not.
        InvalidInputError: ``param`` names the field.

    Source: https://github.com/sgl-project/sglang/blob/main/docs/basic_usage/native_api.ipynb
    and ``EmbeddingReqInput`` in ``python/sglang/srt/managers/io_struct.py`` there.
    """
    refuse_unserved(body)
    if body.get("audio_data") is not None:
        raise UnsupportedInputError("this server embeds no sound", param="audio_data")
    if body.get("return_pooled_hidden_states"):
        raise UnsupportedInputError(
            "hidden states are not returned", param="return_pooled_hidden_states"
        )
    words, is_single = _words(body)
    media = {name: _media(body.get(name), name, len(words), is_single) for name in _MEDIA}
    request = EmbedRequest(
        card.name,
        tuple(_input(words, media, index) for index in range(len(words))),
        dimensions=parse_dimensions(body),
        outputs=("dense",),
        priority=optional_int(body, "priority") or 0,
    )
    return request, Asked(is_single, _request_ids(body.get("rid"), len(words)))


def render(result: EmbedResult, asked: Asked, *, request_id: str, duration_s: float) -> Reply:
    """Return one object with a vector, or an array of them."""
    is_single = asked.is_single
    ids = asked.request_ids or tuple(
        request_id if is_single else f"{request_id}_{index}"
        for index in range(len(result.embeddings))
    )
    encoded = [
        {
            "embedding": wire_vector(embedding.vector, "float"),
            "meta_info": {
                "id": name,
                "prompt_tokens": embedding.num_tokens,
                "e2e_latency": duration_s,
            },
        }
        for embedding, name in zip(result.embeddings, ids, strict=True)
    ]
    return json_reply(encoded[0] if is_single else encoded)


def _words(body: Mapping[str, Any]) -> tuple[list[Text | Tokens | None], bool]:
    """The text or token ids of each input, None where it has none, and whether it is one input."""
    text, ids = body.get("text"), body.get("input_ids")
    if text is not None and ids is not None:
        raise InvalidInputError("give text or input_ids, not both", param="input_ids")
    if isinstance(text, str):
        return [Text(text)], True
    if text is not None:
        texts = _list(text, "text")
        return [_text(one, f"text[{index}]") for index, one in enumerate(texts)], False
    if ids is not None:
        values = _list(ids, "input_ids")
        if not isinstance(values[0], list):
            return [_tokens(values, "input_ids")], True
        return [_tokens(one, f"input_ids[{index}]") for index, one in enumerate(values)], False
    for name in _MEDIA:
        value = body.get(name)
        if isinstance(value, str):
            return [None], True
        if value is not None:
            return [None] * len(_list(value, name)), False
    raise InvalidInputError(_NOTHING, param="text")


def _text(value: Any, param: str) -> Text:
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)
    return Text(value)


def _tokens(value: Any, param: str) -> Tokens:
    ids = _list(value, param)
    if not all(type(token) is int for token in ids):
        raise InvalidInputError("All items in input list must be integers", param=param)
    negative = next((index for index, token in enumerate(ids) if token < 0), None)
    if negative is not None:
        raise InvalidInputError(f"Token ID at index {negative} must be non-negative", param=param)
    return Tokens(tuple(ids))


def _list(value: Any, param: str) -> list[Any]:
    if not isinstance(value, list):
        raise wrong_type(param, "a string or an array", value)
    if not value:
        raise InvalidInputError("Input cannot be empty", param=param)
    return value


def _media(value: Any, name: str, num_inputs: int, is_single: bool) -> list[list[Any]]:  # noqa: FBT001
    """What each input has of a kind; a lone string belongs to every one of them."""
    if value is None:
        return [[]] * num_inputs
    if not isinstance(value, list):
        return [[value]] * num_inputs
    if is_single:
        return [value]
    if len(value) != num_inputs:
        raise InvalidInputError(
            f"{name} has {len(value)} elements for {num_inputs} inputs", param=name
        )
    return [_of_one(one) for one in value]


def _of_one(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _input(
    words: Sequence[Text | Tokens | None], media: Mapping[str, list[list[Any]]], index: int
) -> Input:
    """An input as it is: callers of this route write a template's words themselves."""
    own = words[index]
    param = "input_ids" if isinstance(own, Tokens) else "text"
    param = param if len(words) == 1 else f"{param}[{index}]"
    pictures = [Image(source_of(one, "image_data")) for one in media["image_data"][index]]
    videos = [Video(source_of(one, "video_data")) for one in media["video_data"][index]]
    parts: list[Part] = [*pictures, *videos]
    if own is not None and not (parts and own == Text("")):
        parts.append(own)
    if not parts:
        raise InvalidInputError(_NOTHING, param=param)
    return Input(tuple(parts), param=param)


def _request_ids(value: Any, num_inputs: int) -> tuple[str, ...]:
    ids = value if isinstance(value, list) else [value] * num_inputs
    if len(ids) != num_inputs or not all(isinstance(one, str) for one in ids):
        return ()
    return tuple(one[:_MAX_RID_CHARS] for one in ids)
