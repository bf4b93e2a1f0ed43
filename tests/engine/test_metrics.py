import json

import pytest

from polyvec.engine.metrics import EngineMetrics, Histogram


def test_a_value_on_a_bound_counts_below_it_and_one_above_all_in_the_last_bucket() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(value)
    assert histogram.snapshot() == {"bounds": [1.0, 2.0], "counts": [2, 2, 1], "sum": 14.0}


def test_a_snapshot_is_json_and_does_not_change_afterwards() -> None:
    metrics = EngineMetrics()
    before = metrics.snapshot()
    metrics.count_batch(tokens=10, wait_s=0.1, run_s=0.1)
    metrics.requests += 1
    assert before["requests"] == 0
    assert sum(before["batch_tokens"]["counts"]) == 0
    assert json.loads(json.dumps(metrics.snapshot()))["batches"] == 1


def test_throughput_starts_at_the_first_batch_and_follows_later_ones() -> None:
    metrics = EngineMetrics()
    metrics.count_batch(tokens=100, wait_s=0, run_s=1)
    assert metrics.tokens_per_s == pytest.approx(100)
    for _ in range(100):
        metrics.count_batch(tokens=300, wait_s=0, run_s=1)
    assert metrics.tokens_per_s == pytest.approx(300, rel=0.01)
