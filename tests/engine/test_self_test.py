"""A model that would give wrong vectors without an error does not get served."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec.backends import openvino as openvino_backend
from polyvec.backends import torch as torch_backend
from polyvec.backends._base import BackendOptions
from polyvec.engine.self_test import run_checks
from polyvec.errors import CheckpointError
from polyvec.models._model import Model
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.zoo import decoders, heads

BACKENDS = [
    pytest.param(openvino_backend.BACKEND, id="openvino"),
    pytest.param(torch_backend.BACKEND, id="torch"),
]
OPTIONS = BackendOptions(dtype="float32", num_sessions=1)


def bert(folder: Path, **changes: Any) -> Model:
    return resolve(str(tiny.make_bert(folder, **changes)), ModelOptions(pooling="mean"))


class Wrong:
    """A good runner whose rows are spoiled on their way out."""

    dtype = "float32"

    def __init__(self, runner: Any, spoil: Any) -> None:
        self._runner = runner
        self._spoil = spoil

    def session(self) -> Any:
        return self

    def probe(self, batch: Any) -> Any:
        return self._runner.probe(batch)

    def run(self, modality: str, batch: Any) -> Any:
        return self._spoil(self._runner.session().run(modality, batch))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_good_model_passes_and_tells_what_was_found(tmp_path: Path, backend: Any) -> None:
    model = bert(tmp_path)
    found = run_checks(model, backend.load(model, OPTIONS))
    shown = {name.removeprefix("check: "): setting.value for name, setting in found.items()}
    assert shown["attention"] == "bidirectional"
    assert shown["finite"] == "yes"
    assert shown["dimensions"] == "32"
    assert {"weights", "alone = in a batch", "padding does not matter", "unit norm"} < shown.keys()
    assert {setting.origin for setting in found.values()} == {"self-test"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_that_looks_the_wrong_way_is_refused(tmp_path: Path, backend: Any) -> None:
    model = bert(tmp_path)
    tower = replace(model.family.towers["text"], causal=lambda _config: True)
    model = replace(model, family=replace(model.family, towers={"text": tower}))
    with pytest.raises(CheckpointError, match="bidirectional, but the checkpoint says causal"):
        run_checks(model, backend.load(model, OPTIONS))


def test_a_window_that_is_shorter_than_the_probe_texts_passes(tmp_path: Path) -> None:
    model = resolve(str(decoders.make(tmp_path, "EmbeddingGemma")))
    found = run_checks(model, openvino_backend.BACKEND.load(model, OPTIONS))
    assert found["check: attention"].value == "bidirectional"


def test_the_causal_text_tower_of_clip_passes(tmp_path: Path) -> None:
    model = resolve(str(tiny.make_clip(tmp_path)))
    found = run_checks(model, openvino_backend.BACKEND.load(model, OPTIONS))
    assert found["check: attention"].value == "causal"


class BlindToPictures(Wrong):
    """A good runner that spoils pictures alone."""

    def run(self, modality: str, batch: Any) -> Any:
        rows = self._runner.session().run(modality, batch)
        return self._spoil(rows) if modality == "image" else rows


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda rows: rows * np.nan, "pictures: finite: NaN or infinite numbers for 2 of 2"),
        (lambda rows: rows + rows.sum(0) * (len(rows) > 1), "pictures: alone = in a batch: cosine"),
    ],
)
def test_pictures_are_checked_beside_texts(tmp_path: Path, spoil: Any, named: str) -> None:
    model = resolve(str(tiny.make_clip(tmp_path)))
    runner = openvino_backend.BACKEND.load(model, OPTIONS)
    assert run_checks(model, runner)["check: pictures: finite"].value == "yes"
    with pytest.raises(CheckpointError, match=named):
        run_checks(model, BlindToPictures(runner, spoil))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda rows: rows * np.nan, "finite: NaN or infinite numbers for 3 of 3 inputs"),
        (lambda rows: rows + rows.sum(0) * (len(rows) > 1), "alone = in a batch: cosine"),
        (lambda rows: rows[:, :-1], "dimensions: 31"),
    ],
)
def test_wrong_rows_are_refused_with_the_check_that_found_them(
    tmp_path: Path, spoil: Any, named: str
) -> None:
    model = bert(tmp_path)
    runner: Any = Wrong(openvino_backend.BACKEND.load(model, OPTIONS), spoil)
    with pytest.raises(CheckpointError, match=named):
        run_checks(model, runner)


def test_a_model_that_fails_on_some_texts_only_is_served_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # One word of the probe texts is spoiled; requests that have it get an error of their own.
    from safetensors.torch import load_file, save_file

    folder = tiny.make_bert(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    word = tiny.bert_tokenizer(200).token_to_id("the")
    tensors["embeddings.word_embeddings.weight"][word] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    found = run_checks(model, openvino_backend.BACKEND.load(model, OPTIONS))
    assert found["check: finite"].value == "NaN or infinite numbers for 2 of 3 inputs"
    assert "such inputs will be refused" in caplog.text


def test_a_sparse_model_that_weighs_no_word_is_refused(tmp_path: Path) -> None:
    # OpenVINO's relu makes zeros of NaN, so broken weights look like texts without any word.
    from safetensors.torch import load_file, save_file

    folder = heads.splade(tmp_path / "m", "bert", pooling={"pooling_strategy": "max"})
    found = run_checks(model := resolve(str(folder)), openvino_backend.BACKEND.load(model, OPTIONS))
    assert found["check: words with a weight"].value != "0 to 0"
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("layer.0.output.dense.weight"))
    tensors[name][:] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model = resolve(str(folder))
    runner = openvino_backend.BACKEND.load(model, OPTIONS)
    with pytest.raises(CheckpointError, match=r"self-test: .*(words with a weight: 0 to 0|NaN)"):
        run_checks(model, runner)
