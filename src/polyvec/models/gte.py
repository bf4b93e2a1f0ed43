"""GTE v1.5 and mGTE: post-norm encoders with rotary positions and gated inner layers.

Published as ``NewModel`` (the Alibaba-NLP repositories) and ``GteModel`` (arctic-embed-m-v2.0).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import run_layers
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Head, Tower
from polyvec.models._heads import head_keys, is_scorer, plain_dense, score_heads
from polyvec.models._ops import Rope, Tensor, TextOps
from polyvec.models._rope import read_rope
from polyvec.types import Output

_THETA = {"new": 10_000.0, "gte": 160_000.0}
"""Wavelengths where config.json names none, of NewConfig and of GteConfig."""
_ROTARY = ("rope", "rotary")
_NO_ROPE = Rope(())


@dataclass(frozen=True, slots=True)
class GteConfig:
    """What the encoder reads from config.json; defaults are NewConfig's own.

    Attributes:
        weighs_tokens: Whether a classifier of tokens is there to give each its weight.
    """

    rope: Rope = _NO_ROPE
    model_type: str = "new"
    vocab_size: int = 30528
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 2048
    type_vocab_size: int = 1
    layer_norm_type: str = "layer_norm"
    layer_norm_eps: float = 1e-12
    position_embedding_type: str = "rope"
    logn_attention_scale: bool = False
    architecture: str = ""
    num_labels: int = 2
    weighs_tokens: bool = False


def _read_config(raw: Mapping[str, Any]) -> GteConfig:
    found = {**raw, **head_keys(raw), "weighs_tokens": _weighs_tokens(raw), "rope": None}
    config = read_config(GteConfig, found)
    width = config.hidden_size // heads(config.hidden_size, config.num_attention_heads)
    rope = read_rope(raw, head_width=width, theta=_THETA.get(config.model_type, _THETA["new"]))
    if config.position_embedding_type not in _ROTARY:
        _refuse("position_embedding_type", config.position_embedding_type, _ROTARY)
    if config.layer_norm_type not in ("layer_norm", "rms_norm"):
        _refuse("layer_norm_type", config.layer_norm_type, ("layer_norm", "rms_norm"))
    if config.logn_attention_scale:
        _refuse("logn_attention_scale", found=True, supported=(False,))
    return replace(config, rope=rope)


def _weighs_tokens(raw: Mapping[str, Any]) -> bool:
    """gte-multilingual-base lists two classes, and its sparse head belongs to the second."""
    names = raw.get("architectures")
    listed = names if isinstance(names, list) else ()
    return any(str(name).endswith("ForTokenClassification") for name in listed)


def _refuse(key: str, found: object, supported: Collection[object]) -> None:
    raise CheckpointError(
        f"config.json: {key} {found!r} is not supported; supported: "
        f"{', '.join(str(one) for one in supported)}",
        param=key,
    )


def forward(ops: TextOps, config: GteConfig) -> Tensor:
    """Embed, run the layers, pool.

    Source: https://arxiv.org/abs/2407.19669, https://huggingface.co/Alibaba-NLP/new-impl
    modeling.py, transformers GteModel.
    """
    act = activation(config.hidden_act)
    inner = config.intermediate_size
    x = ops.embedding(ops.token_ids(), "embeddings.word_embeddings", rows=config.vocab_size)
    if config.type_vocab_size:
        x = ops.add(x, _segment_rows(ops, config))
    x = ops.layer_norm(x, "embeddings.LayerNorm", eps=config.layer_norm_eps)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"encoder.layer.{index}"
        attended = _attention(ops, config, (x, context), f"{name}.attention", picked=picked)
        x = _norm(ops, config, ops.add(x, attended), f"{name}.attn_ln")
        fused = f"{name}.mlp.up_gate_proj"
        up = ops.linear(x, fused, bias=False, rows=(0, inner))
        gate = ops.activation(ops.linear(x, fused, bias=False, rows=(inner, 2 * inner)), act)
        out = ops.linear(ops.multiply(gate, up), f"{name}.mlp.down_proj")
        return _norm(ops, config, ops.add(x, out), f"{name}.mlp_ln")

    return run_layers(ops, x, layer, config.num_hidden_layers)


def _segment_rows(ops: TextOps, config: GteConfig) -> Tensor:
    table = "embeddings.token_type_embeddings"
    if is_scorer(config.architecture) and config.type_vocab_size > 1:
        return ops.embedding(ops.segments(), table, rows=config.type_vocab_size)
    return ops.first_row(table)


def _attention(
    ops: TextOps, config: GteConfig, states: tuple[Tensor, Tensor], name: str, *, picked: bool
) -> Tensor:
    """Attention of the first states to the second ones."""
    x, context = states
    width, count = config.hidden_size, config.num_attention_heads

    def project(x: Tensor, part: int) -> Tensor:
        return ops.linear(x, f"{name}.qkv_proj", rows=(part * width, (part + 1) * width))

    attended = ops.attention(
        ops.rope(project(x, 0), config.rope, heads=count, picked=picked),
        ops.rope(project(context, 1), config.rope, heads=count),
        project(context, 2),
        heads=count,
        picked=picked,
    )
    return ops.linear(attended, f"{name}.o_proj")


def _norm(ops: TextOps, config: GteConfig, x: Tensor, name: str) -> Tensor:
    if config.layer_norm_type == "rms_norm":
        return ops.rms_norm(x, name, eps=config.layer_norm_eps)
    return ops.layer_norm(x, name, eps=config.layer_norm_eps)


def _sparse(ops: TextOps, _config: GteConfig, tokens: Tensor) -> Tensor:
    """Source: https://huggingface.co/Alibaba-NLP/gte-multilingual-base scripts/gte_embedding.py."""
    return ops.activation(ops.linear(tokens, "classifier"), "relu")


