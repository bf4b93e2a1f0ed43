"""ModernBERT: pre-norm, rotary positions, and layers that see only their neighbourhood."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import run_layers
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Head, Pooling, Tower
from polyvec.models._heads import head_keys, is_scorer, score_heads
from polyvec.models._ops import Rope, Tensor, TextOps
from polyvec.types import Output

_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_THETAS = {_GLOBAL: 160_000.0, _LOCAL: 10_000.0}
_CLASSIFIER_POOLINGS: dict[str, Pooling] = {"cls": "cls", "mean": "mean"}
_THETA_KEYS = {_GLOBAL: "global_rope_theta", _LOCAL: "local_rope_theta"}


@dataclass(frozen=True, slots=True)
class ModernBertConfig:
    """What the encoder reads from config.json; defaults are ModernBertConfig's own.

    Attributes:
        local_attention: Width of the neighbourhood, half of it on each side.
        layers: For each layer, whether it sees the whole text.
        global_theta: Rotary base of the layers that do.
        local_theta: Rotary base of the others.
    """

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: str = "gelu"
    max_position_embeddings: int = 8192
    norm_eps: float = 1e-5
    norm_bias: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    local_attention: int = 128
    layers: tuple[bool, ...] = ()
    global_theta: float = _THETAS[_GLOBAL]
    local_theta: float = _THETAS[_LOCAL]
    architecture: str = ""
    num_labels: int = 2
    classifier_pooling: str = "cls"
    classifier_bias: bool = False
    classifier_activation: str = "gelu"

    def rope(self, index: int) -> Rope:
        """Rotary positions of a layer."""
        theta = self.global_theta if self.layers[index] else self.local_theta
        width = self.hidden_size // self.num_attention_heads
        return Rope(tuple(theta ** (-place / width) for place in range(0, width, 2)))

    def window(self, index: int) -> int | None:
        """Farthest distance that a layer sees."""
        return None if self.layers[index] else self.local_attention // 2


def _read_config(raw: Mapping[str, Any]) -> ModernBertConfig:
    known = {key: value for key, value in raw.items() if key != "layers"}
    count = read_config(ModernBertConfig, known).num_hidden_layers
    found = {
        "layers": _layers(raw, count),
        "global_theta": _theta(raw, _GLOBAL),
        "local_theta": _theta(raw, _LOCAL),
        **head_keys(raw),
    }
    config = read_config(ModernBertConfig, {**raw, **found})
    heads(config.hidden_size, config.num_attention_heads)
    return config


def _layers(raw: Mapping[str, Any], count: int) -> tuple[bool, ...]:
    """Newer files list every layer; older ones say that one of so many sees the whole text."""
    kinds = raw.get("layer_types")
    if kinds is None:
        every = raw.get("global_attn_every_n_layers", 3)
        if type(every) is not int or every < 1:
            raise CheckpointError(
                "config.json: global_attn_every_n_layers must be a whole number from 1 up, not "
                f"{every!r}",
                param="global_attn_every_n_layers",
            )
        return tuple(index % every == 0 for index in range(count))
    if not isinstance(kinds, list) or len(kinds) != count or not set(kinds) <= set(_THETAS):
        raise CheckpointError(
            f"config.json: layer_types must name {_GLOBAL} or {_LOCAL} for each of {count} layers, "
            f"not {kinds!r}",
            param="layer_types",
        )
    return tuple(kind == _GLOBAL for kind in kinds)


def _theta(raw: Mapping[str, Any], kind: str) -> float:
    """Rotary base of a kind of layer.

    Source: transformers ModernBertConfig and, for a null ``local_rope_theta``, its version 4.
    """
    parameters = (raw.get("rope_parameters") or {}).get(kind) or {}
    turned = parameters.get("rope_type", "default")
    if turned != "default" or raw.get("rope_scaling"):
        raise CheckpointError(
            f"config.json: rope_type {turned!r} is not supported; supported: default, without "
            "rope_scaling",
            param="rope_parameters",
        )
    theta = parameters.get("rope_theta", raw.get(_THETA_KEYS[kind], _THETAS[kind]))
    if theta is None and kind == _LOCAL:
        return _theta(raw, _GLOBAL)
    if isinstance(theta, bool) or not isinstance(theta, int | float) or theta <= 0:
        raise CheckpointError(
            f"config.json: {_THETA_KEYS[kind]} must be a number above 0, not {theta!r}",
            param=_THETA_KEYS[kind],
        )
    return float(theta)


def forward(ops: TextOps, config: ModernBertConfig) -> Tensor:
    """Embed, run the layers, pool.

    Source: https://arxiv.org/abs/2412.13663, transformers ModernBertModel.
    """
    last = config.num_hidden_layers - 1

    def norm(x: Tensor, name: str) -> Tensor:
        return ops.layer_norm(x, name, eps=config.norm_eps, bias=config.norm_bias)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"layers.{index}"
        source = norm(context, f"{name}.attn_norm") if index else context
        asking = ops.pick(source) if picked else source
        x = ops.add(x, _attention(ops, config, asking, source, index, picked=picked))
        x = ops.add(x, _gated_mlp(ops, config, norm(x, f"{name}.mlp_norm"), f"{name}.mlp"))
        return norm(x, "final_norm") if index == last else x

    x = ops.embedding(ops.token_ids(), "embeddings.tok_embeddings", rows=config.vocab_size)
    return run_layers(ops, norm(x, "embeddings.norm"), layer, config.num_hidden_layers)


def _attention(
    ops: TextOps, config: ModernBertConfig, x: Tensor, context: Tensor, index: int, *, picked: bool
) -> Tensor:
    name, bias = f"layers.{index}.attn", config.attention_bias
    width, count, rope = config.hidden_size, config.num_attention_heads, config.rope(index)

    def part(x: Tensor, number: int) -> Tensor:
        rows = (number * width, (number + 1) * width)
        return ops.linear(x, f"{name}.Wqkv", bias=bias, rows=rows)

    attended = ops.attention(
        ops.rope(part(x, 0), rope, heads=count, picked=picked),
        ops.rope(part(context, 1), rope, heads=count),
        part(context, 2),
        heads=count,
        window=config.window(index),
        picked=picked,
    )
    return ops.linear(attended, f"{name}.Wo", bias=bias)


def _gated_mlp(ops: TextOps, config: ModernBertConfig, x: Tensor, name: str) -> Tensor:
    width, bias = config.intermediate_size, config.mlp_bias
    inner = ops.linear(x, f"{name}.Wi", bias=bias, rows=(0, width))
    inner = ops.activation(inner, activation(config.hidden_activation))
    gate = ops.linear(x, f"{name}.Wi", bias=bias, rows=(width, 2 * width))
    return ops.linear(ops.multiply(inner, gate), f"{name}.Wo", bias=bias)


def _before_logits(ops: TextOps, config: ModernBertConfig, x: Tensor) -> Tensor:
    """Source: transformers ModernBertPredictionHead."""
    x = ops.linear(x, "head.dense", bias=config.classifier_bias)
    x = ops.activation(x, activation(config.classifier_activation))
    return ops.layer_norm(x, "head.norm", eps=config.norm_eps, bias=config.norm_bias)


def _score(ops: TextOps, config: ModernBertConfig, rows: Tensor) -> Tensor:
    return ops.linear(_before_logits(ops, config, rows), "classifier")


def _logits(ops: TextOps, config: ModernBertConfig, tokens: Tensor) -> Tensor:
    """Source: transformers ModernBertForMaskedLM, which ties the table of words."""
    x = ops.linear(_before_logits(ops, config, tokens), "embeddings.tok_embeddings", bias=False)
    return ops.add(x, ops.parameter("decoder.bias"))


def _heads(config: ModernBertConfig, _names: Collection[str]) -> Mapping[Output, Head]:
    if not is_scorer(config.architecture):
        return {}
    pooling = _CLASSIFIER_POOLINGS.get(config.classifier_pooling)
    if pooling is None:
        raise CheckpointError(
            f"config.json: classifier_pooling {config.classifier_pooling!r} is not known; known: "
            f"{', '.join(_CLASSIFIER_POOLINGS)}",
            param="classifier_pooling",
        )
    return score_heads(_score, config.num_labels, pooling=pooling)


FAMILY = Family(
    name="modernbert",
    architectures=(
        "ModernBertModel",
        "ColBERTModernBertModel",  # vLLM's name
        "ModernBertForMaskedLM",
        "ModernBertForSequenceClassification",
    ),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.hidden_size,
            max_positions=lambda config: config.max_position_embeddings,
            pooling="mean",
        )
    },
    key_prefixes=("model.",),
    model_types={"modernbert": "ModernBertModel"},
    ignored_keys=(r"head\.(dense|norm)\..*", r"decoder\..*"),
    normalize=True,
    heads=_heads,
    logits=_logits,
    source="https://arxiv.org/abs/2412.13663",
    tiny={
        "architectures": ["ModernBertModel"],
        "model_type": "modernbert",
        "vocab_size": 264,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "hidden_activation": "gelu",
        "max_position_embeddings": 8192,
        "norm_eps": 1e-5,
        "norm_bias": False,
        "attention_bias": False,
        "mlp_bias": False,
        "classifier_bias": False,
        "classifier_pooling": "mean",
        "decoder_bias": True,
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0,
        "local_attention": 128,
        "local_rope_theta": 10000.0,
        "bos_token_id": 257,
        "cls_token_id": 257,
        "eos_token_id": 258,
        "sep_token_id": 258,
        "pad_token_id": 259,
        "position_embedding_type": "absolute",
        "torch_dtype": "float16",
    },
)
