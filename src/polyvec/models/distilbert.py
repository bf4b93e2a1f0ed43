"""DistilBERT: BERT without segments, under names of its own."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.models._blocks import mlp, run_layers
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Head, Tower
from polyvec.models._heads import head_keys, is_scorer, score_heads
from polyvec.models._ops import Tensor, TextOps
from polyvec.types import Output

_EPS = 1e-12
"""The published class has it in its code; config.json does not name it."""


@dataclass(frozen=True, slots=True)
class DistilBertConfig:
    """What the encoder reads from config.json; defaults are DistilBertConfig's own.

    Sinusoidal positions are stored like learned ones, so ``sinusoidal_pos_embds`` is not read.
    """

    vocab_size: int = 30522
    dim: int = 768
    n_layers: int = 6
    n_heads: int = 12
    activation: str = "gelu"
    max_position_embeddings: int = 512
    architecture: str = ""
    num_labels: int = 2


def _read_config(raw: Mapping[str, Any]) -> DistilBertConfig:
    config = read_config(DistilBertConfig, {**raw, **head_keys(raw)})
    heads(config.dim, config.n_heads)
    return config


def forward(ops: TextOps, config: DistilBertConfig) -> Tensor:
    """Embed, run the layers, pool.

    Source: https://arxiv.org/abs/1910.01108, transformers DistilBertModel.
    """
    act = activation(config.activation)
    x = ops.embedding(ops.token_ids(), "embeddings.word_embeddings", rows=config.vocab_size)
    table = "embeddings.position_embeddings"
    places = ops.embedding(ops.positions(), table, rows=config.max_position_embeddings)
    x = ops.layer_norm(ops.add(x, places), "embeddings.LayerNorm", eps=_EPS)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"transformer.layer.{index}"
        attended = ops.attention(
            ops.linear(x, f"{name}.attention.q_lin"),
            ops.linear(context, f"{name}.attention.k_lin"),
            ops.linear(context, f"{name}.attention.v_lin"),
            heads=config.n_heads,
            picked=picked,
        )
        attended = ops.linear(attended, f"{name}.attention.out_lin")
        x = ops.layer_norm(ops.add(attended, x), f"{name}.sa_layer_norm", eps=_EPS)
        out = mlp(ops, x, f"{name}.ffn.lin1", f"{name}.ffn.lin2", act)
        return ops.layer_norm(ops.add(out, x), f"{name}.output_layer_norm", eps=_EPS)

    return run_layers(ops, x, layer, config.n_layers)


def _score(ops: TextOps, _config: DistilBertConfig, rows: Tensor) -> Tensor:
    """Source: transformers DistilBertForSequenceClassification."""
    return ops.linear(ops.activation(ops.linear(rows, "pre_classifier"), "relu"), "classifier")


def _logits(ops: TextOps, config: DistilBertConfig, tokens: Tensor) -> Tensor:
    """Source: transformers DistilBertForMaskedLM, which ties the table of words."""
    x = ops.activation(ops.linear(tokens, "vocab_transform"), activation(config.activation))
    x = ops.layer_norm(x, "vocab_layer_norm", eps=_EPS)
    x = ops.linear(x, "embeddings.word_embeddings", bias=False)
    return ops.add(x, ops.parameter("vocab_projector.bias"))


def _heads(config: DistilBertConfig, _names: Collection[str]) -> Mapping[Output, Head]:
    if is_scorer(config.architecture):
        return score_heads(_score, config.num_labels, pooling="cls")
    return {}


FAMILY = Family(
    name="distilbert",
    architectures=(
        "DistilBertModel",
        "DistilBertForMaskedLM",
        "DistilBertForSequenceClassification",
    ),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.dim,
            max_positions=lambda config: config.max_position_embeddings,
            pooling="mean",
        )
    },
    key_prefixes=("distilbert.",),
    model_types={"distilbert": "DistilBertModel"},
    ignored_keys=(r"vocab_(transform|layer_norm|projector)\..*", r"embeddings\.position_ids"),
    normalize=True,
    heads=_heads,
    logits=_logits,
    source="https://arxiv.org/abs/1910.01108",
    tiny={
        "architectures": ["DistilBertModel"],
        "model_type": "distilbert",
        "activation": "gelu",
        "vocab_size": 200,
        "dim": 32,
        "hidden_dim": 64,
        "n_layers": 2,
        "n_heads": 4,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "sinusoidal_pos_embds": False,
        "tie_weights_": True,
        "torch_dtype": "float32",
    },
)
