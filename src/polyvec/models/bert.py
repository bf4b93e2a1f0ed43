"""BERT and its twins RoBERTa, XLM-RoBERTa and CamemBERT: post-norm bidirectional text encoders.

The twins differ from BERT only in where positions start to count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import mlp, run_layers
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._ops import Tensor, TextOps

_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True, slots=True)
class BertConfig:
    """What the encoder reads from config.json; defaults are BertConfig's own."""

    model_type: str = "bert"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    position_embedding_type: str = "absolute"
    is_decoder: bool = False

    @property
    def first_position(self) -> int:
        """Row of the position table that the first token takes.

        Source: transformers RobertaEmbeddings, which counts from ``padding_idx + 1``.
        """
        return self.pad_token_id + 1 if self.model_type in _POSITIONS_AFTER_PADDING else 0


def _read_config(raw: Mapping[str, Any]) -> BertConfig:
    # RobertaConfig's defaults differ from BertConfig's in one key that forward reads.
    pad = 1 if raw.get("model_type") in _POSITIONS_AFTER_PADDING else 0
    config = read_config(BertConfig, {"pad_token_id": pad, **_without_none(raw)})
    if config.position_embedding_type != "absolute":
        raise CheckpointError(
            f"config.json: position_embedding_type {config.position_embedding_type!r} is not "
            "supported; supported: absolute",
            param="position_embedding_type",
        )
    if config.is_decoder:
        raise CheckpointError(
            "config.json: is_decoder is true: attention to earlier tokens alone is not supported",
            param="is_decoder",
        )
    heads(config.hidden_size, config.num_attention_heads)
    return config


def _without_none(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if value is not None}


def forward(ops: TextOps, config: BertConfig) -> Tensor:
    """Embed, run the layers, pool.

    Source: https://arxiv.org/abs/1810.04805, transformers BertModel.
    """
    eps = config.layer_norm_eps
    act = activation(config.hidden_act)
    x = ops.embedding(ops.token_ids(), "embeddings.word_embeddings", rows=config.vocab_size)
    places = ops.positions(offset=config.first_position)
    table = "embeddings.position_embeddings"
    x = ops.add(x, ops.embedding(places, table, rows=config.max_position_embeddings))
    x = ops.add(x, ops.first_row("embeddings.token_type_embeddings"))
    x = ops.layer_norm(x, "embeddings.LayerNorm", eps=eps)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"encoder.layer.{index}"
        attended = ops.attention(
            ops.linear(x, f"{name}.attention.self.query"),
            ops.linear(context, f"{name}.attention.self.key"),
            ops.linear(context, f"{name}.attention.self.value"),
            heads=config.num_attention_heads,
            picked=picked,
        )
        attended = ops.linear(attended, f"{name}.attention.output.dense")
        x = ops.layer_norm(ops.add(attended, x), f"{name}.attention.output.LayerNorm", eps=eps)
        out = mlp(ops, x, f"{name}.intermediate.dense", f"{name}.output.dense", act)
        return ops.layer_norm(ops.add(out, x), f"{name}.output.LayerNorm", eps=eps)

    return run_layers(ops, x, layer, config.num_hidden_layers)


FAMILY = Family(
    name="bert",
    architectures=(
        "BertModel",
        "BertForMaskedLM",
        "RobertaModel",
        "RobertaForMaskedLM",
        "XLMRobertaModel",
        "XLMRobertaForMaskedLM",
        "CamembertModel",
    ),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.hidden_size,
            max_positions=lambda config: config.max_position_embeddings - config.first_position,
            pooling="mean",
        )
    },
    key_prefixes=("bert.", "roberta."),
    # Files converted from TensorFlow, bert-base-uncased among them, keep its names.
    # Source: transformers conversion_mapping.
    key_endings={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
    model_types={
        "bert": "BertModel",
        "roberta": "RobertaModel",
        "xlm-roberta": "XLMRobertaModel",
        "camembert": "CamembertModel",
    },
    ignored_keys=(r"pooler\..*", r"cls\..*", r"lm_head\..*", r"embeddings\.position_ids"),
    normalize=True,
    source="https://arxiv.org/abs/1810.04805",
    tiny={
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_act": "gelu",
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    },
)
