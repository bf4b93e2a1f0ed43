"""Keys, over every route there is: a route added later is closed by default."""

import pytest

from polyvec.server.middleware import OPEN_PATHS
from tests.server.driver import ask, make_app

ROUTES = sorted(make_app().routes.owners)
KEYS = ("first-key", "second-key")
LOCKED = make_app(api_keys=KEYS)
CLOSED = [(method, path) for method, path in ROUTES if path not in OPEN_PATHS]

NO_KEYS = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer "},
    {"authorization": "Bearer wrong"},
    {"authorization": "Basic first-key"},
    {"authorization": "Basic Zmlyc3Qta2V5"},  # first-key
    {"authorization": "Basic Zmlyc3Qta2V5Og=="},  # first-key:
    {"authorization": "Basic dXNlcjp3cm9uZw=="},  # user:wrong
    {"authorization": "first-key"},
    {"api-key": "wrong", "x-api-key": "first-key2"},
    {"authorization": "Bearer caf\xe9"},
]


def at(path: str) -> str:
    return path.replace("{", "").replace("}", "")


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_route_without_a_good_key_is_401_before_its_body(method: str, path: str) -> None:
    for headers in NO_KEYS:
        answer = await ask(LOCKED, method, at(path), body=b"{}", headers=headers)
        assert (answer.status, answer.num_received) == (401, 0), headers
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/json"
        assert b"first-key" not in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer first-key"},
        {"authorization": "bearer  second-key"},
        {"authorization": "Basic dXNlcjpmaXJzdC1rZXk="},  # user:first-key
        {"authorization": "basic OnNlY29uZC1rZXk="},  # :second-key
        {"api-key": "second-key"},
        {"x-api-key": "first-key"},
        {"authorization": "Bearer wrong", "x-api-key": "first-key"},
    ],
)
async def test_good_key_opens_the_model_list(headers: dict[str, str]) -> None:
    assert (await ask(make_app(api_keys=KEYS), "GET", "/v1/models", headers=headers)).status == 200


@pytest.mark.parametrize("path", ["/live", "/ready", "/health", "/health/", "/ping"])
async def test_probes_need_no_key(path: str) -> None:
    assert (await ask(make_app(api_keys=KEYS), "GET", path)).status == 200


async def test_a_probe_path_of_the_operator_is_open_for_get_only() -> None:
    app = make_app(api_keys=KEYS, health_route="/probe")
    assert (await ask(app, "GET", "/probe")).status == 200
    assert (await ask(app, "POST", "/probe", body=b"{}")).status == 401
    assert (await ask(make_app(api_keys=KEYS), "GET", "/probe")).status == 401


@pytest.mark.parametrize(
    "path", ["/nope", "/v1/embeddings?key=first-key", "/live/../v1/models", "/health/x", "//live"]
)
async def test_unknown_paths_need_a_key_too(path: str) -> None:
    assert (await ask(make_app(api_keys=KEYS), "POST", path, body=b"{}")).status == 401


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_other_methods_need_a_key_too(method: str) -> None:
    assert (await ask(make_app(api_keys=KEYS), method, "/v1/models")).status == 401


async def test_model_list_can_be_public() -> None:
    app = make_app(api_keys=KEYS, public_models=True)
    assert (await ask(app, "GET", "/v1/models")).status == 200
    assert (await ask(app, "POST", "/v1/embeddings", body=b'{"input":"x"}')).status == 401


@pytest.mark.parametrize("value", ["", "Bearer ", "Bearer anything", "Basic x"])
async def test_open_server_ignores_authorization(value: str) -> None:
    headers = {"authorization": value}
    answer = await ask(make_app(), "POST", "/v1/embeddings", body=b'{"input":"x"}', headers=headers)
    assert answer.status == 200


def test_there_are_routes_to_try() -> None:
    assert ("POST", "/v1/embeddings") in CLOSED
    assert ("GET", "/metrics") in CLOSED
