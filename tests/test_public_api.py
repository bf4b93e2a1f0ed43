"""What importing, asking for help, and serving load, and what they leave alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import polyvec
from tests.e2e.process import ServerProcess, environment, running

HEAVY = {
    "numpy", "openvino", "torch", "transformers", "PIL", "tokenizers", "uvicorn", "orjson",
    "huggingface_hub", "safetensors", "httptools", "pybase64",
}  # fmt: skip
FORBIDDEN_IN_A_SERVER = {
    "torch", "transformers", "torchvision", "pandas", "scipy", "sklearn", "sentence_transformers",
}  # fmt: skip


def modules_loaded_by(*arguments: str) -> set[str]:
    """Top-level modules that an interpreter imports for these arguments."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    names = re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", result.stderr, re.MULTILINE)
    return {name.split(".")[0] for name in names}


def test_version_is_public() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", polyvec.__version__)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import polyvec"],
        ["-c", "import multimodal_embedding_serving"],
        ["-m", "polyvec", "--help"],
        ["-m", "polyvec", "--version"],
        ["-m", "polyvec", "serve", "--help"],
        ["-m", "polyvec", "config", "show"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_loaded_without_need(arguments: list[str]) -> None:
    loaded = modules_loaded_by(*arguments)
    assert "polyvec" in loaded
    assert loaded & HEAVY == set()


def mapped_packages(server: ServerProcess) -> set[str]:
    """Installed packages whose files a process has mapped: every compiled module, every library."""
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    return set(re.findall(r"/site-packages/([A-Za-z0-9_]+)", maps))


@pytest.mark.e2e
def test_serving_loads_no_framework() -> None:
    with running("--log-level", "error") as server:
        mapped = mapped_packages(server)
    assert {"numpy", "openvino"} <= mapped
    assert {name.removesuffix("_libs") for name in mapped} & FORBIDDEN_IN_A_SERVER == set()


def test_loading_a_service_imports_no_framework() -> None:
    program = (
        "from polyvec.config.compose import compose\n"
        "from polyvec.config.load import load_config\n"
        "from polyvec.engine.load import load_service\n"
        "import polyvec.server.run\n"
        "plan = compose(load_config(environ={}))\n"
        "load_service(plan.models, plan.run)\n"
    )
    loaded = modules_loaded_by("-c", program)
    assert {"numpy", "openvino", "tokenizers", "uvicorn"} <= loaded
    assert loaded & FORBIDDEN_IN_A_SERVER == set()
