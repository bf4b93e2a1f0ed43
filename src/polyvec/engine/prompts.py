"""Which prompt and which adapter a request gets, by the names that callers use for them."""

from collections.abc import Collection, Mapping

from polyvec.errors import PromptNotFoundError
from polyvec.models._late_interaction import Role
from polyvec.models._model import Model, TextRules
from polyvec.models._templates import DOCUMENT_NAMES, QUERY_NAMES
from polyvec.types import EmbedRequest, TokenizeRequest

MAX_ECHOED_CHARS = 256
"""How much of a wrong name an error repeats."""

_SYNONYMS = {
    **dict.fromkeys(("query", "search_query"), QUERY_NAMES),
    **dict.fromkeys(("document", "passage", "search_document"), DOCUMENT_NAMES),
}
"""What callers of any server may say → names that checkpoints have for it, the likeliest first."""


def role_of(request: EmbedRequest | TokenizeRequest) -> Role:
    """As what a late-interaction model reads a request's texts; documents where it does not say.

    Raises:
        PromptNotFoundError: ``prompt_name`` or ``task`` is neither a query's nor a document's name.
    """
    task = request.task if isinstance(request, EmbedRequest) else None
    name = request.prompt_name or task or "document"
    if name in QUERY_NAMES:
        return "query"
    if name in DOCUMENT_NAMES:
        return "document"
    raise PromptNotFoundError(
        f"{name[:MAX_ECHOED_CHARS]!r} is not known to this model; it reads query and document",
        param="task" if request.prompt_name is None else "prompt_name",
        name=name[:MAX_ECHOED_CHARS],
        known=("query", "document"),
    )


def prompt_of(request: EmbedRequest, rules: TextRules | None) -> str:
    """The prefix that a request asks for, or the checkpoint's default; empty for none.

    Raises:
        PromptNotFoundError: The model has no such prompt.
    """
    prompts: Mapping[str, str] = {} if rules is None else rules.prompts
    if rules is not None and rules.late is not None:
        role_of(request)
        return ""
    if request.prompt_name is None and request.task is not None:
        return prompts.get(request.task, "")
    name = prompt_name_of(request, prompts)
    if name is None:
        name = None if rules is None else rules.default_prompt_name
    return "" if name is None else prompts[name]


def prompt_name_of(request: EmbedRequest | TokenizeRequest, prompts: Collection[str]) -> str | None:
    """The model's own name of the prompt that a request names; None where it names none.

    Raises:
        PromptNotFoundError: The model has no such prompt.
    """
    name = request.prompt_name
    if name is None or name in prompts:
        return name
    for own in _SYNONYMS.get(name, ()):
        if own in prompts:
            return own
    allowed = f"it defines {', '.join(prompts)}" if prompts else "it defines none"
    raise PromptNotFoundError(
        f"prompt_name {name[:MAX_ECHOED_CHARS]!r} is not a prompt of this model; {allowed}",
        param="prompt_name",
        name=name[:MAX_ECHOED_CHARS],
        known=tuple(prompts),
    )


def adapter_of(request: EmbedRequest, model: Model) -> int | None:
    """Index of the adapter that a request's texts go through, or None.

    A prompt that is named like an adapter belongs to it, so it brings the adapter along.

    Raises:
        PromptNotFoundError: The task is neither an adapter nor a prompt, or the model has no such
            prompt.
    """
    prompts: Mapping[str, str] = {} if model.text is None else model.text.prompts
    name = request.task
    if model.text is not None and model.text.late is not None:
        role_of(request)
        return None
    if name is None:
        name = prompt_name_of(request, prompts)
    elif name not in model.adapters and name not in prompts:
        known = ", ".join(dict.fromkeys((*model.adapters, *prompts)))
        allowed = f"it has {known}" if known else "it has none"
        raise PromptNotFoundError(
            f"task {name[:MAX_ECHOED_CHARS]!r} is not a task of this model; {allowed}",
            param="task",
            name=name[:MAX_ECHOED_CHARS],
            known=tuple(dict.fromkeys((*model.adapters, *prompts))),
        )
    return model.adapters.index(name) if name in model.adapters else None
