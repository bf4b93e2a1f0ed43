"""T5 and mT5 encoders (gtr, sentence-t5): pre-norm, no position table but a bias by distance.

A file may hold a decoder too; it is left alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import run_layers
from polyvec.models._config import activation, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._ops import Activation, BucketBias, Tensor, TextOps

# MT5Config's defaults where they differ from T5Config's.
_MT5_DEFAULTS: Mapping[str, Any] = {
    "vocab_size": 250112,
    "num_layers": 8,
    "num_heads": 6,
    "feed_forward_proj": "gated-gelu",
}


@dataclass(frozen=True, slots=True)
class T5Config:
    """What the encoder reads from config.json; defaults are T5Config's own.

    Attributes:
        d_kv: Width of one head; heads need not add up to ``d_model``.
        n_positions: Length it was trained with: distances have no end of their own.
    """

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    num_layers: int = 6
    num_heads: int = 8
    n_positions: int = 512
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "relu"

    @property
    def is_gated(self) -> bool:
        """Whether the inner layer is the product of two projections."""
        return self.feed_forward_proj.startswith("gated-")

    @property
    def inner_activation(self) -> Activation:
        """Source: transformers T5Config, which reads ``gated-gelu`` as the tanh form."""
        gated_gelu = self.feed_forward_proj == "gated-gelu"
        return activation(
            "gelu_new" if gated_gelu else self.feed_forward_proj.removeprefix("gated-")
        )


def _read_config(raw: Mapping[str, Any]) -> T5Config:
    defaults = _MT5_DEFAULTS if raw.get("model_type") == "mt5" else {}
    given = {key: value for key, value in raw.items() if value is not None}
    config = read_config(T5Config, {**defaults, **given})
    if config.relative_attention_num_buckets < 4 or config.relative_attention_num_buckets % 2:  # noqa: PLR2004
        raise CheckpointError(
            "config.json: relative_attention_num_buckets must be an even number from 4 up, not "
            f"{config.relative_attention_num_buckets}",
            param="relative_attention_num_buckets",
        )
    for key in ("num_heads", "d_kv"):
        if getattr(config, key) < 1:
            raise CheckpointError(
                f"config.json: {key} must be a whole number from 1 up, not {getattr(config, key)}",
                param=key,
            )
    return config


def forward(ops: TextOps, config: T5Config) -> Tensor:
    """Embed, run the layers, pool.

    Source: https://arxiv.org/abs/1910.10683, transformers T5EncoderModel.
    """
    eps, last = config.layer_norm_epsilon, config.num_layers - 1
    bias = BucketBias(
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
        config.relative_attention_num_buckets,
        config.relative_attention_max_distance,
    )

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"encoder.block.{index}.layer"
        source = ops.rms_norm(context, f"{name}.0.layer_norm", eps=eps)
        asking = ops.pick(source) if picked else source
        attended = ops.attention(
            ops.linear(asking, f"{name}.0.SelfAttention.q", bias=False),
            ops.linear(source, f"{name}.0.SelfAttention.k", bias=False),
            ops.linear(source, f"{name}.0.SelfAttention.v", bias=False),
            heads=config.num_heads,
            scale=1.0,
            bias=bias,
            picked=picked,
        )
        x = ops.add(x, ops.linear(attended, f"{name}.0.SelfAttention.o", bias=False))
        inner = ops.rms_norm(x, f"{name}.1.layer_norm", eps=eps)
        x = ops.add(x, _feed_forward(ops, config, inner, f"{name}.1.DenseReluDense"))
        return ops.rms_norm(x, "encoder.final_layer_norm", eps=eps) if index == last else x

    x = ops.embedding(ops.token_ids(), "shared", rows=config.vocab_size)
    return run_layers(ops, x, layer, config.num_layers)


def _feed_forward(ops: TextOps, config: T5Config, x: Tensor, name: str) -> Tensor:
    up = "wi_0" if config.is_gated else "wi"
    inner = ops.linear(x, f"{name}.{up}", bias=False)
    inner = ops.activation(inner, config.inner_activation)
    if config.is_gated:
        inner = ops.multiply(inner, ops.linear(x, f"{name}.wi_1", bias=False))
    return ops.linear(inner, f"{name}.wo", bias=False)


FAMILY = Family(
    name="t5",
    architectures=(
        "T5EncoderModel",
        "T5Model",
        "T5ForConditionalGeneration",
        "MT5EncoderModel",
        "MT5Model",
        "MT5ForConditionalGeneration",
    ),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.d_model,
            max_positions=lambda config: config.n_positions,
            pooling="mean",
        )
    },
    key_prefixes=(),
    # One table under two names; some files keep only the second.
    key_endings={"encoder.embed_tokens.weight": "shared.weight"},
    model_types={"t5": "T5EncoderModel", "mt5": "MT5EncoderModel"},
    ignored_keys=(r"decoder\..*", r"lm_head\..*"),
    normalize=True,
    source="https://arxiv.org/abs/1910.10683",
    tiny={
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "vocab_size": 200,
        "d_model": 32,
        "d_kv": 12,
        "d_ff": 64,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "n_positions": 512,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
        "feed_forward_proj": "relu",
        "is_encoder_decoder": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        "torch_dtype": "float32",
    },
)
