"""Decoders used as embedders give the vectors of transformers' own classes."""

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from polyvec.backends._base import BackendOptions
from polyvec.backends._openvino_build import GraphBuilder
from polyvec.backends._packing import tokens_of
from polyvec.backends.torch import BACKEND
from polyvec.errors import CheckpointError
from polyvec.models import decoder, gemma
from polyvec.models._model import Model
from polyvec.models._resolve import ModelOptions, resolve
from tests.parity import BACKENDS, assert_same, embed_texts, token_ids
from tests.zoo import decoders

BIDIRECTIONAL = {
    "voyage-4-nano",
    "gte-Qwen2",
    "GritLM",
    "llama-nemotron-embed",
    "Nemotron-3-Embed",
    "EmbeddingGemma",
}


def reference_model(folder: Path, name: str, **changes: Any) -> Any:
    """The native class with the in-memory rewrite; every tensor it has comes from the file."""
    config = AutoConfig.for_model(**decoders.transformers_config(name, **changes))
    model, info = AutoModel.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
    )
    assert not info["missing_keys"]
    return model.eval()


def states(folder: Path, name: str, ids: list[np.ndarray], **changes: Any) -> list[torch.Tensor]:
    model = reference_model(folder, name, **changes)
    with torch.inference_mode():
        found = [model(input_ids=torch.from_numpy(one)[None])[0][0] for one in ids]
    return [projected(folder, one) for one in found]


def projected(folder: Path, x: torch.Tensor) -> torch.Tensor:
    tensors = tiny_tensors(folder)
    return x @ tensors["linear.weight"].T if "linear.weight" in tensors else x


@functools.cache
def tiny_tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@functools.cache
def made(name: str) -> Path:
    return decoders.make(Path(tempfile.mkdtemp(prefix="polyvec-")) / name, name)


@functools.cache
def expected_states(name: str) -> list[torch.Tensor]:
    return states(made(name), name, token_ids(resolve(str(made(name)))))


def pooled(found: list[torch.Tensor], pooling: str) -> np.ndarray:
    return torch.stack([x.mean(0) if pooling == "mean" else x[-1] for x in found]).numpy()


def assert_equal_everywhere(backend, model: Model, expected: np.ndarray) -> None:
    for vectors in embed_texts(backend, model, token_ids(model)).values():
        assert_same(vectors, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("name", decoders.LAYOUTS)
def test_published_layouts_equal_transformers_alone_and_in_any_batch(
    backend, name: str, pooling: str
) -> None:
    model = resolve(str(made(name)), ModelOptions(pooling=pooling))
    assert_equal_everywhere(backend, model, pooled(expected_states(name), pooling))


@pytest.mark.parametrize("name", decoders.LAYOUTS)
def test_texts_of_the_parity_tests_are_longer_than_the_window(name: str) -> None:
    assert max(len(one) for one in expected_states(name)) > 2 * decoders.WINDOW


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", decoders.LAYOUTS)
def test_the_first_token_sees_the_last_one_only_in_bidirectional_models(backend, name: str) -> None:
    model = resolve(str(made(name)))
    assert model.family.towers["text"].causal(model.config) is (name not in BIDIRECTIONAL)
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    ids = token_ids(model)[1][: decoders.WINDOW // 2]
    changed = ids.copy()
    changed[-1] = 42
    first, other = (
        session.run_outputs(tokens_of([one]), ("tokens",))["tokens"][0] for one in (ids, changed)
    )
    assert np.array_equal(first, other) is (name not in BIDIRECTIONAL)


@pytest.mark.parametrize("name", ["Qwen3-Embedding", "e5-mistral", "gte-Qwen2", "EmbeddingGemma"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_of_the_reference_on_either_side_changes_nothing(name: str, side: str) -> None:
    ids = token_ids(resolve(str(made(name))))
    length = max(map(len, ids))
    padded = torch.zeros(len(ids), length, dtype=torch.int64)
    mask = torch.zeros_like(padded)
    for row, one in enumerate(ids):
        span = slice(length - len(one), length) if side == "left" else slice(0, len(one))
        padded[row, span] = torch.from_numpy(one)
        mask[row, span] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        found = reference_model(made(name), name)(
            input_ids=padded, attention_mask=mask, position_ids=positions
        )[0]
    kept = [found[row][mask[row] > 0] for row in range(len(ids))]
    assert_same(pooled(kept, "last"), pooled(expected_states(name), "last"))
    assert_same(pooled(kept, "mean"), pooled(expected_states(name), "mean"))


ROPES: dict[str, dict[str, Any]] = {
    "default": {"rope_scaling": None},
    "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "dynamic": {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
    "yarn": {
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 32,
        }
    },
    "yarn with its own factor": {
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "attention_factor": 1.3,
            "beta_fast": 16.0,
            "beta_slow": 2.0,
        }
    },
    "yarn without whole numbers": {
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "mscale": 0.7,
            "mscale_all_dim": 1.2,
            "truncate": False,
        }
    },
    "parameters of transformers 5": {
        "rope_scaling": None,
        "rope_theta": None,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 3000.0, "factor": 2.0},
    },
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ROPES)
def test_every_rope_variant_equals_transformers(tmp_path: Path, backend, kind: str) -> None:
    folder = decoders.make(tmp_path, "Llama", head_dim=16, **ROPES[kind])
    model = resolve(str(folder), ModelOptions(pooling="last"))
    found = states(folder, "Llama", token_ids(model), head_dim=16, **ROPES[kind])
    assert_equal_everywhere(backend, model, pooled(found, "last"))


