"""One thread, one session: take a batch, run it, report."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyvec.backends._base import Batch, ImageBatch, Session
from polyvec.backends._outputs import gives_tokens
from polyvec.engine.batch import assemble
from polyvec.engine.flights import Flight, Result
from polyvec.engine.outputs import is_finite, piece_of
from polyvec.engine.postprocess import finite_rows, not_finite
from polyvec.engine.work_queue import Work, WorkQueue
from polyvec.errors import InferenceError
from polyvec.models._model import Model
from polyvec.types import Float32Array, Output

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch.

    Attributes:
        flights: As the scheduler put them together.
        results: One per flight.
        tokens: Their cost in all.
        wait_s: Longest wait of any of them.
        run_s: Time in the model, repetitions included.
    """

    flights: Sequence[Flight]
    results: Sequence[Result]
    tokens: int
    wait_s: float
    run_s: float


class Worker:
    """Runs batches until its queue is closed.

    Args:
        session: Used by no thread but the one that calls `serve`.
        queue: Where the work is.
        model: Says how long a row is, and what its other outputs need.
        report: Called after every batch.
        leave: Called once, at the end, with the flights of a batch that it could not report: none,
            unless the thread dies.
    """

    def __init__(
        self,
        session: Session,
        queue: WorkQueue,
        *,
        model: Model,
        report: Callable[[BatchReport], None],
        leave: Callable[[Sequence[Flight]], None],
    ) -> None:
        self._session = session
        self._queue = queue
        self._model = model
        self._report = report
        self._leave = leave

    def serve(self) -> None:
        """The thread's whole life."""
        flights: Sequence[Flight] = ()
        try:
            while (work := self._queue.take()) is not None:
                flights = work.flights
                try:
                    report = self._run(work)
                finally:
                    self._queue.done(work)
                self._report(report)
                flights = ()
        finally:
            self._queue.leave()
            self._leave(flights)

    def _run(self, work: Work) -> BatchReport:
        flights = work.flights
        start_s = time.monotonic()
        results = self._results(flights, alone=work.alone)
        return BatchReport(
            flights=flights,
            results=results,
            tokens=sum(flight.cost for flight in flights),
            wait_s=start_s - min(flight.queued_at_s for flight in flights),
            run_s=time.monotonic() - start_s,
        )

    def _results(self, flights: Sequence[Flight], *, alone: bool) -> list[Result]:
        """Run a batch; if it fails, run its halves, so that only the culprit fails."""
        try:
            found = self._found(flights, alone=alone)
        # Whatever a runtime raises, the neighbours of the input behind it must get their vectors.
        except Exception:
            if len(flights) == 1:
                logger.exception("inference failed")
                return [inference_failed]
            middle = len(flights) // 2
            halves = flights[:middle], flights[middle:]
            return [result for half in halves for result in self._results(half, alone=alone)]
        return found

    def _found(self, flights: Sequence[Flight], *, alone: bool) -> list[Result]:
        if not flights[0].route.is_plain:
            return self._outputs(flights, alone=alone)
        rows = self._rows(flights, alone=alone)
        finite = finite_rows(rows)
        if finite.all():
            return list(rows)
        return [row if good else not_finite for row, good in zip(rows, finite, strict=True)]

    def _outputs(self, flights: Sequence[Flight], *, alone: bool) -> list[Result]:
        """Every output of every input, cut out of what the batch gave."""
        batch = assemble([flight.prepared for flight in flights])
        given = self._session.run_outputs(batch, flights[0].route.outputs, alone=alone)
        results: list[Result] = []
        for flight, values in zip(flights, self._values(batch, given), strict=True):
            if not all(is_finite(value) for value in values.values()):
                results.append(not_finite)
                continue
            prepared = flight.prepared
            results.append(
                {name: piece_of(self._model, name, v, prepared) for name, v in values.items()}
            )
        return results

    def _values(
        self, batch: Batch, given: Mapping[Output, Float32Array]
    ) -> Iterator[dict[Output, Float32Array]]:
        """The part of each output that belongs to each input."""
        if isinstance(batch, ImageBatch):
            for index in range(len(batch.pixels)):
                yield {name: array[index] for name, array in given.items()}
            return
        ends = np.cumsum(batch.lengths)
        for index, (end, length) in enumerate(zip(ends, batch.lengths, strict=True)):
            span = slice(int(end - length), int(end))
            yield {
                name: array[span] if gives_tokens(self._model, name) else array[index]
                for name, array in given.items()
            }

    def _rows(self, flights: Sequence[Flight], *, alone: bool) -> Float32Array:
        batch = assemble([flight.prepared for flight in flights])
        rows = self._session.run(flights[0].route.modality, batch, alone=alone)
        expected = (len(flights), self._model.dimensions)
        if rows.shape != expected:
            raise InferenceError(f"the backend gave rows of shape {rows.shape}, not {expected}")
        return rows


def inference_failed(param: str) -> InferenceError:
    """The error for an input on which the runtime failed; why is in the log, not in the answer."""
    return InferenceError(
        f"the model failed on {param}; the server's log has the reason", param=param
    )
