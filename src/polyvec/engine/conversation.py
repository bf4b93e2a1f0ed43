"""Conversations → token ids, through a chat template. Blocks: never on the event loop."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from polyvec.checkpoints.control_tokens import Shield
from polyvec.checkpoints.template_conversation import Conversation, Limits, Turn
from polyvec.checkpoints.template_process import render_apart
from polyvec.engine.options import EngineOptions
from polyvec.errors import InvalidInputError, TemplateError
from polyvec.models._model import TextRules
from polyvec.types import Chat, IntArray, MediaPart, Text, Video

MAX_MESSAGES: Final = 4096
TEMPLATE_TIMEOUT_S: Final = 10.0

# Word for word what vLLM says: its users search for it.
_UNTRUSTED = (
    "Chat template is passed with request, but --trust-request-chat-template is not set. Refused "
    "request with untrusted chat template."
)
_BOTH_FLAGS = "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
_NO_MESSAGES = "Cannot apply chat template to an empty conversation. Provide at least one message."


def check_chat(chat: Chat, options: EngineOptions, param: str) -> None:
    """Refuse what no model renders.

    Raises:
        TemplateError: It brings a template, and the operator does not trust requests with that.
        InvalidInputError: It has no messages, or too many, or asks for two ends at once.
    """
    brings = chat.template is not None or "chat_template" in chat.template_variables
    if brings and not options.trust_request_chat_template:
        raise TemplateError(_UNTRUSTED, param="chat_template")
    if chat.add_generation_prompt and chat.continue_final_message:
        raise InvalidInputError(_BOTH_FLAGS, param="continue_final_message")
    if not chat.messages:
        raise InvalidInputError(_NO_MESSAGES, param=param)
    if len(chat.messages) > MAX_MESSAGES:
        raise InvalidInputError(
            f"{param} has {len(chat.messages)} messages; at most {MAX_MESSAGES} are read",
            param=param,
        )


def own_template(chat: Chat) -> str | None:
    """The template that a request brings, or None."""
    given = chat.template_variables.get("chat_template")
    return given if chat.template is None and isinstance(given, str) else chat.template


def is_rendered(chat: Chat, rules: TextRules | None) -> bool:
    """Whether it goes through a template; without one, its texts are joined."""
    if rules is None or rules.late is not None:
        return False
    if any(not isinstance(part, Text) for part in parts_of(chat)):
        return False
    return rules.chat_template is not None or own_template(chat) is not None


def parts_of(chat: Chat) -> tuple[MediaPart, ...]:
    """The parts of all messages."""
    return tuple(part for message in chat.messages for part in message.parts)


def chat_ids(
    chat: Chat, rules: TextRules, options: EngineOptions, param: str, *, system: str = ""
) -> IntArray:
    """What the model reads of a conversation, uncut.

    Args:
        chat: Checked, and rendered.
        rules: The model's.
        options: Limits.
        param: Of its input.
        system: Put before a conversation that has no system message of its own.

    Raises:
        TemplateError: The template refuses it, is wrong, takes too long or gives too much.
    """
    tokenizer = rules.tokenizer
    reader = tokenizer.rendered()
    limits = Limits(options.max_text_chars, TEMPLATE_TIMEOUT_S)
    own = own_template(chat)
    try:
        conversation = _conversation(chat, rules, reader.shield, system)
        if own is not None:
            text = render_apart(own, conversation, limits)
        elif rules.chat_template is not None:
            text = rules.chat_template.render(conversation, limits)
        else:
            raise TypeError("the conversation goes through no template")
    except TemplateError as error:
        raise TemplateError(error.message, param=param) from None
    ids = reader.encode(text)
    if not chat.add_special_tokens:
        return ids
    return np.concatenate([tokenizer.prefix, ids, tokenizer.suffix])


def _conversation(chat: Chat, rules: TextRules, shield: Shield, system: str) -> Conversation:
    def written(part: MediaPart) -> Mapping[str, str]:
        if isinstance(part, Text):
            return {"type": "text", "text": shield.text(rules.tokenizer.cleaned(part.text))}
        return {"type": "video" if isinstance(part, Video) else "image"}

    turns = [
        Turn(shield.name(message.role), tuple(map(written, message.parts)))
        for message in chat.messages
    ]
    if system and turns[0].role != "system":
        turns.insert(0, Turn("system", (written(Text(system)),)))
    return Conversation(
        turns=tuple(turns),
        add_generation_prompt=chat.add_generation_prompt,
        continue_final_message=chat.continue_final_message,
        variables={**rules.template_tokens, **shield.value(chat.template_variables)},
    )
