"""Vectors that every client must get, and how near is near enough."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.clients.serving import MINILM

TEXTS: Final = ("The cat sleeps on the sofa.", "Where is my parcel?", "Größe, café, 東京 and 🙂")
MIN_COSINE: Final = 0.9999
_MAX_DIFFERENCE: Final = 1e-5
_PUBLISHED: Final = Path(__file__).with_name("minilm.json")

Rows = NDArray[np.float32]


class Reference:
    """Vectors by plain ``/v1/embeddings`` with floats, one text at a time, each asked once.

    The first thing it does is to hold MiniLM's to what sentence-transformers says of TEXTS.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._known: dict[tuple[str, str], Rows] = {}
        published = json.loads(_PUBLISHED.read_text())
        rows = np.array([published[text] for text in TEXTS], np.float32)
        assert np.abs(self.rows(TEXTS) - rows).max() <= _MAX_DIFFERENCE

    def rows(self, texts: Sequence[str], model: str = MINILM) -> Rows:
        """One row for each text."""
        return np.stack([self._row(text, model) for text in texts])

    def _row(self, text: str, model: str) -> Rows:
        if (model, text) not in self._known:
            body = {"model": model, "input": text, "encoding_format": "float"}
            answer = self._http.post("/v1/embeddings", json=body).raise_for_status().json()
            self._known[model, text] = np.array(answer["data"][0]["embedding"], np.float32)
        return self._known[model, text]


def cosines(some: Any, others: Any) -> Rows:
    """Cosine of each row with the row at the same place."""
    left, right = np.atleast_2d(np.asarray(some, float)), np.atleast_2d(np.asarray(others, float))
    assert left.shape == right.shape
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.asarray((left * right).sum(axis=1) / lengths, np.float32)


def assert_same(some: Any, others: Any, min_cosine: float = MIN_COSINE) -> None:
    """Rows have the same shape and point the same way.

    Raises:
        AssertionError: They do not.
    """
    found = cosines(some, others)
    assert found.min() >= min_cosine, found
