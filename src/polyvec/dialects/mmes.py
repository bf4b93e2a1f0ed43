"""The API of Intel's Multimodal Embedding Serving: typed input objects, one vector or many."""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from polyvec.dialects._base import Call, Dialect, Reply, Route, retry_headers
from polyvec.dialects._encode import json_reply, rendered, wire_matrix, wire_outputs
from polyvec.dialects._infinity.models import infinity_models
from polyvec.dialects._mmes.fields import FieldError
from polyvec.dialects._mmes.frames import parse_include, wire_mean, wire_video
from polyvec.dialects._mmes.input import Inputs, parse_input, parse_model
from polyvec.dialects._mmes.wire import (
    Capabilities,
    CurrentModel,
    EmbedAnswer,
    EmbedBody,
    Health,
    ModelList,
    ModelListForAll,
)
from polyvec.errors import (
    AuthenticationError,
    InvalidInputError,
    ModelNotFoundError,
    NotReadyError,
    OverloadedError,
    PayloadTooLargeError,
    PolyvecError,
    UnsupportedInputError,
)
from polyvec.service import Service
from polyvec.types import (
    EmbedRequest,
    EmbedResult,
    ModelCard,
)

FAMILIES: Final = ("MobileCLIP", "CLIP", "CN-CLIP", "SigLIP", "Blip2", "QwenText")
"""The original's families, in the order in which it lists them."""

MAX_ECHOED_NAME_CHARS: Final = 256


def render(result: EmbedResult, parsed: Inputs, include: frozenset[str] = frozenset()) -> Reply:
    """Return ``{"embedding": …}``: an array of vectors when nested, else one flat vector.

    Args:
        result: What the service answered.
        parsed: What was asked.
        include: What the caller wants beside them.
    """
    if parsed.is_video:
        return json_reply(wire_video(result.embeddings[0], include))
    wire: dict[str, Any] = {"embedding": wire_matrix(result.embeddings)}
    if "tokens" in include:
        several = [wire_outputs(each, "float") for each in result.embeddings]
        wire["token_embeddings"] = [each["token_embeddings"] for each in several]
    if "video" in include and parsed.nested and parsed.modality == "image":
        wire["video_embedding"] = wire_mean(result.embeddings)
    if not parsed.nested:
        wire = {name: value[0] for name, value in wire.items()}
    return json_reply(wire)


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as ``{"detail": …}``.

    Where the original answers 500 to what the caller got wrong, this answers 422.
    """
    status, detail = _status_and_detail(error)
    return json_reply({"detail": detail}, status=status, headers=retry_headers(error))


def _status_and_detail(error: PolyvecError) -> tuple[int, str | list[dict[str, Any]]]:
    if isinstance(error, FieldError) or error.code == "invalid_json":
        return 422, [_field_detail(error)]
    if isinstance(error, NotReadyError):
        return 503, "Model is not initialized"
    if error.code == "media_not_found":
        return 404, f"File not found: {error.message}"
    if isinstance(error, InvalidInputError) and not isinstance(error, UnsupportedInputError):
        return 422, f"Invalid input data: {_message_with_param(error)}"
    statuses: dict[type[PolyvecError], int] = {
        UnsupportedInputError: 400,
        ModelNotFoundError: 400,
        AuthenticationError: 401,
        PayloadTooLargeError: 413,
        OverloadedError: 503,
    }
    for kind, status in statuses.items():
        if isinstance(error, kind):
            return status, error.message
    # The rest is the server's fault, and what it says is for the server's log.
    return 500, "Error creating embedding: the server failed on this request; its log says why"


def _field_detail(error: PolyvecError) -> dict[str, Any]:
    if isinstance(error, FieldError):
        return {"type": error.kind, "loc": list(error.location), "msg": error.message}
    return {"type": "json_invalid", "loc": ["body"], "msg": error.message}


def _message_with_param(error: PolyvecError) -> str:
    if error.param is None or error.param in error.message:
        return error.message
    return f"{error.param}: {error.message}"


async def _embed(call: Call, service: Service) -> Reply:
    body = call.json()
    cards = _cards(service)
    requested = parse_model(body)
    parsed = parse_input(body, cards[0].sampling)
    include = parse_include(body)
    card = _find_card(requested, cards)
    if isinstance(parsed, UnsupportedInputError):
        raise parsed
    if card.modalities and parsed.modality not in card.modalities:
        raise UnsupportedInputError(parsed.refusal)
    if not parsed.inputs:
        return json_reply({"embedding": []})
    # The original's vectors have unit length, and it cuts long texts without a word.
    request = EmbedRequest(
        card.name,
        parsed.inputs,
        normalize=True,
        truncate="end",
        prompt_name=_prompt_name(card, parsed),
        outputs=("dense", "tokens") if "tokens" in include else ("dense",),
    )
    result = await service.embed(request)
    return await rendered(partial(render, result, parsed, include), result)


def _prompt_name(card: ModelCard, parsed: Inputs) -> str | None:
    """The original wraps a lone text for its QwenText models as a query; lists are documents."""
    asks = parsed.modality == "text" and not parsed.nested
    is_qwen_text = card.architecture.startswith("Qwen3") and "query" in card.prompts
    return "query" if asks and is_qwen_text else None


def _cards(service: Service) -> tuple[ModelCard, ...]:
    cards = service.models()
    if not cards:
        raise NotReadyError("no model is loaded")
    return cards


def _find_card(requested: str, cards: tuple[ModelCard, ...]) -> ModelCard:
    """Return the served model of a name or alias, with or without its family, in any case.

    Raises:
        ModelNotFoundError: No served model answers to it, or a bare name fits several.
    """
    for card in cards:
        if requested == card.name or requested in card.aliases:
            return card
    wanted = requested.casefold()
    fitting = [card for card in cards if wanted in _spellings(card)]
    if len(fitting) == 1:
        return fitting[0]
    shown = requested[:MAX_ECHOED_NAME_CHARS]
    raise ModelNotFoundError(
        f"Model mismatch: requested model '{shown}' does not match the currently loaded model "
        f"'{cards[0].name}'. Please use the correct model name or restart the server with the "
        "desired model.",
        param="model",
    )


def _spellings(card: ModelCard) -> set[str]:
    names = {name.casefold() for name in (card.name, *card.aliases)}
    return names | {name.rpartition("/")[2] for name in names}


async def _list_models(_call: Call, service: Service) -> Reply:
    return json_reply(_known(service))


async def _list_models_for_all(_call: Call, service: Service) -> Reply:
    """The path is Infinity's too: its clients and OpenAI's find their two keys beside ours."""
    known = _known(service)
    return json_reply({**known, "object": "list", "data": infinity_models(_cards(service))})


def _known(service: Service) -> dict[str, Any]:
    cards = _cards(service)
    available = by_family(service.known_models(), cards)
    return {
        "current_model": cards[0].name,
        "available_models": available,
        "total_models": sum(map(len, available.values())),
    }


def by_family(known: Iterable[str], cards: tuple[ModelCard, ...]) -> dict[str, list[str]]:
    """Group ``Family/name`` ids, the original's families first; served models are always in it."""
    ids = [model_id for model_id in known if "/" in model_id]
    for card in cards:
        if not {card.name, *card.aliases} & set(ids):
            ids.append(card.name if "/" in card.name else f"{card.family}/{card.name}")
    grouped: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for model_id in ids:
        family, _, name = model_id.partition("/")
        grouped.setdefault(family, []).append(name)
    return {family: names for family, names in grouped.items() if names}


