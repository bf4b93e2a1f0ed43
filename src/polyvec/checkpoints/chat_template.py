"""The chat template of a checkpoint, or the one that the operator gives instead."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.checkpoints.registered_templates import REGISTERED_TEMPLATES
from polyvec.checkpoints.template_conversation import Conversation, Limits
from polyvec.errors import CheckpointError, ConfigError, TemplateError

if TYPE_CHECKING:
    from polyvec.checkpoints.jinja_sandbox import CompiledTemplate

FILE = "chat_template.jinja"
_JSON_FILE = "chat_template.json"
_TOKEN_KEYS = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_JINJA_MARKS = ("{{", "{%")


class ChatTemplate:
    """A template that is trusted: the checkpoint's or the operator's. Shared between threads.

    Args:
        source: Jinja.
        origin: For people: the file or flag.
    """

    def __init__(self, source: str, *, origin: str) -> None:
        self.source = source
        self.origin = origin
        self._compiled: CompiledTemplate | None = None
        self._lock = threading.Lock()

    def render(self, conversation: Conversation, limits: Limits) -> str:
        """The text that the model reads.

        Raises:
            TemplateError: The template refuses the conversation, is wrong, takes too long or gives
                too much.
        """
        return self._ready().render(conversation, limits)

    def check(self) -> None:
        """Compile it now.

        Raises:
            TemplateError: It is not valid Jinja.
        """
        self._ready()

    def _ready(self) -> "CompiledTemplate":
        # Jinja is loaded where a template is: most models have none.
        from polyvec.checkpoints.jinja_sandbox import CompiledTemplate

        with self._lock:
            if self._compiled is None:
                self._compiled = CompiledTemplate(self.source)
            return self._compiled


@dataclass(frozen=True, slots=True)
class _Found:
    source: str
    origin: str


def read_chat_template(
    folder: Path, tokenizer_config: Mapping[str, Any], given: str | None = None
) -> ChatTemplate | None:
    """The template that conversations go through, or None.

    Args:
        folder: Of config.json and the tokenizer.
        tokenizer_config: tokenizer_config.json.
        given: The operator's: a file, Jinja itself, or a registered name.

    Raises:
        CheckpointError: A file is damaged.
        ConfigError: The operator's is no file, or not valid Jinja.
    """
    found = _own(folder, tokenizer_config) if given is None else _given(given)
    if found is None:
        return None
    template = ChatTemplate(found.source, origin=found.origin)
    if given is not None:
        try:
            template.check()
        except TemplateError as error:
            raise ConfigError(f"--chat-template: {error.message}", param="chat_template") from None
    return template


def special_tokens(folder: Path, tokenizer_config: Mapping[str, Any]) -> dict[str, Any]:
    """Special tokens by their names in templates; those that a tokenizer lacks are left out.

    Source: transformers' ``special_tokens_map``.
    """
    said = {**_read(folder / "special_tokens_map.json"), **tokenizer_config}
    tokens: dict[str, Any] = {}
    for key in _TOKEN_KEYS:
        token = _content(said.get(key))
        if token is not None:
            tokens[key] = token
    several = said.get("additional_special_tokens") or said.get("extra_special_tokens")
    if isinstance(several, list):
        tokens["additional_special_tokens"] = [_content(token) for token in several]
    named = said.get("extra_special_tokens")
    if isinstance(named, Mapping):
        tokens |= {str(name): _content(token) for name, token in named.items()}
    return tokens


def _content(token: Any) -> str | None:
    found = token.get("content") if isinstance(token, Mapping) else token
    return found if isinstance(found, str) else None


def _own(folder: Path, tokenizer_config: Mapping[str, Any]) -> _Found | None:
    """What the checkpoint's files say, the newest place first."""
    if (folder / FILE).is_file():
        return _Found(_text(folder / FILE), FILE)
    places = (
        (_read(folder / _JSON_FILE).get("chat_template"), _JSON_FILE),
        (tokenizer_config.get("chat_template"), "tokenizer_config.json: chat_template"),
    )
    for said, origin in places:
        source = _default_of(said)
        if source is not None:
            return _Found(source, origin)
    return None


def _default_of(said: Any) -> str | None:
    """A template, or of several the one that is called ``default``."""
    if isinstance(said, str):
        return said
    for entry in said if isinstance(said, list) else ():
        if isinstance(entry, Mapping) and entry.get("name") == "default":
            return _default_of(entry.get("template"))
    return None


def _given(given: str) -> _Found:
    if given in REGISTERED_TEMPLATES:
        return _Found(REGISTERED_TEMPLATES[given], f"--chat-template {given}")
    if any(mark in given for mark in _JINJA_MARKS):
        return _Found(given, "--chat-template")
    path = Path(given).expanduser()
    try:
        return _Found(path.read_text("utf-8"), f"--chat-template {path.name}")
    except (OSError, ValueError):
        known = ", ".join(REGISTERED_TEMPLATES)
        raise ConfigError(
            f"--chat-template must be a file, Jinja itself, or one of {known}; {given[:200]!r} is "
            "none of them",
            param="chat_template",
        ) from None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(_text(path))
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path.name} is not valid JSON") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path.name} must hold a JSON object")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        raise CheckpointError(f"{path.name} cannot be read") from None
