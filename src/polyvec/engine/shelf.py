"""The models of a process, those in memory and those that are not.

Everything here runs on the event loop. Reading a checkpoint's files and loading it runs in threads;
one model is loaded at a time, while all others answer.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from polyvec.engine.engine import Engine
from polyvec.engine.memory import give_back
from polyvec.engine.names import names_of
from polyvec.engine.prompts import MAX_ECHOED_CHARS
from polyvec.engine.residency import ResidencyOptions, idle, to_evict
from polyvec.engine.served import Loader, Served, ServedModel, bare_card
from polyvec.engine.slot import Clock, Slot
from polyvec.engine.threads import in_thread
from polyvec.errors import (
    CheckpointError,
    InferenceError,
    ModelNotFoundError,
    NotReadyError,
    OverloadedError,
    PolyvecError,
)

_log = logging.getLogger(__name__)

RETRY_FAILED_S = 10.0
"""A model that could not be loaded is not tried again before; its requests are refused at once."""
RETRY_FULL_S = 1.0
ROOM_PATIENCE_S = 1.0
"""How long loading waits for a model that is in use all the time before it asks it to go."""
DRAIN_PATIENCE_S = 30.0
"""How long loading waits for requests to end which hold the memory that it needs."""
_MIB = 1 << 20
_THREAD = "polyvec-load"

_LONGEST_SWEEP_S = 15.0


class Shelf:
    """Slots by the names of their models.

    Args:
        slots: In serving order; the first answers requests that name no model.
        loader: Reads and loads models; None where all there will ever be is loaded.
        options: When models are in memory.
        clock: Seconds that only grow.
        patience_s: How long loading waits for memory in use before it has models go that are in
            use, and how long it waits for these then.

    Attributes:
        loader: As given.
        options: As given.
        clock: As given.
        on_engine: Called with every engine before it is started.

    Raises:
        ConfigError: Two models share a name or an alias.
    """

    def __init__(
        self,
        slots: Iterable[Slot],
        *,
        loader: Loader | None = None,
        options: ResidencyOptions | None = None,
        clock: Clock = time.monotonic,
        patience_s: tuple[float, float] = (ROOM_PATIENCE_S, DRAIN_PATIENCE_S),
    ) -> None:
        self.options = options or ResidencyOptions()
        self.clock = clock
        self.loader = loader
        self.on_engine: Callable[[Engine], None] = lambda _: None
        self._patience_s = patience_s
        self._slots: tuple[Slot, ...] = ()
        self._by_name: dict[str, int] = {}
        self._retired: list[Slot] = []
        self._incoming: list[Slot] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._building = asyncio.Lock()
        self._is_open = False
        self._is_closing = False
        self.arrange(slots)

    @classmethod
    def of(cls, served: Sequence[Served]) -> "Shelf":
        """A shelf of engines that are loaded and stay."""
        slots = []
        for one in served:
            slots.append(Slot(one.card, time.monotonic))
            slots[-1].fill(one)
        return cls(slots)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """In serving order."""
        return self._slots

    def arrange(self, slots: Iterable[Slot]) -> None:
        """Serve these from now on; the caller retires what is no longer there.

        Raises:
            ConfigError: Two models share a name or an alias; nothing has changed.
        """
        slots = tuple(slots)
        self._by_name = names_of([slot.card for slot in slots])
        self._slots = slots
        self._incoming = [slot for slot in self._incoming if slot not in slots]
        for slot in slots:
            slot.on_free = self._freed.set

    def find(self, name: str | None) -> Slot:
        """The slot of the model that a request of this name goes to.

        Raises:
            ModelNotFoundError: No served model has the name.
        """
        if not name and self._slots:
            return self._slots[0]
        name = name or ""
        index = self._by_name.get(name, self._by_name.get(name.casefold()))
        if index is not None:
            return self._slots[index]
        served = tuple(slot.card.name for slot in self._slots)
        shown = f"served: {', '.join(served)}" if served else "no model is served"
        raise ModelNotFoundError(
            f"model {name[:MAX_ECHOED_CHARS]!r} is not served; {shown}",
            name=name[:MAX_ECHOED_CHARS],
            served=served,
        )

    async def engine_of(self, slot: Slot) -> Engine:
        """The engine of a slot that the caller has entered, loaded if need be.

        Being cancelled does not end the loading, which others may wait for.

        Raises:
            NotReadyError: It cannot be loaded now, or everything is being closed.
            OverloadedError: There is no memory for it now.
        """
        while slot.engine is None:
            if self._is_closing or not self._is_open:
                raise _closing()
            if slot.failure is not None and self.clock() < slot.retry_at_s:
                raise _refusal(slot)
            if slot.loading is None:
                slot.loading = self._start(self._load(slot))
            await asyncio.shield(slot.loading)
        return slot.engine

    async def open(self) -> None:
        """Start the engines that are loaded; from now on others are loaded when they are needed."""
        engines = [slot.engine for slot in self._slots if slot.engine is not None]
        for engine in engines:
            self.on_engine(engine)
        await asyncio.gather(*(engine.start() for engine in engines))
        self._is_open = True

    async def close(self, *, drain: bool) -> None:
        """Stop every engine, finished with what was accepted if ``drain``."""
        self._is_closing = True
        for task in (tasks := tuple(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        engines = [slot.engine for slot in (*self._slots, *self._retired) if slot.engine]
        await asyncio.gather(*(engine.close(drain=drain) for engine in engines))

    def is_ready(self) -> bool:
        """Whether everything that is loaded works."""
        engines = [slot.engine for slot in self._slots if slot.engine is not None]
        if self._is_closing or not (self._is_open or engines):
            return False
        return all(engine.is_ready() for engine in engines)

    async def load(self, slot: Slot) -> None:
        """Load a slot's model, if it is not loaded; of a slot that is not served yet too.

        Raises:
            PolyvecError: Why it cannot be loaded, in full: for the operator.
        """
        slot.failure, slot.on_free = None, self._freed.set
        if slot not in self._slots:
            self._incoming.append(slot)
        slot.num_running += 1
        try:
            await self.engine_of(slot)
        except (NotReadyError, OverloadedError):
            raise slot.failure or _closing() from None
        finally:
            slot.leave()
            if slot.engine is None and slot in self._incoming:
                self._incoming.remove(slot)

    def unload(self, slot: Slot) -> bool:
        """Take a model out of memory once its running requests have ended.

        The model stays served: the next request loads it again.

        Returns:
            Whether it was there.
        """
        is_there = slot.engine is not None or slot.loading is not None
        if slot.model is None or slot not in self._slots or not is_there:
            return False
        fresh = slot.emptied()
        self.arrange(fresh if one is slot else one for one in self._slots)
        self.retire(slot)
        return True

    def retire(self, slot: Slot) -> None:
        """Let a slot that is no longer served end its requests, then free its memory."""
        slot.is_retired = True
        self._retired.append(slot)
        self._start(self._drain(slot))

    async def drained(self, slot: Slot) -> None:
        """Wait until a retired slot's memory is free."""
        await self._until(lambda: slot not in self._retired)

    def failed_slot(self, model: ServedModel, error: PolyvecError) -> Slot:
        """A slot of a model that cannot be loaded now; its requests try again."""
        slot = Slot.of(model, bare_card(model), self.options, self.clock)
        slot.fail(error, retry_after_s=RETRY_FAILED_S)
        return slot

    def sweep(self) -> None:
        """Unload what has been idle for too long."""
        by_name = {slot.card.name: slot for slot in self._slots if slot.engine is not None}
        for name in idle([slot.resident for slot in by_name.values()], self.clock()):
            _log.info("%s is idle: unloading it", name)
            self.unload(by_name[name])

    async def sweep_now_and_then(self) -> None:
        """Sweep until it is cancelled."""
        while True:
            limits_s = [slot.idle_limit_s for slot in self._slots if slot.idle_limit_s]
            await asyncio.sleep(min([_LONGEST_SWEEP_S, *(limit_s / 4 for limit_s in limits_s)]))
            self.sweep()

    def room_for(self, num_bytes: int, *, spares_running: bool = True) -> tuple[str, ...] | None:
        """Names that must leave memory for so many bytes; None while that cannot be had."""
        loaded = [slot.resident for slot in (*self._slots, *self._retired) if slot.engine]
        coming = [replace(slot.resident, is_pinned=True) for slot in self._incoming if slot.engine]
        return to_evict(
            (*loaded, *coming),
            needed_bytes=num_bytes,
            budget_bytes=self.options.memory_budget_bytes,
            spares_running=spares_running,
        )

    async def _load(self, slot: Slot) -> None:
        """Fill a slot, or note why it cannot be filled."""
        slot.card = replace(slot.card, state="loading")
        try:
            await self._build(slot)
        except asyncio.CancelledError:
            if not self._is_closing:  # else who waits for it is told so
                raise
        except PolyvecError as error:
            is_full = isinstance(error, OverloadedError)
            _log.error("%s cannot be loaded: %s", slot.card.name, error.message)
            slot.fail(error, retry_after_s=RETRY_FULL_S if is_full else RETRY_FAILED_S)
        except Exception:  # noqa: BLE001
            # Whatever it was, who waits gets an answer and other models stay served.
            _log.exception("%s cannot be loaded", slot.card.name)
            slot.fail(InferenceError("loading failed"), retry_after_s=RETRY_FAILED_S)
        finally:
            slot.loading = None
            self._freed.set()

    async def _build(self, slot: Slot) -> None:
        loader, model = self.loader, slot.model
        if loader is None or model is None:
            raise CheckpointError("there is nothing to load it from")
        blueprint = await in_thread(lambda: loader.read(model), name=_THREAD)
        async with self._building:
            await self._make_room(slot, blueprint.num_bytes)
            served = await in_thread(blueprint.build, name=_THREAD)
            self.on_engine(served.engine)
            await served.engine.start()
            slot.fill(served)

    async def _make_room(self, slot: Slot, num_bytes: int) -> None:
        """Take others out of memory until a model fits into the budget.

        Raises:
            CheckpointError: It can never fit.
            OverloadedError: What would have to go is in use, and stays so.
        """
        budget = self.options.memory_budget_bytes
        if 0 < budget < num_bytes:
            raise CheckpointError(
                f"it needs about {num_bytes // _MIB} MiB; --memory-budget is {budget // _MIB} MiB"
            )
        unused_s, drained_s = self._patience_s
        with suppress(TimeoutError):
            async with asyncio.timeout(unused_s):
                await self._until(lambda: self.room_for(num_bytes) is not None)
        try:
            async with asyncio.timeout(drained_s):
                await self._until(lambda: self._has_asked(slot, num_bytes))
        except TimeoutError:
            raise OverloadedError(
                "the memory that it needs is taken by models that are in use"
            ) from None

    def _has_asked(self, slot: Slot, num_bytes: int) -> bool:
        """Ask what stands in the way to go; true once nothing does."""
        names = self.room_for(num_bytes)
        if names is None:
            names = self.room_for(num_bytes, spares_running=False) or ()
        going = [one for one in self._slots if one.card.name in names]
        for one in going:
            _log.info("unloading %s to make room for %s", one.card.name, slot.card.name)
            self.unload(one)
        return self.room_for(num_bytes) == ()

    async def _drain(self, slot: Slot) -> None:
        await self._until(lambda: not slot.num_running and slot.loading is None)
        if slot.engine is not None:
            await slot.engine.close(drain=True)
            slot.engine = None
            await in_thread(give_back, name=_THREAD)
        self._retired.remove(slot)
        self._freed.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._freed.clear()
            await self._freed.wait()

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _closing() -> NotReadyError:
    return NotReadyError("the model is not ready, or the server is shutting down")


def _refusal(slot: Slot) -> PolyvecError:
    """What a request is told while a model cannot be loaded; why is for the log."""
    name = slot.card.name
    later_s = max(slot.retry_at_s - slot.clock(), 1.0)
    if isinstance(slot.failure, OverloadedError):
        return OverloadedError(
            f"there is no memory for model {name!r} now: models that are in use take it; try again",
            retry_after_s=later_s,
        )
    return NotReadyError(
        f"model {name!r} cannot be loaded now; try again later", retry_after_s=later_s
    )
