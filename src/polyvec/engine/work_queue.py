"""The one place where the event loop and the worker threads meet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Condition

from polyvec.engine.flights import Flight
from polyvec.engine.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Work:
    """A batch for a worker.

    Attributes:
        flights: At least one, of one route.
        alone: No other batch runs and nothing waits, so it may take every core.
    """

    flights: Sequence[Flight]
    alone: bool


class WorkQueue:
    """A scheduler behind a lock; workers sleep on it."""

    def __init__(self, scheduler: Scheduler[Flight]) -> None:
        self._scheduler = scheduler
        self._changed = Condition()
        self._num_idle = 0
        self._num_running = 0
        self._closed = False

    def __len__(self) -> int:
        """Flights that wait; a snapshot."""
        return len(self._scheduler)

    def put(self, flights: Sequence[Flight]) -> None:
        """Let flights wait, and wake as many workers as they can occupy."""
        with self._changed:
            for flight in flights:
                self._scheduler.add(flight)
            self._changed.notify(len(flights))

    def hurry(self, flight: Flight, priority: int) -> None:
        """Improve the priority of a flight, if it still waits."""
        with self._changed:
            if self._scheduler.cancel(flight):
                flight.priority = priority
                self._scheduler.add(flight)

    def withdraw(self, flights: Iterable[Flight]) -> list[Flight]:
        """Take flights out; those that a worker already took are not in the answer."""
        with self._changed:
            return [flight for flight in flights if self._scheduler.cancel(flight)]

    def take(self) -> Work | None:
        """The next batch, to be followed by `done`; sleeps while nothing waits.

        Returns:
            None once the queue is closed and empty.
        """
        with self._changed:
            while not (batch := self._scheduler.next_batch(self._num_idle + 1)):
                if self._closed:
                    return None
                self._num_idle += 1
                try:
                    self._changed.wait()
                finally:
                    self._num_idle -= 1
            alone = self._num_running == 0 and not len(self._scheduler)
            self._num_running += 1
            return Work(batch, alone)

    def done(self) -> None:
        """A batch that was taken no longer runs."""
        with self._changed:
            self._num_running -= 1

    def close(self) -> None:
        """Send workers home as soon as nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
