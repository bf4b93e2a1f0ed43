"""One server for all clients, and the vectors they must get from it."""

import os
import resource
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.intel import Demo, demo_serving
from tests.clients.pictures import picture_rows
from tests.clients.serving import serving, tiny_checkpoints
from tests.clients.vectors import Reference, Rows
from tests.e2e.process import ServerProcess

ENVIRONMENT = {
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "127.0.0.1,localhost",
    "TOKENIZERS_PARALLELISM": "false",
}
# Under HF_HUB_OFFLINE the hub's client refuses servers on this machine too.
UNSET = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "CO_API_URL", "HF_TOKEN", "HF_HUB_OFFLINE")
MAX_OPEN_FILES = 20_000


def pytest_configure() -> None:
    """Prepare for the clients before a test module imports them."""
    os.environ.update(ENVIRONMENT)
    for name in UNSET:
        os.environ.pop(name, None)
    index = find_spec("llama_index.core")  # it brings the ranks of cl100k_base
    if index is not None and index.origin is not None:
        ranks = Path(index.origin).parent / "_static/tiktoken_cache"
        os.environ["TIKTOKEN_CACHE_DIR"] = str(ranks)
    # A storm needs a descriptor for each connection, at both ends; servers inherit the limit.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MAX_OPEN_FILES)), hard))
    socket.socket.connect = _connect_here  # type: ignore[method-assign]


def _connect_here(self: socket.socket, address: Any) -> None:
    """Refuse what is not this machine: a client that phones home must not decide a test."""
    host = address[0] if isinstance(address, tuple) else "127.0.0.1"
    if host not in {"127.0.0.1", "::1", "localhost"}:
        raise ConnectionRefusedError(f"no network in tests: {host}")
    _connect(self, address)


_connect = socket.socket.connect


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves MiniLM, which is first, the bundled model of texts and images, and two tiny ones."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder=folder, more=tiny_checkpoints(folder)) as process:
        yield process


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The same behind the key ``pa-secret``, with open model list and hardly any queue."""
    flags = ("--api-key", "pa-secret", "--public-models", "--max-queue-tokens", "1000")
    with serving(*flags, folder=tmp_path_factory.mktemp("guarded")) as process:
        yield process


@pytest.fixture(scope="session")
def url(server: ServerProcess) -> str:
    """Such as ``http://127.0.0.1:41837``."""
    return server.url


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    """Plain HTTP to the server, for captured bodies of clients that are not here."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A server of the bundled model alone, for bodies that cannot name a model, and for files."""
    with demo_serving(tmp_path_factory.mktemp("alone")) as served:
        yield served


@pytest.fixture(scope="session")
def demo(alone: Demo) -> Iterator[httpx.Client]:
    """Plain HTTP to it."""
    with httpx.Client(base_url=alone.server.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def expected(http: httpx.Client) -> Reference:
    """What any client must get for a text."""
    return Reference(http)


@pytest.fixture(scope="session")
def pictures(http: httpx.Client) -> Rows:
    """What any client must get for the pictures of pictures.py."""
    return picture_rows(http)
