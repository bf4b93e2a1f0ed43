"""Ollama's API, as far as it is about embeddings."""

import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from polyvec.dialects._base import Call, Dialect, Reply, Route, json_type
from polyvec.dialects._encode import json_reply, rendered, wire_matrix, wire_vector
from polyvec.dialects._ollama.wire import (
    Details,
    EmbedAnswer,
    EmbedBody,
    EmbeddingsAnswer,
    EmbeddingsBody,
    RunningAnswer,
    RunningModel,
    ShowAnswer,
    ShowBody,
    TaggedModel,
    TagsAnswer,
    VersionAnswer,
)
from polyvec.dialects._openai.wire import optional_int, optional_str, wrong_type
from polyvec.dialects._plain_error import plain_error_reply
from polyvec.errors import InputTooLongError, InvalidInputError, ModelNotFoundError, PolyvecError
from polyvec.service import Service
from polyvec.types import EmbedRequest, EmbedResult, Input, ModelCard, Text

API_VERSION: Final = "0.12.6"
"""The release whose API this is; clients refuse servers of an older one."""

_LATEST: Final = ":latest"
_NEVER: Final = "2318-01-01T00:00:00Z"


def parse(body: Mapping[str, Any], card: ModelCard) -> EmbedRequest:
    """Return what a body of ``POST /api/embed`` asks for; no input is a request for nothing.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: ``EmbedHandler`` in https://github.com/ollama/ollama/blob/main/server/routes.go: an
    empty string is no input, vectors have unit length, a text over the model's limit is cut unless
    ``truncate`` is false, and ``dimensions`` is of no effect from the vector's own length on.
    """
    dimensions = optional_int(body, "dimensions") or 0
    return EmbedRequest(
        card.name,
        tuple(_parse_input(body.get("input"))),
        dimensions=dimensions if _shortens(dimensions, card) else None,
        normalize=True,
        truncate="end" if _truncates(body) else "none",
        max_tokens=_context_limit(body, card),
        outputs=("dense",),
    )


def render(result: EmbedResult, *, model: str, duration_ns: int) -> Reply:
    """Return the vectors under the name that the caller used for the model."""
    return json_reply(
        {
            "model": model,
            "embeddings": wire_matrix(result.embeddings),
            "total_duration": duration_ns,
            "load_duration": 0,
            "prompt_eval_count": result.num_tokens,
        }
    )


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as ``{"error": "…"}``, in the words that Ollama's clients look for."""
    message = None
    if isinstance(error, ModelNotFoundError):
        message = f'model "{error.name}" not found, try pulling it first'
        if error.served:
            message += f"; this server serves {', '.join(error.served)}"
    if isinstance(error, InputTooLongError):
        message = f"the input length exceeds the context length: {error.message}"
    return plain_error_reply(error, message=message)


def _shortens(dimensions: int, card: ModelCard) -> bool:
    """Whether it is below the vector's own length; a model that is not loaded does not say its."""
    return dimensions > 0 and (not card.dimensions or dimensions < card.dimensions)


def _parse_input(value: Any) -> list[Input]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [Input((Text(value),))]
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array of strings", value)
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise wrong_type(f"input[{index}]", "a string", text)
    return [Input((Text(text),), param=f"input[{index}]") for index, text in enumerate(value)]


def _truncates(body: Mapping[str, Any]) -> bool:
    value = body.get("truncate")
    if value is not None and not isinstance(value, bool):
        raise wrong_type("truncate", "a boolean or null", value)
    return value is not False


def _context_limit(body: Mapping[str, Any], card: ModelCard) -> int | None:
    """``num_ctx`` is the one option that changes an embedding: it is where texts are cut."""
    options = body.get("options")
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise wrong_type("options", "an object or null", options)
    limit = options.get("num_ctx")
    if limit is None:
        return None
    if type(limit) is not int:
        raise InvalidInputError(
            f"options.num_ctx must be an integer or null, got {json_type(limit)}",
            param="options.num_ctx",
            code="invalid_type",
        )
    is_shorter = card.max_input_tokens is not None and limit < card.max_input_tokens
    return limit if limit > 0 and is_shorter else None


def _find(name: str | None, service: Service) -> ModelCard:
    """The model of a name, with or without Ollama's tag for the newest one."""
    try:
        return service.find(name or None)
    except ModelNotFoundError:
        if name is None or not name.endswith(_LATEST):
            raise
        return service.find(name.removesuffix(_LATEST))


