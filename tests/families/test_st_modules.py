"""What sentence-transformers makes of a folder's modules and prompts, we make of them too."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from polyvec.backends._base import BackendOptions
from polyvec.engine.batch import assemble
from polyvec.engine.options import EngineOptions
from polyvec.engine.postprocess import finish
from polyvec.engine.prepare_text import prepare_texts
from polyvec.models._resolve import resolve
from polyvec.types import EmbedRequest, Float32Array, Input, Text
from tests.parity import BACKENDS, TEXTS
from tests.zoo.st_modules import WIDTH, dense, make, pooling

NORMALIZE: tuple[str, dict[str, Any]] = ("Normalize", {})
FOLDERS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "cls and max and mean": [pooling("mean_tokens", "cls_token", "max_tokens"), NORMALIZE],
    "the rest": [pooling("lasttoken", "weightedmean_tokens", "mean_sqrt_len_tokens")],
    "a list": [("Pooling", {"embedding_dimension": WIDTH, "pooling_mode": ["lasttoken", "cls"]})],
    "two poolings, one Dense": [
        pooling("mean_tokens", "max_tokens"),
        dense(2 * WIDTH, 12, "activation.GELU"),
    ],
    "Dense chain": [
        pooling("mean_tokens"),
        dense(WIDTH, 48, "linear.Identity", bias=False),
        dense(48, 20, "activation.ReLU"),
        dense(20, 8, "activation.SiLU"),
        NORMALIZE,
    ],
    "Dense with residuals": [
        pooling("cls_token"),
        dense(WIDTH, WIDTH, use_residual=True),
        dense(WIDTH, 16, "activation.Sigmoid", use_residual=True),
    ],
    "LayerNorm": [
        pooling("cls_token"),
        ("Dropout", {"dropout": 0.5}),
        ("LayerNorm", {"dimension": WIDTH}),
        dense(WIDTH, 8),
        ("LayerNorm", {"dimension": 8}),
        NORMALIZE,
    ],
}
PROMPTS = {"prompts": {"query": "the red cat: ", "document": ""}}


def ours(folder: Path, backend: Any, prompt_name: str | None, *, batched: bool) -> Float32Array:
    model = resolve(str(folder))
    assert model.text is not None
    inputs = tuple(Input((Text(text),), f"input[{i}]") for i, text in enumerate(TEXTS))
    request = EmbedRequest(model=None, inputs=inputs, prompt_name=prompt_name, truncate="end")
    prepared = prepare_texts(request, inputs, model.text, EngineOptions())
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    batches = [prepared] if batched else [[one] for one in prepared]
    rows = np.concatenate([session.run("text", assemble(batch)) for batch in batches])
    assert rows.shape == (len(TEXTS), model.dimensions)
    return finish(rows, dimensions=None, normalize=model.normalize)


def reference(folder: Path, prompt_name: str | None) -> Float32Array:
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return model.encode(TEXTS, prompt_name=prompt_name)


@pytest.mark.parametrize("name", FOLDERS)
def test_modules_are_those_of_the_reference(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path, FOLDERS[name])
    expected = reference(folder, None)
    for backend in BACKENDS:
        for batched in (False, True):
            found = ours(folder, backend.values[0], None, batched=batched)
            np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("include", [True, False])
def test_a_prompt_is_pooled_or_left_out_as_in_the_reference(
    tmp_path: Path, *, include: bool
) -> None:
    modes = ("cls_token", "max_tokens", "mean_tokens", "weightedmean_tokens", "lasttoken")
    folder = make(
        tmp_path,
        [pooling(*modes, include_prompt=include), NORMALIZE],
        config_sentence_transformers=PROMPTS,
    )
    expected = {name: reference(folder, name) for name in PROMPTS["prompts"]}
    assert np.abs(expected["query"] - expected["document"]).max() > 0.01
    for backend in BACKENDS:
        for name, vectors in expected.items():
            found = ours(folder, backend.values[0], name, batched=True)
            np.testing.assert_allclose(found, vectors, atol=1e-5, rtol=1e-5)
