"""Bytes and bits of vectors, checked against their definition bit by bit."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.dialects._quantize import DTYPES, quantized, wire_quantized
from polyvec.errors import InvalidInputError

ENTRIES = st.floats(-1, 1, width=32)
VECTORS = st.integers(1, 6).flatmap(lambda n: st.lists(ENTRIES, min_size=8 * n, max_size=8 * n))
EIGHT = np.array([0.5, -0.5, 0.0, -0.0, 1e-45, -1e-45, -1.0, 1.0], np.float32)


def _of(values, dtype):
    return quantized(np.array(values, np.float32), dtype, "output_dtype")


def _bits_by_hand(values):
    packed = []
    for start in range(0, len(values), 8):
        byte = 0
        for place, value in enumerate(values[start : start + 8]):
            byte |= (value >= 0) << (7 - place)
        packed.append(byte)
    return packed


def test_a_bit_is_set_from_zero_on_the_first_entry_highest():
    assert quantized(EIGHT, "ubinary", "p").tolist() == [0b10111001]
    assert quantized(EIGHT, "binary", "p").tolist() == [0b10111001 - 128]


@given(VECTORS)
def test_bits_are_packed_as_written_by_hand(values):
    expected = _bits_by_hand(values)
    assert _of(values, "ubinary").tolist() == expected
    assert _of(values, "binary").tolist() == [byte - 128 for byte in expected]


def test_the_ends_of_both_ranges_of_packed_bits():
    assert _of([-1.0] * 8 + [1.0] * 8, "ubinary").tolist() == [0, 255]
    assert _of([-1.0] * 8 + [1.0] * 8, "binary").tolist() == [-128, 127]


@pytest.mark.parametrize("dtype", ["binary", "ubinary"])
@pytest.mark.parametrize("length", [1, 7, 9, 12])
def test_bits_need_a_length_that_eight_divides(dtype, length):
    with pytest.raises(InvalidInputError, match=f"multiple of 8 .* but got {length}") as caught:
        quantized(np.ones(length, np.float32), dtype, "embedding_types")
    assert caught.value.param == "embedding_types"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 0), (-0.0, 0), (1.0, 127), (-1.0, -127), (0.5, 64), (-0.5, -64), (0.1, 13), (-0.1, -13)],
)
def test_an_entry_is_times_127_and_rounded_halves_to_even(value, expected):
    assert _of([value], "int8").tolist() == [expected]
    assert _of([value], "uint8").tolist() == [expected + 128]


@given(st.lists(ENTRIES, min_size=1, max_size=64))
def test_unsigned_bytes_are_signed_ones_plus_128(values):
    signed = _of(values, "int8")
    assert signed.dtype == np.int8
    assert _of(values, "uint8").tolist() == [entry + 128 for entry in signed.tolist()]


def test_a_long_vector_is_scaled_and_keeps_its_direction():
    assert _of([300.0, -400.0], "int8").tolist() == [76, -102]


def test_rounding_of_a_unit_vector_scales_nothing():
    assert _of([1.0000001, 0.0], "int8").tolist() == [127, 0]


def test_bytes_of_a_unit_vector_point_where_it_does():
    vector = np.random.default_rng(3).normal(size=384)
    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    signed = quantized(vector, "int8", "p").astype(np.float64)
    assert signed @ vector / np.linalg.norm(signed) > 0.998


@pytest.mark.parametrize("dtype", DTYPES)
def test_base64_is_of_the_bytes_of_the_type(dtype):
    values = quantized(EIGHT, dtype, "p")
    raw = base64.b64decode(wire_quantized(EIGHT, dtype, "base64", "p"), validate=True)
    assert np.frombuffer(raw, values.dtype).tolist() == values.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_base64_numbers_come_as_they_are(dtype):
    found = wire_quantized(EIGHT, dtype, "float", "p")
    assert found.tolist() == quantized(EIGHT, dtype, "p").tolist()
