"""Every example runs as it is and prints what its reader was promised."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import ServerProcess, environment, running

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTED = {
    "openai_client.py": r"polyvec-demo: 128 dimensions, \d+ tokens\n"
    r"\d\.\d{3}  a red circle\n(-?\d\.\d{3}  .+\n){2}",
    "mmes_client.py": r"health: healthy\npolyvec-demo embeds image and text\n"
    r"a text: one vector of 128 numbers\na list: 2 vectors of 128 numbers\n",
    "image_search.py": r"a red circle: 1\.png .+\na blue square: 2\.png .+\n"
    r"a green triangle: 3\.png .+\n",
}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running() as server:
        yield server


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.parametrize("by_variable", [True, False], ids=["variable", "argument"])
def test_example_runs(server: ServerProcess, name: str, *, by_variable: bool) -> None:
    result = subprocess.run(
        [sys.executable, EXAMPLES / name, *([] if by_variable else [server.url])],
        env=environment({"EMBEDDINGS_URL": server.url} if by_variable else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(PRINTED[name], result.stdout), result.stdout
