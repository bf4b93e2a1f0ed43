"""What an operator changes while the server runs, on a port of its own that only this machine sees.

A web page that the operator has open could send requests there too, so those of browsers are
refused: all that carry an Origin.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from polyvec.dialects._base import Call, Dialect, Reply, Route
from polyvec.engine.local import LocalService
from polyvec.engine.roster import NAME_TAKEN
from polyvec.engine.served import ModelStatus, ServedModel
from polyvec.errors import (
    CheckpointError,
    ConfigError,
    InvalidInputError,
    ModelNotFoundError,
    PolyvecError,
)
from polyvec.server.routes import problem, render_error
from polyvec.service import Service

HOST = "127.0.0.1"
ALLOWED_HOSTS = (HOST, "localhost")

ModelOf = Callable[[Mapping[str, Any]], ServedModel]


def admin_dialect(service: LocalService, model_of: ModelOf) -> Dialect:
    """The routes of the admin port.

    Args:
        service: Whose models they change.
        model_of: A table with the keys of a [[model]] → what it says.
    """

    async def listed(call: Call) -> Reply:
        del call
        return _json({"models": [shown(status) for status in service.statuses()]})

    async def added(call: Call) -> Reply:
        slot = await service.roster.add(model_of(call.json_object()))
        return _json(shown(slot.status), 201)

    async def removed(call: Call) -> Reply:
        name = _name(call, service)
        await service.roster.remove(name)
        return _json({"removed": name})

    async def loaded(call: Call) -> Reply:
        name = _name(call, service)
        await service.roster.load(name)
        return _status(service, name)

    async def unloaded(call: Call) -> Reply:
        name = _name(call, service)
        await service.roster.unload(name)
        return _status(service, name)

    async def reloaded(call: Call) -> Reply:
        del call
        return _json({"changed": await service.reload()})

    return Dialect(
        name="admin",
        routes=(
            Route("GET", "/admin/models", _guarded(listed)),
            Route("POST", "/admin/models", _guarded(added)),
            Route("DELETE", "/admin/models/{name}", _guarded(removed)),
            Route("POST", "/admin/models/{name}/load", _guarded(loaded)),
            Route("POST", "/admin/models/{name}/unload", _guarded(unloaded)),
            Route("POST", "/admin/reload", _guarded(reloaded)),
        ),
        render_error=render_admin_error,
        source="docs/several-models.md",
    )


def shown(status: ModelStatus) -> dict[str, Any]:
    """A model for the operator, JSON-able."""
    card = status.card
    return {
        "name": card.name,
        "aliases": card.aliases,
        "checkpoint": card.checkpoint,
        "state": card.state,
        "pinned": status.is_pinned,
        "architecture": card.architecture,
        "modalities": card.modalities,
        "outputs": card.outputs,
        "dimensions": card.dimensions,
        "matryoshka": card.matryoshka,
        "max_input_tokens": card.max_input_tokens,
        "max_inputs": card.max_inputs,
        "device": card.device,
        "dtype": card.dtype,
        "backend": card.backend,
        "loaded_at": card.created or None,
        "memory_bytes": status.num_bytes,
        "running_requests": status.num_running,
        "requests": status.num_requests,
        "unused_s": None if status.unused_s is None else round(status.unused_s, 3),
        "error": status.error,
    }


def render_admin_error(error: PolyvecError, call: Call) -> Reply:
    """The reply for an error; what is wrong with a checkpoint is said in full."""
    if isinstance(error, ConfigError | CheckpointError):
        status = 409 if error.code == NAME_TAKEN else 400
        return problem(status, error.message, code=error.code)
    return render_error(error, call)


def _guarded(answer: Callable[[Call], Awaitable[Reply]]) -> Callable[..., Awaitable[Reply]]:
    async def endpoint(call: Call, service: Service) -> Reply:
        del service
        if "origin" in call.headers:
            return problem(403, "requests of web pages are not answered here", code="forbidden")
        return await answer(call)

    return endpoint


def _name(call: Call, service: LocalService) -> str:
    """The model's own name; only its names as declared count, since it may be about to go."""
    asked = call.path_params["name"]
    for card in service.models():
        if asked in (card.name, *card.aliases):
            return card.name
    served = tuple(card.name for card in service.models())
    raise ModelNotFoundError(
        f"there is no such model; served: {', '.join(served) or 'none'}", served=served
    )


def _status(service: LocalService, name: str) -> Reply:
    found = [status for status in service.statuses() if status.card.name == name]
    if not found:
        raise InvalidInputError("the model was removed meanwhile")
    return _json(shown(found[0]))


def _json(payload: Any, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(payload))
