"""How a server process begins, what it is told, and how it ends."""

import http.client
import json
import pickle
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from tests import tiny
from tests.e2e.process import ServerProcess, run_cli, running

pytestmark = pytest.mark.e2e


def checkpoint(folder: Path) -> Path:
    """A tiny BERT that leaves nothing open, so that there is nothing to warn of."""
    tiny.sentence_transformers_files(tiny.make_bert(folder), 32)
    return folder


def embedding(server: ServerProcess, body: dict, path: str = "/v1/embeddings") -> list[float]:
    answer = httpx2.post(server.url + path, json=body, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"][0]["embedding"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_drains_what_is_in_flight_and_ends_with_0(name: str) -> None:
    with running("--dtype", "float32") as server:
        body = json.dumps({"input": [f"a red circle {i}" for i in range(500)]}).encode()
        connection = http.client.HTTPConnection(*server.address, timeout=60)
        connection.putrequest("POST", "/v1/embeddings")
        connection.putheader("Content-Length", str(len(body)))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        # The server reads this request's body, so the request is in flight for certain.
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 100")
        server.process.send_signal(getattr(signal, name))
        connection.send(body)
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.load(answer)["data"]) == 500
        connection.close()
        assert server.wait() == 0  # a second signal would mean: at once
        assert f"{name}: draining" in server.log.read_text()
        assert "Traceback" not in server.log.read_text()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address, timeout=5)


def test_stop_is_not_held_up_by_idle_connections() -> None:
    with (
        running("--backend", "fake") as server,
        httpx2.Client(base_url=server.url, trust_env=False) as http,
        socket.create_connection(server.address, timeout=30),
    ):
        assert http.get("/ready").status_code == 200
        assert server.stop() == 0


def test_ready_means_answering(demo: ServerProcess) -> None:
    assert "polyvec-demo (128 dimensions, " in demo.ready_line
    assert httpx2.get(demo.url + "/ready", trust_env=False).json() == {"status": "ready"}
    assert len(embedding(demo, {"input": "a red circle"})) == 128


def assert_one_clear_line(arguments: list[str], *said: str) -> None:
    result = run_cli("serve", *arguments)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("polyvec: error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert [one for one in said if one not in result.stderr] == [], result.stderr


def test_a_second_signal_ends_the_process_at_once() -> None:
    with (
        running("--backend", "fake") as server,
        socket.create_connection(server.address, timeout=30) as connection,
    ):
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
        connection.sendall(b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        server.process.send_signal(signal.SIGTERM)
        _wait_for(server, "draining")
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 130


def _wait_for(server: ServerProcess, said: str) -> None:
    """Until the log has it; the test's own time limit bounds the wait."""
    while said not in server.log.read_text():
        assert server.is_running()


def test_port_in_use_is_one_line_and_status_2(demo: ServerProcess) -> None:
    port = str(demo.address[1])
    assert_one_clear_line(["--port", port], f"127.0.0.1:{port}", "already in use")


def test_missing_folder_is_one_line_and_status_2(tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    assert_one_clear_line([str(folder), "--port", "0"], str(folder))


def test_folder_without_config_is_one_line_and_status_2(tmp_path: Path) -> None:
    assert_one_clear_line([str(tmp_path), "--port", "0"], "config.json")


def test_folder_with_pickled_weights_only_is_one_line_and_status_2(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": [1.0]}))
    assert_one_clear_line([str(folder), "--port", "0"], "safetensors")


def test_damaged_weights_are_one_line_and_status_2(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert_one_clear_line([str(folder), "--port", "0"], "model.safetensors")


def test_unknown_architecture_is_one_line_and_status_2(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["HologramModel"], "model_type": "hologram"}
    tiny.write_json(folder / "config.json", config)
    assert_one_clear_line([str(folder), "--port", "0"], "HologramModel")


def test_served_names_replace_the_path(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    with running(str(folder), "--served-model-name", "tiny,also-tiny") as server:
        assert str(tmp_path) not in server.ready_line
        models = httpx2.get(server.url + "/v1/models", trust_env=False)
        assert [model["id"] for model in models.json()["data"]] == ["tiny", "also-tiny"]
        assert str(tmp_path) not in models.text
        first = embedding(server, {"model": "tiny", "input": "red cat"})
        assert embedding(server, {"model": "also-tiny", "input": "red cat"}) == first


def test_two_models_are_served_at_once_and_the_first_is_the_default(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    with running(str(folder), "polyvec-demo") as server:
        models = httpx2.get(server.url + "/v1/models", trust_env=False).json()["data"]
        assert [model["id"] for model in models] == [folder.name, "polyvec-demo"]
        texts = {"input": "red cat"}
        assert len(embedding(server, {**texts, "model": "polyvec-demo"})) == 128
        own = embedding(server, {**texts, "model": str(folder)})
        assert embedding(server, texts) == own
        assert len(own) == models[0]["dimensions"] == 32


def test_variables_configure_and_flags_win(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        "POLYVEC_PORT": str(port),
        "POLYVEC_MODEL": "polyvec-demo",
        "POLYVEC_SERVED_MODEL_NAME": "from-variable",
        "POLYVEC_API_KEY": "k1,k2",
        "POLYVEC_DTYPE": "bfloat16",
    }
    with running("--dtype", "float32", environ=environ, port=None) as server:
        assert server.address[1] == port
        assert "from-variable (128 dimensions, float32" in server.ready_line
        request = {"json": {"input": "a"}, "trust_env": False}
        assert httpx2.post(server.url + "/v1/embeddings", **request).status_code == 401
        key = {"Authorization": "Bearer k2"}
        answer = httpx2.post(server.url + "/v1/embeddings", headers=key, **request)
        assert answer.json()["model"] == "from-variable"


def test_unknown_variable_is_one_line_and_status_2() -> None:
    result = run_cli("serve", environ={"POLYVEC_PROT": "1"})
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "did you mean POLYVEC_PORT?" in result.stderr