# Layout, changes of its config.json.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2 with windows from a layer on": ("gte-Qwen2", {"use_sliding_window": True}),
    "causal qwen2 with windows from a layer on": (
        "gte-Qwen2",
        {"use_sliding_window": True, "is_causal": True},
    ),
    "qwen3 with listed windows": (
        "Qwen3-Embedding",
        {
            "use_sliding_window": True,
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "qwen3 with biases": ("Qwen3-Embedding", {"attention_bias": True}),
    "llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama without head_dim": (
        "Llama",
        {"head_dim": None, "num_key_value_heads": None, "rope_scaling": None},
    ),
    "mistral in both directions with a window": ("e5-mistral", {"is_causal": False}),
    "mistral without a window": ("e5-mistral", {"sliding_window": None}),
    "causal ministral with a window": (
        "Nemotron-3-Embed",
        {"is_causal": True, "sliding_window": 7},
    ),
    "gemma2 with a tight cap": ("bge-multilingual-gemma2", {"attn_logit_softcapping": 0.5}),
    "gemma2 without a cap": ("bge-multilingual-gemma2", {"attn_logit_softcapping": None}),
    "gemma2 in both directions": ("bge-multilingual-gemma2", {"is_causal": False}),
    "gemma2 with biases": ("bge-multilingual-gemma2", {"attention_bias": True}),
    "causal gemma3": ("EmbeddingGemma", {"use_bidirectional_attention": False}),
    "causal gemma3 with a pattern": (
        "EmbeddingGemma",
        {
            "use_bidirectional_attention": False,
            "layer_types": None,
            "sliding_window_pattern": 2,
        },
    ),
    "gemma3 with two ropes of version 5": (
        "EmbeddingGemma",
        {
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 2000.0},
            },
        },
    ),
    "gemma3 with slowed global layers": (
        "EmbeddingGemma",
        {"rope_scaling": {"rope_type": "linear", "factor": 8.0}, "rope_local_base_freq": 3000.0},
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_a_config_equal_transformers(tmp_path: Path, backend, variant: str) -> None:
    name, changes = VARIANTS[variant]
    folder = decoders.make(tmp_path, name, **changes)
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    found = states(folder, name, token_ids(model), **changes)
    assert_equal_everywhere(backend, model, pooled(found, "mean"))


def test_the_embedding_scale_is_rounded_as_bfloat16_weights_round_it() -> None:
    for width in (768, 640, 3072, 3584):
        config = decoders.LAYOUTS["EmbeddingGemma"].config | {"hidden_size": width}
        exact = gemma.FAMILY.read_config(config).embedding_scale
        rounded = gemma.FAMILY.read_config(config | {"torch_dtype": "bfloat16"}).embedding_scale
        assert exact == float(torch.tensor(width**0.5))
        assert rounded == float(torch.tensor(width**0.5).bfloat16())


def test_the_projection_decides_the_length_of_vectors() -> None:
    model = resolve(str(made("voyage-4-nano")))
    assert model.dimensions == 56
    ids = dict(enumerate("ab"))
    config = decoders.LAYOUTS["voyage-4-nano"].config | {"num_labels": None, "id2label": ids}
    tower = decoder.FAMILY.towers["text"]
    assert tower.dimensions(decoder.FAMILY.read_config(config)) == 2


def test_a_mean_is_taken_where_config_json_says_avg() -> None:
    for name in ("llama-nemotron-embed", "Nemotron-3-Embed"):
        text = resolve(str(made(name))).text
        assert text is not None
        assert text.poolings == ("mean",)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown rope": ("Llama", {"rope_scaling": {"type": "longrope"}}, "rope_type 'longrope'"),
    "rope without its factor": ("Llama", {"rope_scaling": {"type": "linear"}}, "factor must be"),
    "rope that is no object": ("Llama", {"rope_scaling": "yarn"}, "must be an object"),
    "rope of an unhashable kind": ("Llama", {"rope_scaling": {"type": ["yarn"]}}, "rope_type"),
    "angles that do not turn": (
        "Llama",
        {"rope_theta": 0, "rope_scaling": None},
        "rope_theta must be a number above 1",
    ),
    "angles without end": (
        "Llama",
        {"rope_theta": float("inf"), "rope_scaling": None},
        "rope_theta must be a number",
    ),
    "angles in words": ("Qwen3-Embedding", {"rope_theta": "1e6"}, "rope_theta must be a number"),
    "share in words": ("Llama", {"partial_rotary_factor": "x"}, "partial_rotary_factor must be"),
    "yarn in words": (
        "Llama",
        {"rope_scaling": {"type": "yarn", "factor": 2.0, "beta_fast": "x"}},
        "rope_scaling.beta_fast must be a number",
    ),
    "yarn's factor in words": (
        "Llama",
        {"rope_scaling": {"type": "yarn", "factor": 2.0, "attention_factor": []}},
        "rope_scaling.attention_factor must be a number",
    ),
    "yarn's scale in words": (
        "Nemotron-3-Embed",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 2.0,
                "original_max_position_embeddings": 32,
                "mscale": "x",
                "mscale_all_dim": 1.0,
            }
        },
        "rope_parameters.mscale must be a number",
    ),
    "growth in words": (
        "Nemotron-3-Embed",
        {"rope_parameters": {"rope_type": "default", "llama_4_scaling_beta": "x"}},
        "llama_4_scaling_beta must be a number",
    ),
    "rope of two kinds that is no object": (
        "EmbeddingGemma",
        {"rope_parameters": "x"},
        "rope_parameters must be an object",
    ),
    "window in words": ("EmbeddingGemma", {"sliding_window": "x"}, "sliding_window must be"),
    "layers in words": (
        "Qwen3-Embedding",
        {"use_sliding_window": True, "layer_types": None, "max_window_layers": "x"},
        "max_window_layers must be",
    ),
    "odd heads": ("Llama", {"head_dim": 7, "rope_scaling": None}, "even number"),
    "uneven heads": ("Llama", {"num_key_value_heads": 3}, "multiple of num_key_value_heads"),
    "unknown type": ("Llama", {"model_type": "phi3"}, "model_type 'phi3'"),
    "projection of no length": ("voyage-4-nano", {"num_labels": None}, "num_labels"),
    "empty window": ("e5-mistral", {"sliding_window": 0}, "sliding_window must be"),
    "unknown kind of layer": (
        "Qwen3-Embedding",
        {"layer_types": ["full_attention", "chunked_attention", "full_attention"]},
        "layer_types must name",
    ),
    "too few kinds of layers": ("EmbeddingGemma", {"layer_types": []}, "layer_types must name"),
    "gemma2 in both directions by the wrong key": (
        "bge-multilingual-gemma2",
        {"use_bidirectional_attention": True},
        "is_causal false",
    ),
    "cap below zero": (
        "bge-multilingual-gemma2",
        {"attn_logit_softcapping": -1.0},
        "attn_logit_softcapping",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_configs_that_cannot_be_computed_are_refused_by_name(case: str) -> None:
    name, changes, message = REFUSED[case]
    config = {**decoders.LAYOUTS[name].config, **changes}
    family = gemma.FAMILY if "emma" in name else decoder.FAMILY
    with pytest.raises(CheckpointError, match=message):
        family.read_config(config)


def test_architectures_that_are_no_list_name_no_class() -> None:
    config = {**decoders.LAYOUTS["gte-Qwen2"].config, "architectures": 5}
    assert not decoder.FAMILY.read_config(config).causal
    assert decoder.FAMILY.read_config({**config, "is_causal": True}).causal


def test_a_projection_that_config_json_does_not_name_is_refused(tmp_path: Path) -> None:
    folder = decoders.make(tmp_path, "voyage-4-nano", architectures=["Qwen3Model"])
    model = resolve(str(folder))
    with pytest.raises(CheckpointError, match=r"linear\.weight"):
        BACKEND.load(model, BackendOptions(dtype="float32", num_sessions=1))


@pytest.mark.parametrize("name", ["Qwen3-Embedding", "Nemotron-3-Embed", "EmbeddingGemma"])
def test_graphs_compute_no_angles_which_half_precision_would_round(name: str) -> None:
    model = resolve(str(made(name)))
    graph = GraphBuilder(model).towers()["text"].model
    kinds = {node.get_type_name() for node in graph.get_ops()}
    assert "Gather" in kinds
    assert not kinds & {"Cos", "Sin"}


@pytest.mark.parametrize(("name", "pooling"), [("voyage-4-nano", "mean"), ("e5-mistral", "last")])
def test_pooling_of_repositories_that_lost_their_modules_is_their_authors_own(
    tmp_path: Path, name: str, pooling: str
) -> None:
    folder = decoders.make(tmp_path, name)
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")
    text = resolve(str(folder)).text
    assert text is not None
    assert text.poolings == (pooling,)
