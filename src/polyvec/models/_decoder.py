"""What decoders of every family share: grouped attention, gated layers, who sees whom."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._ops import Activation, Rope, Tensor, TextOps

SLIDING = "sliding_attention"
FULL = "full_attention"

IGNORED_KEYS = (r"lm_head\..*", r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq")
"""Tensors of decoders that an embedder does not need."""


@dataclass(frozen=True, slots=True)
class Attention:
    """What attention in all layers has in common.

    Attributes:
        heads: Of queries.
        kv_heads: Of keys and values.
        causal: A token sees only itself and what stands before it.
        scale: Factor on scores; None for ``head_width ** -0.5``.
        softcap: Bound of scores; None for none.
        bias: Whether the projections to queries, keys and values add one.
        output_bias: Whether the projection of the result adds one.
        head_norm: How each head of queries and keys is normalised; None for not at all.
    """

    heads: int
    kv_heads: int
    causal: bool
    scale: float | None = None
    softcap: float | None = None
    bias: bool = False
    output_bias: bool = False
    head_norm: Callable[[TextOps, Tensor, str, int], Tensor] | None = None


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What attention in one layer has of its own.

    Attributes:
        window: Farthest distance at which a token is seen; None for no limit.
        rope: Of the keys, and of the queries unless `query_rope` is given.
        query_rope: Of the queries, where it differs.
    """

    window: int | None
    rope: Rope
    query_rope: Rope | None = None


def attend(  # noqa: PLR0913  (a layer's tensors beside its description)
    ops: TextOps,
    x: Tensor,
    context: Tensor,
    name: str,
    shared: Attention,
    own: LayerKind,
    *,
    picked: bool,
) -> Tensor:
    """Self-attention from projections to projection, with weights named as all decoders do.

    Args:
        ops: Operations.
        x: What asks: tokens, or rows when ``picked``.
        context: What is attended to: tokens.
        name: Prefix of the weights, such as ``layers.0.self_attn``.
        shared: What all layers have in common.
        own: This layer's.
        picked: As in `polyvec.models._blocks.Layer`.
    """
    q = ops.linear(x, f"{name}.q_proj", bias=shared.bias)
    k = ops.linear(context, f"{name}.k_proj", bias=shared.bias)
    v = ops.linear(context, f"{name}.v_proj", bias=shared.bias)
    if shared.head_norm is not None:
        q = shared.head_norm(ops, q, f"{name}.q_norm", shared.heads)
        k = shared.head_norm(ops, k, f"{name}.k_norm", shared.kv_heads)
    out = ops.attention(
        ops.rope(q, own.query_rope or own.rope, heads=shared.heads, picked=picked),
        ops.rope(k, own.rope, heads=shared.kv_heads),
        v,
        heads=shared.heads,
        kv_heads=shared.kv_heads,
        causal=shared.causal,
        window=own.window,
        scale=shared.scale,
        softcap=shared.softcap,
        picked=picked,
    )
    return ops.linear(out, f"{name}.o_proj", bias=shared.output_bias)


def gated_mlp(
    ops: TextOps, x: Tensor, name: str, activation: Activation, *, bias: bool = False
) -> Tensor:
    """Two projections, one of which opens and shuts the other, and a third one back."""
    gate = ops.activation(ops.linear(x, f"{name}.gate_proj", bias=bias), activation)
    up = ops.linear(x, f"{name}.up_proj", bias=bias)
    return ops.linear(ops.multiply(gate, up), f"{name}.down_proj", bias=bias)


def check_heads(heads: int, kv_heads: int) -> None:
    """Hold the numbers of heads to each other.

    Raises:
        CheckpointError: Key heads cannot be shared evenly by query heads.
    """
    if heads < 1 or kv_heads < 1 or heads % kv_heads:
        raise CheckpointError(
            f"config.json: num_attention_heads {heads} must be a multiple of num_key_value_heads "
            f"{kv_heads}"
        )


def reach(window: int | None, *, causal: bool) -> int | None:
    """``sliding_window`` of config.json → the farthest distance at which a token is seen.

    Source: transformers masking_utils: a causal window counts the token itself, one in both
    directions does not.

    Raises:
        CheckpointError: The window is not a whole number from 1 up.
    """
    if window is None:
        return None
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise CheckpointError(
            f"config.json: sliding_window must be null or a whole number from 1 up, not {window!r}",
            param="sliding_window",
        )
    return window - 1 if causal else window


def layer_types(
    raw: Mapping[str, Any], num_layers: int, default: Callable[[int], str]
) -> Sequence[str]:
    """``layer_types`` of config.json, or the kind of each layer by its index.

    Raises:
        CheckpointError: A kind is unknown or one layer has none.
    """
    given = raw.get("layer_types")
    if given is None:
        return [default(index) for index in range(num_layers)]
    if not isinstance(given, list) or len(given) < num_layers or set(given) - {SLIDING, FULL}:
        raise CheckpointError(
            f"config.json: layer_types must name {SLIDING} or {FULL} for each of {num_layers} "
            f"layers, not {given!r}",
            param="layer_types",
        )
    return given[:num_layers]
