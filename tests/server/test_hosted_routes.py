"""Routes at paths that a platform chooses."""

import orjson
import pytest

from polyvec.dialects._base import Call, Dialect, Reply, Route
from polyvec.dialects._registry import RouteTable
from polyvec.server.hosted_routes import with_hosted_routes
from tests.server.driver import ask, make_app


def _dialect(name, *routes):
    async def endpoint(call, service):
        return Reply(200, b"")

    made = tuple(Route(method, path, endpoint, owns) for method, path, owns in routes)
    return Dialect(name, made, lambda _error, _call: Reply(500, b""), "test")


def _has_inputs(body):
    return isinstance(body, dict) and "inputs" in body


DIALECTS = (
    _dialect("vllm", ("POST", "/invocations", None), ("POST", "/pooling", None)),
    _dialect(
        "tei",
        ("POST", "/invocations", _has_inputs),
        ("POST", "/predict", None),
        ("POST", "/vertex", None),
    ),
    _dialect("server", ("GET", "/ready", None)),
)
BODIES = {"vllm": {"input": "a"}, "tei": {"inputs": "a"}}
INSTANCES = {"instances": [{"inputs": "a"}], "inputs": "a"}


def _answers(predict_route, path, body):
    """Who answers a body at a path, and as which of its own routes."""
    dialects = with_hosted_routes(DIALECTS, predict_route=predict_route, health_route="")
    found = RouteTable(dialects).resolve(Call("POST", path, body=orjson.dumps(body)))
    assert found is not None
    dialect, route = found
    return dialect.name, route.owns


@pytest.mark.parametrize("path", ["/foo", "/v1/endpoints/1/deployedModels/2:predict"])
def test_a_new_path_takes_what_invocations_takes_and_instances(path):
    for name, body in BODIES.items():
        assert _answers(path, path, body)[0] == name
    assert _answers(path, path, INSTANCES)[0] == "tei"
    assert _answers(path, path, INSTANCES)[1] is not _has_inputs


@pytest.mark.parametrize(("path", "own"), [("/predict", "tei"), ("/pooling", "vllm")])
def test_a_path_of_ours_keeps_its_other_bodies(path, own):
    assert _answers(path, path, {"inputs": "a"}) == (own, None)
    assert _answers(path, path, INSTANCES)[0] == "tei"


def test_invocations_may_be_the_path():
    assert _answers("/invocations", "/invocations", {"input": "a"}) == ("vllm", None)
    assert _answers("/invocations", "/invocations", {"inputs": "a"}) == ("tei", _has_inputs)
    assert _answers("/invocations", "/invocations", INSTANCES)[0] == "tei"


def test_vertex_may_be_the_path():
    assert _answers("/vertex", "/vertex", INSTANCES) == ("tei", None)


def test_a_probe_of_ours_stays_as_it_is():
    added = with_hosted_routes(DIALECTS, predict_route="", health_route="/ready")
    assert added == DIALECTS


def test_nothing_is_added_unasked():
    assert with_hosted_routes(DIALECTS, predict_route="", health_route="") == DIALECTS


async def test_the_application_answers_there():
    app = make_app(predict_route="/p:predict", health_route="/h")
    assert (await ask(app, "GET", "/h")).json() == {"status": "ready"}
    app.is_draining = True
    assert (await ask(app, "GET", "/h")).status == 503
    assert (await ask(app, "POST", "/p", body=b"{}")).status == 404
