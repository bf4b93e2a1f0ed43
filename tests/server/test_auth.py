"""Keys, over every route there is: a route added later is closed by default."""

import pytest

from polyvec.server.middleware import OPEN_PATHS
from tests.server.driver import ask, make_app

ROUTES = sorted(make_app().routes.owners)
KEYS = ("first-key", "second-key")
CLOSED = [(method, path) for method, path in ROUTES if path not in OPEN_PATHS]


def at(path: str) -> str:
    return path.replace("{", "").replace("}", "")


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic first-key"},
        {"authorization": "first-key"},
        {"api-key": "wrong", "x-api-key": "first-key2"},
        {"authorization": "Bearer caf\xe9"},
    ],
)
async def test_route_without_a_good_key_is_401_before_its_body(
    method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await ask(make_app(api_keys=KEYS), method, at(path), body=b"{}", headers=headers)
    assert (answer.status, answer.num_received) == (401, 0)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/json"
    assert b"first-key" not in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer first-key"},
        {"authorization": "bearer  second-key"},
        {"api-key": "second-key"},
        {"x-api-key": "first-key"},
        {"authorization": "Bearer wrong", "x-api-key": "first-key"},
    ],
)
async def test_good_key_opens_the_model_list(headers: dict[str, str]) -> None:
    assert (await ask(make_app(api_keys=KEYS), "GET", "/v1/models", headers=headers)).status == 200


@pytest.mark.parametrize("path", ["/live", "/ready", "/health", "/health/"])
async def test_probes_need_no_key(path: str) -> None:
    assert (await ask(make_app(api_keys=KEYS), "GET", path)).status == 200


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
