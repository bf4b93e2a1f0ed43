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
from polyvec.engine.local import LocalService, card_of
from polyvec.engine.memory import estimated_bytes, measured_bytes, process_bytes
from polyvec.engine.names import check_names
from polyvec.engine.options import EngineOptions
from polyvec.engine.residency import ResidencyOptions
from polyvec.engine.roster import ModelSource
from polyvec.engine.self_test import run_checks
from polyvec.engine.served import Blueprint, Served, ServedModel, bare_card
from polyvec.engine.shelf import Shelf
from polyvec.engine.slot import Slot
from polyvec.errors import CheckpointError, ConfigError, PolyvecError
from polyvec.media import video
from polyvec.media.decoder_options import DecoderOptions
from polyvec.media.decoders import Decoders
from polyvec.media.policy import MediaPolicy
from polyvec.models._foreign import NAME as FOREIGN
from polyvec.models._model import Model
from polyvec.models._registry import alias_groups
from polyvec.models._resolve import is_here, resolve
from polyvec.types import ModelCard, Setting

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How every model of a process is run.

    Attributes:
        backend: Name of a file in `polyvec.backends`.
        device: Where and how precisely it runs.
        engine: Limits of each engine.
        media: Which pictures and videos are accepted.
        decoder: Limits of the processes that decode them.
        residency: When models are in memory.
    """

    backend: str
    device: BackendOptions
    engine: EngineOptions
    media: MediaPolicy
    decoder: DecoderOptions = field(default_factory=DecoderOptions)
    residency: ResidencyOptions = field(default_factory=ResidencyOptions)


def load_service(
    models: Iterable[ServedModel], options: RunOptions, *, source: ModelSource | None = None
) -> LocalService:
    """Load models one after another, but for lazy ones; slow, and blocking.

    Args:
        models: In serving order.
        options: How they are run.
        source: Where the list of models can be read again.

    Raises:
        CheckpointError: One cannot be found, read or served.
        ConfigError: An option contradicts a checkpoint or this machine.
    """
    models = tuple(models)
    check_names([(model.name, *model.aliases) for model in models])
    decoders = Decoders(options.media, options.decoder)
    loader = CheckpointLoader(options, decoders)
    shelf = Shelf((), loader=loader, options=options.residency)
    slots: list[Slot] = []
    for model in models:
        try:
            slots.append(_first_slot(model, shelf, loader))
        except CheckpointError as error:
            if len(models) > 1:
                error.message = f"{model.name}: {error.message}"
            raise
        shelf.arrange(slots)
    known = [names[0] for names in alias_groups()]
    return LocalService(shelf, known_models=known, decoders=decoders, source=source)


def _first_slot(model: ServedModel, shelf: Shelf, loader: "CheckpointLoader") -> Slot:
    """A model's slot when a process starts: filled, unless it is lazy or there is no room."""
    options = shelf.options
    try:
        if options.lazy if model.lazy is None else model.lazy:
            return Slot.of(model, loader.peek(model), options, shelf.clock)
        blueprint = loader.read(model)
        slot = Slot.of(model, blueprint.card, options, shelf.clock)
        if shelf.room_for(blueprint.num_bytes) == ():
            slot.fill(blueprint.build())
        else:
            _log.info("%s does not fit into memory; its first request loads it", model.name)
    except PolyvecError as error:
        if not model.is_optional:
            raise
        _log.error("%s cannot be served: %s", model.name, error.message)
        return shelf.failed_slot(model, error)
    return slot


class CheckpointLoader:
    """Reads checkpoints and loads them as a process's options say.

    Args:
        options: How every model is run.
        decoders: Shared by all engines.

    Raises:
        ConfigError: There is no such backend here.
    """

    def __init__(self, options: RunOptions, decoders: Decoders) -> None:
        self._options = options
        self._decoders = decoders
        self._backend = backend_named(options.backend)

    def peek(self, model: ServedModel) -> ModelCard:
        """A card in state ``unloaded``: bare where the files are not on this machine."""
        if not is_here(model.reference, model.options):
            return bare_card(model)
        resolved = resolve(model.reference, model.options)
        resolved.weights.close()
        return self._card(model, resolved)

    def read(self, model: ServedModel) -> Blueprint:
        """What the files say, which are downloaded if need be."""
        resolved = resolve(model.reference, model.options)
        estimate = estimated_bytes(resolved, self._options.device.dtype)
        num_bytes = estimate if model.memory_bytes is None else model.memory_bytes
        return Blueprint(
            self._card(model, resolved), num_bytes, lambda: self._build(model, resolved, num_bytes)
        )

    def _build(self, model: ServedModel, resolved: Model, num_bytes: int) -> Served:
        started_s, before = time.monotonic(), process_bytes()
        checked, runner = load_resolved(model, resolved, self._backend, self._options)
        options = self._options
        engine = Engine(
            checked, runner, options.engine, options.media, self._decoders, name=model.name
        )
        card = replace(self._card(model, checked, runner), created=int(time.time()), state="ready")
        if model.memory_bytes is None:
            num_bytes = measured_bytes(num_bytes, process_bytes() - before)
        _log.info("loaded %s in %.1f s", model.name, time.monotonic() - started_s)
        return Served(card, engine, num_bytes)

    def _card(self, model: ServedModel, resolved: Model, runner: Runner | None = None) -> ModelCard:
        card = card_of(
            resolved,
            runner,
            name=model.name,
            aliases=model.aliases,
            backend=self._backend.name,
            created=0,
        )
        options = self._options
        return replace(
            card,
            reads_video=resolved.image is not None and video.is_available(),
            sampling=options.media.default_sampling,
            max_inputs=options.engine.max_inputs_per_request,
            truncate=options.engine.truncate,
            fuses=options.engine.fuse == "mean" and len(resolved.modalities) > 1,
            state="unloaded",
        )


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


def load_model(model: ServedModel, backend: Backend, options: RunOptions) -> tuple[Model, Runner]:
    """Resolve, load, warm up and check one model; what was found is among its settings.

    Raises:
        CheckpointError: It cannot be found, read or served, or does not pass its self-test.
        ConfigError: An option contradicts the checkpoint or this machine.
    """
    return load_resolved(model, resolve(model.reference, model.options), backend, options)


def load_resolved(
    model: ServedModel, resolved: Model, backend: Backend, options: RunOptions
) -> tuple[Model, Runner]:
    """`load_model` from what its files say.

    Raises:
        CheckpointError: It cannot be served, or does not pass its self-test.
        ConfigError: An option contradicts the checkpoint or this machine.
    """
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
