"""The command line, in process where it is quick and as a process where that is the point."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import polyvec
from polyvec.cli import main

HEAVY = (
    "numpy", "openvino", "torch", "tokenizers", "safetensors", "huggingface_hub", "PIL",
    "starlette", "uvicorn", "pybase64", "httptools", "msgspec", "orjson", "asyncio",
)  # fmt: skip
SOURCE = str(Path(polyvec.__file__).parents[1])


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("POLYVEC_"):
            monkeypatch.delenv(name)


def started(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["--version"]])
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, polyvec.cli\n"
        f"try: polyvec.cli.main({arguments!r})\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    output, errors = started("-c", program).communicate(timeout=30)
    assert output.endswith("LOADED []\n"), errors


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"polyvec {polyvec.__version__}\n"


def test_config_show_prints_values_with_origins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "p.toml"
    file.write_text('[server]\nhost = "0.0.0.0"\nport = 1\n')
    monkeypatch.setenv("POLYVEC_CONFIG", str(file))
    monkeypatch.setenv("POLYVEC_PORT", "2")
    assert main(["config", "show", "--json", "--port", "3", "--no-normalize"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["server.port"] == {"value": 3, "origin": "--port"}
    assert shown["server.host"] == {"value": "0.0.0.0", "origin": f"{file}: server.host"}
    assert shown["model[0].normalize"] == {"value": False, "origin": "--normalize"}
    assert main(["config", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.fullmatch(r"server.port +2 +POLYVEC_PORT", line) for line in lines)


def test_flags_of_other_servers_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--max-model-len", "64", "--max-client-batch-size", "8"]
    assert main(["config", "show", "--json", *arguments]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["model[0].max_input_tokens"]["value"] == 64
    assert shown["engine.max_inputs_per_request"]["value"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["config", "show", "--port", "x"], "--port must be a port from 0 to 65535, not 'x'"),
        (["serve", "--limit-body", "big"], "--limit-body must be a size such as"),
        (["serve", "a", "b", "--pooling", "cls"], "--pooling is about one model"),
        (["models", "show", "=b"], "neither a model nor NAME=model"),
        (["serve", "--port", "0", "--backend", "abacus"], "backend must be one of"),
        (["serve", "--port", "0", "no/such/place"], "neither a folder nor a hub id"),
    ],
)
def test_errors_are_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("polyvec: error: ")
    assert message in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")


def test_json_keys_pooling_and_dtype_of_other_servers_reach_the_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--hf_overrides.is_matryoshka", "true", "--pooling", "MEAN", "--dtype", "half"]
    assert main(["config", "show", *flags]) == 0
    shown = capsys.readouterr().out
    assert '"is_matryoshka": true' in shown or "'is_matryoshka': True" in shown
    assert "mean" in shown
    assert "float16" in shown


def test_taken_port_is_said_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port), "no/such/place"]) == 2
    error = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in error


def test_models_list_names_families_and_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert {"bert", "clip"} <= {family["family"] for family in known["families"]}
    assert known["names"]["polyvec-demo"] == "bundled"
    assert main(["models", "list"]) == 0
    assert "polyvec-demo" in capsys.readouterr().out


def test_models_show_has_the_origin_of_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "--json", "--max-input-tokens", "5"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["name"] == "polyvec-demo"
    assert shown["settings"]["max_input_tokens"] == {"value": 5, "origin": "--max-input-tokens"}
    assert main(["models", "show", "polyvec-demo"]) == 0
    assert "CLIPModel" in capsys.readouterr().out


@pytest.mark.e2e
def test_serve_answers_and_stops_on_sigterm() -> None:
    process = started("-m", "polyvec", "serve", "--port", "0", "--dtype", "float32")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(
            r"polyvec-demo \(128 dimensions, float32 on cpu, openvino\) at (\S+)", line
        )
        assert found is not None, line
        request = urllib.request.Request(found[1] + "/v1/embeddings", data=b'{"input": "a circle"}')
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert len(json.load(answer)["data"][0]["embedding"]) == 128
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "Traceback" not in process.communicate()[1]
    finally:
        process.kill()
        process.communicate()


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    process = started("-m", "polyvec", "config", "show")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
