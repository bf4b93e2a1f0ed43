"""What the README tells its reader to type works when it is typed."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import ServerProcess, environment, run_cli, running

pytestmark = pytest.mark.e2e

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
PROGRAMS = [text for language, text in BLOCKS if language == "python"]
SHELL = "".join(text for language, text in BLOCKS if language == "bash").replace("\\\n", " ")
COMMANDS = [shlex.split(line, comments=True) for line in SHELL.splitlines()]
INLINE = [shlex.split(text) for text in re.findall(r"`(polyvec [a-z][^`]*)`", README)]
PRINTED = {"OpenAI": "2 128\n", "captions": "a red circle\n"}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running() as server:
        yield server


def at(server: ServerProcess, text: str) -> str:
    """The text with the address of a server that was started for this test."""
    assert "127.0.0.1:8000" in text
    return text.replace("http://127.0.0.1:8000", server.url)


@pytest.mark.parametrize("marker", PRINTED)
def test_python_block_runs_and_prints(server: ServerProcess, marker: str) -> None:
    (program,) = [text for text in PROGRAMS if marker in text]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", at(server, program)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, PRINTED[marker]), result.stderr


def test_every_python_block_is_run_here() -> None:
    assert len(PROGRAMS) == len(PRINTED)


def test_curl_block_gets_two_vectors(server: ServerProcess) -> None:
    (command,) = [words for words in COMMANDS if words[:1] == ["curl"]]
    words = [at(server, word) if "127.0.0.1" in word else word for word in command]
    result = subprocess.run(
        words, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert [len(one["embedding"]) for one in json.loads(result.stdout)["data"]] == [128, 128]


def polyvec_commands() -> list[list[str]]:
    """Every ``polyvec ...`` of the README that is not about to serve for ever."""
    named = [words[1:] for words in [*COMMANDS, *INLINE] if words[:1] == ["polyvec"]]
    return [words for words in named if words[0] != "serve" or "--help" in words]


def test_commands_named_in_the_readme_run() -> None:
    commands = polyvec_commands()
    assert ["models", "show", "polyvec-demo"] in commands
    assert ["config", "show"] in commands
    assert ["models", "list"] in commands
    for words in commands:
        whole = [*words, "polyvec-demo"] if words == ["models", "show"] else words
        result = run_cli(*whole)
        assert (result.returncode, result.stderr) == (0, ""), (whole, result.stderr)
        assert result.stdout


def test_flags_named_in_the_readme_exist() -> None:
    named = set(re.findall(r"`(--[a-z][a-z-]*)", README))
    assert named
    known = set(re.findall(r"--[a-z][a-z-]*", run_cli("serve", "--help").stdout))
    assert named - known == set()
