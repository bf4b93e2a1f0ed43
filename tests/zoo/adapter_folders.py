"""jina-embeddings-v3-hf: transformers' re-upload, with each task's adapter in a folder."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests import tiny
from tests.zoo.custom_encoders import make_jina_v3_native

RANK, ALPHA = 4, 2
FOLDERS = {
    "classification": "classification",
    "retrieval_passage": "retrieval.passage",
    "retrieval_query": "retrieval.query",
    "separation": "separation",
    "text_matching": "text-matching",
}
"""Folder → task."""
_LAYERS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_LAYERS += ("mlp.fc1", "mlp.fc2")
_STORED = {"self_attn.o_proj": "mixer.out_proj"}


def make_jina_v3_hf(folder: Path, *, only: str = "", **adapter: Any) -> Path:
    """The base and one adapter for each task.

    Args:
        folder: Where to.
        only: Leave out layers whose names lack it.
        adapter: Changes to every adapter_config.json.
    """
    make_jina_v3_native(folder)
    base = load_file(folder / "model.safetensors")
    for seed, name in enumerate(FOLDERS):
        config = {
            "base_model_name_or_path": "jinaai/jina-embeddings-v3-hf",
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "lora_alpha": ALPHA,
            "lora_dropout": 0.0,
            "peft_type": "LORA",
            "r": RANK,
            "target_modules": ["fc1", "fc2", "k_proj", "o_proj", "q_proj", "v_proj"],
            "task_type": "FEATURE_EXTRACTION",
        } | adapter
        tiny.write_json(folder / name / "adapter_config.json", config)
        factors = {n: t for n, t in _factors(base, 100 + seed).items() if only in n}
        save_file(factors, folder / name / "adapter_model.safetensors")
    return folder


def _factors(base: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {}
    rows, width = base["embeddings.word_embeddings.weight"].shape
    table = "base_model.model.embeddings.word_embeddings.lora_embedding"
    shapes |= {f"{table}_A": (RANK, rows), f"{table}_B": (width, RANK)}
    for index in range(2):
        for layer in _LAYERS:
            out, inner = _shape(base, index, layer)
            name = f"base_model.model.layers.{index}.{layer}"
            shapes |= {f"{name}.lora_A.weight": (RANK, inner), f"{name}.lora_B.weight": (out, RANK)}
    return {n: torch.randn(shape, generator=generator) * 0.3 for n, shape in shapes.items()}


def _shape(base: dict[str, torch.Tensor], index: int, layer: str) -> tuple[int, ...]:
    if layer[-6:] in ("q_proj", "k_proj", "v_proj"):
        width = base[f"encoder.layers.{index}.mixer.Wqkv.weight"].shape[1]
        return width, width
    return tuple(base[f"encoder.layers.{index}.{_STORED.get(layer, layer)}.weight"].shape)


def merge(folder: Path, name: str, into: torch.nn.Module) -> None:
    """Work one folder's adapter into transformers' class, by hand."""
    factors = load_file(folder / name / "adapter_model.safetensors")
    state = into.state_dict()
    for full, down in factors.items():
        layer, _, factor = full.removeprefix("base_model.model.").partition(".lora_")
        if factor.startswith("A"):
            update = factors[full.replace("lora_A", "lora_B")] @ down
        elif factor == "embedding_A":
            update = (factors[full.replace("_A", "_B")] @ down).T
        else:
            continue
        state[f"{layer}.weight"] += update * (ALPHA / RANK)
