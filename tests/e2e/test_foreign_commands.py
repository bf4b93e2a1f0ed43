"""Commands of other servers start ours, and do what they say."""

from pathlib import Path

import httpx2

from tests import tiny
from tests.e2e.process import run_cli, running


def folder(tmp_path: Path) -> str:
    made = tiny.make_bert(tmp_path / "m")
    tiny.sentence_transformers_files(made, 32)
    return str(made)


def test_flags_of_infinity_and_tei_take_effect_in_a_real_server(tmp_path: Path) -> None:
    flags = ["--model-id", folder(tmp_path), "--served-model-name", "t", "--engine", "torch"]
    flags += ["--batch-size", "32", "--url-prefix", "/v1", "--auto-truncate", "--pooling", "cls"]
    with running(*flags) as server, httpx2.Client(base_url=server.url, trust_env=False) as http:
        assert "--batch-size has no effect" in server.log.read_text()
        long = {"model": "t", "input": "the red cat " * 500}
        found = [
            http.post(path, json=long).json()["data"][0]["embedding"]
            for path in ("/v1/embeddings", "/embeddings", "/v1/v1/embeddings")
        ]
        assert found[0] == found[1] == found[2]
        assert http.get("/v1/models").json()["data"][0]["id"] == "t"


def test_variables_of_tei_name_the_model(tmp_path: Path) -> None:
    environ = {"MODEL_ID": folder(tmp_path), "SERVED_MODEL_NAME": "t", "API_KEY": "k"}
    with running(environ=environ) as server:
        assert server.ready_line.split()[3] == "t"
        answer = httpx2.post(server.url + "/embed", json={"inputs": "a"}, trust_env=False)
        assert answer.status_code == 401


def test_a_flag_that_cannot_be_obeyed_is_one_line_and_status_2() -> None:
    result = run_cli("serve", "--model-path", "m/m", "--quantization", "awq")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "--dtype int8" in result.stderr