async def _current_model(_call: Call, service: Service) -> Reply:
    card = _cards(service)[0]
    return json_reply(
        {
            "model": card.name,
            "device": card.device.upper(),
            "use_openvino": card.backend == "openvino",
            "dimensions": card.dimensions,
            "dtype": card.dtype,
        }
    )


async def _capabilities(_call: Call, service: Service) -> Reply:
    card = _cards(service)[0]
    return json_reply(
        {
            "model": card.name,
            "modalities": sorted(card.modalities),
            "supports_text": "text" in card.modalities,
            "supports_image": "image" in card.modalities,
            "supports_video": card.reads_video,
        }
    )


async def _health(_call: Call, service: Service) -> Reply:
    if service.is_ready():
        return json_reply({"status": "healthy"})
    return json_reply({"status": "unhealthy", "detail": "Model is not healthy"}, status=503)


DIALECT: Final = Dialect(
    name="mmes",
    routes=(
        # Owner of the rest: /embeddings is this API's only path, and OpenAI's clients use /v1.
        Route("POST", "/embeddings", _embed, accepts=EmbedBody, returns=EmbedAnswer),
        Route("GET", "/models", _list_models_for_all, returns=ModelListForAll),
        Route("GET", "/model/list", _list_models, returns=ModelList),
        Route("GET", "/model/current", _current_model, returns=CurrentModel),
        Route("GET", "/model/capabilities", _capabilities, returns=Capabilities),
        Route("GET", "/health", _health, returns=Health),
    ),
    render_error=render_error,
    source="https://github.com/open-edge-platform/edge-ai-libraries/blob/main/microservices/"
    "multimodal-embedding-serving/docs/user-guide/api-reference.md",
)
