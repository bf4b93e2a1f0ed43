"""Adapters that lie in folders beside a checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from polyvec.backends._base import BackendOptions
from polyvec.backends._packing import tokens_of
from polyvec.errors import CheckpointError
from polyvec.models._resolve import resolve
from tests import tiny
from tests.parity import BACKENDS, assert_same, token_ids
from tests.zoo import adapter_folders as zoo


def reference(folder: Path, name: str | None, ids: list[np.ndarray]) -> np.ndarray:
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    if name is not None:
        zoo.merge(folder, name, model)
    with torch.inference_mode():
        states = [model(torch.from_numpy(one)[None]).last_hidden_state[0] for one in ids]
    return torch.stack([one.mean(0) for one in states]).numpy()


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_folder_of_jina_v3_hf_equals_transformers(tmp_path: Path, backend) -> None:
    folder = zoo.make_jina_v3_hf(tmp_path)
    model = resolve(str(folder))
    assert model.adapters == tuple(zoo.FOLDERS.values())
    ids = token_ids(model)
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    for index, name in [(None, None), *enumerate(zoo.FOLDERS)]:
        expected = reference(folder, name, ids)
        assert_same(session.run("text", replace(tokens_of(ids), adapter=index)), expected)


def test_a_layer_that_no_adapter_changes_stays_as_it_is(tmp_path: Path) -> None:
    folder = zoo.make_jina_v3_hf(tmp_path, only="layers.1.mlp.fc1")
    model = resolve(str(folder))
    ids = token_ids(model)
    backend = BACKENDS[0].values[0]
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    found = session.run("text", replace(tokens_of(ids), adapter=4))
    assert_same(found, reference(folder, "text_matching", ids))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_dora": True}, "classification/adapter_config.json: use_dora True is not supported"),
        ({"peft_type": "IA3"}, "peft_type 'IA3' is not supported; supported: 'LORA'"),
        ({"r": None}, "r and lora_alpha must be numbers"),
    ],
)
def test_adapters_of_another_kind_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    folder = zoo.make_jina_v3_hf(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        resolve(str(folder))


def test_a_damaged_adapter_config_is_refused_by_name(tmp_path: Path) -> None:
    folder = zoo.make_jina_v3_hf(tmp_path)
    (folder / "separation/adapter_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"separation/adapter_config\.json cannot be read"):
        resolve(str(folder))


def test_folders_of_adapters_beside_another_architecture_change_nothing(tmp_path: Path) -> None:
    zoo.make_jina_v3_hf(tmp_path)
    model = resolve(str(tiny.make_bert(tmp_path)))
    assert model.adapters == ()
    assert not any("lora" in name for name in model.weights)
