"""The API of Intel's Multimodal Embedding Serving: typed input objects, one vector or many."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyvec.dialects._base import Call, Dialect, Reply, Route, retry_headers
from polyvec.dialects._encode import json_reply, wire_matrix, wire_vector
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
    Base64,
    EmbedRequest,
    EmbedResult,
    Image,
    Input,
    Modality,
    ModelCard,
    Source,
    Text,
    Url,
)

FAMILIES: Final = ("MobileCLIP", "CLIP", "CN-CLIP", "SigLIP", "Blip2", "QwenText")
"""The original's families, in the order in which it lists them."""

MAX_ECHOED_NAME_CHARS: Final = 256

_VIDEO_REFUSAL: Final = "Video inputs are not supported by the active model"

_PAYLOAD_FIELDS: Final = frozenset(
    (
        "text",
        "image_url",
        "image_base64",
        "image_path",
        "video_frames",
        "video_url",
        "video_base64",
        "video_path",
        "frames_manifest_path",
    )
)

Location = tuple[str | int, ...]


class FieldError(InvalidInputError):
    """A field that is missing or of the wrong type, reported the way FastAPI does.

    Attributes:
        kind: pydantic's name of the error, such as ``missing``.
        location: Path of the field from ``body`` on.
    """

    code = "invalid_type"

    def __init__(self, kind: str, location: Location, message: str) -> None:
        super().__init__(message, param=".".join(map(str, location[1:])) or None)
        self.kind = kind
        self.location = location


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one typed input object asks for.

    Attributes:
        inputs: One per vector.
        nested: Whether the answer is an array of vectors, even for one input, or one flat vector.
        modality: What the model must be able to read.
        refusal: What a model without that modality answers.
    """

    inputs: tuple[Input, ...]
    nested: bool
    modality: Modality
    refusal: str


def parse_model(body: Any) -> str:
    """Return the requested model's name and check the fields beside ``input``.

    ``encoding_format`` may be any string and is not used, as in the original: its clients read the
    answer as an array whatever they sent.

    Raises:
        FieldError: ``model`` is missing, or a field has the wrong type.
    """
    if not isinstance(body, dict):
        raise FieldError("model_attributes_type", ("body",), "Input should be a valid object")
    if body.get("encoding_format") is not None:
        _require_str(body, "encoding_format", ("body",))
    return _require_str(body, "model", ("body",))


def parse_input(body: Mapping[str, Any]) -> Inputs | UnsupportedInputError:
    """Return what a body's typed ``input`` object asks for, or why no vector is made for it.

    The refusal is returned, not raised: the original checks the body first, then the model, and
    only then what the type asks for.

    Raises:
        FieldError: A field that the type needs is missing or of the wrong type.

    Source: ``docs/user-guide/api-reference.md`` of the original's repository.
    """
    location: Location = ("body", "input")
    value = _require(body, "input", ("body",))
    if not isinstance(value, dict):
        raise FieldError("dict_type", location, "Input should be a valid dictionary")
    kind = _require_str(value, "type", location)
    if kind == "text":
        return _parse_text(value, location)
    if kind in ("image_url", "image_base64"):
        image = Input((Image(_parse_image(value, kind, location)),), param=f"input.{kind}")
        return _images((image,), nested=False, what="Image")
    if kind == "video_frames":
        return _parse_frames(value, location)
    return _refusal(value, kind, location)


def render(result: EmbedResult, *, nested: bool) -> Reply:
    """Return ``{"embedding": …}``: an array of vectors when nested, else one flat vector."""
    if nested:
        return json_reply({"embedding": wire_matrix(result.embeddings)})
    return json_reply({"embedding": wire_vector(result.embeddings[0].vector, "float")})


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


def _require(fields: Mapping[str, Any], name: str, location: Location) -> Any:
    if name not in fields:
        raise FieldError("missing", (*location, name), "Field required")
    return fields[name]


def _require_str(fields: Mapping[str, Any], name: str, location: Location) -> str:
    value = _require(fields, name, location)
    if not isinstance(value, str):
        raise FieldError("string_type", (*location, name), "Input should be a valid string")
    return value


def _parse_text(fields: Mapping[str, Any], location: Location) -> Inputs:
    value = _require(fields, "text", location)
    nested = isinstance(value, list)
    texts = value if nested else [value]
    inputs = []
    for index, text in enumerate(texts):
        where = (*location, "text", index) if nested else (*location, "text")
        if not isinstance(text, str):
            expected = "string" if nested else "string or list of strings"
            raise FieldError("string_type", where, f"Input should be a valid {expected}")
        inputs.append(
            Input((Text(text),), param=f"input.text[{index}]" if nested else "input.text")
        )
    refusal = "Text inputs are not supported by the active model"
    return Inputs(tuple(inputs), nested=nested, modality="text", refusal=refusal)


def _parse_image(fields: Mapping[str, Any], kind: str, location: Location) -> Source:
    value = _require_str(fields, kind, location)
    if kind == "image_url":
        return Url(value)
    # The original decodes what follows the first comma, whatever stands before it.
    _, comma, after = value.partition(",")
    data = after if comma else value
    return Base64("".join(data.split()))


def _parse_frames(fields: Mapping[str, Any], location: Location) -> Inputs:
    frames = _require(fields, "video_frames", location)
    location = (*location, "video_frames")
    if not isinstance(frames, list):
        raise FieldError("list_type", location, "Input should be a valid list")
    if not frames:
        raise InvalidInputError("video_frames must hold at least one frame")
    inputs = []
    for index, frame in enumerate(frames):
        where = (*location, index)
        if not isinstance(frame, dict):
            raise FieldError("dict_type", where, "Input should be a valid dictionary")
        kind = _require_str(frame, "type", where)
        if kind not in ("image_url", "image_base64"):
            message = "Input should be 'image_url' or 'image_base64'"
            raise FieldError("literal_error", (*where, "type"), message)
        image = Image(_parse_image(frame, kind, where))
        inputs.append(Input((image,), param=f"input.video_frames[{index}]"))
    return _images(tuple(inputs), nested=True, what="Video")


def _images(inputs: tuple[Input, ...], *, nested: bool, what: str) -> Inputs:
    refusal = f"{what} inputs are not supported by the active model"
    return Inputs(inputs, nested=nested, modality="image", refusal=refusal)


def _refusal(fields: Mapping[str, Any], kind: str, location: Location) -> UnsupportedInputError:
    """Return the refusal of a type that no vector is made for, once its fields are well-formed."""
    if kind == "image_file":
        _require_str(fields, "image_path", location)
        return UnsupportedInputError(
            "Image files are not supported by this server; send the image as image_base64"
        )
    if kind == "frames_batch":
        _require_str(fields, "frames_manifest_path", location)
        return UnsupportedInputError(_VIDEO_REFUSAL)
    videos = {"video_url": "video_url", "video_base64": "video_base64", "video_file": "video_path"}
    if kind not in videos:
        # The original chooses by fields: an object that has none of them is malformed.
        if not fields.keys() & _PAYLOAD_FIELDS:
            raise FieldError("missing", (*location, "text"), "Field required")
        return UnsupportedInputError("Invalid input type")
    _require_str(fields, videos[kind], location)
    if not isinstance(_require(fields, "segment_config", location), dict):
        where = (*location, "segment_config")
        raise FieldError("dict_type", where, "Input should be a valid dictionary")
    return UnsupportedInputError(_VIDEO_REFUSAL)


async def _embed(call: Call, service: Service) -> Reply:
    body = call.json()
    requested = parse_model(body)
    parsed = parse_input(body)
    card = _find_card(requested, _cards(service))
    if isinstance(parsed, UnsupportedInputError):
        raise parsed
    if parsed.modality not in card.modalities:
        raise UnsupportedInputError(parsed.refusal)
    if not parsed.inputs:
        return json_reply({"embedding": []})
    # The original's vectors have unit length, and it cuts long texts without a word.
    request = EmbedRequest(card.name, parsed.inputs, normalize=True, truncate="end")
    return render(await service.embed(request), nested=parsed.nested)


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
    cards = _cards(service)
    available = _by_family(service.known_models(), cards)
    return json_reply(
        {
            "current_model": cards[0].name,
            "available_models": available,
            "total_models": sum(map(len, available.values())),
        }
    )


def _by_family(known: Iterable[str], cards: tuple[ModelCard, ...]) -> dict[str, list[str]]:
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
            "supports_video": False,
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
        Route("POST", "/embeddings", _embed),
        Route("GET", "/models", _list_models),
        Route("GET", "/model/list", _list_models),
        Route("GET", "/model/current", _current_model),
        Route("GET", "/model/capabilities", _capabilities),
        Route("GET", "/health", _health),
    ),
    render_error=render_error,
    source="https://github.com/open-edge-platform/edge-ai-libraries/blob/main/microservices/"
    "multimodal-embedding-serving/docs/user-guide/api-reference.md",
)
