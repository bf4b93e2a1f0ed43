"""Tensors come back as they were saved, and damaged files are refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_float32_equals_the_saved_tensor(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.randn(7, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    save_file({"a.weight": tensor}, tmp_path / "model.safetensors")
    weights = Weights.open({tmp_path / "model.safetensors": ""})
    np.testing.assert_array_equal(weights.float32("a.weight"), tensor.float().numpy())
    assert weights.entry("a.weight").shape == (7, 5)


def test_float32_tensors_are_views_of_the_file(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1000)}, tmp_path / "m.safetensors")
    array = Weights.open({tmp_path / "m.safetensors": ""}).float32("a")
    assert not array.flags.owndata
    assert not array.flags.writeable


def test_values_survive_the_release_of_their_pages(tmp_path: Path) -> None:
    save_file({"a": torch.arange(5000).float()}, tmp_path / "m.safetensors")
    weights = Weights.open({tmp_path / "m.safetensors": ""})
    array = weights.float32("a")
    weights.release_pages()
    np.testing.assert_array_equal(array, np.arange(5000))


def test_files_get_their_own_prefix_and_known_prefixes_come_off(tmp_path: Path) -> None:
    save_file({"bert.a": torch.ones(1), "b": torch.zeros(1)}, tmp_path / "m.safetensors")
    save_file({"linear.weight": torch.ones(2)}, tmp_path / "d.safetensors")
    files = {tmp_path / "m.safetensors": "", tmp_path / "d.safetensors": "2_Dense."}
    weights = Weights.open(files).renamed(["bert."])
    assert sorted(weights) == ["2_Dense.linear.weight", "a", "b"]


def test_old_endings_of_names_are_replaced(tmp_path: Path) -> None:
    save_file({"bert.a.LayerNorm.gamma": torch.ones(1)}, tmp_path / "m.safetensors")
    weights = Weights.open({tmp_path / "m.safetensors": ""})
    renamed = weights.renamed(["bert."], {"LayerNorm.gamma": "LayerNorm.weight"})
    assert list(renamed) == ["a.LayerNorm.weight"]


def test_a_name_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_file({"a": torch.ones(1)}, tmp_path / f"{name}.safetensors")
    files = dict.fromkeys((tmp_path / "one.safetensors", tmp_path / "two.safetensors"), "")
    with pytest.raises(CheckpointError, match="in two files"):
        Weights.open(files)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="'b'"):
        Weights.open({tmp_path / "m.safetensors": ""}).array("b")


def hostile_files() -> dict[str, bytes]:
    header = b'{"a":{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}}'
    return {
        "empty": b"",
        "short": b"\x00\x01",
        "header longer than the file": (10**9).to_bytes(8, "little") + b"{}",
        "not json": (4).to_bytes(8, "little") + b"abcd",
        "offsets beyond the end": len(header).to_bytes(8, "little") + header + b"\0" * 8,
    }


@pytest.mark.parametrize("kind", hostile_files())
def test_damaged_files_are_refused_with_a_clear_error(tmp_path: Path, kind: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(hostile_files()[kind])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        Weights.open({tmp_path / "model.safetensors": ""})


def test_a_truncated_download_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="download it again"):
        Weights.open({path: ""})


def test_the_fingerprint_changes_with_bytes_names_and_times_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"

    def fingerprint(when_ns: int = 0, **tensors: torch.Tensor) -> str:
        save_file(tensors, path)
        os.utime(path, ns=(when_ns, when_ns))
        return Weights.open({path: ""}).fingerprint()

    zeros = torch.zeros(5000)
    changed = zeros.clone()
    changed[-1] = 1
    first = fingerprint(a=zeros)
    assert fingerprint(a=zeros) == first
    others = {fingerprint(a=changed), fingerprint(b=zeros), fingerprint(10**9, a=zeros)}
    assert len(others | {first}) == 4
    assert fingerprint(a=torch.zeros(0)) != first


def test_joined_tensors_stand_beside_or_instead_of_those_of_files(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3)}, tmp_path / "w.safetensors")
    weights = Weights.open({tmp_path / "w.safetensors": ""})
    more = weights.joined({"b": np.arange(6, dtype=np.float32).reshape(2, 3)})
    more.release_pages()  # they lie in no file, and must not go
    assert sorted(more) == ["a", "b"]
    assert more.float32("b").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert more.float32("a").tolist() == [1, 1, 1]
    with pytest.raises(CheckpointError, match="in two files"):
        more.joined({"a": np.zeros(1, np.float32)})
    only = more.joined({"a": np.zeros(1, np.float32)}, instead_of=("a", "b"))
    assert list(only) == ["a"]
    assert only.float32("a").tolist() == [0]


def test_fused_tensors_split_into_views_of_the_file(tmp_path: Path) -> None:
    fused = torch.arange(24, dtype=torch.float16).reshape(6, 4)
    save_file({"qkv": fused, "other": torch.ones(2)}, tmp_path / "w.safetensors")
    weights = Weights.open({tmp_path / "w.safetensors": ""}).split_rows({"qkv": ("q", "k", "v")})
    assert sorted(weights) == ["k", "other", "q", "v"]
    for index, name in enumerate("qkv"):
        np.testing.assert_array_equal(weights.array(name), fused[2 * index : 2 * index + 2])
        assert not weights.array(name).flags.owndata
    with pytest.raises(CheckpointError, match="does not split into 4 equal parts"):
        weights.split_rows({"other": "abcd"})
    with pytest.raises(CheckpointError, match="lack 'missing'"):
        weights.split_rows({"missing": "ab"})


def test_renaming_never_drops_a_tensor(tmp_path: Path) -> None:
    save_file({"a.x": torch.ones(1), "b.x": torch.zeros(1)}, tmp_path / "w.safetensors")
    weights = Weights.open({tmp_path / "w.safetensors": ""})
    named = weights.named(lambda name: name.replace("a.", "c."))
    assert (named.float32("c.x"), named.float32("b.x")) == (1, 0)
    with pytest.raises(CheckpointError, match="twice"):
        weights.named(lambda name: name[2:])


def test_pickled_float32_tensors_are_views_of_the_file(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(5.0), "n": torch.tensor(3), "t": torch.ones(2, 3).T}
    torch.save(tensors, tmp_path / "w.bin")
    weights = Weights.open_pickle(tmp_path / "w.bin")
    assert weights.float32("a").tolist() == [0, 1, 2, 3, 4]
    assert not weights.float32("a").flags.owndata
    assert (weights.entry("n").dtype, weights.entry("t").shape) == ("I64", (3, 2))
    before = weights.fingerprint()
    weights.release_pages()
    assert weights.fingerprint() == before
