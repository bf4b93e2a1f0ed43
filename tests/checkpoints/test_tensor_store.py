"""Kept tensors come back as they were, or not at all."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from polyvec.checkpoints.tensor_store import Spec, read_tensors, write_tensors

ARRAYS = {
    "scales": np.linspace(0, 1, 15, dtype=np.float32).reshape(5, 3),
    "codes": np.arange(-50, 55, dtype=np.int8).reshape(5, 21),
    "halves": np.arange(7, dtype=np.uint8),
}
SPECS = {name: Spec(str(array.dtype), array.shape) for name, array in ARRAYS.items()}


def test_tensors_come_back_and_other_tools_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "a/b/kept.safetensors"
    write_tensors(path, SPECS, reversed(ARRAYS.items()))
    kept = read_tensors(path, SPECS)
    assert kept is not None
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(kept.array(name), array)
        np.testing.assert_array_equal(load_file(path)[name], array)
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_absent_or_holds_something_else_is_none(tmp_path: Path) -> None:
    path = tmp_path / "kept.safetensors"
    assert read_tensors(path, SPECS) is None
    write_tensors(path, SPECS, ARRAYS.items())
    for other in (
        {**SPECS, "codes": Spec("int8", (21, 5))},
        {**SPECS, "more": Spec("int8", (1,))},
        {name: spec for name, spec in SPECS.items() if name != "codes"},
    ):
        assert read_tensors(path, other) is None


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "kept.safetensors"
    write_tensors(path, SPECS, ARRAYS.items())
    whole = path.read_bytes()
    for place in range(len(whole)):
        if whole[place : place + 1] == b" ":  # padding of the header
            continue
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_tensors(path, SPECS) is None, place


@pytest.mark.parametrize(
    "arrays",
    [
        {name: array for name, array in ARRAYS.items() if name != "codes"},
        {**ARRAYS, "codes": ARRAYS["codes"].astype(np.int16)},
    ],
)
def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, arrays) -> None:
    with pytest.raises(ValueError, match=r"missing|announced"):
        write_tensors(tmp_path / "kept.safetensors", SPECS, arrays.items())
    assert list(tmp_path.iterdir()) == []


def test_a_reader_keeps_what_it_has_mapped_when_the_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "kept.safetensors"
    write_tensors(path, SPECS, ARRAYS.items())
    kept = read_tensors(path, SPECS)
    zeros = {name: np.zeros_like(array) for name, array in ARRAYS.items()}
    write_tensors(path, SPECS, zeros.items())
    assert kept is not None
    np.testing.assert_array_equal(kept.array("codes"), ARRAYS["codes"])
