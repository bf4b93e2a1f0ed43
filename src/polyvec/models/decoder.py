"""Decoders used as embedders: Llama, Mistral, Ministral 3, Qwen2 and Qwen3.

They differ in biases, in normalised heads and in their configs' defaults; nothing else. Whether a
token sees what comes after it is the checkpoint's own choice.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import run_layers
from polyvec.models._config import activation, heads, read_config
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
from polyvec.models._family import Family, Head, Tower
from polyvec.models._heads import head_keys, is_scorer, score_heads
from polyvec.models._ops import Rope, Tensor, TextOps
from polyvec.models._rope import original_length, positive, read_rope
from polyvec.types import Output

# Ministral3Config's own, used where config.json has none.
_MINISTRAL_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1_000_000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}

# Defaults of the published config classes that differ from `DecoderConfig`'s. Source: transformers.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {"vocab_size": 32000, "max_position_embeddings": 2048},
    "mistral": {
        "vocab_size": 32000,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
    "ministral3": {
        "vocab_size": 131072,
        "num_hidden_layers": 34,
        "num_key_value_heads": 8,
        "max_position_embeddings": 262144,
        "head_dim": 128,
        "rms_norm_eps": 1e-5,
        "rope_parameters": _MINISTRAL_ROPE,
    },
    "qwen2": {"max_position_embeddings": 32768},
    "qwen3": {"max_position_embeddings": 32768, "head_dim": 128},
}
_KINDS = {kind: kind for kind in _DEFAULTS} | {"llama_bidirec": "llama"}
"""``model_type`` of config.json → the class that computes it."""

_BIDIRECTIONAL = ("LlamaBidirectional", "Qwen3ForEmbedding", "VoyageQwen3")
_PROJECTED = ("Qwen3ForEmbedding", "VoyageQwen3")


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """What a decoder reads from config.json, then what follows from it.

    Attributes:
        kinds: Window and rotary positions of each layer.
        causal: Whether a token sees only what stands before it.
        query_bias: Whether queries, keys and values add one.
        norms_heads: Whether each head of queries and keys is normalised.
        projection: Length of the vector that ``linear.weight`` makes at the end; 0 without one.
    """

    vocab_size: int = 151936
    hidden_size: int = 4096
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 0
    head_dim: int = 0
    hidden_act: str = "silu"
    max_position_embeddings: int = 32768
    max_window_layers: int = 28
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    mlp_bias: bool = False
    kinds: tuple[LayerKind, ...] = ()
    causal: bool = True
    query_bias: bool = False
    norms_heads: bool = False
    projection: int = 0
    architecture: str = ""
    num_labels: int = 2


_DERIVED = ("kinds", "causal", "query_bias", "norms_heads", "projection")


def _read_config(raw: Mapping[str, Any]) -> DecoderConfig:
    model_type = raw.get("model_type")
    kind = _KINDS.get(model_type) if isinstance(model_type, str) else None
    if kind is None:
        raise CheckpointError(
            f"config.json: model_type {model_type!r} is not a decoder that is supported; "
            f"supported: {', '.join(_KINDS)}",
            param="model_type",
        )
    heads_say = head_keys(raw)
    raw = _DEFAULTS[kind] | dict(_own(raw))
    config = read_config(DecoderConfig, raw | heads_say)
    head_dim = config.head_dim or config.hidden_size // heads(
        config.hidden_size, config.num_attention_heads
    )
    kv_heads = config.num_key_value_heads or config.num_attention_heads
    check_heads(config.num_attention_heads, kv_heads)
    causal = not _is_bidirectional(raw)
    config = replace(
        config,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        causal=causal,
        # Qwen2's config has no word for the biases it always has; Mistral's never has any.
        attention_bias=config.attention_bias and kind in ("llama", "qwen3"),
        query_bias=kind == "qwen2" or (config.attention_bias and kind in ("llama", "qwen3")),
        mlp_bias=config.mlp_bias and kind == "llama",
        norms_heads=kind == "qwen3",
        projection=_projection(raw),
    )
    return replace(config, kinds=_layer_kinds(kind, raw, config))


def _own(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What config.json says; null is said only of a window."""
    for key, value in raw.items():
        if key not in _DERIVED and (value is not None or key == "sliding_window"):
            yield key, value


