"""MPNet: BERT without segments, with a bias by distance that all layers share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import mlp, run_layers
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._ops import BucketBias, Tensor, TextOps

_FIRST_POSITION = 2
"""The published class counts from the row after its padding's, which is 1 whatever config.json
says."""
# The published class has both in its code: another table would not fit it.
_BUCKETS = 32
_MAX_DISTANCE = 128


@dataclass(frozen=True, slots=True)
class MPNetConfig:
    """What the encoder reads from config.json; defaults are MPNetConfig's own."""

    vocab_size: int = 30527
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    layer_norm_eps: float = 1e-12
    relative_attention_num_buckets: int = _BUCKETS


def _read_config(raw: Mapping[str, Any]) -> MPNetConfig:
    config = read_config(MPNetConfig, raw)
    heads(config.hidden_size, config.num_attention_heads)
    if config.relative_attention_num_buckets != _BUCKETS:
        raise CheckpointError(
            "config.json: relative_attention_num_buckets "
            f"{config.relative_attention_num_buckets} is not supported; supported: {_BUCKETS}",
            param="relative_attention_num_buckets",
        )
    return config


def forward(ops: TextOps, config: MPNetConfig) -> Tensor:
    """Embed, run the layers, pool.

    Source: https://arxiv.org/abs/2004.09297, transformers MPNetModel.
    """
    eps = config.layer_norm_eps
    act = activation(config.hidden_act)
    bias = BucketBias("encoder.relative_attention_bias", _BUCKETS, _MAX_DISTANCE)
    x = ops.embedding(ops.token_ids(), "embeddings.word_embeddings", rows=config.vocab_size)
    places = ops.positions(offset=_FIRST_POSITION)
    table = "embeddings.position_embeddings"
    x = ops.add(x, ops.embedding(places, table, rows=config.max_position_embeddings))
    x = ops.layer_norm(x, "embeddings.LayerNorm", eps=eps)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"encoder.layer.{index}"
        attended = ops.attention(
            ops.linear(x, f"{name}.attention.attn.q"),
            ops.linear(context, f"{name}.attention.attn.k"),
            ops.linear(context, f"{name}.attention.attn.v"),
            heads=config.num_attention_heads,
            bias=bias,
            picked=picked,
        )
        attended = ops.linear(attended, f"{name}.attention.attn.o")
        x = ops.layer_norm(ops.add(attended, x), f"{name}.attention.LayerNorm", eps=eps)
        out = mlp(ops, x, f"{name}.intermediate.dense", f"{name}.output.dense", act)
        return ops.layer_norm(ops.add(out, x), f"{name}.output.LayerNorm", eps=eps)

    return run_layers(ops, x, layer, config.num_hidden_layers)


FAMILY = Family(
    name="mpnet",
    architectures=("MPNetModel", "MPNetForMaskedLM"),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.hidden_size,
            max_positions=lambda config: config.max_position_embeddings - _FIRST_POSITION,
            pooling="mean",
        )
    },
    key_prefixes=("mpnet.",),
    model_types={"mpnet": "MPNetModel"},
    ignored_keys=(r"pooler\..*", r"lm_head\..*", r"embeddings\.position_ids"),
    normalize=True,
    source="https://arxiv.org/abs/2004.09297",
    tiny={
        "architectures": ["MPNetForMaskedLM"],
        "model_type": "mpnet",
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 514,
        "relative_attention_num_buckets": 32,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    },
)
