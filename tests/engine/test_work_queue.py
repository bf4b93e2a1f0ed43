"""Who may take what: bulk leaves a worker free while others are served."""

import numpy as np

from polyvec.engine.flights import Flight
from polyvec.engine.prepare import PLAIN_TEXT, Prepared
from polyvec.engine.scheduler import BULK_PRIORITY, Scheduler
from polyvec.engine.work_queue import QUIET_S, Work, WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def flight(number: int, *, bulk: bool = False) -> Flight:
    prepared = Prepared(PLAIN_TEXT, np.zeros(1, np.int64), 1, 1, bytes([number]))
    return Flight(number, prepared, BULK_PRIORITY if bulk else 0, 0.0)


def queue_of(*flights: Flight, num_workers: int = 2, clock: Clock | None = None) -> WorkQueue:
    scheduler: Scheduler[Flight] = Scheduler(max_batch_tokens=1, max_passed_over_batches=4)
    queue = WorkQueue(scheduler, num_workers=num_workers, clock=clock or Clock())
    queue.put(flights)
    return queue


def taken(queue: WorkQueue) -> Work:
    work = queue.take()
    assert work is not None
    return work


def test_texts_overtake_bulk() -> None:
    queue = queue_of(flight(1, bulk=True), flight(2))
    assert [taken(queue).is_bulk, taken(queue).is_bulk] == [False, True]


def test_bulk_takes_every_worker_in_a_quiet_hour() -> None:
    queue = queue_of(flight(1, bulk=True), flight(2, bulk=True))
    assert [taken(queue).is_bulk, taken(queue).is_bulk] == [True, True]


def test_a_worker_stays_free_while_texts_come() -> None:
    clock = Clock()
    queue = queue_of(*(flight(n, bulk=True) for n in range(4)), flight(9), clock=clock)
    text = taken(queue)
    queue.done(text)
    first = taken(queue)
    assert first.is_bulk
    assert not first.alone
    # The second worker would sleep now; the next text is its own.
    queue.put([flight(10)])
    second = taken(queue)
    assert not second.is_bulk
    queue.done(second)
    queue.done(first)
    assert taken(queue).is_bulk


def test_after_a_while_bulk_may_have_the_free_worker_too() -> None:
    clock = Clock()
    queue = queue_of(*(flight(n, bulk=True) for n in range(4)), flight(9), clock=clock)
    queue.done(taken(queue))
    assert taken(queue).is_bulk
    clock.now_s += QUIET_S
    assert taken(queue).is_bulk


def test_one_worker_does_bulk_as_well() -> None:
    queue = queue_of(flight(1, bulk=True), flight(2), num_workers=1)
    queue.done(taken(queue))
    assert taken(queue).is_bulk


def test_the_last_worker_left_does_bulk() -> None:
    queue = queue_of(*(flight(n, bulk=True) for n in range(4)), flight(9))
    queue.done(taken(queue))
    lost = taken(queue)
    queue.done(lost)
    queue.leave()
    assert taken(queue).is_bulk


def test_a_closed_queue_gives_out_all_that_waits() -> None:
    queue = queue_of(flight(1, bulk=True), flight(2, bulk=True), flight(3))
    queue.close()
    assert len([taken(queue) for _ in range(3)]) == 3
    assert queue.take() is None


def test_a_lone_text_may_take_every_core_beside_bulk_but_not_beside_another_text() -> None:
    queue = queue_of(flight(1, bulk=True), flight(9))
    first = taken(queue)
    assert first.alone
    queue.put([flight(10), flight(11)])
    assert not taken(queue).alone
    queue.done(first)
    bulk_queue = queue_of(flight(1, bulk=True), flight(2, bulk=True))
    assert not taken(bulk_queue).alone
    bulk_queue.put([flight(9)])
    assert taken(bulk_queue).alone
