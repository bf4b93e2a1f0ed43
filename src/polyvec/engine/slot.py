"""One served model through its life: unloaded, loading, ready or failed, at last retired."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from polyvec.engine.engine import Engine
from polyvec.engine.residency import ResidencyOptions, Resident
from polyvec.engine.served import ModelStatus, Served, ServedModel
from polyvec.errors import PolyvecError
from polyvec.types import ModelCard

Clock = Callable[[], float]


@dataclass(slots=True, eq=False)
class Slot:
    """Whoever uses a slot's engine enters the slot for as long: a slot in use is not closed.

    A slot has one life. A model that leaves memory gets a new slot; the old one is retired, so that
    requests which are still in it end with the engine they began with.

    Attributes:
        card: As callers see it.
        model: What was asked for; None for an engine that somebody else has loaded.
        engine: Loaded and started, or None.
        num_bytes: Memory that the engine takes.
        num_running: Requests inside.
        num_requests: Requests so far, of the model's earlier slots too.
        last_used_s: When a request ended last, by the shelf's clock; None before.
        loading: The way to an engine, while it is under way.
        failure: Why there is no engine, or None.
        retry_at_s: When it is tried again after a failure.
        is_pinned: It never leaves memory by itself.
        idle_limit_s: Time without requests after which it does; 0 for never.
        is_retired: Nobody new comes in; its engine is closed after the last request.
        on_free: Called when the last request has left.
    """

    card: ModelCard
    clock: Clock
    model: ServedModel | None = None
    engine: Engine | None = None
    num_bytes: int = 0
    num_running: int = 0
    num_requests: int = 0
    last_used_s: float | None = None
    loading: "asyncio.Task[None] | None" = None
    failure: PolyvecError | None = None
    retry_at_s: float = 0.0
    is_pinned: bool = False
    idle_limit_s: float = 0.0
    is_retired: bool = False
    on_free: Callable[[], None] = field(default=lambda: None)

    @classmethod
    def of(
        cls, model: ServedModel, card: ModelCard, options: ResidencyOptions, clock: Clock
    ) -> "Slot":
        """An empty slot for a model."""
        idle_limit_s = model.unload_idle_s
        is_kept = not set(options.keep).isdisjoint((model.name, *model.aliases))
        return cls(
            card,
            clock,
            model=model,
            is_pinned=model.pinned or is_kept,
            idle_limit_s=options.unload_idle_s if idle_limit_s is None else idle_limit_s,
        )

    def fill(self, served: Served) -> None:
        """Put a loaded model in."""
        self.card = replace(served.card, state="ready")
        self.engine, self.num_bytes, self.failure = served.engine, served.num_bytes, None
        self.last_used_s = self.clock() if self.last_used_s is None else self.last_used_s

    def fail(self, error: PolyvecError, *, retry_after_s: float) -> None:
        """Note that the model cannot be loaded now."""
        self.card = replace(self.card, state="failed")
        self.failure, self.retry_at_s = error, self.clock() + retry_after_s

    def emptied(self) -> "Slot":
        """A new slot for the same model, which is not loaded."""
        return replace(
            self,
            card=replace(self.card, state="unloaded", created=0),
            engine=None,
            num_bytes=0,
            num_running=0,
            loading=None,
            failure=None,
            is_retired=False,
        )

    @property
    def resident(self) -> Resident:
        """As `polyvec.engine.residency` sees it; what is retired cannot go any faster."""
        return Resident(
            name=self.card.name,
            num_bytes=self.num_bytes,
            last_used_s=self.last_used_s or 0.0,
            num_running=self.num_running,
            is_pinned=self.is_pinned or self.is_retired or self.model is None,
            idle_limit_s=self.idle_limit_s,
        )

    @property
    def status(self) -> ModelStatus:
        """For the operator."""
        last_s = self.last_used_s if self.num_requests else None
        return ModelStatus(
            card=self.card,
            num_bytes=self.num_bytes,
            num_running=self.num_running,
            num_requests=self.num_requests,
            unused_s=None if last_s is None else max(0.0, self.clock() - last_s),
            error=None if self.failure is None else self.failure.message,
            is_pinned=self.is_pinned,
        )

    def __enter__(self) -> Self:
        self.num_running += 1
        self.num_requests += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """A request, or whoever else needed the engine, is done with it."""
        self.num_running -= 1
        self.last_used_s = self.clock()
        if not self.num_running:
            self.on_free()
