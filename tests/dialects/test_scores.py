import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polyvec.dialects._scores import best_first, names_of, short_numbers


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, [1, 3, 0, 2]), (2, [1, 3]), (0, []), (9, [1, 3, 0, 2])]
)
def test_the_highest_come_first_and_of_equal_ones_the_first(limit, expected):
    assert best_first(np.array([0.5, 2.0, -1.0, 2.0], np.float32), limit) == expected


def test_numbers_are_as_short_as_float32_allows():
    assert short_numbers(np.array([0.1, -2.5, 1e-30], np.float32)) == [0.1, -2.5, 1e-30]


@given(
    hnp.arrays(
        np.float32,
        st.integers(1, 60),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_short_numbers_read_back_to_the_same_float32(values):
    assert np.array(short_numbers(values), np.float32).tobytes() == values.tobytes()
    assert short_numbers(np.array([0.1], np.float32)) == [0.1]


def test_numbers_of_a_view_are_those_of_the_view():
    assert short_numbers(np.array([1, 2, 3, 4], np.float32)[::2]) == [1.0, 3.0]


def test_labels_count_only_where_there_is_one_for_every_score():
    assert names_of(("no", "yes"), 2) == ("no", "yes")
    assert names_of(("no", "yes"), 3) == ["LABEL_0", "LABEL_1", "LABEL_2"]
