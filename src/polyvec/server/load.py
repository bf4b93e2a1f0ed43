"""References → a service whose models are loaded and warm."""

import importlib
import logging
import pkgutil
import time
from collections.abc import Iterable
from dataclasses import dataclass

from polyvec import backends
from polyvec.backends._base import Backend, BackendOptions
from polyvec.engine.engine import Engine
from polyvec.engine.local import LocalService, Served, card_of
from polyvec.engine.options import EngineOptions
from polyvec.errors import ConfigError
from polyvec.media.policy import MediaPolicy
from polyvec.models._registry import aliases
from polyvec.models._resolve import ModelOptions, resolve

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model to load.

    Attributes:
        reference: Folder, hub id or alias.
        name: What callers call it.
        aliases: Other names that callers may use.
        options: What the operator says instead of the checkpoint.
    """

    reference: str
    name: str
    aliases: tuple[str, ...]
    options: ModelOptions


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How every model of a process is run.

    Attributes:
        backend: Name of a file in `polyvec.backends`.
        device: Where and how precisely it runs.
        engine: Limits of each engine.
        media: Which pictures are accepted.
    """

    backend: str
    device: BackendOptions
    engine: EngineOptions
    media: MediaPolicy


def load_service(models: Iterable[ServedModel], options: RunOptions) -> LocalService:
    """Load models one after another; slow, and blocking.

    Raises:
        CheckpointError: One cannot be found, read or served.
        ConfigError: An option contradicts a checkpoint or this machine.
    """
    backend = backend_named(options.backend)
    served = [_load(model, backend, options) for model in models]
    return LocalService(served, known_models=aliases())


def backend_named(name: str) -> Backend:
    """The backend that a file of `polyvec.backends` declares.

    Raises:
        ConfigError: There is none, or what it needs is not installed.
    """
    found = [module.name for module in pkgutil.iter_modules(backends.__path__)]
    known = sorted(module for module in found if not module.startswith("_"))
    if name not in known:
        raise ConfigError(
            f"backend must be one of {', '.join(known)}, not {name!r}", param="backend"
        )
    try:
        module = importlib.import_module(f"{backends.__name__}.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"backend {name} needs {error.name}; install it with: pip install 'polyvec[{name}]'",
            param="backend",
        ) from None
    backend: Backend = module.BACKEND
    return backend


def _load(model: ServedModel, backend: Backend, options: RunOptions) -> Served:
    started_s = time.monotonic()
    resolved = resolve(model.reference, model.options)
    runner = backend.load(resolved, options.device)
    engine = Engine(resolved, runner, options.engine, options.media)
    card = card_of(
        resolved,
        runner,
        name=model.name,
        aliases=model.aliases,
        backend=backend.name,
        created=int(time.time()),
    )
    _log.info("loaded %s in %.1f s", model.name, time.monotonic() - started_s)
    return Served(card, engine)
