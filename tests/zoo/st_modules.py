"""Sentence-Transformers folders with the less common modules, in the files' own layout."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests import tiny

WIDTH = 32


def make(folder: Path, modules: list[tuple[str, dict[str, Any]]], **files: Any) -> Path:
    """A BERT with modules after it; weights are made for those that have some."""
    tiny.make_bert(folder)
    entries = [("", "Transformer")]
    for number, (kind, config) in enumerate(modules, start=1):
        path = f"{number}_{kind}"
        entries.append((path, kind))
        tiny.write_json(folder / path / "config.json", config)
        tensors = _tensors(kind, config, torch.Generator().manual_seed(number))
        if tensors:
            save_file(tensors, folder / path / "model.safetensors")
    tiny.write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(entries)
        ],
    )
    for name, value in files.items():
        tiny.write_json(folder / f"{name}.json", value)
    return folder


def pooling(*modes: str, **config: Any) -> tuple[str, dict[str, Any]]:
    """A Pooling module with version 2's boolean keys."""
    keys = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")
    flags = {f"pooling_mode_{key}": key in modes for key in (*keys, "weightedmean_tokens")}
    return "Pooling", {"word_embedding_dimension": WIDTH, **flags, **config}


def dense(
    size: int, width: int, kind: str = "activation.Tanh", **config: Any
) -> tuple[str, dict[str, Any]]:
    """A Dense module."""
    return "Dense", {
        "in_features": size,
        "out_features": width,
        "bias": True,
        "activation_function": f"torch.nn.modules.{kind}",
        **config,
    }


def _tensors(
    kind: str, config: dict[str, Any], generator: torch.Generator
) -> dict[str, torch.Tensor]:
    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.3

    if kind == "LayerNorm":
        width = config["dimension"]
        return {"norm.weight": noise(width) + 1, "norm.bias": noise(width)}
    if kind != "Dense":
        return {}
    size, width = config["in_features"], config["out_features"]
    tensors = {"linear.weight": noise(width, size)}
    if config["bias"]:
        tensors["linear.bias"] = noise(width)
    if config.get("use_residual") and size != width:
        tensors["residual.weight"] = noise(width, size)
    return tensors
