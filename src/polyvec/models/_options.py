"""What an operator may say about a model, and every answer with its origin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from polyvec.models._family import Pooling
from polyvec.types import Setting

Convert = Literal["auto", "embed", "classify", "none"]
RunnerKind = Literal["auto", "pooling"]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What an operator may say about a model instead of its checkpoint.

    Attributes:
        revision: Branch, tag or commit of a hub id.
        architecture: Class name to use instead of config.json's.
        pooling: Token states → one vector.
        normalize: Whether vectors have unit length.
        max_input_tokens: Longest text in tokens.
        prompts: Prompt name → prefix, beside and before the checkpoint's own.
        default_prompt_name: One of the prompts, for requests that name none.
        matryoshka: Shorter lengths that callers may ask for.
        chat_template: File, Jinja itself or registered name of the template that conversations go
            through, instead of the checkpoint's.
        pooler_config: vLLM's ``--pooler-config``; see `polyvec.models._overrides`.
        hf_overrides: Merged over config.json before it is read.
        convert: vLLM's ``--convert``: what the model must be good for. A causal language model
            embeds without it.
        runner: vLLM's ``--runner``: nothing but pooling is served.
        trust_remote_code: Accepted for a checkpoint that another engine may load; the graphs of
            this package never run a checkpoint's code.
    """

    revision: str | None = None
    architecture: str | None = None
    pooling: Pooling | None = None
    normalize: bool | None = None
    max_input_tokens: int | None = None
    prompts: Mapping[str, str] | None = None
    default_prompt_name: str | None = None
    matryoshka: tuple[int, ...] = ()
    chat_template: str | None = None
    pooler_config: Mapping[str, Any] | None = None
    hf_overrides: Mapping[str, Any] | None = None
    convert: Convert = "auto"
    runner: RunnerKind = "auto"
    trust_remote_code: bool = False


@dataclass(slots=True)
class Answers:
    """Settings resolved so far, with their origins."""

    found: dict[str, Setting] = field(default_factory=dict)

    def keep(self, name: str, value: Any, origin: str) -> Any:
        """Note a setting and give its value back."""
        self.found[name] = Setting(value, origin)
        return value
