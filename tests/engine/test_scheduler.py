"""The scheduler, mostly by property: whatever waits, in whatever order it came."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from polyvec.engine.scheduler import SLACK, SPREAD, Scheduler

BUDGET = 64
PATIENCE = 3


@dataclass(frozen=True)
class Item:
    number: int
    route: str
    cost: int
    priority: int


def make_scheduler(**changes: int) -> Scheduler[Any]:
    return Scheduler(**{"max_batch_tokens": BUDGET, "max_passed_over_batches": PATIENCE, **changes})


def filled(*items: Item, **changes: int) -> Scheduler[Any]:
    scheduler = make_scheduler(**changes)
    for item in items:
        scheduler.add(item)
    return scheduler


def drain(scheduler: Scheduler[Any]) -> list[list[Item]]:
    batches = []
    while batch := scheduler.next_batch():
        batches.append(batch)
    return batches


def texts(*costs: int, priority: int = 0, first: int = 0) -> list[Item]:
    return [Item(first + i, "text", cost, priority) for i, cost in enumerate(costs)]


waiting = st.lists(
    st.tuples(st.sampled_from(["text", "image"]), st.integers(1, 100), st.integers(-1, 1)),
    max_size=60,
).map(lambda rows: [Item(number, *row) for number, row in enumerate(rows)])


@given(waiting)
def test_every_input_leaves_exactly_once(items: list[Item]) -> None:
    left = [item for batch in drain(filled(*items)) for item in batch]
    assert sorted(left, key=lambda item: item.number) == items


@given(waiting, st.integers(1, 8))
def test_a_batch_is_within_budget_unless_one_input_alone_exceeds_it(
    items: list[Item], idle: int
) -> None:
    scheduler = filled(*items)
    while batch := scheduler.next_batch(idle):
        assert len(batch) == 1 or sum(item.cost for item in batch) <= BUDGET


@given(waiting)
def test_a_batch_has_one_route_one_priority_and_near_equal_costs(items: list[Item]) -> None:
    for batch in drain(filled(*items)):
        assert len({(item.route, item.priority) for item in batch}) == 1
        costs = [item.cost for item in batch]
        assert costs == sorted(costs)
        assert costs[-1] <= costs[0] * SPREAD + SLACK


@given(waiting)
def test_without_starvation_the_oldest_of_the_best_priority_leads(items: list[Item]) -> None:
    scheduler = filled(*items, max_passed_over_batches=1000)
    left = set(items)
    while batch := scheduler.next_batch():
        lead = min(left, key=lambda item: (item.priority, item.number))
        assert lead in batch
        left -= set(batch)
    assert not left


@given(waiting, st.sets(st.integers(0, 59)))
def test_a_cancelled_input_never_leaves(items: list[Item], cancelled: set[int]) -> None:
    scheduler = filled(*items)
    for item in items:
        if item.number in cancelled:
            assert scheduler.cancel(item)
            assert not scheduler.cancel(item)
    left = {item.number for batch in drain(scheduler) for item in batch}
    assert left == {item.number for item in items} - cancelled
    assert len(scheduler) == 0


@given(st.integers(1, 10))
def test_an_input_overtaken_too_often_leads_next(patience: int) -> None:
    scheduler = filled(Item(0, "text", 5, 9), max_passed_over_batches=patience)
    for number in range(1, patience + 1):
        scheduler.add(Item(number, "text", 5, 0))
        assert [item.number for item in scheduler.next_batch()] == [number]
    scheduler.add(Item(patience + 1, "text", 5, 0))
    assert [item.number for item in scheduler.next_batch()] == [0]
    assert [item.number for item in scheduler.next_batch()] == [patience + 1]


def test_a_starved_backlog_gets_its_share_and_no_more() -> None:
    backlog = texts(*[60] * 10, priority=9)
    urgent = texts(*[60] * 100, first=100)
    order = [batch[0].priority for batch in drain(filled(*backlog, *urgent))]
    assert order[: 2 * PATIENCE + 2] == [0] * PATIENCE + [9] + [0] * PATIENCE + [9]


def test_neighbours_nearest_in_cost_are_taken_first() -> None:
    batch = filled(*texts(20, 30, 14, 21, 19)).next_batch()
    assert [item.cost for item in batch] == [19, 20, 21]


def test_a_distant_cost_waits_for_its_own_batch() -> None:
    assert [[i.cost for i in batch] for batch in drain(filled(*texts(2, 40, 3)))] == [[2, 3], [40]]


@pytest.mark.parametrize(("idle", "sizes"), [(1, [6]), (2, [3, 3]), (3, [2, 2, 2]), (9, [1] * 6)])
def test_idle_workers_share_what_little_waits(idle: int, sizes: list[int]) -> None:
    scheduler = filled(*texts(*[4] * 6))
    found = []
    while batch := scheduler.next_batch(idle - len(found) if idle > len(found) else 1):
        found.append(len(batch))
    assert found == sizes


def test_full_batches_are_not_shared_out() -> None:
    assert len(filled(*texts(*[8] * 100)).next_batch(4)) == BUDGET // 8


def test_nothing_waiting_gives_no_batch() -> None:
    assert make_scheduler().next_batch() == []


class AnyOrder(RuleBasedStateMachine):
    """Adds, cancels and batches in any order, against a plain set."""

    @initialize()
    def begin(self) -> None:
        self.scheduler = make_scheduler()
        self.waiting: dict[int, Item] = {}
        self.number = 0
        self.passed_over = 0

    @rule(
        cost=st.integers(1, 80),
        priority=st.integers(0, 3),
        route=st.sampled_from(["text", "image"]),
    )
    def add(self, cost: int, priority: int, route: str) -> None:
        self.number += 1
        item = Item(self.number, route, cost, priority)
        self.waiting[item.number] = item
        self.scheduler.add(item)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, self.number))
        item = self.waiting.pop(number, None)
        gone = Item(number, "text", 1, 0)
        assert self.scheduler.cancel(item or gone) == (item is not None)

    @rule(idle=st.integers(1, 4))
    def take(self, idle: int) -> None:
        oldest = min(self.waiting, default=None)
        batch = self.scheduler.next_batch(idle)
        assert bool(batch) == bool(self.waiting)
        for item in batch:
            assert self.waiting.pop(item.number) == item
        # Lanes: 4 priorities by 2 modalities; the oldest of all is the oldest of its lane.
        self.passed_over = 0 if oldest not in self.waiting else self.passed_over + 1
        assert self.passed_over <= PATIENCE + 8

    @invariant()
    def size_is_known(self) -> None:
        if hasattr(self, "scheduler"):
            assert len(self.scheduler) == len(self.waiting)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# Requests beside each other.


def put(scheduler: Scheduler[Any], items: list[Item]) -> None:
    """Let the inputs of one request wait."""
    before = 0
    for item in items:
        scheduler.add(item, after=before)
        before += item.cost


def test_a_small_request_does_not_wait_for_all_of_a_large_one() -> None:
    scheduler = make_scheduler()
    put(scheduler, texts(*[60] * 50))
    first = scheduler.next_batch()
    put(scheduler, texts(5, first=100))
    assert [item.number for item in first + scheduler.next_batch()] == [0, 100]


def test_two_large_requests_advance_together() -> None:
    scheduler = make_scheduler()
    put(scheduler, texts(*[60] * 20))
    put(scheduler, texts(*[60] * 20, first=100))
    served = [batch[0].number >= 100 for batch in drain(scheduler)]
    assert 4 <= sum(served[:10]) <= 6


def test_a_stream_of_small_requests_holds_no_large_one_up_for_ever() -> None:
    scheduler = make_scheduler()
    put(scheduler, texts(*[60] * 20))
    left = 20
    for step in range(100):
        put(scheduler, texts(30, first=1000 + step))
        left -= sum(item.number < 1000 for item in scheduler.next_batch())
    assert left == 0
