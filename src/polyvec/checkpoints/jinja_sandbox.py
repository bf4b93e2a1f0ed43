"""Conversation → text through a Jinja template, in a sandbox with limits. The owner of jinja2.

Rendered as transformers' ``apply_chat_template`` renders, so that vectors are those of the model's
authors. Source: https://huggingface.co/docs/transformers/chat_templating_writing.
"""

import datetime as dt
import json
import threading
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2 import TemplateError as JinjaError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from polyvec.checkpoints.template_conversation import (
    MAX_ERROR_CHARS,
    Conversation,
    Limits,
    continued,
    written_content,
)
from polyvec.checkpoints.template_syntax import content_form
from polyvec.errors import TemplateError

RESERVED_NAMES = frozenset(
    ("messages", "tools", "documents", "add_generation_prompt", "continue_final_message",
     "chat_template", "tokenize", "raise_exception", "strftime_now")
)  # fmt: skip
"""What a request's own variables never replace."""


class CompiledTemplate:
    """A template that is ready; safe to share between threads.

    Args:
        source: Jinja.

    Raises:
        TemplateError: It is not valid Jinja.
    """

    def __init__(self, source: str) -> None:
        self._sandbox = _Sandbox()
        try:
            self._template: Template = self._sandbox.from_string(source)
            self._form = content_form(self._sandbox.parse(source))
        except (JinjaError, RecursionError, ValueError) as error:
            raise _failed(error) from None

    def render(self, conversation: Conversation, limits: Limits) -> str:
        """The text that the model reads.

        Raises:
            TemplateError: The template refuses the conversation, is wrong, takes too long or gives
                too much.
        """
        variables = {
            name: value
            for name, value in conversation.variables.items()
            if name not in RESERVED_NAMES
        }
        variables |= {
            "messages": written_content(conversation, self._form),
            "tools": None,
            "documents": None,
            "add_generation_prompt": conversation.add_generation_prompt,
        }
        try:
            text = self._rendered(variables, limits)
        except TemplateError:
            raise
        except Exception as error:  # noqa: BLE001  (templates raise what Python operations raise)
            raise _failed(error) from None
        if _encodable(text) != text:
            raise TemplateError("the chat template gives half of a surrogate pair")
        return continued(text) if conversation.continue_final_message else text

    def _rendered(self, variables: Mapping[str, Any], limits: Limits) -> str:
        pieces, num_chars = [], 0
        with self._sandbox.until(time.monotonic() + limits.timeout_s):
            for piece in self._template.generate(variables):
                pieces.append(piece)
                num_chars += len(piece)
                if num_chars > limits.max_chars:
                    raise TemplateError(
                        f"the chat template gives more than {limits.max_chars} characters"
                    )
                self._sandbox.check_time()
        return "".join(pieces)


def _failed(error: Exception) -> TemplateError:
    """Jinja's own words, as vLLM gives them; those of a syntax error without their place."""
    message = error.message if isinstance(error, TemplateSyntaxError) else str(error)
    if isinstance(error, RecursionError):
        message = "the chat template calls itself too often"
    elif isinstance(error, MemoryError):
        message = "the chat template needs too much memory"
    return TemplateError(_encodable((message or type(error).__name__)[:MAX_ERROR_CHARS]))


def _encodable(text: str) -> str:
    """Without halves of surrogate pairs, which a template's string literals can spell."""
    return text.encode(errors="replace").decode()


class _Deadline(threading.local):
    """Of what this thread renders."""

    at_s: float = float("inf")

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.at_s = float("inf")


class _Sandbox(ImmutableSandboxedEnvironment):
    """Looks at the clock wherever a template does more than to count."""

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", _GenerationBlock],
        )
        self.filters["tojson"] = _to_json
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self._deadline = _Deadline()

    def until(self, at_s: float) -> _Deadline:
        """Sets this thread's deadline, for as long as the context is open."""
        self._deadline.at_s = at_s
        return self._deadline

    def check_time(self) -> None:
        """Raises TemplateError after the deadline."""
        if time.monotonic() > self._deadline.at_s:
            raise TemplateError("the chat template takes too long")

    def getattr(self, obj: Any, attribute: str) -> Any:
        """As the base does."""
        self.check_time()
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """As the base does."""
        self.check_time()
        return super().getitem(obj, argument)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """As the base does."""
        self.check_time()
        return super().call(context, obj, *args, **kwargs)


class _GenerationBlock(Extension):
    """``{% generation %}`` marks what an assistant wrote, which matters to training alone."""

    tags = {"generation"}  # noqa: RUF012  (the base's own declaration)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The block's content."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002  (templates pass what json.dumps takes)
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """Jinja's own would write ``<`` as an escape, for HTML's sake."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: Any) -> NoReturn:
    raise TemplateError(_encodable(str(message)[:MAX_ERROR_CHARS]))


def _strftime_now(form: str) -> str:
    return dt.datetime.now().strftime(form)  # noqa: DTZ005  (the reference's local time)
