"""References → a service whose models are loaded and warm."""

import importlib
import logging
import pkgutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from polyvec import backends
from polyvec.backends._base import Backend, BackendOptions, Runner
from polyvec.backends._precision import compare
from polyvec.engine.engine import Engine
from polyvec.engine.local import LocalService, Served, card_of, check_names
from polyvec.engine.options import EngineOptions
from polyvec.engine.self_test import run_checks
from polyvec.errors import CheckpointError, ConfigError, PolyvecError
from polyvec.media import video
from polyvec.media.decoder_options import DecoderOptions
from polyvec.media.decoders import Decoders
from polyvec.media.policy import MediaPolicy
from polyvec.models._foreign import NAME as FOREIGN
from polyvec.models._model import Model
from polyvec.models._registry import alias_groups
from polyvec.models._resolve import ModelOptions, resolve
from polyvec.types import Setting

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
        media: Which pictures and videos are accepted.
        decoder: Limits of the processes that decode them.
    """

    backend: str
    device: BackendOptions
    engine: EngineOptions
    media: MediaPolicy
    decoder: DecoderOptions = field(default_factory=DecoderOptions)


def load_service(models: Iterable[ServedModel], options: RunOptions) -> LocalService:
    """Load models one after another; slow, and blocking.

    Raises:
        CheckpointError: One cannot be found, read or served.
        ConfigError: An option contradicts a checkpoint or this machine.
    """
    backend = backend_named(options.backend)
    models = tuple(models)
    check_names([(model.name, *model.aliases) for model in models])
    decoders = Decoders(options.media, options.decoder)
    served = [_load(model, backend, options, decoders) for model in models]
    known = [names[0] for names in alias_groups()]
    return LocalService(served, known_models=known, decoders=decoders)


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


def _able(backend: Backend, model: Model) -> Backend:
    """The backend itself, or transformers for an architecture that is not built in.

    Raises:
        CheckpointError: The extra for it is not installed.
    """
    if model.family.name != FOREIGN or backend.name == "fake":
        return backend
    try:
        return backend_named("transformers")
    except ConfigError:
        raise CheckpointError(
            f"architecture {model.architecture!r} is not built in; transformers may serve it: "
            "pip install 'polyvec[torch]'. `polyvec models list` shows what is built in",
            param="architectures",
        ) from None


def _load(model: ServedModel, backend: Backend, options: RunOptions, decoders: Decoders) -> Served:
    started_s = time.monotonic()
    resolved, runner = load_model(model, backend, options)
    engine = Engine(resolved, runner, options.engine, options.media, decoders)
    card = card_of(
        resolved,
        runner,
        name=model.name,
        aliases=model.aliases,
        backend=backend.name,
        created=int(time.time()),
    )
    card = replace(
        card,
        reads_video=resolved.image is not None and video.is_available(),
        sampling=options.media.default_sampling,
    )
    _log.info("loaded %s in %.1f s", model.name, time.monotonic() - started_s)
    return Served(card, engine)


def load_model(model: ServedModel, backend: Backend, options: RunOptions) -> tuple[Model, Runner]:
    """Resolve, load, warm up and check one model; what was found is among its settings.

    Raises:
        CheckpointError: It cannot be found, read or served, or does not pass its self-test.
        ConfigError: An option contradicts the checkpoint or this machine.
    """
    resolved = resolve(model.reference, model.options)
    backend = _able(backend, resolved)
    runner = backend.load(resolved, options.device)
    settings = {**resolved.settings, **runner.settings}
    try:
        if options.device.verify_precision and runner.dtype != "float32":
            settings |= _compared_with_float32(model, resolved, runner, backend, options)
        if options.engine.self_test:
            settings |= run_checks(resolved, runner)
    except PolyvecError:
        runner.close()
        raise
    return replace(resolved, settings=settings), runner


def _compared_with_float32(
    model: ServedModel, resolved: Model, runner: Runner, backend: Backend, options: RunOptions
) -> dict[str, Setting]:
    """Load the model once more, for as long as the comparison takes."""
    exact = replace(options.device, dtype="float32", num_sessions=1)
    reference = backend.load(resolve(model.reference, model.options), exact)
    try:
        found = compare(resolved, runner, reference)
    finally:
        reference.close()
    settings: dict[str, Setting] = {}
    for modality, precision in found.items():
        settings |= precision.settings(modality, runner.dtype)
    return settings