def _named(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names in config.json."""
    listed = raw.get("architectures")
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def _is_bidirectional(raw: Mapping[str, Any]) -> bool:
    return (
        raw.get("is_causal") is False
        or raw.get("use_bidirectional_attention") is True
        or raw.get("model_type") == "llama_bidirec"
        or "".join(_named(raw)[:1]).startswith(_BIDIRECTIONAL)
        or _is_gritlm(raw)
    )


def _is_gritlm(raw: Mapping[str, Any]) -> bool:
    """Whether it is GritLM, by its own code or by vLLM's class: it embeds in both directions.

    Source: https://github.com/ContextualAI/gritlm, modeling_gritlm7b.py.
    """
    code = raw.get("auto_map")
    classes = code.values() if isinstance(code, Mapping) else ()
    if "GritLM" in _named(raw):
        return True
    return any("modeling_gritlm" in name for name in classes if isinstance(name, str))


def _projection(raw: Mapping[str, Any]) -> int:
    """Source: https://docs.vllm.ai/en/latest/api/vllm/model_executor/models/voyage/."""
    if not "".join(_named(raw)[:1]).startswith(_PROJECTED):
        return 0
    width = raw.get("num_labels", len(raw.get("id2label") or ()))
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise CheckpointError(
            f"config.json: num_labels must be the length of vectors, not {width!r}",
            param="num_labels",
        )
    return width


def _layer_kinds(kind: str, raw: Mapping[str, Any], config: DecoderConfig) -> tuple[LayerKind, ...]:
    rope = read_rope(raw, head_width=config.head_dim)
    plain = LayerKind(window=None, rope=rope, query_rope=_query_rope(kind, raw, rope))
    near = replace(plain, window=_window(kind, raw, causal=config.causal))

    def default(index: int) -> str:
        if kind in ("mistral", "ministral3"):
            return SLIDING
        return SLIDING if index >= config.max_window_layers else FULL

    # Mistral's published class has one kind of layer whatever a config lists.
    listed = raw if kind in ("qwen2", "qwen3") else {}
    types = layer_types(listed, config.num_hidden_layers, default)
    return tuple(near if one == SLIDING else plain for one in types)


def _window(kind: str, raw: Mapping[str, Any], *, causal: bool) -> int | None:
    if kind == "llama" or _is_gritlm(raw):  # GritLM's mask in both directions has no window
        return None
    if kind in ("qwen2", "qwen3") and not raw.get("use_sliding_window", False):
        return None
    default = 4096 if kind in ("qwen2", "qwen3") else None
    return reach(raw.get("sliding_window", default), causal=causal)


def _query_rope(kind: str, raw: Mapping[str, Any], rope: Rope) -> Rope | None:
    """Ministral 3 makes the queries of far places longer.

    Source: transformers Ministral3Attention, get_llama_4_attn_scale.
    """
    parameters = raw.get("rope_scaling") or raw.get("rope_parameters") or {}
    growth = parameters.get("llama_4_scaling_beta")
    if kind != "ministral3" or not growth:
        return None
    step = original_length(raw) or int(raw["max_position_embeddings"])
    growth = positive(growth, "llama_4_scaling_beta")
    return replace(rope, growth=growth, growth_step=step)


def forward(ops: TextOps, config: DecoderConfig) -> Tensor:
    """Embed, run the layers, normalise, pool, project.

    Source: transformers LlamaModel, MistralModel, Ministral3Model, Qwen2Model, Qwen3Model.
    """
    eps, act = config.rms_norm_eps, activation(config.hidden_act)
    shared = Attention(
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        causal=config.causal,
        bias=config.query_bias,
        output_bias=config.attention_bias,
        head_norm=(
            (lambda ops, x, name, heads: ops.rms_norm(x, name, eps=eps, heads=heads))
            if config.norms_heads
            else None
        ),
    )

    def norm(x: Tensor, name: str) -> Tensor:
        return ops.rms_norm(x, name, eps=eps)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"layers.{index}"
        asking = norm(x, f"{name}.input_layernorm")
        seen = norm(context, f"{name}.input_layernorm") if picked else asking
        own = config.kinds[index]
        attended = attend(ops, asking, seen, f"{name}.self_attn", shared, own, picked=picked)
        x = ops.add(x, attended)
        inner = norm(x, f"{name}.post_attention_layernorm")
        x = ops.add(x, gated_mlp(ops, inner, f"{name}.mlp", act, bias=config.mlp_bias))
        return norm(x, "norm") if index == len(config.kinds) - 1 else x

    x = ops.embedding(ops.token_ids(), "embed_tokens", rows=config.vocab_size)
    x = run_layers(ops, x, layer, config.num_hidden_layers)
    return ops.linear(x, "linear", bias=False) if config.projection else x


def _score(ops: TextOps, _config: DecoderConfig, rows: Tensor) -> Tensor:
    """Source: transformers GenericForSequenceClassification."""
    return ops.linear(rows, "score", bias=False)


def _heads(config: DecoderConfig, names: Collection[str]) -> Mapping[Output, Head]:
    if is_scorer(config.architecture) and "score.weight" in names:
        return score_heads(_score, config.num_labels, pooling="last")
    return {}


# MMES's names; it quantises these models to 8-bit weights.
_QWEN_ALIASES = {
    f"QwenText/qwen3-embedding-{size.lower()}": f"Qwen/Qwen3-Embedding-{size}"
    for size in ("0.6B", "4B", "8B")
}

FAMILY = Family(
    name="decoder",
    architectures=(
        "LlamaModel",
        "LlamaForCausalLM",
        "LlamaBidirectionalModel",
        "MistralModel",
        "MistralForCausalLM",
        "Ministral3Model",
        "Ministral3ForCausalLM",
        "Qwen2Model",
        "Qwen2ForCausalLM",
        "Qwen3Model",
        "Qwen3ForCausalLM",
        "Qwen3ForEmbedding",
        "VoyageQwen3BidirectionalEmbedModel",
        "GritLM",
        "LlamaForSequenceClassification",
        "MistralForSequenceClassification",
        "Qwen2ForSequenceClassification",
        "Qwen3ForSequenceClassification",
    ),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.projection or config.hidden_size,
            max_positions=lambda config: config.max_position_embeddings,
            pooling="last",
            causal=lambda config: config.causal,
        )
    },
    key_prefixes=("model.",),
    model_types={
        "llama": "LlamaModel",
        "llama_bidirec": "LlamaBidirectionalModel",
        "mistral": "MistralModel",
        "ministral3": "Ministral3Model",
        "qwen2": "Qwen2Model",
        "qwen3": "Qwen3Model",
    },
    ignored_keys=IGNORED_KEYS,
    normalize=True,
    aliases=_QWEN_ALIASES,
    alias_dtypes=dict.fromkeys(_QWEN_ALIASES, "int8"),
    heads=_heads,
    source="https://arxiv.org/abs/2506.05176",
    tiny={
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": 300,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 48,
        "hidden_act": "silu",
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000,
        "rope_scaling": None,
        "sliding_window": None,
        "use_sliding_window": False,
        "max_window_layers": 2,
        "attention_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    },
)
