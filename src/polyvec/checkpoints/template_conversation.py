"""What a chat template is given: messages with their content in the form that it reads."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from polyvec.errors import TemplateError

END_MARK = "\ufdd1"
"""Stands after the last text of a message that stays open; no text holds it (a noncharacter)."""
MAX_ERROR_CHARS = 500


@dataclass(frozen=True, slots=True)
class ContentForm:
    """How a template reads a message's content.

    Attributes:
        takes_parts: It goes over a list of parts; otherwise it prints a string.
        takes_strings: It asks whether the content is a string.
    """

    takes_parts: bool
    takes_strings: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """One message; `parts` are as chat APIs write them: ``{"type": "text", "text": …}``."""

    role: str
    parts: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is rendered; made of what JSON can say.

    Attributes:
        turns: At least one.
        add_generation_prompt: See `polyvec.types.Chat`.
        continue_final_message: See `polyvec.types.Chat`.
        variables: Special tokens and the request's own variables.
    """

    turns: tuple[Turn, ...]
    add_generation_prompt: bool = False
    continue_final_message: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Fields as `from_json` takes them."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Conversation":
        """The opposite of `to_json`."""
        turns = tuple(Turn(turn["role"], tuple(turn["parts"])) for turn in fields["turns"])
        return cls(**{**fields, "turns": turns})


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one rendering.

    Attributes:
        max_chars: Longest text that a template may give.
        timeout_s: Longest time.
    """

    max_chars: int = 1_000_000
    timeout_s: float = 10.0


def written_content(conversation: Conversation, form: ContentForm) -> list[dict[str, Any]]:
    """The template's ``messages``.

    A single text is given as a string wherever the template takes one, as the reference gives it.

    Raises:
        TemplateError: The last message is to stay open and has no text.
    """
    turns = [(turn.role, [dict(part) for part in turn.parts]) for turn in conversation.turns]
    if conversation.continue_final_message:
        _mark_end(turns[-1][1])
    return [{"role": role, "content": _content(parts, form)} for role, parts in turns]


def _content(parts: list[dict[str, str]], form: ContentForm) -> str | list[dict[str, str]]:
    texts = [part["text"] for part in parts if part["type"] == "text"]
    if not form.takes_parts:
        return "\n".join(texts)
    if form.takes_strings and len(texts) == len(parts) == 1:
        return texts[0]
    return parts


def _mark_end(parts: list[dict[str, str]]) -> None:
    for part in reversed(parts):
        if part["type"] == "text":
            # The space shows whether the template cuts spaces off a message's end.
            part["text"] += f"{END_MARK} "
            return
    raise TemplateError("continue_final_message is set but the final message has no text")


def continued(text: str) -> str:
    """A rendered text up to where its last message ends.

    Raises:
        TemplateError: The template leaves that message out.
    """
    place = text.rfind(END_MARK)
    if place < 0:
        raise TemplateError(
            "continue_final_message is set but the final message does not appear in the chat after "
            "applying the chat template"
        )
    kept = text[:place]
    return kept if text.startswith(" ", place + 1) else kept.rstrip()
