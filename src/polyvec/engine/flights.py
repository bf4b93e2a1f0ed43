"""Identical inputs in flight share one computation.

A flight is one computation; asks board it and all get its result. It goes on as long as one of them
waits, and belongs to the event loop's thread, except for what the work queue reads of it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from polyvec.engine.outputs import Piece
from polyvec.engine.prepare import Prepared, Route
from polyvec.errors import PolyvecError
from polyvec.types import Float32Array, Output

Failure = Callable[[str], PolyvecError]
"""Makes the error for one asker, given its name of the input."""
Found = Float32Array | Mapping[Output, Piece]
"""The dense row (D,) of an input where nothing else was asked for, otherwise every output."""
Result = Found | Failure


class Ask:
    """One caller's wait for the results of some inputs.

    Attributes:
        found: By input; None for those that have not landed.
        num_missing: Results that are still to come.
        flights: Those boarded.
        done: Resolves when nothing is missing, or with the first error.
    """

    __slots__ = ("_params", "done", "flights", "found", "num_missing")

    def __init__(self, params: Sequence[str], loop: asyncio.AbstractEventLoop) -> None:
        self._params = params
        self.found: list[Found | None] = [None] * len(params)
        self.num_missing = len(params)
        self.flights: list[Flight] = []
        self.done: asyncio.Future[None] = loop.create_future()

    def land(self, index: int, result: Result) -> None:
        """Take the result of input ``index``."""
        if callable(result):
            if not self.done.done():
                self.done.set_exception(result(self._params[index]))
            return
        self.found[index] = result
        self.num_missing -= 1
        if self.num_missing == 0 and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True, eq=False)
class Flight:
    """One input on its way through the model.

    Attributes:
        number: Grows with arrival.
        prepared: What the model reads.
        priority: The best of those who wait.
        queued_at_s: Monotonic time of arrival.
        waiters: Asks, and which of their inputs this is; a request may hold the same input twice.
    """

    number: int
    prepared: Prepared
    priority: int
    queued_at_s: float
    route: Route = field(init=False)
    cost: int = field(init=False)
    waiters: dict[Ask, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put what the scheduler compares within its reach."""
        self.route = self.prepared.route
        self.cost = self.prepared.cost

    def board(self, ask: Ask, index: int) -> None:
        """Let input ``index`` of an ask wait for the result."""
        self.waiters.setdefault(ask, []).append(index)
        ask.flights.append(self)


class Flights:
    """All flights of one model by content key."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Flight] = {}
        self._num_started = 0

    def __len__(self) -> int:
        """Flights under way."""
        return len(self._by_key)

    def find(self, key: bytes) -> Flight | None:
        """The flight with this content, if one is under way."""
        return self._by_key.get(key)

    def start(self, prepared: Prepared, *, priority: int, now_s: float) -> Flight:
        """A new flight for content that has none."""
        self._num_started += 1
        flight = Flight(self._num_started, prepared, priority, now_s)
        self._by_key[prepared.key] = flight
        return flight

    def land(self, flight: Flight, result: Result) -> None:
        """End a flight and hand its result to all who wait."""
        self.forget(flight)
        for ask, indexes in flight.waiters.items():
            for index in indexes:
                ask.land(index, result)

    def all(self) -> list[Flight]:
        """Every flight under way."""
        return list(self._by_key.values())

    def leave(self, ask: Ask) -> list[Flight]:
        """Take an ask off its flights.

        Returns:
            Flights that nobody waits for any more; they stay under way until forgotten or landed.
        """
        abandoned = []
        for flight in ask.flights:
            if flight.waiters.pop(ask, None) is None or flight.waiters:
                continue
            if self._by_key.get(flight.prepared.key) is flight:
                abandoned.append(flight)
        ask.flights.clear()
        return abandoned

    def forget(self, flight: Flight) -> None:
        """Strike out a flight, if it is still the one with its content."""
        if self._by_key.get(flight.prepared.key) is flight:
            del self._by_key[flight.prepared.key]
