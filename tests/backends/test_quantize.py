"""Codes and scales: the error that rounding may make, and which matrices are rounded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from polyvec.backends._quantize import Layout, dequantized, layouts, quantize
from polyvec.checkpoints.weights import Weights

SIZES = st.sampled_from([(32, 64), (33, 128), (40, 256)])
# Below this a scale would not be a normal number, and the group becomes zero.
SMALLEST = 127 * np.finfo(np.float32).tiny


def opened(folder: Path, **tensors: np.ndarray) -> Weights:
    save_file(tensors, folder / "model.safetensors")
    return Weights.open({folder / "model.safetensors": ""})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quantize")


@settings(max_examples=40, deadline=None)
@given(
    size=SIZES, seed=st.integers(0, 2**32 - 1), power=st.integers(-44, 37), zeros=st.floats(0, 1)
)
@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_no_value_moves_by_more_than_half_a_scale(
    dtype, folder: Path, size, seed: int, power: int, zeros: float
) -> None:
    rng = np.random.default_rng(seed)
    powers = power + rng.integers(-6, 1, (size[0], 1))
    values = (rng.uniform(-1, 1, size) * 10.0**powers).astype(np.float32)
    values[rng.random(size) < zeros] = 0
    weights = opened(folder, w=values)
    (layout,) = layouts(weights, ["w"], dtype)
    made = quantize(weights, layout)
    steps = np.repeat(made.scales, layout.group, axis=1)
    bound = np.maximum(steps * 0.5001, SMALLEST)
    assert (np.abs(dequantized(made) - values) <= bound).all()
    grouped = np.abs(values).reshape(*made.scales.shape, -1).max(-1)
    limit = {"int8": 127, "int4": 7}[dtype]
    np.testing.assert_allclose(made.scales * limit, grouped, rtol=1e-6, atol=SMALLEST)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_whole_multiples_of_the_scale_come_back_exactly(tmp_path: Path, dtype) -> None:
    limit = {"int8": 127, "int4": 7}[dtype]
    codes = np.random.default_rng(0).integers(-limit, limit + 1, (64, 256))
    codes[:, ::32] = limit  # every group has its largest code
    values = (codes * 0.25).astype(np.float32)
    weights = opened(tmp_path, w=values)
    (layout,) = layouts(weights, ["w"], dtype)
    np.testing.assert_array_equal(dequantized(quantize(weights, layout)), values)


def test_half_precision_weights_give_the_codes_of_their_float32_values(tmp_path: Path) -> None:
    values = torch.randn(40, 128, generator=torch.Generator().manual_seed(0))
    codes = []
    for dtype in (torch.bfloat16, torch.float32):
        path = tmp_path / f"{dtype}.safetensors"
        save_torch_file({"w": values.bfloat16().to(dtype)}, path)
        weights = Weights.open({path: ""})
        codes.append(quantize(weights, layouts(weights, ["w"], "int4")[0]))
    np.testing.assert_array_equal(codes[0].codes, codes[1].codes)
    np.testing.assert_array_equal(codes[0].scales, codes[1].scales)


def test_large_matrices_are_quantised_in_parts_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).normal(size=(70, 128)).astype(np.float32)
    weights = opened(tmp_path, w=values)
    (layout,) = layouts(weights, ["w"], "int8")
    whole = quantize(weights, layout)
    monkeypatch.setattr("polyvec.backends._quantize._CHUNK_VALUES", 128 * 9)
    parts = quantize(weights, layout)
    np.testing.assert_array_equal(parts.codes, whole.codes)
    np.testing.assert_array_equal(parts.scales, whole.scales)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_shows_in_its_group_alone(tmp_path: Path, bad: float) -> None:
    values = np.ones((32, 256), np.float32)
    values[3, 5] = bad
    weights = opened(tmp_path, w=values)
    found = dequantized(quantize(weights, layouts(weights, ["w"], "int4")[0]))
    assert np.isnan(found[3, :128]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()
    assert np.isfinite(found[3, 128:]).all()


def test_vectors_narrow_matrices_and_whole_numbers_stay_as_they_are(tmp_path: Path) -> None:
    weights = opened(
        tmp_path,
        bias=np.ones(64, np.float32),
        scores=np.ones((1, 64), np.float32),
        router=np.ones((8, 64), np.float32),
        ids=np.ones((64, 64), np.int64),
        conv=np.ones((64, 3, 16, 16), np.float32),
        matrix=np.ones((32, 64), np.float32),
    )
    assert [one.name for one in layouts(weights, list(weights), "int8")] == ["matrix"]


@pytest.mark.parametrize(
    ("columns", "dtype", "group"),
    [(768, "int4", 128), (192, "int4", 64), (96, "int4", 32), (100, "int8", 100)],
)
def test_int4_takes_the_largest_group_that_divides_a_row_or_else_int8(
    tmp_path: Path, columns: int, dtype, group: int
) -> None:
    weights = opened(tmp_path, w=np.ones((32, columns), np.float32))
    assert layouts(weights, ["w"], "int4") == (Layout("w", dtype, 32, columns, group),)
