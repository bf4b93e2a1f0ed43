"""The one place where the event loop and the worker threads meet."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Condition

from polyvec.engine.flights import Flight
from polyvec.engine.scheduler import BULK_PRIORITY, Scheduler

QUIET_S = 5.0
"""So long after the last input that was not bulk, a worker is kept free for the next one."""


@dataclass(frozen=True, slots=True)
class Work:
    """A batch for a worker.

    Attributes:
        flights: At least one, of one route.
        alone: No other batch runs and nothing waits, bulk not counted, so it may take every core.
    """

    flights: Sequence[Flight]
    alone: bool

    @property
    def is_bulk(self) -> bool:
        """Whether somebody's text may overtake it."""
        return self.flights[0].priority >= BULK_PRIORITY


class WorkQueue:
    """A scheduler behind a lock; workers sleep on it.

    Args:
        scheduler: Nobody else touches it.
        num_workers: Threads that will take work.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        scheduler: Scheduler[Flight],
        *,
        num_workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._changed = Condition()
        self._clock = clock
        self._num_workers = num_workers
        self._num_idle = 0
        self._num_running = 0
        self._num_bulk = 0
        self._last_urgent_s = -QUIET_S
        self._closed = False

    def __len__(self) -> int:
        """Flights that wait; a snapshot."""
        return len(self._scheduler)

    def put(self, flights: Sequence[Flight]) -> None:
        """Let the flights of one request wait, and wake as many workers as they can occupy."""
        with self._changed:
            before = 0
            for flight in flights:
                self._scheduler.add(flight, after=before)
                before += flight.cost
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
        """The next batch, to be followed by `done`; sleeps while nothing may run.

        Returns:
            None once the queue is closed and empty.
        """
        with self._changed:
            while not (batch := self._next_batch()):
                if self._closed and not len(self._scheduler):
                    return None
                self._num_idle += 1
                try:
                    # Bulk that waits for a quiet moment wakes nobody when that has come.
                    self._changed.wait(QUIET_S if len(self._scheduler) else None)
                finally:
                    self._num_idle -= 1
            work = Work(batch, alone=self._may_be_alone(batch))
            self._num_running += 1
            self._num_bulk += work.is_bulk
            if not work.is_bulk:
                self._last_urgent_s = self._clock()
            return work

    def _may_be_alone(self, batch: Sequence[Flight]) -> bool:
        if batch[0].priority >= BULK_PRIORITY:
            return self._num_running == 0 and not len(self._scheduler) and self._is_quiet()
        # Bulk beside it slows it down, but on every core it is still faster than on one.
        return self._num_running == self._num_bulk and not self._scheduler.has_urgent()

    def _next_batch(self) -> list[Flight]:
        spares_one = self._num_bulk < max(self._num_workers - 1, 1)
        bulk = spares_one or self._closed or self._is_quiet()
        return self._scheduler.next_batch(self._num_idle + 1, bulk=bulk)

    def _is_quiet(self) -> bool:
        return self._clock() - self._last_urgent_s >= QUIET_S

    def done(self, work: Work) -> None:
        """A batch that was taken no longer runs."""
        with self._changed:
            self._num_running -= 1
            self._num_bulk -= work.is_bulk

    def leave(self) -> None:
        """A worker takes no more work."""
        with self._changed:
            self._num_workers -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Send workers home as soon as nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
