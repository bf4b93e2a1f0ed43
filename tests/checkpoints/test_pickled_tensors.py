"""torch's pickles are read as data: nothing in them runs, and only plain tensors come out."""

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from polyvec.checkpoints import pickled_tensors
from polyvec.checkpoints.pickled_tensors import read_pickled_tensors
from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError


def archive(path: Path, program: bytes, *, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as made:
        made.writestr("archive/data.pkl", program)
        made.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_state_dicts_come_out_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    layer = torch.nn.Linear(5, 3).to(dtype)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    found = read_pickled_tensors(tmp_path / "layer.pt")
    assert list(found) == ["weight", "bias"]
    np.testing.assert_array_equal(found["weight"], layer.weight.detach().float().numpy())
    np.testing.assert_array_equal(found["bias"], layer.bias.detach().float().numpy())


def test_parameters_and_parts_of_storages_are_read(tmp_path: Path) -> None:
    whole = torch.arange(12, dtype=torch.float32).reshape(4, 3)
    torch.save({"a": torch.nn.Parameter(whole), "b": whole[1:3]}, tmp_path / "x.pt")
    found = read_pickled_tensors(tmp_path / "x.pt")
    np.testing.assert_array_equal(found["a"], whole.numpy())
    np.testing.assert_array_equal(found["b"], whole[1:3].numpy())


def test_transposed_views_come_out_as_they_were_meant(tmp_path: Path) -> None:
    whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tensors = {
        "matrix": whole[0].T,
        "cube": whole.permute(2, 0, 1),
        "thin": whole.reshape(24, 1).T,
        "number": whole[1, 2, 3],
        "half": whole.permute(1, 2, 0).to(torch.bfloat16),
        "ids": torch.arange(3),
    }
    torch.save(tensors, tmp_path / "x.pt")
    found = read_pickled_tensors(tmp_path / "x.pt")
    mapped = Weights.open_pickle(tmp_path / "x.pt")
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.float().numpy())
        np.testing.assert_array_equal(mapped.float32(name), tensor.float().numpy())
        assert found[name].flags.c_contiguous


def test_storages_beyond_the_end_of_a_file_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "x.pt")
    whole = (tmp_path / "x.pt").read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "x.pt").write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=r"x\.pt"):
            Weights.open_pickle(tmp_path / "x.pt")


class Calls:
    def __init__(self, function, *arguments) -> None:
        self._call = function, arguments

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        (os.system, ("touch ran",), "system"),
        (eval, ("open('ran', 'w')",), "eval"),
        (getattr, (OrderedDict, "update"), "getattr"),
        (open, ("ran", "w"), "open"),
    ],
)
def test_nothing_in_a_pickle_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function, arguments: tuple, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = archive(tmp_path / "bad.pt", pickle.dumps({"a": Calls(function, *arguments)}, 2))
    with pytest.raises(CheckpointError, match=named):
        read_pickled_tensors(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"garbage",
        pickle.dumps([1, 2]),
        pickle.dumps({"a": 1}),
        pickle.dumps({1: "a"}),
        b"\x80\x02r\xff\xff\xff\x7f.",  # remember item 2^31 of nothing
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}U\x04spamK\x01sb.",  # change an attribute
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, program: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"x\.pt"):
        read_pickled_tensors(archive(tmp_path / "x.pt", program))


def test_files_that_are_no_archive_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="damaged"):
        read_pickled_tensors(tmp_path / "x.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"from before version 1\.6"):
        read_pickled_tensors(tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_pickled_tensors(tmp_path / "missing.pt")


def test_compressed_and_large_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "x.pt", pickle.dumps({}), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        read_pickled_tensors(path)
    monkeypatch.setattr(pickled_tensors, "MAX_FILE_BYTES", 10)
    with pytest.raises(CheckpointError, match="more than 10 bytes"):
        read_pickled_tensors(path)


def tensor_program(*, offset: int = 0, size: tuple = (4,), stride: tuple = (1,), count: int = 4):
    """The pickle of {"a": a tensor of storage 0} with these numbers."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", count) if value is mark else None

    import io

    mark = Ellipsis
    buffer = io.BytesIO()
    call = Calls(torch._utils._rebuild_tensor_v2, mark, offset, size, stride, False, OrderedDict())
    Pickler(buffer, 2).dump({"a": call})
    return buffer.getvalue()


def test_a_tensor_inside_its_storage_is_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", tensor_program(offset=1, size=(3,)))
    assert read_pickled_tensors(path)["a"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"offset": 1}, "beyond its storage"),
        ({"offset": -1}, "beyond its storage"),
        ({"size": (5,)}, "beyond its storage"),
        ({"size": (2**40, 2**40), "stride": (2**40, 1)}, "beyond its storage|damaged"),
        ({"size": (2, 2), "stride": (1, 1)}, "one after another"),
        ({"count": 5}, "length that is declared"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path: Path, wrong: dict, named: str) -> None:
    with pytest.raises(CheckpointError, match=named):
        read_pickled_tensors(archive(tmp_path / "x.pt", tensor_program(**wrong)))
