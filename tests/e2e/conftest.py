"""Servers that many tests share; each test gives them back as it found them."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.clips import clip
from tests.e2e.mmes import Mmes, mmes
from tests.e2e.process import ServerProcess, running


@pytest.fixture(scope="session")
def demo() -> Iterator[ServerProcess]:
    """Serves the bundled model."""
    with running() as server:
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="session")
def minilm_server(minilm: Path) -> Iterator[ServerProcess]:
    """Serves the genuine all-MiniLM-L6-v2 as ``minilm``, with the limits of its checkpoint."""
    with running(str(minilm), "--served-model-name", "minilm", "--dtype", "float32") as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def http(demo: ServerProcess) -> Iterator[httpx2.Client]:
    """A client of the demo server."""
    with httpx2.Client(base_url=demo.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mmes]:
    """Stands in for Multimodal Embedding Serving; its folder has ``bars.mp4`` of 300 frames."""
    root = tmp_path_factory.mktemp("videos")
    (root / "bars.mp4").write_bytes(clip())
    with mmes(root) as served:
        yield served
        assert served.server.stop() == 0
        assert "Traceback" not in served.server.log.read_text()
