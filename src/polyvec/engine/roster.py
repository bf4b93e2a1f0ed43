"""Changes to the list of served models while requests run: one at a time, and all or nothing."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from polyvec.engine.names import check_names
from polyvec.engine.residency import Changes, changes, merged_order
from polyvec.engine.served import ServedModel
from polyvec.engine.shelf import Shelf
from polyvec.engine.slot import Slot
from polyvec.engine.threads import in_thread
from polyvec.errors import ConfigError, PolyvecError

_log = logging.getLogger(__name__)

T = TypeVar("T")

NAME_TAKEN = "name_taken"
"""Code of the error for a second model of one name."""
_THREAD = "polyvec-config"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the list of models comes from. Both functions block.

    Attributes:
        read: The list as it is now; raises ConfigError where it cannot be read.
        stamp: A value that differs after a change; cheap.
    """

    read: Callable[[], Sequence[ServedModel]]
    stamp: Callable[[], object]


class Roster:
    """The list of served models.

    Args:
        shelf: Holds them.
        source: Where the list comes from, if it can change.
    """

    def __init__(self, shelf: Shelf, source: ModelSource | None = None) -> None:
        self._shelf = shelf
        self._declared = {slot.model.name: slot.model for slot in shelf.slots if slot.model}
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Future[Any]] = set()
        self.source = source

    async def reload(self) -> bool:
        """Read the list again: new models come, changed ones are swapped, others go.

        A changed model is loaded before the old one goes, if the old one is loaded. One that cannot
        be loaded is logged: it stays as it was if it is a changed one, and is listed as failed if
        it is new.

        Returns:
            Whether anything changed.

        Raises:
            ConfigError: The list cannot be read, or names one model twice; nothing has changed.
        """
        return self.source is not None and await self._finish(self._reload(self.source))

    async def _reload(self, source: ModelSource) -> bool:
        async with self._changing:
            models = await in_thread(source.read, name=_THREAD)
            check_names([(model.name, *model.aliases) for model in models])
            new = {model.name: model for model in models}
            found = changes(self._declared, new)
            if not found and list(new) == list(self._declared):
                return False
            self._check_added_by_hand(found, new)
            await self._apply(found, new)
            return True

    async def add(self, model: ServedModel) -> Slot:
        """Serve one more model, loaded unless it is lazy.

        Raises:
            ConfigError: Its name is taken, or an option contradicts its checkpoint.
            CheckpointError: It cannot be found, read or served.
        """
        return await self._finish(self._add(model))

    async def _add(self, model: ServedModel) -> Slot:
        async with self._changing:
            self._check_free(model)
            slot = await self._slot(model)
            if not self._is_lazy(model):
                await self._shelf.load(slot)
            self._shelf.arrange((*self._shelf.slots, slot))
            _log.info("added %s", model.name)
            return slot

    async def remove(self, name: str) -> None:
        """Serve a model no longer, and wait until its running requests have ended.

        Raises:
            ModelNotFoundError: There is none of the name.
        """
        async with self._changing:
            slot = self._shelf.find(name)
            self._shelf.arrange(one for one in self._shelf.slots if one is not slot)
            self._shelf.retire(slot)
        _log.info("removed %s", slot.card.name)
        await self._shelf.drained(slot)

    async def load(self, name: str) -> None:
        """Load a served model, if it is not loaded.

        Raises:
            ModelNotFoundError: There is none of the name.
            PolyvecError: Why it cannot be loaded.
        """
        await self._shelf.load(self._shelf.find(name))

    async def unload(self, name: str) -> None:
        """Take a served model out of memory, and wait until its running requests have ended.

        Raises:
            ModelNotFoundError: There is none of the name.
        """
        slot = self._shelf.find(name)
        if self._shelf.unload(slot):
            await self._shelf.drained(slot)

    async def _apply(self, found: Changes[ServedModel], new: Mapping[str, ServedModel]) -> None:
        fresh = {name: await self._added(model) for name, model in found.added.items()}
        declared = dict(new)
        for name, model in found.changed.items():
            slot = await self._swapped(name, model)
            if slot is None:
                declared[name] = self._declared[name]  # so that the next reload tries again
            else:
                fresh[name] = slot
        old = {slot.card.name: slot for slot in self._shelf.slots}
        kept = {name: slot for name, slot in old.items() if name not in found.removed}
        table = kept | fresh
        order = merged_order(list(old), list(new), table)
        self._shelf.arrange(table[name] for name in order)
        for name in (*found.changed, *found.removed):
            if name in old and table.get(name) is not old[name]:
                self._shelf.retire(old[name])
        self._declared = {name: declared[name] for name in new}
        for what, names in (
            ("added", found.added),
            ("changed", found.changed),
            ("removed", found.removed),
        ):
            if names:
                _log.info("%s by the list of models: %s", what, ", ".join(names))

    async def _added(self, model: ServedModel) -> Slot:
        """A new model's slot, loaded unless it is lazy or cannot be."""
        try:
            slot = await self._slot(model)
            if not self._is_lazy(model) and await self._fits(model):
                await self._shelf.load(slot)
        except PolyvecError as error:
            _log.error("%s cannot be served: %s", model.name, error.message)
            return self._shelf.failed_slot(model, error)
        return slot

    async def _swapped(self, name: str, model: ServedModel) -> Slot | None:
        """A changed model's slot, loaded if the old one is; None where that cannot be."""
        old = next((slot for slot in self._shelf.slots if slot.card.name == name), None)
        try:
            slot = await self._slot(model)
            is_wanted = old is None or old.engine is not None or old.failure is not None
            if is_wanted and await self._fits(model):
                await self._shelf.load(slot)
        except PolyvecError as error:
            _log.error("%s stays as it was: %s", name, error.message)
            return None
        return slot

    async def _slot(self, model: ServedModel) -> Slot:
        loader = self._shelf.loader
        if loader is None:
            raise ConfigError("this service's models cannot change")
        card = await in_thread(lambda: loader.peek(model), name=_THREAD)
        return Slot.of(model, card, self._shelf.options, self._shelf.clock)

    async def _fits(self, model: ServedModel) -> bool:
        """Whether there is room beside what this change has loaded and what never leaves."""
        loader = self._shelf.loader
        if loader is None or not self._shelf.options.memory_budget_bytes:
            return True
        blueprint = await in_thread(lambda: loader.read(model), name=_THREAD)
        if self._shelf.room_for(blueprint.num_bytes, spares_running=False) is not None:
            return True
        _log.info("%s does not fit into memory; its first request loads it", model.name)
        return False

    async def _finish(self, change: Coroutine[Any, Any, T]) -> T:
        """A change goes on to its end even if the one who asked for it goes away."""
        task = asyncio.ensure_future(change)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: "asyncio.Future[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.debug("a change of models failed: %s", task.exception())

    def _is_lazy(self, model: ServedModel) -> bool:
        return self._shelf.options.lazy if model.lazy is None else model.lazy

    def _check_free(self, model: ServedModel) -> None:
        taken = {name for one in self._shelf.slots for name in (one.card.name, *one.card.aliases)}
        twice = sorted(taken.intersection((model.name, *model.aliases)))
        if twice:
            raise ConfigError(
                f"a model is served as {twice[0]!r} already", param="name", code=NAME_TAKEN
            )

    def _check_added_by_hand(
        self, found: Changes[ServedModel], new: Mapping[str, ServedModel]
    ) -> None:
        """The list may not name what an operator has added by hand."""
        by_hand = [slot.card for slot in self._shelf.slots if slot.card.name not in self._declared]
        taken = {name for card in by_hand for name in (card.name, *card.aliases)}
        for name in (*found.added, *found.changed):
            model = new[name]
            twice = sorted(taken.intersection((model.name, *model.aliases)))
            if twice:
                raise ConfigError(f"{twice[0]!r} was added by hand; remove that one first")