def _score(ops: TextOps, _config: GteConfig, rows: Tensor) -> Tensor:
    """Source: https://huggingface.co/Alibaba-NLP/new-impl NewForSequenceClassification."""
    return ops.linear(ops.activation(ops.linear(rows, "pooler.dense"), "tanh"), "classifier")


def _heads(config: GteConfig, names: Collection[str]) -> Mapping[Output, Head]:
    if is_scorer(config.architecture):
        return score_heads(_score, config.num_labels, pooling="cls")
    if config.weighs_tokens and "classifier.weight" in names:
        sparse = Head(forward=_sparse, reads="tokens", gives="tokens", dimensions=1)
        return {"dense": plain_dense(config.hidden_size), "sparse": sparse}
    return {}


FAMILY = Family(
    name="gte",
    architectures=(
        "NewModel",
        "GteNewModel",  # vLLM's name
        "NewForMaskedLM",
        "NewForTokenClassification",
        "NewForSequenceClassification",
        "GteModel",
        "GteForMaskedLM",
        "GteForTokenClassification",
        "GteForSequenceClassification",
    ),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.hidden_size,
            max_positions=lambda config: config.max_position_embeddings,
            pooling="cls",
        )
    },
    key_prefixes=("new.", "gte."),
    model_types={"new": "NewModel", "gte": "GteModel"},
    ignored_keys=(
        r"pooler\..*",
        r"classifier\..*",
        r"lm_head\..*",
        r"embeddings\.position_ids",
        r"(embeddings\.)?rotary_emb\..*",
    ),
    normalize=True,
    heads=_heads,
    source="https://arxiv.org/abs/2407.19669",
    tiny={
        "architectures": ["NewModel"],
        "model_type": "new",
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "hidden_act": "gelu",
        "max_position_embeddings": 64,
        "type_vocab_size": 0,
        "layer_norm_type": "layer_norm",
        "layer_norm_eps": 1e-12,
        "pack_qkv": True,
        "position_embedding_type": "rope",
        "rope_theta": 500000,
        "rope_scaling": None,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    },
)
