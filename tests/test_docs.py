"""What the documents say about the tree is true."""

import re
import tomllib
from pathlib import Path

import pytest

from polyvec.config.definitions import DEFINITIONS

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("training/*.md"))
)
PATH = re.compile(r"`((?:src|tests|docs|bench|training|examples)/[\w./<>*-]*)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_and_link_of_a_document_exists(document: Path) -> None:
    text = document.read_text()
    named = [ROOT / name for name in PATH.findall(text) if not set(name) & set("<>*")]
    linked = [document.parent / target for target in LINK.findall(text)]
    assert [str(path) for path in named + linked if not path.exists()] == []


def test_architecture_draws_the_layers_that_are_enforced() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")["layers"]
    drawn = (ROOT / "ARCHITECTURE.md").read_text().split("```")[1].split("\n")
    assert [line.split()[0] for line in drawn if line.strip()] == layers


def test_files_that_the_request_journey_names_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`((?:server|dialects|engine|backends|media|models)/\w+\.py)`", text)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / "src/polyvec" / name).is_file()] == []


@pytest.mark.parametrize("kind", ["dialects"])
def test_every_dialect_has_its_page(kind: str) -> None:
    modules = (ROOT / "src/polyvec" / kind).glob("[a-z]*.py")
    assert [m.stem for m in modules if not (ROOT / f"docs/{kind}/{m.stem}.md").is_file()] == []


def test_the_page_on_media_has_every_setting_of_sources_with_its_flags() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)", (ROOT / "docs/media.md").read_text(), re.MULTILINE)
    written = {key: set(re.findall(r"`--([\w-]+)`", rest)) for key, rest in rows}
    known = {
        one.name: {name for name in (one.flag, *one.aliases) if name}
        for one in DEFINITIONS
        if one.section == "media"
    }
    written["limit_video_bytes"].discard("limit-body")
    assert {key: known.get(key) for key in written} == written
    assert {"urls", "roots", *(key for key in known if key.startswith("allowed_"))} <= set(written)
