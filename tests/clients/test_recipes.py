"""Every block of docs/clients.md runs, and gets the vectors of its two texts."""

import re

import pytest

from tests.clients.cohere5 import run_cohere5
from tests.clients.node_client import run_node
from tests.clients.serving import ROOT
from tests.clients.vectors import TEXTS, Reference, assert_same

PAGE = (ROOT / "docs/clients.md").read_text()
SECTION = re.compile(
    r"^### (.+)\n(?:(?!^#).*\n)*?```(\S+)(?: (\S+))?\n((?:.*\n)*?)```", re.MULTILINE
)
RECIPES = {name: (language, kind, text) for name, language, kind, text in SECTION.findall(PAGE)}


def at(url: str, text: str) -> str:
    """The block with the address of the server of this run."""
    assert "127.0.0.1:8000" in text
    return text.replace("127.0.0.1:8000", url.removeprefix("http://"))


def vectors_of(language: str, kind: str, text: str):
    if language == "javascript":
        return run_node(text + "console.log(JSON.stringify(vectors));\n")
    if kind == "cohere5":
        return run_cohere5(text + "print(json.dumps(vectors))\n")
    names: dict = {}
    exec(compile(text, "docs/clients.md", "exec"), names)
    return names["vectors"]


@pytest.mark.parametrize("name", RECIPES)
def test_block_gets_the_vectors(
    url: str, expected: Reference, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")  # some blocks set it; this puts it back
    language, kind, text = RECIPES[name]
    assert TEXTS[0] in text
    assert_same(vectors_of(language, kind, at(url, text)), expected.rows(TEXTS[:2]))


def test_every_block_is_run_here() -> None:
    blocks = re.findall(r"^```(?:python|javascript)", PAGE, re.MULTILINE)
    assert len(blocks) == len(RECIPES) == PAGE.count("\n### ")
