"""What an operator sees and does: announcements, warnings, signals, metrics of engines."""

import signal
from dataclasses import replace

import pytest

from polyvec.engine.load import backend_named
from polyvec.engine.metrics import EngineMetrics
from polyvec.errors import ConfigError
from polyvec.server import run
from polyvec.server.metrics import engine_lines
from polyvec.server.options import ServerOptions
from polyvec.server.run import Server, bind, is_loopback, ready_line, url_of
from tests.server.driver import CARD, make_app


def test_ready_line_names_models_and_where() -> None:
    other = replace(CARD, name="other", dtype="bfloat16")
    line = ready_line([CARD, other], "http://127.0.0.1:1")
    assert line.endswith(
        "serves stub (3 dimensions, float32 on cpu, fake); "
        "other (3 dimensions, bfloat16 on cpu, fake) at http://127.0.0.1:1"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_addresses(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_other_addresses(host: str) -> None:
    assert not is_loopback(host)


def test_free_port_is_chosen_and_shown() -> None:
    with bind(ServerOptions(port=0)) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert url_of(listener, "/emb") == f"http://127.0.0.1:{port}/emb"


def test_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:0"):
        bind(ServerOptions(host="192.0.2.1", port=0))


def test_host_name_that_does_not_resolve_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        bind(ServerOptions(host="no such host", port=0))


def test_first_signal_drains_and_the_second_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    drained: list[bool] = []
    monkeypatch.setattr(run.os, "_exit", leave)
    server = Server(make_app(), ServerOptions(), on_drain=lambda: drained.append(True))
    server.handle_exit(signal.SIGTERM, None)
    assert (server.should_exit, drained) == (True, [True])
    with pytest.raises(SystemExit) as end:
        server.handle_exit(signal.SIGINT, None)
    assert (end.value.code, drained) == (130, [True])


def test_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match="one of fake, openvino, torch, transformers, not 'abacus'"
    ):
        backend_named("abacus")


def test_engine_metrics_are_counters_gauges_and_histograms() -> None:
    metrics = EngineMetrics(requests=3)
    metrics.count_batch(tokens=20, wait_s=0.002, run_s=0.01)
    snapshots = {'a"b': {**metrics.snapshot(), "queue_depth": 7}}
    lines = list(engine_lines(snapshots))
    assert "# TYPE polyvec_requests_total counter" in lines
    assert 'polyvec_requests_total{model="a\\"b"} 3' in lines
    assert 'polyvec_queue_depth{model="a\\"b"} 7' in lines
    assert "# TYPE polyvec_queue_wait_seconds histogram" in lines
    assert 'polyvec_queue_wait_seconds_bucket{model="a\\"b",le="0.0025"} 1' in lines
    assert 'polyvec_batch_tokens_count{model="a\\"b"} 1' in lines
    assert "# TYPE polyvec_tokens_per_s gauge" in lines
    assert len({line for line in lines if line.startswith("# TYPE")}) == len(metrics.snapshot()) + 1
