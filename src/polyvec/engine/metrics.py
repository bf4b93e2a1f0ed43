"""Counters and histograms of one engine, as plain objects.

Only the event loop's thread writes them, so they need no lock; any thread may read.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

BATCH_TOKENS_BOUNDS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RATE_WEIGHT = 0.1
"""Weight of the newest batch in the throughput estimate: about the last ten batches count."""


class Histogram:
    """Counts of values by upper bound.

    Attributes:
        bounds: Upper bounds, inclusive, ascending; a last bucket holds what is above them.
        counts: One more than bounds.
        total: Sum of all values.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def snapshot(self) -> dict[str, Any]:
        """JSON-able copy."""
        return {"bounds": list(self.bounds), "counts": list(self.counts), "sum": self.total}


def _seconds() -> Histogram:
    return Histogram(SECONDS_BOUNDS)


@dataclass(slots=True)
class EngineMetrics:
    """What one engine has done since it started.

    Attributes:
        requests: Accepted for preparation.
        inputs: Of those requests.
        tokens: Text tokens read for finished requests.
        batches: Forward passes, those after a split included.
        failed: Requests that ended in an error, the rejected ones not counted.
        rejected: Requests refused because the queue was full.
        cancelled: Requests whose caller went away.
        cache_hits: Inputs answered from finished vectors.
        joined: Inputs that waited for an identical one.
        lost_inputs: Inputs for which the runtime failed.
        batch_tokens: Tokens and patches per batch.
        queue_wait_s: Longest wait of any input of a batch.
        batch_s: Run time per batch.
        tokens_per_s: Recent tokens and patches per second of one busy worker; 0 before the first.
    """

    requests: int = 0
    inputs: int = 0
    tokens: int = 0
    batches: int = 0
    failed: int = 0
    rejected: int = 0
    cancelled: int = 0
    cache_hits: int = 0
    joined: int = 0
    lost_inputs: int = 0
    batch_tokens: Histogram = field(default_factory=lambda: Histogram(BATCH_TOKENS_BOUNDS))
    queue_wait_s: Histogram = field(default_factory=_seconds)
    batch_s: Histogram = field(default_factory=_seconds)
    tokens_per_s: float = 0.0

    def count_batch(self, *, tokens: int, wait_s: float, run_s: float) -> None:
        """Note a batch that ran."""
        self.batches += 1
        self.batch_tokens.observe(tokens)
        self.queue_wait_s.observe(wait_s)
        self.batch_s.observe(run_s)
        rate = tokens / max(run_s, 1e-6)
        weight = RATE_WEIGHT if self.tokens_per_s else 1.0
        self.tokens_per_s += weight * (rate - self.tokens_per_s)

    def snapshot(self) -> dict[str, Any]:
        """JSON-able copy by attribute name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: value.snapshot() if isinstance(value, Histogram) else value
            for name, value in values.items()
        }
