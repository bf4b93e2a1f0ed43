"""What SGLang's bodies have embedded: items of text, picture and video, or of content parts."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from polyvec.dialects._base import json_type
from polyvec.dialects._content import parse_content, source_of
from polyvec.dialects._encode import EncodingFormat
from polyvec.dialects._openai.wire import optional_int, optional_str, wrong_type
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.types import (
    Chat,
    EmbedRequest,
    Image,
    Input,
    MediaPart,
    Message,
    ModelCard,
    Part,
    Text,
    Video,
)

DEFAULT_MODEL: Final = "default"
"""What SGLang calls the model of requests that name none."""

_MEDIA_KEYS: Final = ("image", "video")
_ITEM_KEYS: Final = ("text", *_MEDIA_KEYS)
_MAX_ECHOED_CHARS: Final = 32
# They change the vectors, so they are not overlooked.
_REFUSED: Final = ("lora_path", "embed_overrides", "embed_override_token_id")


def parse_embed(body: Mapping[str, Any], card: ModelCard) -> tuple[EmbedRequest, EncodingFormat]:
    """Return what a body of ``POST /v1/embeddings`` with objects in ``input`` asks for.

    Each object gets one vector. SGLang overlooks keys that it does not know, and then embeds
    something else than what was meant, so here they are refused.

    Args:
        body: As decoded.
        card: Of the model that it goes to.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://github.com/sgl-project/sglang/blob/main/docs/supported_models/retrieval_ranking/embedding_models.md
    and, for items with ``content``, https://openrouter.ai/docs/api/reference/embeddings.
    """
    items = body.get("input")
    if not isinstance(items, list) or not items:
        raise InvalidInputError("Input cannot be empty", param="input")
    encoding = parse_encoding(body)
    refuse_unserved(body)
    request = EmbedRequest(
        card.name,
        tuple(_item(item, f"input[{index}]", card) for index, item in enumerate(items)),
        dimensions=parse_dimensions(body),
        outputs=("dense",),
        priority=optional_int(body, "priority") or 0,
    )
    return request, encoding


def parse_encoding(body: Mapping[str, Any]) -> EncodingFormat:
    """Return how vectors are written.

    Raises:
        InvalidInputError: It is neither of the two ways.
    """
    value = optional_str(body, "encoding_format")
    if value is None or value == "float":
        return "float"
    if value == "base64":
        return "base64"
    raise InvalidInputError(
        f"encoding_format must be either 'float' or 'base64', got {value[:_MAX_ECHOED_CHARS]!r}",
        param="encoding_format",
    )


def parse_dimensions(body: Mapping[str, Any]) -> int | None:
    """Return how long vectors are to be, or None for the model's length.

    Raises:
        InvalidInputError: It is no positive integer.
    """
    value = optional_int(body, "dimensions")
    if value is not None and value < 1:
        raise InvalidInputError("Requested dimensions must be greater than 0", param="dimensions")
    return value


def refuse_unserved(body: Mapping[str, Any]) -> None:
    """Refuse fields that would change vectors and that this server has no use for.

    Raises:
        UnsupportedInputError: There is one.
    """
    for name in _REFUSED:
        if body.get(name) is not None:
            raise UnsupportedInputError(f"{name} is not supported by this server", param=name)


def input_of(parts: Sequence[MediaPart], param: str, card: ModelCard) -> Input:
    """Return what gets one vector.

    SGLang puts the tokenizer's own chat template around such parts whenever there is one, even
    around texts for models that were trained without. Here only a template that the operator
    named is used.
    """
    if uses_template(card):
        message = Message("user", tuple(parts))
        return Input((Chat((message,), add_generation_prompt=True),), param=param)
    several: tuple[Part, ...] = tuple(parts)
    if len(several) > 1:
        several = tuple(part for part in several if part != Text("")) or several[:1]
    return Input(several, param=param)


def uses_template(card: ModelCard) -> bool:
    """Whether the operator gave ``--chat-template``, and the model reads conversations by it.

    A template's words mean nothing to a tower for texts that has one for pictures beside it, even
    though clients of GME call such a server's model by its template.
    """
    if not card.has_chat_template or "image" in card.modalities:
        return False
    setting = card.settings.get("chat_template")
    return setting is not None and setting.origin.startswith("--chat-template")


def _item(value: Any, param: str, card: ModelCard) -> Input:
    if not isinstance(value, Mapping):
        raise wrong_type(param, "an object with text, image or video", value)
    allowed = ("content",) if "content" in value else _ITEM_KEYS
    for key in value:
        if key not in allowed:
            raise InvalidInputError(
                f"{param} has the unknown key {key[:_MAX_ECHOED_CHARS]!r}; "
                f"known are {', '.join(allowed)}",
                param=param,
            )
    parts = parse_content(value["content"], f"{param}.content") if "content" in value else None
    parts = tuple(_parts(value, param)) if parts is None else parts
    if not parts:
        raise InvalidInputError(f"{param} needs text, image or video", param=param)
    return input_of(parts, param, card)


def _parts(value: Mapping[str, Any], param: str) -> list[MediaPart]:
    """An item's parts in the order in which SGLang puts them into a prompt."""
    parts: list[MediaPart] = []
    for key in _MEDIA_KEYS:
        if value.get(key) is not None:
            source = source_of(value[key], f"{param}.{key}")
            parts.append(Image(source) if key == "image" else Video(source))
    text = value.get("text")
    if text is None:
        return parts
    if not isinstance(text, str):
        raise InvalidInputError(
            f"{param}.text must be a string, got {json_type(text)}",
            param=f"{param}.text",
            code="invalid_type",
        )
    return [*parts, Text(text)]
