"""Waiting inputs → next batch. No clock, no threads, no tensors.

Every (priority, route) has a lane. The input of a lane whose turn is first leads a batch, and the
inputs nearest to it in cost join: padding is the largest single loss on a CPU, so lengths in a
batch are near-equal. A batch never mixes priorities, since the urgent inputs would wait for the
others to be computed. Bulk inputs, the frames of videos, come in hundreds and have lanes of their
own.

Turns are start-time fair queueing with every request a flow: an input's turn is the scheduler's
present plus what its own request has before it. So a small request is not made to wait for all of
a large one that came a moment earlier, and two large ones advance together. The present also moves
by half of what is computed, so that no stream of small requests holds a large one up for ever.
Source: https://dl.acm.org/doi/10.1145/248156.248171.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Mapping
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

# Near-equal: the costliest input of a batch is at most SPREAD times the cheapest plus SLACK tokens.
# The slack lets very short texts share a batch; among those a call costs more than padding.
SPREAD = 1.25
SLACK = 16

BULK_PRIORITY = 1_000_000
"""From here on an input is bulk: it runs after everything else, and never on every worker while
others are served."""


class Waiting(Protocol):
    """What the scheduler needs to know of an input.

    Attributes:
        number: Unique; grows with arrival.
        route: Inputs of a batch share it.
        cost: Tokens or patches, at least 1.
        priority: Lower runs earlier.
    """

    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def route(self) -> Hashable: ...  # noqa: D102
    @property
    def cost(self) -> int: ...  # noqa: D102
    @property
    def priority(self) -> int: ...  # noqa: D102


Item = TypeVar("Item", bound=Waiting)
_Key = tuple[int, Hashable]


class Scheduler(Generic[Item]):
    """Waiting inputs of one model."""

    def __init__(self, *, max_batch_tokens: int, max_passed_over_batches: int) -> None:
        self._max_batch_tokens = max_batch_tokens
        self._max_passed_over_batches = max_passed_over_batches
        self._lanes: dict[_Key, _Lane[Item]] = {}
        self._num_batches = 0
        self._present = 0
        self._cost = 0
        self._size = 0

    def __len__(self) -> int:
        """Inputs that wait."""
        return self._size

    def has_urgent(self) -> bool:
        """Whether something waits that is not bulk."""
        return any(lane.priority < BULK_PRIORITY for lane in self._lanes.values())

    def add(self, item: Item, *, after: int = 0) -> None:
        """Let an input wait; O(log n) comparisons.

        Args:
            item: Not waiting yet.
            after: Cost of the inputs that its own request has before it.
        """
        key = (item.priority, item.route)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(item.priority, self._num_batches)
        lane.add(item, self._present + after)
        self._size += 1
        self._cost += item.cost

    def cancel(self, item: Item) -> bool:
        """Take an input out.

        Returns:
            False if it does not wait (any more).
        """
        key = (item.priority, item.route)
        lane = self._lanes.get(key)
        if lane is None or item.number not in lane.items:
            return False
        lane.discard(item)
        self._left(key, lane, [item])
        return True

    def next_batch(self, idle_workers: int = 1, *, bulk: bool = True) -> list[Item]:
        """Take the inputs of the next batch out.

        Args:
            idle_workers: Workers that could run a batch now, the asking one included. When too
                little waits to fill a batch for each, they share it.
            bulk: Whether bulk inputs may run.

        Returns:
            Inputs of one route and priority, cheapest first; empty when none waits.
        """
        lanes = self._lanes
        if not bulk:
            lanes = {key: lane for key, lane in lanes.items() if lane.priority < BULK_PRIORITY}
        if not lanes:
            return []
        key = self._next_lane(lanes)
        lane = lanes[key]
        share = -(-self._cost // idle_workers)
        turn, _ = lane.first()
        batch = lane.take(min(self._max_batch_tokens, share))
        self._present = max(self._present + sum(item.cost for item in batch) // 2, turn)
        self._num_batches += 1
        lane.led_at = self._num_batches
        self._left(key, lane, batch)
        return batch

    def _next_lane(self, lanes: "Mapping[_Key, _Lane[Item]]") -> _Key:
        """The lane that was passed over too often; else best priority, then first turn."""
        if len(lanes) == 1:
            return next(iter(lanes))
        key, lane = min(lanes.items(), key=lambda entry: entry[1].led_at)
        if self._num_batches - lane.led_at >= self._max_passed_over_batches:
            return key
        return min(lanes.items(), key=lambda entry: (entry[0][0], entry[1].first()))[0]

    def _left(self, key: _Key, lane: "_Lane[Item]", items: Iterable[Item]) -> None:
        """Keep count of what waits; an empty lane goes."""
        for item in items:
            self._size -= 1
            self._cost -= item.cost
        if not lane.items:
            del self._lanes[key]


class _Lane(Generic[Item]):
    """Inputs of one priority and route, sorted by cost and by turn.

    Attributes:
        items: By number.
        led_at: Batches formed when it last led, or when it came into being.
    """

    __slots__ = ("_by_cost", "_by_turn", "items", "led_at", "priority")

    def __init__(self, priority: int, led_at: int) -> None:
        self.priority = priority
        self.led_at = led_at
        self.items: dict[int, Item] = {}
        self._by_cost: list[tuple[int, int]] = []  # (cost, number), sorted
        # A heap of (turn, number); may hold some that left.
        self._by_turn: list[tuple[int, int]] = []

    def add(self, item: Item, turn: int) -> None:
        self.items[item.number] = item
        insort(self._by_cost, (item.cost, item.number))
        heappush(self._by_turn, (turn, item.number))

    def discard(self, item: Item) -> None:
        del self.items[item.number]
        del self._by_cost[bisect_left(self._by_cost, (item.cost, item.number))]

    def first(self) -> tuple[int, int]:
        """The first turn, and the number of the input that has it."""
        while self._by_turn[0][1] not in self.items:
            heappop(self._by_turn)
        return self._by_turn[0]

    def take(self, budget: int) -> list[Item]:
        """Remove the input whose turn it is and its neighbours in cost, as the budget holds."""
        _, number = self.first()
        lead = self.items[number]
        low, high = self._neighbours(lead, budget)
        numbers = [number for _, number in self._by_cost[low:high]]
        del self._by_cost[low:high]
        return [self.items.pop(number) for number in numbers]

    def _neighbours(self, lead: Item, budget: int) -> tuple[int, int]:
        """Widen a slice of the sorted costs around the lead, always towards the nearer cost."""
        costs = self._by_cost
        low = bisect_left(costs, (lead.cost, lead.number))
        high = low + 1
        room = budget - lead.cost
        while True:
            below = costs[low - 1][0] if low else 0
            above = costs[high][0] if high < len(costs) else 0
            may_sink = 0 < below <= room and near_equal(below, costs[high - 1][0])
            may_rise = 0 < above <= room and near_equal(costs[low][0], above)
            if may_rise and (not may_sink or above - lead.cost <= lead.cost - below):
                high += 1
                room -= above
            elif may_sink:
                low -= 1
                room -= below
            else:
                return low, high


def near_equal(shortest: int, longest: int) -> bool:
    """Whether inputs of these lengths may share a batch."""
    return longest <= shortest * SPREAD + SLACK
