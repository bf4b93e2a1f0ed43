"""Several models in one process: lazily loaded, evicted, reloaded and administered under load."""

import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests import tiny
from tests.e2e.process import ServerProcess, running
from tests.e2e.processes import wait_until

ADMIN_URL = re.compile(r"administered at (\S+)")
TEXTS = ["the red cat", "a blue dog sat on the mat", "is that a happy person"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``org/a``, ``org/b`` and ``c`` of models that differ."""
    root = tmp_path_factory.mktemp("repository")
    for seed, name in enumerate(("org/a", "org/b", "c")):
        folder = tiny.make_bert(root / name, seed=seed)
        tiny.sentence_transformers_files(folder, 32)
    return root


def table(checkpoint: Path, name: str, **keys: Any) -> str:
    lines = [f"checkpoint = {json.dumps(str(checkpoint))}", f"served_model_name = ['{name}']"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(["[[model]]", *lines, ""])


def embed(server: ServerProcess, model: str, *texts: str) -> httpx2.Response:
    body = {"model": model, "input": list(texts) or TEXTS}
    return httpx2.post(server.url + "/v1/embeddings", json=body, timeout=60, trust_env=False)


def vectors(server: ServerProcess, model: str) -> Any:
    answer = embed(server, model)
    assert answer.status_code == 200, answer.text
    return [one["embedding"] for one in answer.json()["data"]]


def served(server: ServerProcess) -> list[str]:
    answer = httpx2.get(server.url + "/v1/models", trust_env=False)
    return [one["id"] for one in answer.json()["data"]]


def admin_of(server: ServerProcess) -> httpx2.Client:
    wait_until(lambda: ADMIN_URL.search(server.log.read_text()) is not None, "no admin port")
    found = ADMIN_URL.search(server.log.read_text())
    assert found is not None
    return httpx2.Client(base_url=found[1], timeout=60, trust_env=False)


def states(admin: httpx2.Client) -> dict[str, str]:
    return {one["name"]: one["state"] for one in admin.get("/admin/models").json()["models"]}


@contextmanager
def load(server: ServerProcess, *models: str) -> Iterator[list[int]]:
    """Requests to each model, one after another from a thread each; their statuses."""
    statuses: list[int] = []
    ends = threading.Event()

    def ask(model: str) -> None:
        while not ends.is_set():
            statuses.append(embed(server, model).status_code)

    threads = [threading.Thread(target=ask, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_lazy_models_share_a_budget_while_requests_run(repository: Path, tmp_path: Path) -> None:
    file = tmp_path / "polyvec.toml"
    big = {"memory_bytes": "100MiB"}
    file.write_text(
        table(repository / "org/a", "a", **big) + table(repository / "org/b", "b", **big)
    )
    flags = ("--config", str(file), "--lazy", "--memory-budget", "150MiB", "--admin-port", "0")
    with running(*flags) as server, admin_of(server) as admin:
        assert "a (loaded by its first request)" in server.ready_line
        assert states(admin) == {"a": "unloaded", "b": "unloaded"}
        cards = admin.get("/admin/models").json()["models"]
        assert [(one["dimensions"], one["modalities"]) for one in cards] == [(32, ["text"])] * 2
        assert httpx2.get(server.url + "/ready", trust_env=False).status_code == 200
        expected = {name: vectors(server, name) for name in ("a", "b")}
        assert states(admin) == {"a": "unloaded", "b": "ready"}
        with load(server, "a", "b", "b") as statuses:
            wait_until(lambda: len(statuses) >= 12, "too few answers")
        assert set(statuses) == {200}
        assert server.log.read_text().count("to make room for") >= 2
        for name, vector in expected.items():
            assert vectors(server, name) == vector


def test_idle_models_are_unloaded_and_come_back(repository: Path) -> None:
    flags = (str(repository / "c"), "--unload-idle", "200ms", "--admin-port", "0")
    with running(*flags) as server, admin_of(server) as admin:
        first = vectors(server, "c")
        wait_until(lambda: states(admin) == {"c": "unloaded"}, "it stays loaded")
        assert vectors(server, "c") == first


def test_a_changed_list_is_followed_under_load_without_a_failed_request(
    repository: Path, tmp_path: Path
) -> None:
    file = tmp_path / "polyvec.toml"
    file.write_text(table(repository / "org/a", "a") + table(repository / "c", "c"))
    with running("--config", str(file), "--watch-config", "50ms") as server:
        mean, stays = vectors(server, "a"), vectors(server, "c")
        with load(server, "a", "c") as statuses:
            wait_until(lambda: len(statuses) >= 10, "no answers")
            changed = table(repository / "org/a", "a", pooling="cls")
            file.write_text(
                changed + table(repository / "c", "c") + table(repository / "org/b", "b")
            )
            wait_until(lambda: served(server) == ["a", "c", "b"], "the list is not followed")
            file.write_text("[[model")
            wait_until(lambda: "is not a TOML file" in server.log.read_text(), "not reported")
            file.write_text("")
            wait_until(lambda: "names no model" in server.log.read_text(), "not reported")
            count = len(statuses)
            wait_until(lambda: len(statuses) >= count + 10, "no more answers")
        assert set(statuses) == {200}
        assert vectors(server, "a") != mean
        assert vectors(server, "c") == stays
        file.write_text(table(repository / "c", "c"))
        wait_until(lambda: served(server) == ["c"], "models stay")
        assert embed(server, "a").status_code == 404
        assert "c" in embed(server, "a").text
        assert server.stop() == 0  # signals reach a process that has unloaded models


def test_models_are_added_and_removed_under_load(repository: Path) -> None:
    with running(f"mine={repository / 'c'}", "--admin-port", "0") as server:
        with admin_of(server) as admin, load(server, "mine") as statuses:
            added = {"checkpoint": str(repository / "org/a"), "name": "a", "pooling": "cls"}
            answer = admin.post("/admin/models", json=added)
            assert (answer.status_code, answer.json()["state"]) == (201, "ready")
            assert embed(server, "a").status_code == 200
            assert admin.post("/admin/models", json=added).status_code == 409
            assert admin.delete("/admin/models/a").status_code == 200
            assert embed(server, "a").status_code == 404
            assert served(server) == ["mine"]
        assert set(statuses) == {200}
        assert httpx2.get(server.url + "/admin/models", trust_env=False).status_code == 404


def test_a_repository_of_openvino_model_server_is_served_and_reloaded(repository: Path) -> None:
    def listed(*names: str) -> None:
        entries = [{"config": {"name": name, "base_path": name}} for name in names]
        document = json.dumps({"model_config_list": entries})
        (repository / "config.json").write_text(document)

    listed("org/a", "org/gone")
    flags = (
        "--config_path",
        str(repository / "config.json"),
        "--file_system_poll_wait_seconds",
        "0",
    )
    with running(*flags) as server:
        assert served(server) == ["org/a", "org/gone"]
        assert embed(server, "org/a").status_code == embed(server, "a").status_code == 200
        assert embed(server, "org/gone").status_code == 503
        listed("org/a", "org/b")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: served(server) == ["org/a", "org/b"], "the list is not read again")
        assert embed(server, "org/b").status_code == 200
        listed("org/b")
        assert httpx2.post(server.url + "/v1/config/reload", trust_env=False).is_success
        assert served(server) == ["org/b"]
    (repository / "config.json").unlink()
    with running("--model_repository_path", str(repository)) as server:
        assert served(server) == ["c", "org/a", "org/b"]
