"""Gemma 2 and the text part of Gemma 3, EmbeddingGemma's base.

Norms store their scale's distance from 1 and stand before and after each block. Layers with a
window take turns with layers without one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from polyvec.errors import CheckpointError
from polyvec.models._blocks import run_layers
from polyvec.models._config import activation, read_config
from polyvec.models._decoder import (
    FULL,
    IGNORED_KEYS,
    SLIDING,
    Attention,
    LayerKind,
    attend,
    check_heads,
    gated_mlp,
    layer_types,
    reach,
)
from polyvec.models._family import Family, Tower
from polyvec.models._ops import Tensor, TextOps
from polyvec.models._rope import read_rope

_KINDS = ("gemma2", "gemma3_text")
# Defaults of Gemma2Config and Gemma3TextConfig where they differ from each other.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma2": {
        "vocab_size": 256000,
        "max_position_embeddings": 8192,
        "attn_logit_softcapping": 50.0,
        "sliding_window_pattern": 2,
    },
    "gemma3_text": {
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window_pattern": 6,
    },
}
_WINDOW = 4096
_THETA = {"gemma2": 10_000.0, "gemma3_text": 1_000_000.0}
_LOCAL_THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class GemmaConfig:
    """What Gemma reads from config.json, then what follows from it.

    Attributes:
        kinds: Window and rotary positions of each layer.
        causal: Whether a token sees only what stands before it.
        softcap: Bound of scores; None for none.
        norms_heads: Whether each head of queries and keys is normalised.
        embedding_scale: Factor on the rows of the table.
    """

    vocab_size: int = 262208
    hidden_size: int = 2304
    num_hidden_layers: int = 26
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 256
    hidden_activation: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 131072
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    query_pre_attn_scalar: float = 256.0
    sliding_window_pattern: int = 6
    kinds: tuple[LayerKind, ...] = ()
    causal: bool = True
    softcap: float | None = None
    norms_heads: bool = False
    embedding_scale: float = 1.0


_DERIVED = ("kinds", "causal", "softcap", "norms_heads", "embedding_scale")


def _read_config(raw: Mapping[str, Any]) -> GemmaConfig:
    kind = raw.get("model_type")
    if kind not in _KINDS:
        raise CheckpointError(
            f"config.json: model_type {kind!r} is not supported; supported: {', '.join(_KINDS)}",
            param="model_type",
        )
    raw = {"sliding_window": _WINDOW} | _DEFAULTS[kind] | dict(raw)
    both_ways = raw.get("use_bidirectional_attention") is True
    if both_ways and kind == "gemma2":
        raise CheckpointError(
            "config.json: use_bidirectional_attention true is not supported for gemma2; "
            "is_causal false is",
            param="use_bidirectional_attention",
        )
    known = {key: value for key, value in raw.items() if key not in _DERIVED}
    config = read_config(GemmaConfig, known)
    check_heads(config.num_attention_heads, config.num_key_value_heads)
    if config.sliding_window_pattern < 1:
        raise CheckpointError(
            "config.json: sliding_window_pattern must be a whole number from 1 up, not "
            f"{config.sliding_window_pattern}",
            param="sliding_window_pattern",
        )
    return replace(
        config,
        kinds=_layer_kinds(kind, raw, config),
        causal=not both_ways and raw.get("is_causal") is not False,
        softcap=_softcap(raw) if kind == "gemma2" else None,
        norms_heads=kind == "gemma3_text",
        embedding_scale=_embedding_scale(config.hidden_size, raw),
    )


def _softcap(raw: Mapping[str, Any]) -> float | None:
    value = raw.get("attn_logit_softcapping")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise CheckpointError(
            f"config.json: attn_logit_softcapping must be null or a number above 0, not {value!r}",
            param="attn_logit_softcapping",
        )
    return float(value)


def _embedding_scale(width: int, raw: Mapping[str, Any]) -> float:
    """The root of the width, rounded as the checkpoint's own precision does.

    Gemma was trained so: with bfloat16 weights 25.298 is 25.25. Not a matter of how the model is
    run, so it is rounded whatever the precision in force.

    Source: transformers Gemma2TextScaledWordEmbedding, Gemma3TextScaledWordEmbedding.
    """
    root = np.float32(width**0.5)
    dtype = raw.get("torch_dtype") or raw.get("dtype")
    if dtype == "float16":
        return float(np.float16(root))
    if dtype != "bfloat16":
        return float(root)
    bits = int(root.view(np.uint32))
    bits += 0x7FFF + ((bits >> 16) & 1)  # to the nearest of 16 bits, ties to even
    return float(np.uint32(bits & 0xFFFF0000).view(np.float32))


def _layer_kinds(kind: str, raw: Mapping[str, Any], config: GemmaConfig) -> tuple[LayerKind, ...]:
    width = config.head_dim
    whole = read_rope(raw, head_width=width, theta=_THETA[kind], layer_type=FULL)
    local = _local_rope(raw) if kind == "gemma3_text" else raw
    full = LayerKind(window=None, rope=whole)
    near = LayerKind(
        window=_window(raw),
        rope=read_rope(local, head_width=width, theta=_LOCAL_THETA, layer_type=SLIDING),
    )
    pattern = config.sliding_window_pattern

    def default(index: int) -> str:
        return SLIDING if (index + 1) % pattern else FULL

    types = layer_types(raw, config.num_hidden_layers, default)
    return tuple(near if one == SLIDING else full for one in types)


def _local_rope(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """What config.json says of layers with a window, in the spelling of a model with one kind."""
    parameters = raw.get("rope_parameters") or {}
    own = parameters.get(SLIDING) if isinstance(parameters, Mapping) else parameters
    return {
        "rope_parameters": own or {},
        "rope_theta": raw.get("rope_local_base_freq"),
        "max_position_embeddings": raw.get("max_position_embeddings"),
    }


def _window(raw: Mapping[str, Any]) -> int | None:
    """Farthest distance at which a token is seen.

    Source: transformers Gemma3TextConfig, which halves a window that goes both ways.
    """
    causal = raw.get("is_causal") is not False
    window = raw.get("sliding_window")
    reach(window, causal=causal)  # refuses what is no window
    if window is not None and raw.get("use_bidirectional_attention") is True:
        window = window // 2 + 1
    return reach(window, causal=causal)


def forward(ops: TextOps, config: GemmaConfig) -> Tensor:
    """Embed, run the layers, normalise, pool.

    Source: transformers Gemma2Model, Gemma3TextModel.
    """
    eps, act = config.rms_norm_eps, activation(config.hidden_activation)
    shared = Attention(
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        causal=config.causal,
        scale=config.query_pre_attn_scalar**-0.5,
        softcap=config.softcap,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        head_norm=(
            (lambda ops, x, name, heads: ops.rms_norm(x, name, eps=eps, offset=1.0, heads=heads))
            if config.norms_heads
            else None
        ),
    )

    def norm(x: Tensor, name: str) -> Tensor:
        return ops.rms_norm(x, name, eps=eps, offset=1.0)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"layers.{index}"
        asking = norm(x, f"{name}.input_layernorm")
        seen = norm(context, f"{name}.input_layernorm") if picked else asking
        own = config.kinds[index]
        attended = attend(ops, asking, seen, f"{name}.self_attn", shared, own, picked=picked)
        x = ops.add(x, norm(attended, f"{name}.post_attention_layernorm"))
        inner = norm(x, f"{name}.pre_feedforward_layernorm")
        out = gated_mlp(ops, inner, f"{name}.mlp", act)
        x = ops.add(x, norm(out, f"{name}.post_feedforward_layernorm"))
        return norm(x, "norm") if index == len(config.kinds) - 1 else x

    x = ops.embedding(ops.token_ids(), "embed_tokens", rows=config.vocab_size)
    x = ops.scale(x, config.embedding_scale)
    return run_layers(ops, x, layer, config.num_hidden_layers)


FAMILY = Family(
    name="gemma",
    architectures=("Gemma2Model", "Gemma2ForCausalLM", "Gemma3TextModel", "Gemma3ForCausalLM"),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.hidden_size,
            max_positions=lambda config: config.max_position_embeddings,
            pooling="last",
            causal=lambda config: config.causal,
        )
    },
    key_prefixes=("model.",),
    model_types={"gemma2": "Gemma2Model", "gemma3_text": "Gemma3TextModel"},
    ignored_keys=IGNORED_KEYS,
    normalize=True,
    source="https://arxiv.org/abs/2509.20354",
    tiny={
        "architectures": ["Gemma3TextModel"],
        "model_type": "gemma3_text",
        "vocab_size": 300,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "intermediate_size": 48,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 16,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": None,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "attn_logit_softcapping": None,
        "use_bidirectional_attention": True,
        "torch_dtype": "float32",
    },
)
