"""Models with quantised weights: how near they come to float32, and what is kept on disk."""

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from polyvec.backends import torch as torch_backend
from polyvec.backends._base import BackendOptions
from polyvec.backends._packing import tokens_of
from polyvec.backends._precision import compare
from polyvec.backends._sample_texts import CALIBRATION, VERIFIED
from polyvec.backends.openvino import BACKEND
from polyvec.errors import ConfigError
from polyvec.models._model import Model
from polyvec.models._resolve import ModelOptions, resolve
from polyvec.types import Setting
from tests import tiny

IDS = [np.arange(5, 25), np.array([7]), np.arange(60, 90)]


def options(cache: Path | str, dtype="int8", **changes) -> BackendOptions:
    return BackendOptions(dtype=dtype, num_sessions=1, cache_dir=str(cache), **changes)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return resolve(str(tiny.make_bert(tmp_path / "model")), ModelOptions(pooling="mean"))


def vectors(model: Model, wanted: BackendOptions) -> np.ndarray:
    return BACKEND.load(model, wanted).session().run("text", tokens_of(IDS))


def cached(cache: Path) -> list[Path]:
    return sorted((cache / "weights").iterdir())


def test_int8_weights_of_a_real_encoder_stay_near_float32(minilm: Path, tmp_path: Path) -> None:
    model = resolve(str(minilm))
    exact = BACKEND.load(model, options("", "float32"))
    runner = BACKEND.load(model, options(tmp_path, activation_group_size=0))
    found = compare(model, runner, exact)["text"]
    assert 0.99 < found.min_cosine <= found.mean_cosine < 0.99999
    assert found.num_inputs == len(VERIFIED)
    assert runner.dtype == "int8"
    assert runner.settings["activation_group_size"].value == 0
    assert runner.settings["compute_dtype"].value in ("float32", "bfloat16", "float16")


def test_the_runtime_keeps_matrices_in_eight_bits(minilm: Path, tmp_path: Path) -> None:
    runner = BACKEND.load(resolve(str(minilm)), options(tmp_path))
    graph = runner._loaded.narrow["text"].compiled.get_runtime_model()
    kinds = [
        node.input_value(1).get_element_type().get_type_name()
        for node in graph.get_ops()
        if node.get_rt_info()["layerType"] == "FullyConnected"
    ]
    assert kinds == ["i8"] * 36


def test_int4_weights_stay_nearer_to_float32_than_chance(model: Model, tmp_path: Path) -> None:
    exact, rough = (BACKEND.load(model, options(tmp_path, dtype)) for dtype in ("float32", "int4"))
    found = compare(model, rough, exact)["text"]
    assert 0.8 < found.min_cosine < 0.9999
    assert rough.dtype == "int4"


def test_both_towers_and_every_output_are_quantised(tmp_path: Path) -> None:
    model = resolve(str(tiny.make_clip(tmp_path / "model")))
    runner = BACKEND.load(model, options(tmp_path / "cache"))
    names = set(runner._loaded.quantized.layouts)
    assert any(name.startswith("vision_model") for name in names)
    assert any(name.startswith("text_model") for name in names)
    batch = tokens_of(IDS[:1])
    alone = runner.session().run("text", batch)
    both = runner.session().run_outputs(batch, ("dense", "tokens"))
    np.testing.assert_allclose(both["dense"], alone, atol=1e-5)


