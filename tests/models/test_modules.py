"""modules.json is computed in full or refused; families/test_st_modules.py has the numbers."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from polyvec.backends import openvino as openvino_backend
from polyvec.backends._base import BackendOptions
from polyvec.errors import CheckpointError
from polyvec.models._family import Dense, LayerNorm
from polyvec.models._resolve import resolve
from tests import tiny
from tests.parity import embed_texts, token_ids
from tests.zoo.st_modules import WIDTH, dense, make, pooling

MEAN = pooling("mean_tokens")


def test_every_step_is_read_in_order(tmp_path: Path) -> None:
    modules = [
        MEAN,
        ("Dropout", {"dropout": 0.1}),
        dense(WIDTH, 48, "linear.Identity", bias=False),
        ("LayerNorm", {"dimension": 48}),
        dense(48, 16, use_residual=True),
        ("Normalize", {}),
    ]
    model = resolve(str(make(tmp_path, modules)))
    assert model.dense == (
        Dense("3_Dense.linear", bias=False, activation=None, dimensions=48),
        LayerNorm("4_LayerNorm.norm", 48),
        Dense(
            "5_Dense.linear",
            bias=True,
            activation="tanh",
            dimensions=16,
            residual="5_Dense.residual",
        ),
    )
    assert (model.dimensions, model.normalize) == (16, True)


def test_a_layer_norm_in_the_end_decides_the_dimensions(tmp_path: Path) -> None:
    model = resolve(str(make(tmp_path, [MEAN, ("LayerNorm", {"dimension": WIDTH})])))
    assert (model.dimensions, model.normalize) == (WIDTH, False)


@pytest.mark.parametrize("prefix", ["", "dense."])
def test_a_dense_file_may_name_its_layer_otherwise(tmp_path: Path, prefix: str) -> None:
    folder = make(tmp_path, [MEAN, dense(WIDTH, 8)])
    usual = resolve(str(folder))
    expected = embed_texts(openvino_backend.BACKEND, usual, token_ids(usual)[:2])["batch"]
    file = folder / "2_Dense/model.safetensors"
    tensors = {name.replace("linear.", prefix): value for name, value in load_file(file).items()}
    save_file(tensors, file)
    model = resolve(str(folder))
    assert f"2_Dense.{prefix}weight" in model.weights
    found = embed_texts(openvino_backend.BACKEND, model, token_ids(model)[:2])["batch"]
    assert (found == expected).all()


def test_a_dense_layer_without_its_weights_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path, [MEAN, dense(WIDTH, 8)])
    file = folder / "2_Dense/model.safetensors"
    save_file({"other.weight": load_file(file)["linear.weight"]}, file)
    with pytest.raises(CheckpointError, match=r"2_Dense\.linear"):
        openvino_backend.BACKEND.load(resolve(str(folder)), BackendOptions(num_sessions=1))


@pytest.mark.parametrize(
    ("module", "match"),
    [
        (("Router", {}), "Router sends queries and documents through different modules"),
        (("Asym", {}), "Asym sends queries"),
        (("CNN", {}), "module 'CNN' is not supported; supported: Pooling, Dense, LayerNorm"),
        (dense(WIDTH, 8, "activation.Softplus"), "2_Dense/config.json: activation 'softplus'"),
        (("LayerNorm", {"dimension": 0}), "2_LayerNorm/config.json lacks dimension"),
    ],
)
def test_a_module_that_is_not_computed_is_refused(
    tmp_path: Path, module: tuple[str, dict[str, Any]], match: str
) -> None:
    folder = make(tmp_path, [MEAN])
    entries = ["", "1_Pooling", f"2_{module[0]}"]
    kinds = ["Transformer", "Pooling", module[0]]
    tiny.write_json(folder / entries[2] / "config.json", module[1])
    tiny.save_weights(folder / entries[2], {})
    tiny.write_json(
        folder / "modules.json",
        [
            {"path": path, "type": f"sentence_transformers.models.{kind}"}
            for path, kind in zip(entries, kinds, strict=True)
        ],
    )
    with pytest.raises(CheckpointError, match=match):
        resolve(str(folder))


def test_branches_in_place_of_the_model_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path, [MEAN])  # as opensearch-neural-sparse-encoding-doc lists itself
    entries = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}]
    tiny.write_json(folder / "modules.json", entries)
    with pytest.raises(CheckpointError, match="Router sends queries and documents"):
        resolve(str(folder))


def test_a_dense_layer_that_is_only_a_pickle_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path, [MEAN, dense(WIDTH, 8)])
    (folder / "2_Dense/model.safetensors").rename(folder / "2_Dense/pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"the weights are a pickle \(pytorch_model\.bin\)"):
        resolve(str(folder))
