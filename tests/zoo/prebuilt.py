"""Converted folders as optimum-intel and OpenVINO Model Server lay them out, made from tiny models.

transformers' models are traced in eager mode with a mask of their own where they are causal, since
a boolean mask gives NaN in rows that are masked as a whole.
"""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino import opset15 as op
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModel

from tests import tiny
from tests.tiny import write_json

MASKED = -3e38
MAX_TOKENS = 64


class States(nn.Module):
    """``input_ids`` and ``attention_mask`` (B, L) → ``last_hidden_state`` (B, L, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(
            input_ids=input_ids, attention_mask=self.mask(attention_mask)
        ).last_hidden_state

    def mask(self, attention_mask: torch.Tensor) -> torch.Tensor:
        return attention_mask


class CausalStates(States):
    def mask(self, attention_mask: torch.Tensor) -> torch.Tensor:
        width = attention_mask.shape[1]
        place = torch.arange(width)
        seen = (place[None, :] <= place[:, None])[None, None] & attention_mask[:, None, None].bool()
        return torch.where(seen, 0.0, MASKED)


class Pooled(States):
    """The mean over a text's tokens, (B, D), as a graph that does everything gives it."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = super().forward(input_ids, attention_mask)
        weights = attention_mask[:, :, None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)


def reference(folder: Path) -> nn.Module:
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.config.use_cache = False
    return model.eval()


def convert(
    folder: Path,
    target: Path,
    *,
    graph: str = "openvino_model.xml",
    kind: type[States] = States,
    output: str = "last_hidden_state",
) -> Path:
    """Write what a converter leaves: the graph, config.json and the tokenizer, no weights."""
    model = kind(reference(folder)).eval()
    file = target / graph
    file.parent.mkdir(parents=True)
    if file.suffix == ".onnx":
        _onnx(model, file, output)
    else:
        _openvino(model, file, output)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, target / name)
    return target


def _example() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 60, (2, 7), generator=torch.Generator().manual_seed(0))
    return ids, torch.ones_like(ids)


def _openvino(model: nn.Module, file: Path, output: str) -> None:
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        graph = ov.convert_model(model, example_input=_example())
    for port, name in zip(graph.inputs, ("input_ids", "attention_mask"), strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_partial_shape(ov.PartialShape([-1, -1]))
        port.get_node().set_element_type(ov.Type.i64)
    graph.outputs[0].get_tensor().set_names({output})
    graph.validate_nodes_and_infer_types()
    ov.save_model(graph, file, compress_to_fp16=False)


def _onnx(model: nn.Module, file: Path, output: str) -> None:
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            _example(),
            file,
            dynamo=False,
            input_names=["input_ids", "attention_mask"],
            output_names=[output],
            dynamic_axes={
                name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask", output)
            },
        )


def edited(folder: Path, target: Path, edit: Callable[[ov.Model], Any]) -> Path:
    """A converted folder with another graph."""
    shutil.copytree(folder, target)
    graph = ov.Core().read_model(folder / "openvino_model.xml")
    edit(graph)
    ov.save_model(graph, target / "openvino_model.xml", compress_to_fp16=False)
    return target


def compress_weights(graph: ov.Model) -> None:
    """Every matrix of a multiplication as int8 codes and a scale per row, as int8-ov folders."""
    count = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        source = node.input_value(1)
        if source.get_node().get_type_name() != "Constant":
            continue
        weight = source.get_node().data
        scale = np.abs(weight).max(1, keepdims=True) / 127
        codes = np.round(weight / scale).astype(np.int8)
        wide = op.multiply(op.convert(op.constant(codes), "f32"), op.constant(scale))
        node.input(1).replace_source_output(wide.output(0))
        count += 1
    assert count


def make_qwen3(folder: Path, seed: int = 0) -> Path:
    """A Qwen3-Embedding checkpoint, tokenizer with a final end token included."""
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "head_dim": 16,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "max_position_embeddings": MAX_TOKENS,
        "max_window_layers": 2,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 200,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    tensors = tiny.random_weights(config, seed)
    tiny.save_weights(folder, tensors)
    tiny.bert_tokenizer(200).save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "eos_token": "[SEP]"},
    )
    return folder


def add_dense(
    folder: Path, width: int, dimensions: int, *, activation: str, bias: bool = True, seed: int = 5
) -> None:
    """A ``2_Dense`` module between Pooling and Normalize."""
    write_json(
        folder / "2_Dense/config.json",
        {
            "in_features": width,
            "out_features": dimensions,
            "bias": bias,
            "activation_function": f"torch.nn.modules.{activation}",
        },
    )
    generator = torch.Generator().manual_seed(seed)
    tensors = {"linear.weight": torch.randn(dimensions, width, generator=generator) * 0.2}
    if bias:
        tensors["linear.bias"] = torch.randn(dimensions, generator=generator) * 0.2
    save_file(tensors, folder / "2_Dense/model.safetensors")
