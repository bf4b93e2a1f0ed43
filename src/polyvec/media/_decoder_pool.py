"""A few decoding processes that many threads share."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from polyvec.errors import NotReadyError
from polyvec.media._decoder_worker import Worker


class Pool:
    """Lends processes, one to each caller; starts them as they are needed."""

    def __init__(
        self, size: int, start: Callable[[], Worker], on_death: Callable[[], None]
    ) -> None:
        self._size = size
        self._start = start
        self._on_death = on_death
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._num_starting = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def is_closed(self) -> bool:
        """Whether it lends no more."""
        return self._is_closed

    @property
    def pids(self) -> frozenset[int]:
        """Of all its processes."""
        with self._changed:
            return frozenset(worker.pid for worker in self._workers)

    @contextmanager
    def lend(self) -> Iterator[Worker]:
        """A process for as long as the context lasts; waits until one is free.

        Raises:
            NotReadyError: Closed.
            InferenceError: None can be started.
        """
        worker = self._take()
        try:
            yield worker
        finally:
            self._give_back(worker)

    def fill(self) -> None:
        """Start as many as there may be, and wait until all that nobody uses are ready."""
        with ExitStack() as stack:
            with self._changed:
                num_used = len(self._workers) - len(self._idle) + self._num_starting
            free = range(self._size - num_used)
            workers = [stack.enter_context(self.lend()) for _ in free]
            for worker in workers:
                worker.wait_until_ready()

    def close(self) -> None:
        """End all processes, also those that are lent."""
        with self._changed:
            self._is_closed = True
            workers = set(self._workers)
            idle, self._idle = self._idle, []
            self._workers.difference_update(idle)
            self._changed.notify_all()
        for worker in workers:
            worker.kill()
        for worker in idle:
            worker.close()

    def _take(self) -> Worker:
        with self._changed:
            while True:
                if self._is_closed:
                    raise closing()
                if (worker := self._pop_idle()) is not None:
                    return worker
                if len(self._workers) + self._num_starting < self._size:
                    break
                self._changed.wait()
            self._num_starting += 1
        worker = None
        try:
            worker = self._start()
        finally:
            self._started(worker)
        return worker

    def _pop_idle(self) -> Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_usable:
                return worker
            self._workers.discard(worker)
            worker.close()
            self._on_death()
        return None

    def _started(self, worker: Worker | None) -> None:
        with self._changed:
            self._num_starting -= 1
            is_late = self._is_closed
            if worker is not None and not is_late:
                self._workers.add(worker)
            self._changed.notify()
        if worker is not None and is_late:
            worker.close()
            raise closing()

    def _give_back(self, worker: Worker) -> None:
        is_usable = worker.is_usable
        if not is_usable:
            worker.close()
        with self._changed:
            if is_usable and not self._is_closed:
                self._idle.append(worker)
            else:
                self._workers.discard(worker)
            self._changed.notify()
        if is_usable and self._is_closed:
            worker.close()


def closing() -> NotReadyError:
    """No process is lent any more."""
    return NotReadyError("the server is shutting down")
