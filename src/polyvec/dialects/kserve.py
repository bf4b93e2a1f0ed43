"""The Open Inference Protocol, version 2, as KServe, Triton and OpenVINO Model Server speak it."""

from functools import partial
from typing import Final
from urllib.parse import unquote

from polyvec import __version__
from polyvec.dialects._base import Call, Dialect, Reply, Route
from polyvec.dialects._encode import json_reply, rendered
from polyvec.dialects._kserve.infer import OUTPUT_NAME, VERSION, parse_infer, render
from polyvec.dialects._kserve.tensors import split_body
from polyvec.dialects._kserve.wire import (
    IndexedModel,
    InferAnswer,
    InferBody,
    ModelConfig,
    ModelMetadata,
    ModelNames,
    ServerMetadata,
    TensorConfig,
    TensorMetadata,
)
from polyvec.dialects._plain_error import PlainError, plain_error_reply
from polyvec.errors import ModelNotFoundError, PolyvecError
from polyvec.service import Service
from polyvec.types import ModelCard, ModelState

_PLATFORM: Final = "polyvec"
_EXTENSIONS: Final = ("binary_tensor_data", "model_configuration", "model_repository")
_UNKNOWN: Final = "Model with requested name is not found"
_NOT_LOADED: Final = "Model with requested version is not loaded yet"
_NOT_READY: Final = "Server is not ready"
# A model that is not loaded is loaded by its first request, so it can be asked.
_CAN_ANSWER: Final[tuple[ModelState, ...]] = ("ready", "unloaded")


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as ``{"error": "…"}``; ``detail`` says what models there are."""
    if isinstance(error, ModelNotFoundError):
        return json_reply({"error": _UNKNOWN, "detail": error.message}, status=404)
    return plain_error_reply(error)


def metadata(card: ModelCard) -> ModelMetadata:
    """Return what a model takes and gives."""
    inputs = [TensorMetadata(name=kind, datatype="BYTES", shape=[-1]) for kind in _inputs(card)]
    vectors = TensorMetadata(name=OUTPUT_NAME, datatype="FP32", shape=[-1, card.dimensions or -1])
    return {
        "name": card.name,
        "versions": [VERSION],
        "platform": _PLATFORM,
        "inputs": inputs,
        "outputs": [vectors],
    }


def config(card: ModelCard) -> ModelConfig:
    """Return the same in Triton's words.

    Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md.
    """
    kinds = _inputs(card)
    inputs: list[TensorConfig] = [
        {"name": kind, "data_type": "TYPE_STRING", "dims": [-1], "optional": len(kinds) > 1}
        for kind in kinds
    ]
    return {
        "name": card.name,
        "platform": _PLATFORM,
        "backend": card.backend,
        "max_batch_size": 0,
        "input": inputs,
        "output": [
            {"name": OUTPUT_NAME, "data_type": "TYPE_FP32", "dims": [-1, card.dimensions or -1]}
        ],
    }


def _inputs(card: ModelCard) -> list[str]:
    video = ["video"] if card.reads_video else []
    return [*(card.modalities or ("text",)), *video]


def _card_of(call: Call, service: Service) -> ModelCard:
    """The model of a path; a caller that escapes its name for a client that does so too is met."""
    name = call.path_params["name"]
    try:
        return service.find(name)
    except ModelNotFoundError:
        if "%" not in name:
            raise
        return service.find(unquote(name))


async def _server(_call: Call, _service: Service) -> Reply:
    payload = {"name": "polyvec", "version": __version__, "extensions": _EXTENSIONS}
    return json_reply(payload)


async def _live(_call: Call, _service: Service) -> Reply:
    return Reply(200, b"")


async def _ready(_call: Call, service: Service) -> Reply:
    if service.is_ready():
        return Reply(200, b"")
    return json_reply(PlainError(error=_NOT_READY), status=503, headers={"Retry-After": "1"})


async def _model_ready(call: Call, service: Service) -> Reply:
    if _card_of(call, service).state in _CAN_ANSWER:
        return Reply(200, b"")
    return json_reply({"error": _NOT_LOADED, "detail": _NOT_LOADED}, status=404)


async def _metadata(call: Call, service: Service) -> Reply:
    return json_reply(metadata(_card_of(call, service)))


async def _config(call: Call, service: Service) -> Reply:
    return json_reply(config(_card_of(call, service)))


async def _names(_call: Call, service: Service) -> Reply:
    return json_reply({"models": [card.name for card in service.models()]})


async def _index(_call: Call, service: Service) -> Reply:
    return json_reply([_indexed(card) for card in service.models()])


def _indexed(card: ModelCard) -> IndexedModel:
    state = "READY" if card.state in _CAN_ANSWER else "UNAVAILABLE"
    reason = "" if state == "READY" else card.state
    return {"name": card.name, "version": VERSION, "state": state, "reason": reason}


async def _infer(call: Call, service: Service) -> Reply:
    card = _card_of(call, service)
    request, wanted = parse_infer(*split_body(call), card.name)
    result = await service.embed(request)
    return await rendered(partial(render, result, wanted), result)


_MODEL: Final = "/v2/models/{name}"
_VERSIONED: Final = "/v2/models/{name}/versions/{version}"

DIALECT: Final = Dialect(
    name="kserve",
    routes=(
        Route("GET", "/v2", _server, returns=ServerMetadata),
        Route("GET", "/v2/health/live", _live),
        Route("GET", "/v2/health/ready", _ready),
        Route("GET", "/v2/models", _names, returns=ModelNames),
        Route("POST", "/v2/repository/index", _index, returns=list[IndexedModel]),
        Route("GET", _MODEL, _metadata, returns=ModelMetadata),
        Route("GET", _VERSIONED, _metadata, returns=ModelMetadata),
        Route("GET", _MODEL + "/config", _config, returns=ModelConfig),
        Route("GET", _VERSIONED + "/config", _config, returns=ModelConfig),
        Route("GET", _MODEL + "/ready", _model_ready),
        Route("GET", _VERSIONED + "/ready", _model_ready),
        Route("POST", _MODEL + "/infer", _infer, accepts=InferBody, returns=InferAnswer),
        Route("POST", _VERSIONED + "/infer", _infer, accepts=InferBody, returns=InferAnswer),
    ),
    render_error=render_error,
    source="https://github.com/kserve/open-inference-protocol",
)
