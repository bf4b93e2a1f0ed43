"""What a body of OpenAI's shape has embedded: texts, token ids, pictures and conversations."""

from collections.abc import Mapping
from typing import Any, Final

from polyvec.dialects._base import json_type
from polyvec.dialects._content import parse_messages, parse_part
from polyvec.dialects._openai.wire import optional_bool, optional_str, parse_input, wrong_type
from polyvec.errors import InvalidInputError
from polyvec.types import Chat, Input, Vocabulary

_PART_FIELDS: Final = frozenset(
    ("type", "text", "image", "image_url", "video", "video_url", "input_text", "input_image")
)
_BOTH_FLAGS: Final = "Cannot set both `continue_final_message` and `add_generation_prompt` to True."


def parse_inputs(body: Mapping[str, Any], vocabulary: Vocabulary = "model") -> tuple[Input, ...]:
    """Return what ``messages`` or, where there are none, ``input`` holds.

    ``messages`` is one conversation, which gets one vector, or an array of them. ``input`` is
    what `parse_input` reads, one or more content parts (such as pictures, one vector each), or
    messages as above.

    Raises:
        InvalidInputError: ``param`` names the field or element that cannot be used.

    Source: https://docs.vllm.ai/en/stable/models/pooling_models/embed; content parts in ``input``
    are polyvec's.
    """
    messages = body.get("messages")
    if messages is not None:
        return parse_conversations(messages, body, "messages")
    value = body.get("input")
    if isinstance(value, Mapping) and not _PART_FIELDS.isdisjoint(value):
        return (Input((parse_part(value, "input"),)),)
    if isinstance(value, list) and value:
        if _holds_messages(value):
            return parse_conversations(value, body, "input")
        if any(isinstance(item, Mapping) for item in value[:2]):
            return tuple(_part_input(item, f"input[{index}]") for index, item in enumerate(value))
    return parse_input(body, vocabulary)


def parse_conversations(
    value: Any, body: Mapping[str, Any], param: str, *, opens_turn: bool = False
) -> tuple[Input, ...]:
    """Return one conversation, or each of an array of them, as an input.

    Args:
        value: Messages, or arrays of messages.
        body: Has the fields that say how the template is used.
        param: Where the messages stand.
        opens_turn: What ``add_generation_prompt`` is where the body does not say.

    Raises:
        InvalidInputError: ``param`` names the message, part or field.
    """
    options = _template_options(body, opens_turn=opens_turn)
    if isinstance(value, list) and value and isinstance(value[0], list):
        places = [(f"{param}[{index}]", messages) for index, messages in enumerate(value)]
    else:
        places = [(param, value)]
    return tuple(
        Input((Chat(parse_messages(messages, place), **options),), param=place)
        for place, messages in places
    )


def _part_input(item: Any, param: str) -> Input:
    if not isinstance(item, str | Mapping):
        raise InvalidInputError(
            f"{param} must be a string or a content part like the elements before it, "
            f"got {json_type(item)}",
            param=param,
            code="invalid_type",
        )
    return Input((parse_part(item, param),), param=param)


def _holds_messages(values: list[Any]) -> bool:
    """Whether an array holds messages, or arrays of them: only messages have roles."""
    first = values[0]
    if isinstance(first, list):
        first = first[0] if first else None
        return isinstance(first, Mapping)
    return isinstance(first, Mapping) and "role" in first


def _template_options(body: Mapping[str, Any], *, opens_turn: bool) -> dict[str, Any]:
    """The fields of `Chat` beside its messages."""
    opens = optional_bool(body, "add_generation_prompt")
    continues = optional_bool(body, "continue_final_message") or False
    # The default gives way, so that one of the two is enough.
    opens = (opens_turn and not continues) if opens is None else opens
    if opens and continues:
        raise InvalidInputError(_BOTH_FLAGS, param="continue_final_message")
    variables = body.get("chat_template_kwargs")
    if variables is not None and not isinstance(variables, Mapping):
        raise wrong_type("chat_template_kwargs", "an object or null", variables)
    variables = dict(variables or {})
    inner = variables.pop("chat_template", None)
    if inner is not None and not isinstance(inner, str):
        raise wrong_type("chat_template_kwargs.chat_template", "a string", inner)
    template = optional_str(body, "chat_template")
    return {
        "add_generation_prompt": opens,
        "continue_final_message": continues,
        "add_special_tokens": optional_bool(body, "add_special_tokens") or False,
        "template": inner if template is None else template,
        "template_variables": variables,
    }
