"""Which models stay in memory, and what changed between two lists of them: pure decisions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from polyvec.errors import ConfigError

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ResidencyOptions:
    """When models are in memory.

    Attributes:
        lazy: Whether a model is loaded by its first request instead of at the start.
        unload_idle_s: Time without requests after which a model leaves memory; 0 keeps it.
        memory_budget_bytes: Memory of all loaded models together; 0 for no limit.
        keep: Names of models that never leave memory once they are loaded.
        watch_config_s: How often the list of models is looked at for changes; 0 for never.
    """

    lazy: bool = False
    unload_idle_s: float = 0.0
    memory_budget_bytes: int = 0
    keep: tuple[str, ...] = ()
    watch_config_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            ConfigError: A limit is below 0.
        """
        for name in ("unload_idle_s", "memory_budget_bytes", "watch_config_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0", param=name)


@dataclass(frozen=True, slots=True)
class Resident:
    """One model in memory.

    Attributes:
        name: Served name.
        num_bytes: What it takes.
        last_used_s: When its last request ended.
        num_running: Requests that need it now.
        is_pinned: It is never to go.
        idle_limit_s: Time without requests after which it goes; 0 for never.
    """

    name: str
    num_bytes: int
    last_used_s: float
    num_running: int = 0
    is_pinned: bool = False
    idle_limit_s: float = 0.0

    @property
    def may_go(self) -> bool:
        """Nobody needs it now."""
        return self.num_running == 0 and not self.is_pinned


def to_evict(
    residents: Iterable[Resident],
    *,
    needed_bytes: int,
    budget_bytes: int,
    spares_running: bool = True,
) -> tuple[str, ...] | None:
    """The models that must go for another one: those not in use, the least recently used first.

    Args:
        residents: All that are in memory.
        needed_bytes: What the other one takes.
        budget_bytes: For all together; 0 for no limit.
        spares_running: Whether models in use stay; otherwise they go after those that are not.

    Returns:
        None while it cannot be had: too much is in use.
    """
    residents = list(residents)
    excess = sum(one.num_bytes for one in residents) + needed_bytes - budget_bytes
    if not budget_bytes or excess <= 0:
        return ()
    going: list[str] = []
    movable = [one for one in residents if not one.is_pinned]
    for one in sorted(movable, key=lambda one: (one.num_running > 0, one.last_used_s)):
        if spares_running and one.num_running:
            break
        if one.num_bytes:
            going.append(one.name)
            excess -= one.num_bytes
        if excess <= 0:
            return tuple(going)
    return None


def idle(residents: Iterable[Resident], now_s: float) -> tuple[str, ...]:
    """The models that nobody has used for as long as they may stay unused."""
    return tuple(
        one.name
        for one in residents
        if one.may_go and 0 < one.idle_limit_s <= now_s - one.last_used_s
    )


@dataclass(frozen=True, slots=True)
class Changes(Generic[Value]):
    """What is to be done to get from one list to another.

    Attributes:
        added: New ones, in the new list's order.
        changed: Those of a known name that are not what they were.
        removed: Names that are gone.
    """

    added: Mapping[str, Value]
    changed: Mapping[str, Value]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def changes(old: Mapping[str, Value], new: Mapping[str, Value]) -> Changes[Value]:
    """Compare two lists by name."""
    return Changes(
        added={name: value for name, value in new.items() if name not in old},
        changed={name: value for name, value in new.items() if name in old and old[name] != value},
        removed=tuple(name for name in old if name not in new),
    )


def merged_order(old: Sequence[str], new: Sequence[str], present: Iterable[str]) -> tuple[str, ...]:
    """Names in serving order: those of the new list, then what others have added, as they were.

    Args:
        old: The order so far, with names of others among them.
        new: The new list's order.
        present: Names that are served from now on.
    """
    wanted = set(present)
    return tuple(name for name in dict.fromkeys((*new, *old)) if name in wanted)
