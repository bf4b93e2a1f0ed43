"""What an operator changes on the admin port, and what a web page may not."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from polyvec.engine.served import ServedModel
from polyvec.errors import ConfigError
from polyvec.server.admin import ALLOWED_HOSTS, admin_dialect
from polyvec.server.app import App
from polyvec.server.options import ServerOptions
from tests.engine.shelves import SIZE, Bench, model
from tests.server.driver import Answer, ask, make_app


def model_of(table: Mapping[str, Any]) -> ServedModel:
    if "checkpoint" not in table:
        raise ConfigError("a model needs a checkpoint")
    return model(table.get("name", table["checkpoint"]), lazy=table.get("lazy", False))


def app_of(bench: Bench, **options: Any) -> App:
    return App(bench.service, (admin_dialect(bench.service, model_of),), ServerOptions(**options))


async def send(app: App, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    raw = b"" if body is None else orjson.dumps(body)
    return await ask(app, method, path, body=raw, headers=headers)


async def test_models_are_listed_with_their_state() -> None:
    async with Bench("a", "b") as bench:
        await bench.answered("a")
        answer = await send(app_of(bench), "GET", "/admin/models")
        first, second = answer.json()["models"]
        assert (first["name"], first["state"], first["memory_bytes"]) == ("a", "ready", SIZE)
        assert (first["requests"], first["running_requests"], first["unused_s"]) == (1, 0, 0)
        assert (second["state"], second["dimensions"], second["unused_s"]) == ("unloaded", 4, None)


async def test_a_model_is_added_and_removed() -> None:
    async with Bench("a") as bench:
        app = app_of(bench)
        answer = await send(app, "POST", "/admin/models", {"checkpoint": "org/b", "name": "org/b"})
        assert (answer.status, answer.json()["state"]) == (201, "ready")
        assert await bench.answered("org/b") == "org/b"
        assert (await send(app, "DELETE", "/admin/models/org/b")).json() == {"removed": "org/b"}
        assert bench.states() == {"a": "unloaded"}


async def test_a_model_is_loaded_and_unloaded() -> None:
    async with Bench("a") as bench:
        app = app_of(bench)
        assert (await send(app, "POST", "/admin/models/a/load")).json()["state"] == "ready"
        assert (await send(app, "POST", "/admin/models/a/unload")).json()["state"] == "unloaded"


async def test_the_list_is_read_again() -> None:
    async with Bench("a") as bench:
        app = app_of(bench)
        assert (await send(app, "POST", "/admin/reload")).json() == {"changed": False}
        bench.listed.append(model("b"))
        assert (await send(app, "POST", "/admin/reload")).json() == {"changed": True}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/admin/models", {"name": "x"}, 400, "needs a checkpoint"),
        ("POST", "/admin/models", [], 400, "must be a JSON object"),
        ("POST", "/admin/models", {"checkpoint": "a"}, 409, "'a' already"),
        ("POST", "/admin/models", {"checkpoint": "bad"}, 400, "the secret folder is damaged"),
        ("DELETE", "/admin/models/x", None, 404, "served: a"),
        ("DELETE", "/admin/models/A", None, 404, "served: a"),
        ("POST", "/admin/models/x/load", None, 404, "served: a"),
        ("POST", "/v1/embeddings", {"input": "x"}, 404, "Not Found"),
    ],
)
async def test_mistakes_are_said_plainly(
    method: str, path: str, body: Any, status: int, message: str
) -> None:
    async with Bench("a") as bench:
        bench.loader.broken = {"bad"}
        answer = await send(app_of(bench), method, path, body)
        assert answer.status == status
        assert message in answer.body.decode()
        assert bench.states() == {"a": "unloaded"}


async def test_web_pages_and_strangers_are_refused() -> None:
    async with Bench("a") as bench:
        app = app_of(bench, allowed_hosts=ALLOWED_HOSTS, api_keys=("k",))
        page = {"origin": "http://evil.example", "host": "127.0.0.1:9", "authorization": "Bearer k"}
        assert (await send(app, "POST", "/admin/models/a/load", **page)).status == 403
        assert (await send(app, "GET", "/admin/models", host="evil.example")).status == 421
        assert (await send(app, "GET", "/admin/models", host="localhost:9")).status == 401
        key = {"host": "localhost:9", "authorization": "Bearer k"}
        assert (await send(app, "GET", "/admin/models", **key)).status == 200
        assert bench.states() == {"a": "unloaded"}


async def test_the_public_port_has_none_of_it() -> None:
    app = make_app()
    for method, path in [
        ("GET", "/admin/models"),
        ("POST", "/admin/models"),
        ("POST", "/admin/reload"),
    ]:
        assert (await ask(app, method, path)).status == 404


async def test_the_admin_port_has_metrics_of_the_engines() -> None:
    async with Bench("a") as bench:
        answer = await send(app_of(bench), "GET", "/metrics")
        assert b"polyvec_ready" in answer.body