async def _embed(call: Call, service: Service) -> Reply:
    started_ns = time.perf_counter_ns()
    body = call.json_object()
    name = optional_str(body, "model")
    card = _find(name, service)
    request = parse(body, card)
    if not request.inputs:
        return json_reply({"model": name or card.name, "embeddings": []})
    result = await service.embed(request)
    duration_ns = time.perf_counter_ns() - started_ns
    written = partial(render, result, model=name or card.name, duration_ns=duration_ns)
    return await rendered(written, result)


async def _embed_prompt(call: Call, service: Service) -> Reply:
    """The older route: one text, cut without a word, and the vector as the model gives it."""
    body = call.json_object()
    card = _find(optional_str(body, "model"), service)
    limit = _context_limit(body, card)
    prompt = optional_str(body, "prompt")
    if not prompt:
        return json_reply({"embedding": []})
    text = Input((Text(prompt),), param="prompt")
    request = EmbedRequest(card.name, (text,), truncate="end", max_tokens=limit, outputs=("dense",))
    result = await service.embed(request)
    return json_reply({"embedding": wire_vector(result.embeddings[0].vector, "float")})


async def _list_models(_call: Call, service: Service) -> Reply:
    return json_reply(TagsAnswer(models=[_tagged(card) for card in service.models()]))


async def _list_running(_call: Call, service: Service) -> Reply:
    ready = [card for card in service.models() if card.state == "ready"]
    return json_reply(RunningAnswer(models=[_running(card) for card in ready]))


async def _version(_call: Call, _service: Service) -> Reply:
    return json_reply(VersionAnswer(version=API_VERSION))


async def _show(call: Call, service: Service) -> Reply:
    body = call.json_object()
    card = _find(optional_str(body, "model") or optional_str(body, "name"), service)
    info: dict[str, Any] = {
        "general.architecture": card.family,
        "general.basename": card.name,
        f"{card.family}.embedding_length": card.dimensions,
    }
    if card.max_input_tokens is not None:
        info[f"{card.family}.context_length"] = card.max_input_tokens
    shown = ShowAnswer(
        modelfile="",
        parameters="",
        template="",
        details=_details(card),
        model_info=info,
        capabilities=["embedding"],
        modified_at=_time(card),
    )
    return json_reply(shown)


def _tag(card: ModelCard) -> str:
    return card.name if ":" in card.name else card.name + _LATEST


def _time(card: ModelCard) -> str:
    return datetime.fromtimestamp(card.created, UTC).isoformat().replace("+00:00", "Z")


def _digest(card: ModelCard) -> str:
    """Clients want one to tell models apart; it is not of the weights."""
    return hashlib.sha256(f"{card.name}\0{card.created}".encode()).hexdigest()


def _details(card: ModelCard) -> Details:
    return Details(
        parent_model="",
        format=card.backend,
        family=card.family,
        families=[card.family],
        parameter_size="",
        quantization_level=card.dtype,
    )


def _tagged(card: ModelCard) -> TaggedModel:
    return TaggedModel(
        name=_tag(card),
        model=_tag(card),
        modified_at=_time(card),
        size=0,
        digest=_digest(card),
        details=_details(card),
    )


def _running(card: ModelCard) -> RunningModel:
    return RunningModel(
        name=_tag(card),
        model=_tag(card),
        size=0,
        digest=_digest(card),
        details=_details(card),
        expires_at=_NEVER,
        size_vram=0,
        context_length=card.max_input_tokens or 0,
    )


DIALECT: Final = Dialect(
    name="ollama",
    routes=(
        Route("POST", "/api/embed", _embed, accepts=EmbedBody, returns=EmbedAnswer),
        Route(
            "POST", "/api/embeddings", _embed_prompt,
            accepts=EmbeddingsBody, returns=EmbeddingsAnswer,
        ),
        Route("GET", "/api/tags", _list_models, returns=TagsAnswer),
        Route("GET", "/api/ps", _list_running, returns=RunningAnswer),
        Route("GET", "/api/version", _version, returns=VersionAnswer),
        Route("POST", "/api/show", _show, accepts=ShowBody, returns=ShowAnswer),
    ),
    render_error=render_error,
    source="https://github.com/ollama/ollama/blob/main/docs/api.md",
)  # fmt: skip
