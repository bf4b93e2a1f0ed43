"""What a text is embedded for, in the words of hosted APIs, on models that may not know them.

Such words are accepted for every model and become one of its prompts or adapters where it has one
for them; any other word must be a prompt or an adapter of the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from polyvec.errors import PromptNotFoundError
from polyvec.service import Service
from polyvec.types import EmbedRequest, EmbedResult, ModelCard

MAX_ECHOED_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt or an adapter that a model may have; see `EmbedRequest`."""

    prompt_name: str | None = None
    task: str | None = None


Purposes = Mapping[str, tuple[Reading, ...]]
"""Word → what models may have for it, the likeliest first."""

_QUERY: Final = Reading(prompt_name="query")
_DOCUMENT: Final = Reading(prompt_name="document")
_CLASSIFICATION: Final = (Reading(task="classification"), Reading(task="Classification"))
_CLUSTERING: Final = (
    Reading(task="clustering"), Reading(task="Clustering"), Reading(task="separation"),
)  # fmt: skip

COHERE_PURPOSES: Final[Purposes] = {
    "search_query": (Reading(prompt_name="search_query"),),
    "search_document": (Reading(prompt_name="search_document"),),
    "classification": _CLASSIFICATION,
    "clustering": _CLUSTERING,
    "image": (),
}
VOYAGE_PURPOSES: Final[Purposes] = {"query": (_QUERY,), "document": (_DOCUMENT,)}
WEAVIATE_PURPOSES: Final[Purposes] = {"query": (_QUERY,), "passage": (_DOCUMENT,)}
QDRANT_PURPOSES: Final[Purposes] = {"search": (_QUERY,), "update": (_DOCUMENT,)}
JINA_PURPOSES: Final[Purposes] = {
    "retrieval.query": (Reading(task="retrieval.query"), _QUERY),
    "retrieval.passage": (Reading(task="retrieval.passage"), _DOCUMENT),
    "text-matching": (Reading(task="text-matching"), Reading(task="STS")),
    "classification": _CLASSIFICATION,
    "separation": (Reading(task="separation"), *_CLUSTERING),
    "clustering": _CLUSTERING,
    "code.query": (Reading(task="code.query"), Reading(task="nl2code_query"), _QUERY),
    "code.passage": (Reading(task="code.passage"), Reading(task="nl2code_document"), _DOCUMENT),
    "nl2code.query": (Reading(task="nl2code.query"), Reading(task="nl2code_query"), _QUERY),
    "nl2code.passage": (
        Reading(task="nl2code.passage"), Reading(task="nl2code_document"), _DOCUMENT,
    ),
}  # fmt: skip


async def embed_for(
    word: str | None, purposes: Purposes, request: EmbedRequest, service: Service, *, param: str
) -> EmbedResult:
    """Embed for a purpose.

    Args:
        word: What the caller wrote, or None.
        purposes: Those that every model accepts.
        request: Without prompt and task.
        service: Who embeds.
        param: The request's field that the word is from.

    Raises:
        ModelNotFoundError: No served model has the request's name.
        PromptNotFoundError: The word is none of the purposes, and no prompt or adapter of the
            model.
        InvalidInputError: An input cannot be embedded.
    """
    if word is None:
        return await service.embed(request)
    card = service.find(request.model)
    known = purposes.get(word)
    if known is None:
        return await _embed_named(word, purposes, request, service, param)
    result = await _embed_first(known if _may_know(card) else (), request, service)
    return result or await service.embed(request)


async def _embed_named(
    word: str, purposes: Purposes, request: EmbedRequest, service: Service, param: str
) -> EmbedResult:
    card = service.find(request.model)
    # Where there can be none, no input is looked at first.
    readings = (Reading(prompt_name=word), Reading(task=word)) if _may_know(card) else ()
    result = await _embed_first(readings, request, service)
    if result is not None:
        return result
    values = sorted({*purposes, *card.prompts, *card.tasks})
    name = word[:MAX_ECHOED_CHARS]
    raise PromptNotFoundError(
        f"Unsupported {param} {name!r}. Supported values: {', '.join(values)}",
        param=param,
        name=name,
        known=tuple(values),
    )


async def _embed_first(
    readings: Sequence[Reading], request: EmbedRequest, service: Service
) -> EmbedResult | None:
    """The result with the first reading that the model has; None if it has none of them."""
    for reading in readings:
        changed = replace(request, prompt_name=reading.prompt_name, task=reading.task)
        try:
            return await service.embed(changed)
        except PromptNotFoundError:
            continue
    return None


def _may_know(card: ModelCard) -> bool:
    """Whether to try: a model that is not loaded has no prompts in its card."""
    return card.state != "ready" or bool(card.prompts or card.tasks) or card.outputs[0] == "tokens"
