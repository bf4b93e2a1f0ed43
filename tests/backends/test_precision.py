"""The distance between two precisions, and where it is told."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polyvec.backends import fake, openvino
from polyvec.backends._base import BackendOptions
from polyvec.backends._precision import compare, distance
from polyvec.backends._sample_texts import CALIBRATION, VERIFIED
from polyvec.engine.load import RunOptions, load_model
from polyvec.engine.options import EngineOptions
from polyvec.engine.served import ServedModel
from polyvec.media.policy import MediaPolicy
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny


def test_equal_directions_are_at_no_distance() -> None:
    rows = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    found = distance(rows * 3, rows)
    assert found.min_cosine == pytest.approx(1)
    assert found.max_difference == pytest.approx(0, abs=1e-6)


def test_the_worst_row_and_the_largest_difference_are_found() -> None:
    exact = np.array([[1, 0], [1, 0]], np.float32)
    found = distance(np.array([[1, 0], [3, 4]], np.float32), exact)
    assert found.min_cosine == pytest.approx(0.6)
    assert found.mean_cosine == pytest.approx(0.8)
    assert found.max_difference == pytest.approx(0.8)
    assert found.num_inputs == 2


def test_rows_that_are_not_finite_are_as_far_as_can_be() -> None:
    found = distance(np.array([[np.nan, 1]], np.float32), np.array([[1, 0]], np.float32))
    assert found.min_cosine == -1
    assert found.max_difference > 1e30


def test_sample_texts_are_many_scripts_and_shared_by_no_list() -> None:
    assert len(VERIFIED) == len(set(VERIFIED)) == 12
    assert not set(VERIFIED) & set(CALIBRATION)
    assert min(map(len, VERIFIED)) < 5
    assert max(map(len, VERIFIED)) > 1500
    assert sum(not text.isascii() for text in VERIFIED) >= 6


def test_a_far_precision_is_warned_of_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = resolve(str(tiny.make_bert(tmp_path)), ModelOptions(pooling="mean"))
    runner = openvino.BACKEND.load(model, BackendOptions(dtype="float32", num_sessions=1))
    stranger = fake.FakeRunner(model.dimensions, num_sessions=1)
    caplog.set_level(logging.WARNING)
    compare(model, runner, runner)
    assert not caplog.records
    compare(model, stranger, runner)
    assert "BELOW 0.99: use another --dtype" in caplog.text


def test_pictures_are_compared_too(tmp_path: Path) -> None:
    model = resolve(str(tiny.make_clip(tmp_path / "model")))
    exact, ours = (
        openvino.BACKEND.load(model, BackendOptions(dtype=dtype, num_sessions=1, cache_dir=""))
        for dtype in ("float32", "int8")
    )
    found = compare(model, ours, exact)
    assert found.keys() == {"text", "image"}
    assert 0.9 < found["image"].min_cosine < 1
    assert found["image"].settings("image", "int8").keys() == {
        f"precision_image_{name}" for name in ("min_cosine", "mean_cosine", "max_difference")
    }


def test_the_card_tells_what_was_measured(tmp_path: Path) -> None:
    folder = str(tiny.make_bert(tmp_path / "model"))
    served = ServedModel(folder, "m", (), ModelOptions(pooling="mean"))
    run = RunOptions(
        backend="openvino",
        device=BackendOptions(
            dtype="int8", num_sessions=1, cache_dir=str(tmp_path), verify_precision=True
        ),
        engine=EngineOptions(self_test=False),
        media=MediaPolicy(),
    )
    model, runner = load_model(served, openvino.BACKEND, run)
    assert model.settings["dtype"].value == "int8"
    shown = model.settings["precision_text_min_cosine"]
    assert 0.9 < shown.value <= model.settings["precision_text_mean_cosine"].value < 1
    assert shown.origin == "--verify-precision: 12 texts, int8 against float32"
    runner.close()
    silent = replace(run, device=replace(run.device, verify_precision=False))
    model, runner = load_model(served, openvino.BACKEND, silent)
    assert "precision_text_min_cosine" not in model.settings
    runner.close()
