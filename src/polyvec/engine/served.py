"""A model as it is asked for, as it is known from its files, and as it is served."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from polyvec.engine.engine import Engine
from polyvec.models._options import ModelOptions
from polyvec.types import ModelCard


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model to serve.

    Attributes:
        reference: Folder, hub id or alias.
        name: What callers call it.
        aliases: Other names that callers may use.
        options: What the operator says instead of the checkpoint.
        lazy: Whether its first request loads it; None for what holds for all models.
        pinned: It never leaves memory once it is loaded.
        unload_idle_s: Time without requests after which it leaves memory, 0 for never; None for
            what holds for all models.
        memory_bytes: What it takes, if the operator knows better; None to find out.
        is_optional: A server starts without it if it cannot be loaded.
    """

    reference: str
    name: str
    aliases: tuple[str, ...]
    options: ModelOptions
    lazy: bool | None = None
    pinned: bool = False
    unload_idle_s: float | None = None
    memory_bytes: int | None = None
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """An engine and what callers are told about it.

    Attributes:
        card: For callers.
        engine: Loaded; not started.
        num_bytes: Memory that it takes, as far as that is known.
    """

    card: ModelCard
    engine: Engine
    num_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What a checkpoint's files say, and how to go on.

    Attributes:
        card: In state ``unloaded``.
        num_bytes: Memory that the loaded model will take, estimated.
        build: Loads it: slow, and blocking.
    """

    card: ModelCard
    num_bytes: int
    build: Callable[[], Served]


class Loader(Protocol):
    """Reads checkpoints. Its methods are slow, and block."""

    def peek(self, model: ServedModel) -> ModelCard:
        """A card in state ``unloaded``: bare where the files are not on this machine.

        Raises:
            CheckpointError: They are, and cannot be served.
            ConfigError: An option contradicts them.
        """
        ...

    def read(self, model: ServedModel) -> Blueprint:
        """What the files say, which are downloaded if need be.

        Raises:
            CheckpointError: They cannot be had, read or served.
            ConfigError: An option contradicts them.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What an operator may know of a served model.

    Attributes:
        card: As callers see it.
        num_bytes: Memory that it takes now, estimated; 0 while it is not loaded.
        num_running: Requests that it runs, or that wait for it to be loaded.
        num_requests: Requests so far.
        unused_s: Time since its last request ended; None when it had none.
        error: Why it could not be loaded, or None.
        is_pinned: It never leaves memory once it is loaded.
    """

    card: ModelCard
    num_bytes: int
    num_running: int
    num_requests: int
    unused_s: float | None
    error: str | None
    is_pinned: bool


def bare_card(model: ServedModel) -> ModelCard:
    """The card of a model whose files are not known yet."""
    return ModelCard(
        name=model.name,
        aliases=model.aliases,
        checkpoint=model.reference,
        architecture="",
        family="",
        modalities=(),
        dimensions=0,
        matryoshka=(),
        max_input_tokens=None,
        device="",
        dtype="",
        backend="",
        created=0,
        state="unloaded",
    )
