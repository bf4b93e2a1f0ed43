"""Compare a lowering of `ops` with a reference: alone, batched and in the opposite order."""

import numpy as np
import pytest

from polyvec.backends import openvino as openvino_backend
from polyvec.backends import torch as torch_backend
from polyvec.backends._base import BackendOptions
from polyvec.backends._packing import tokens_of
from polyvec.models._model import Model
from polyvec.types import Float32Array

BACKENDS = [
    pytest.param(openvino_backend.BACKEND, id="openvino"),
    pytest.param(torch_backend.BACKEND, id="torch"),
]
TEXTS = [
    "",
    "the cat sat on the mat",
    "a",
    "a very long text " * 5,
    "that is a happy person!",
    "the red dog and the blue dog, in that text of text",
]
MAX_DIFFERENCE = 1e-5
MIN_COSINE = 0.99999


def unit(rows: Float32Array) -> Float32Array:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def assert_same(ours: Float32Array, reference: Float32Array) -> None:
    ours, reference = unit(ours), unit(reference)
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).max() <= MAX_DIFFERENCE
    assert (ours * reference).sum(-1).min() >= MIN_COSINE


def embed_texts(backend, model: Model, ids: list[np.ndarray]) -> dict[str, Float32Array]:
    """Vectors of the same texts by every path: alone, as one batch, and in the opposite order."""
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    return {
        "alone": np.concatenate([session.run("text", tokens_of([one])) for one in ids]),
        "batch": session.run("text", tokens_of(ids)),
        "reversed": session.run("text", tokens_of(ids[::-1]))[::-1],
    }


def token_ids(model: Model) -> list[np.ndarray]:
    text = model.text
    assert text is not None
    ids = text.tokenizer.encode(TEXTS)
    return [text.tokenizer.truncate(one, text.max_input_tokens, "end") for one in ids]
