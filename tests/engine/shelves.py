"""A loader that tests hold and break, and a shelf of its models with a clock that they turn."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from polyvec.engine.local import LocalService, card_of
from polyvec.engine.residency import ResidencyOptions
from polyvec.engine.roster import ModelSource
from polyvec.engine.served import Blueprint, Served, ServedModel
from polyvec.engine.shelf import Shelf
from polyvec.engine.slot import Slot
from polyvec.errors import CheckpointError, PolyvecError
from polyvec.models._options import ModelOptions
from polyvec.types import EmbedRequest, Input, ModelCard, Text
from tests.engine.doubles import FakeRunner, make_engine, make_model

SIZE = 100


def model(name: str, **changes: Any) -> ServedModel:
    values = {"reference": name, "name": name, "aliases": (), "options": ModelOptions()}
    return ServedModel(**{**values, **changes})


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class HeldLoader:
    """Models of `SIZE` bytes; `gate` holds loading, names in `broken` fail to load."""

    broken: set[str] = field(default_factory=set)
    loaded: list[str] = field(default_factory=list)
    runners: dict[str, list[FakeRunner]] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def peek(self, wanted: ServedModel) -> ModelCard:
        names = {"name": wanted.name, "aliases": wanted.aliases}
        card = card_of(make_model(), None, **names, backend="fake", created=0)
        return replace(card, state="unloaded")

    def read(self, wanted: ServedModel) -> Blueprint:
        return Blueprint(
            self.peek(wanted), wanted.memory_bytes or SIZE, lambda: self._build(wanted)
        )

    def _build(self, wanted: ServedModel) -> Served:
        self.entered.release()
        self.gate.wait()
        if self.error is not None:
            raise self.error
        if wanted.name in self.broken:
            raise CheckpointError("the secret folder is damaged")
        self.loaded.append(wanted.name)
        runner = FakeRunner()
        self.runners.setdefault(wanted.name, []).append(runner)
        return Served(self.peek(wanted), make_engine(runner), wanted.memory_bytes or SIZE)


class Bench:
    """A service of lazy models."""

    def __init__(
        self, *names: str | ServedModel, patience_s: Any = (30, 30), **options: Any
    ) -> None:
        self.clock, self.loader = Clock(), HeldLoader()
        self.listed = [model(one) if isinstance(one, str) else one for one in names]
        self.error: PolyvecError | None = None
        residency = ResidencyOptions(**{"lazy": True, **options})
        slots = [Slot.of(one, self.loader.peek(one), residency, self.clock) for one in self.listed]
        self.shelf = Shelf(
            slots,
            loader=self.loader,
            options=residency,
            clock=self.clock,
            patience_s=patience_s,
        )
        source = ModelSource(self._read, lambda: tuple(self.listed))
        self.service = LocalService(self.shelf, source=source)

    def _read(self) -> list[ServedModel]:
        if self.error is not None:
            raise self.error
        return list(self.listed)

    async def __aenter__(self) -> Self:
        await self.service.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.loader.gate.set()
        for runners in self.loader.runners.values():
            for runner in runners:
                runner.gate.set()
        await self.service.close(drain=False)

    def ask(self, name: str | None, words: str = "w1 w2") -> "asyncio.Task[Any]":
        request = EmbedRequest(model=name, inputs=(Input((Text(words),)),))
        return asyncio.create_task(self.service.embed(request))

    async def answered(self, name: str | None) -> str:
        return (await self.ask(name)).model

    def states(self) -> dict[str, str]:
        return {card.name: card.state for card in self.service.models()}

    async def held(self, name: str) -> "tuple[asyncio.Task[Any], FakeRunner]":
        """A request that runs until its runner's gate is opened."""
        await self.answered(name)
        runner = self.loader.runners[name][-1]
        while runner.entered.acquire(blocking=False):
            pass
        runner.gate.clear()
        task = self.ask(name, "w8 w9")
        await asyncio.to_thread(runner.entered.acquire)
        return task, runner


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until it is so; the test's time limit bounds the wait."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)
