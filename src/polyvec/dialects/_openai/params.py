"""The request fields that vLLM's pooling endpoints share: truncation, salt, priority and others."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from polyvec.dialects._openai.wire import (
    EMPTY_PROMPT,
    coerced_int,
    one_of,
    optional_bool,
    optional_str,
    wrong_type,
)
from polyvec.errors import InvalidInputError
from polyvec.types import ModelCard, Output, Truncate

MAX_CACHE_SALT_CHARS: Final = 128

_TRUNCATE: Final = ("end", "start", "none")
_SIDES: Final[dict[str, Truncate]] = {"right": "end", "left": "start"}
_SALT_REFUSED: Final = frozenset("@/\\\0")
_OVER_MAXIMUM: Final = (
    "truncate_prompt_tokens value is greater than max_model_len. Please request a smaller "
    "truncation size."
)
_REFUSED_KWARGS: Final = {
    "mm_processor_kwargs": "preprocessing",
    "media_io_kwargs": "media loading",
}
_REMOVED_TASKS: Final = {
    "score": "`score` task was removed; use `classify` instead.",
    "encode": "`encode` task was removed; use `token_embed` or `token_classify` instead.",
}
# Each of our outputs under the name of vLLM's task that gives it.
TASK_OF: Final[dict[Output, str]] = {
    "dense": "embed",
    "tokens": "token_embed",
    "sparse": "sparse_embed",
    "score": "classify",
}


def parse_truncation(body: Mapping[str, Any]) -> tuple[Truncate | None, int | None]:
    """Return which end of an over-long text to drop, and the most tokens that are read.

    A side alone does not turn truncation on. Ours is ``truncate``; it says as much in one field.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://docs.vllm.ai/en/stable/models/pooling_models/embed, ``truncate_prompt_tokens``
    and ``truncation_side``.
    """
    side = _SIDES[one_of(body, "truncation_side", ("left", "right")) or "right"]
    limit = _prompt_tokens(body)
    value = body.get("truncate")
    if value is None:
        truncate = side if limit is not None else None
    elif isinstance(value, str) and value in _TRUNCATE:
        truncate = cast("Truncate", value)
    elif isinstance(value, bool):
        truncate = side if value else "none"
    else:
        raise InvalidInputError(
            'truncate must be "end", "start", "none", true, false or null', param="truncate"
        )
    if limit is not None and truncate == "none":
        raise InvalidInputError(
            "truncate says not to truncate and truncate_prompt_tokens says to; send one of them",
            param="truncate",
        )
    return truncate, limit if limit != -1 else None


def check_max_tokens(max_tokens: int | None, card: ModelCard) -> None:
    """Refuse to cut a text to more tokens than the model reads.

    Raises:
        InvalidInputError: In vLLM's words.
    """
    if max_tokens is not None and card.max_input_tokens and max_tokens > card.max_input_tokens:
        raise InvalidInputError(_OVER_MAXIMUM, param="truncate_prompt_tokens")


def parse_priority(body: Mapping[str, Any]) -> int:
    """Return the priority; lower runs earlier.

    Raises:
        InvalidInputError: No integer of 64 bits.
    """
    return coerced_int(body, "priority") or 0


def parse_cache_salt(body: Mapping[str, Any]) -> str:
    """Return the salt, or an empty string where there is none.

    Raises:
        InvalidInputError: In vLLM's words.
    """
    value = body.get("cache_salt")
    if value is None:
        return ""
    # An empty salt would share results with everyone, which is not what a salt is sent for.
    if not isinstance(value, str) or not value:
        raise InvalidInputError(
            "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)",
            param="cache_salt",
        )
    if len(value) > MAX_CACHE_SALT_CHARS or not _SALT_REFUSED.isdisjoint(value):
        raise InvalidInputError(
            f"Parameter 'cache_salt' must be at most {MAX_CACHE_SALT_CHARS} characters and must "
            "not contain '@', '/', '\\\\', or NUL. (parameter=cache_salt)",
            param="cache_salt",
        )
    return value


def parse_activation(body: Mapping[str, Any]) -> bool | None:
    """Return ``use_activation``, also under the names of older releases.

    Raises:
        InvalidInputError: No boolean.
    """
    for name in ("use_activation", "activation", "softmax"):
        value = optional_bool(body, name)
        if value is not None:
            return value
    return None


def refuse_unusable(body: Mapping[str, Any]) -> None:
    """Refuse what vLLM removed or takes from trusted clients only, and check ``padding``.

    Padding itself changes nothing here: every model's texts are padded as it was trained.

    Raises:
        InvalidInputError: In vLLM's words.
    """
    one_of(body, "padding", ("max_length", "do_not_pad"))
    if body.get("normalize") is not None:
        raise InvalidInputError(
            "Parameter `normalize` was removed; use `use_activation` instead. "
            "(parameter=normalize)",
            param="normalize",
        )
    task = body.get("task")
    if isinstance(task, str) and task in _REMOVED_TASKS:
        raise InvalidInputError(f"{_REMOVED_TASKS[task]} (parameter=task)", param="task")
    for name, what in _REFUSED_KWARGS.items():
        value = body.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise wrong_type(name, "an object or null", value)
        if value:
            raise InvalidInputError(
                f"Per-request {name} are disabled by default because they can change multimodal "
                f"{what} resource usage. Start the server with --trust-request-mm-kwargs only "
                f"when clients are trusted. (parameter={name})",
                param=name,
            )


def check_outputs(outputs: Sequence[Output], card: ModelCard) -> None:
    """Refuse an output that the model does not give.

    Raises:
        InvalidInputError: In vLLM's words.
    """
    if card.state != "ready":  # its outputs are not known yet
        return
    for output in outputs:
        if output not in card.outputs:
            supported = [TASK_OF[given] for given in card.outputs]
            raise InvalidInputError(
                f"Unsupported task: {TASK_OF[output]!r} Supported tasks: {supported} "
                "(parameter=task)",
                param="task",
            )


def given_id(body: Mapping[str, Any]) -> str | None:
    """Return ``request_id``, which answers carry.

    Raises:
        InvalidInputError: No string.
    """
    return optional_str(body, "request_id")


def _prompt_tokens(body: Mapping[str, Any]) -> int | None:
    """The number of tokens to cut to; -1 stands for the model's own limit."""
    value = coerced_int(body, "truncate_prompt_tokens")
    if value == 0:
        raise InvalidInputError(EMPTY_PROMPT, param="truncate_prompt_tokens")
    if value is not None and value < -1:
        raise InvalidInputError(
            "truncate_prompt_tokens: Input should be greater than or equal to -1",
            param="truncate_prompt_tokens",
        )
    return value