def test_a_cached_model_gives_the_same_bits_and_is_not_made_again(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = vectors(model, options(tmp_path / "cache"))
    assert "quantising" in caplog.text
    caplog.clear()
    np.testing.assert_array_equal(vectors(model, options(tmp_path / "cache")), first)
    assert "quantising" not in caplog.text
    assert len(cached(tmp_path / "cache")) == 1


def test_without_a_cache_vectors_are_the_same_and_nothing_is_written(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    kept = vectors(model, BackendOptions(dtype="int8", num_sessions=1))
    assert len(cached(tmp_path / "home/polyvec")) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    np.testing.assert_array_equal(vectors(model, options("")), kept)
    assert not (tmp_path / "other").exists()


def test_a_damaged_cache_is_made_again(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = vectors(model, options(tmp_path / "cache"))
    (file,) = cached(tmp_path / "cache")
    whole = file.read_bytes()
    for damaged in (whole[:-5], whole[:-5] + b"abcde", b"", whole[:4] + b"!" + whole[5:]):
        file.unlink()
        file.write_bytes(damaged)
        caplog.clear()
        np.testing.assert_array_equal(vectors(model, options(tmp_path / "cache")), first)
        assert "is damaged and will be made again" in caplog.text
        assert file.read_bytes() == whole


def test_changed_weights_and_another_dtype_have_files_of_their_own(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for seed in (0, 1):
        folder = tiny.make_bert(tmp_path / "model", seed=seed)
        vectors(resolve(str(folder), ModelOptions(pooling="mean")), options(cache))
    vectors(resolve(str(folder), ModelOptions(pooling="mean")), options(cache, "int4"))
    assert len(cached(cache)) == 3


def test_a_cache_that_cannot_be_written_does_not_stop_the_model(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    found = vectors(model, options(file))
    np.testing.assert_array_equal(found, vectors(model, options("")))
    assert "--cache-dir" in caplog.text


LOAD = """
import sys
import numpy as np
from polyvec.backends._base import BackendOptions
from polyvec.backends._packing import tokens_of
from polyvec.backends.openvino import BACKEND
from polyvec.models._resolve import ModelOptions, resolve
folder, cache = sys.argv[1:]
model = resolve(folder, ModelOptions(pooling="mean"))
sys.stdin.read(1)
options = BackendOptions(dtype="int8", num_sessions=1, cache_dir=cache)
rows = BACKEND.load(model, options).session().run("text", tokens_of([np.arange(5, 25)]))
sys.stdout.write(rows.tobytes().hex())
"""


def test_two_processes_may_fill_the_cache_at_once(model: Model, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", LOAD, model.checkpoint, str(cache)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("!")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in both]
    expected = BACKEND.load(model, options(cache)).session().run("text", tokens_of(IDS[:1]))
    assert [out for out, _ in answers] == [expected.tobytes().hex()] * 2, answers
    assert len(cached(cache)) == 1  # and no unfinished file


def test_the_torch_backend_refuses_quantised_weights(model: Model) -> None:
    for dtype in ("int8", "int4", "int8-full"):
        with pytest.raises(ConfigError, match=f"backend torch has no dtype {dtype}; it has: auto"):
            torch_backend.BACKEND.load(model, BackendOptions(dtype=dtype))


def test_the_dtype_of_an_alias_holds_until_the_operator_names_another(
    model: Model, tmp_path: Path
) -> None:
    named = replace(model, default_dtype="int8")
    by_alias = BACKEND.load(named, options(tmp_path, "auto"))
    assert (by_alias.dtype, by_alias.settings["dtype"]) == ("int8", Setting("int8", "alias"))
    exact = BACKEND.load(named, options(tmp_path, "float32"))
    assert exact.settings == {"dtype": Setting("float32", "--dtype")}


# int8-full; nncf itself is an extra that the tests do without.


def test_full_int8_without_nncf_names_the_extra(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ConfigError, match=r"pip install 'polyvec\[nncf\]'"):
        BACKEND.load(model, options(tmp_path, "int8-full"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[dict]]:
    """A stand-in for nncf that hands graphs back as they are; what it was fed, by call."""
    calls: list[list[dict]] = []

    def quantize(graph, dataset, **_):
        calls.append(dataset)
        return graph

    names = SimpleNamespace
    stand_in = names(
        quantize=quantize,
        Dataset=list,
        QuantizationPreset=names(MIXED=None),
        ModelType=names(TRANSFORMER=None),
        AdvancedQuantizationParameters=names,
        AdvancedSmoothQuantParameters=names,
    )
    monkeypatch.setitem(sys.modules, "nncf", stand_in)
    return calls


def test_full_int8_is_learnt_once_from_texts_and_kept(
    model: Model, tmp_path: Path, calls: list, caplog: pytest.LogCaptureFixture
) -> None:
    exact = vectors(model, options("", "float32"))
    wanted = options(tmp_path, "int8-full")
    runner = BACKEND.load(model, wanted)
    assert runner.dtype == "int8-full"
    assert len(calls[0]) == len(CALIBRATION)
    assert {"ids", "gather"} <= calls[0][0].keys()
    np.testing.assert_allclose(vectors(model, wanted), exact, atol=1e-4, rtol=0.05)
    assert len(calls) == 1
    next((tmp_path / "calibrated").glob("*/graph.bin")).write_bytes(b"x")
    vectors(model, wanted)
    assert len(calls) == 2
    assert "is damaged and will be made again" in caplog.text


def test_calibration_texts_may_be_the_operators_own(
    model: Model, tmp_path: Path, calls: list
) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("a cat\n\nthe red dog\n")
    vectors(model, options(tmp_path, "int8-full", calibration_file=str(file)))
    assert [len(one["positions"]) for one in calls[0]] == [4, 8]
    file.write_text("\n")
    with pytest.raises(ConfigError, match="with a text on every line"):
        vectors(model, options(tmp_path, "int8-full", calibration_file=str(file)))
