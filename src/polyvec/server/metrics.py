"""Requests by route and status, their duration, and the engines' own figures as Prometheus text.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from polyvec.engine.metrics import SECONDS_BOUNDS, Histogram

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GAUGES = frozenset({"tokens_per_s", "queue_depth", "memory_bytes"})


class RequestMetrics:
    """What the HTTP side has done since it started. Only the event loop's thread writes it.

    Attributes:
        in_flight: Requests whose answer is not complete.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._statuses: Counter[tuple[str, int]] = Counter()
        self._durations: dict[str, Histogram] = {}

    def count(self, route: str, status: int, duration_s: float) -> None:
        """Note an answered request.

        Args:
            route: Path as declared, so that callers cannot make up new label values.
            status: HTTP status; 499 when the client went away.
            duration_s: From complete headers to the last byte handed over.
        """
        self._statuses[route, status] += 1
        histogram = self._durations.get(route)
        if histogram is None:
            histogram = self._durations[route] = Histogram(SECONDS_BOUNDS)
        histogram.observe(duration_s)

    def lines(self) -> Iterator[str]:
        """Exposition lines."""
        yield from _header("polyvec_http_requests_total", "counter", "Answered requests.")
        for (route, status), number in sorted(self._statuses.items()):
            yield _sample("polyvec_http_requests_total", number, route=route, status=str(status))
        name = "polyvec_http_request_duration_seconds"
        yield from _header(name, "histogram", "Time to answer.")
        for route, histogram in sorted(self._durations.items()):
            yield from _histogram(name, histogram.snapshot(), route=route)
        yield from _header("polyvec_http_requests_in_flight", "gauge", "Requests being answered.")
        yield _sample("polyvec_http_requests_in_flight", self.in_flight)


def ready_lines(is_ready: bool) -> Iterator[str]:  # noqa: FBT001
    """Exposition lines of readiness."""
    yield from _header("polyvec_ready", "gauge", "Whether requests are answered now.")
    yield _sample("polyvec_ready", int(is_ready))


def engine_lines(engines: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Exposition lines of the engines' snapshots.

    Args:
        engines: Served name → what `EngineMetrics.snapshot` gives.
    """
    names = dict.fromkeys(name for snapshot in engines.values() for name in snapshot)
    for name in names:
        samples = {
            model: values[name]
            for model, values in engines.items()
            if isinstance(values.get(name), int | float | dict)
        }
        yield from _engine_metric(name, samples)


def _engine_metric(name: str, samples: Mapping[str, Any]) -> Iterator[str]:
    is_histogram = any(isinstance(value, dict) for value in samples.values())
    full = f"polyvec_{name.removesuffix('_s') + '_seconds' if name.endswith('_s') else name}"
    if name in _GAUGES:
        full, kind = f"polyvec_{name}", "gauge"
    elif is_histogram:
        kind = "histogram"
    else:
        full, kind = f"{full}_total", "counter"
    yield from _header(full, kind, f"Engine: {name}.")
    for model, value in samples.items():
        if isinstance(value, dict):
            yield from _histogram(full, value, model=model)
        else:
            yield _sample(full, value, model=model)


def _histogram(name: str, snapshot: Mapping[str, Any], **labels: str) -> Iterator[str]:
    total = 0
    bounds = [*map(str, snapshot["bounds"]), "+Inf"]
    for bound, number in zip(bounds, snapshot["counts"], strict=True):
        total += number
        yield _sample(f"{name}_bucket", total, **labels, le=bound)
    yield _sample(f"{name}_sum", snapshot["sum"], **labels)
    yield _sample(f"{name}_count", total, **labels)


def _header(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _sample(name: str, value: float, **labels: str) -> str:
    inside = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
