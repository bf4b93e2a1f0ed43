import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polyvec.engine.postprocess import check_dimensions, finish, finite_rows, not_finite
from polyvec.errors import InvalidInputError

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
rows = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=finite)


@given(rows)
def test_normalised_rows_are_finite_with_unit_length_or_less(values: np.ndarray) -> None:
    vectors = finish(values, dimensions=None, normalize=True)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    large = np.abs(values).max(axis=1) > 1e-9
    np.testing.assert_allclose(norms[large], 1, atol=1e-6)
    assert (norms <= 1 + 1e-6).all()


def test_a_zero_vector_stays_zero() -> None:
    vectors = finish(np.zeros((2, 3), np.float32), dimensions=None, normalize=True)
    assert vectors.tolist() == [[0, 0, 0], [0, 0, 0]]


@given(rows, st.data())
def test_cutting_comes_before_normalising(values: np.ndarray, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, values.shape[1]))
    cut = finish(values, dimensions=length, normalize=True)
    np.testing.assert_array_equal(cut, finish(values[:, :length], dimensions=None, normalize=True))


@given(rows)
def test_without_normalising_values_are_untouched(values: np.ndarray) -> None:
    np.testing.assert_array_equal(finish(values, dimensions=None, normalize=False), values)


def test_vectors_of_other_rows_do_not_matter() -> None:
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    together = finish(values, dimensions=3, normalize=True)
    alone = np.concatenate([finish(row[None], dimensions=3, normalize=True) for row in values])
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_a_row_may_be_standardized_before_it_is_cut() -> None:
    rows = np.random.default_rng(3).normal(2, 3, (4, 8)).astype(np.float32)
    tensor = torch.nn.functional.layer_norm(torch.from_numpy(rows), (8,))[:, :3]
    expected = torch.nn.functional.normalize(tensor).numpy()
    found = finish(rows, dimensions=3, normalize=True, standardize=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    for dimensions in (None, 8):  # nothing is cut
        whole = finish(rows, dimensions=dimensions, normalize=False, standardize=True)
        np.testing.assert_array_equal(whole, rows)


@pytest.mark.parametrize("dimensions", [None, 8, 2, 4])
def test_native_and_matryoshka_lengths_are_allowed(dimensions: int | None) -> None:
    assert check_dimensions(dimensions, native=8, matryoshka=(2, 4), model="m") is None


@pytest.mark.parametrize("dimensions", [0, -1, 3, 16])
def test_other_lengths_are_refused_naming_the_allowed_ones(dimensions: int) -> None:
    with pytest.raises(InvalidInputError, match=r"dimensions \[2, 4, 8\], got") as caught:
        check_dimensions(dimensions, native=8, matryoshka=(2, 4), model="m")
    assert caught.value.param == "dimensions"


def test_where_every_length_is_allowed_the_error_gives_their_range() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_dimensions(5, native=4, matryoshka=(1, 2, 3), model="mrl")
    assert caught.value.message == "Model 'mrl' only supports dimensions in range [1, 4], got 5."


def test_a_model_without_shorter_lengths_refuses_them_in_vllms_words() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_dimensions(512, native=1024, matryoshka=(), model="BAAI/bge-m3")
    assert caught.value.message == (
        'Model "BAAI/bge-m3" does not support matryoshka representation, changing output '
        "dimensions will lead to poor results."
    )
    assert caught.value.param == "dimensions"
    assert check_dimensions(1024, native=1024, matryoshka=(), model="BAAI/bge-m3") is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_found(bad: float) -> None:
    values = np.zeros((3, 4), np.float32)
    values[1, 2] = bad
    assert finite_rows(values).tolist() == [True, False, True]


def test_the_error_for_a_row_names_its_input() -> None:
    assert "input[3]" in not_finite("input[3]").message
    assert not_finite("input[3]").param == "input[3]"
