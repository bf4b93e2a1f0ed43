"""jina-embeddings-v2: BERT with ALiBi instead of a position table and a gated inner layer.

Its files call themselves ``bert``; what they are stands in ``auto_map``. The model for code has
norms of its own on queries, keys and around the layer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import run_layers
from polyvec.models._config import heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._ops import Activation, LinearBias, Tensor, TextOps

_FEED_FORWARD: dict[str, Activation] = {"geglu": "gelu", "reglu": "relu"}
"""``feed_forward_type`` → activation of the gate."""
_PLAIN, _QK_NORM = "jina-bert-implementation", "jina-bert-v2-qk-post-norm"
"""Where ``auto_map`` says that the class is: for texts, and for code."""


@dataclass(frozen=True, slots=True)
class JinaBertConfig:
    """What the encoder reads from config.json; defaults are JinaBertConfig's own.

    Attributes:
        qk_norm: Whether it is the model for code.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 512
    layer_norm_eps: float = 1e-12
    feed_forward_type: str = "original"
    position_embedding_type: str = "absolute"
    qk_norm: bool = False

    @property
    def slopes(self) -> tuple[float, ...]:
        """ALiBi's slope of each head: a falling geometric row, filled up from one twice as dense.

        Source: https://arxiv.org/abs/2108.12409, its published code.
        """
        base = 2 ** math.floor(math.log2(self.num_attention_heads))
        row = [2.0 ** (-8 * (head + 1) / base) for head in range(base)]
        dense = [2.0 ** (-8 * (head + 1) / (2 * base)) for head in range(0, 2 * base, 2)]
        return tuple(row + dense[: self.num_attention_heads - base])


def _read_config(raw: Mapping[str, Any]) -> JinaBertConfig:
    config = read_config(JinaBertConfig, {**raw, "qk_norm": _code_is(raw, _QK_NORM)})
    if config.position_embedding_type != "alibi":
        raise CheckpointError(
            f"config.json: position_embedding_type {config.position_embedding_type!r} is not "
            "supported; supported: alibi",
            param="position_embedding_type",
        )
    if config.feed_forward_type not in _FEED_FORWARD:
        raise CheckpointError(
            f"config.json: feed_forward_type {config.feed_forward_type!r} is not supported; "
            f"supported: {', '.join(_FEED_FORWARD)}",
            param="feed_forward_type",
        )
    heads(config.hidden_size, config.num_attention_heads)
    return config


def _claims(raw: Mapping[str, Any]) -> bool:
    """Whether config.json's code is Jina's, whatever common class name it gives itself."""
    return raw.get("model_type") == "bert" and (_code_is(raw, _PLAIN) or _code_is(raw, _QK_NORM))


def _code_is(raw: Mapping[str, Any], repository: str) -> bool:
    code = raw.get("auto_map")
    sources = code.values() if isinstance(code, Mapping) else ()
    return any(f"{repository}--" in str(source) for source in sources)


def forward(ops: TextOps, config: JinaBertConfig) -> Tensor:
    """Embed, run the layers, pool.

    Source: https://arxiv.org/abs/2310.19923.
    """
    eps, bias = config.layer_norm_eps, LinearBias(config.slopes)
    x = ops.embedding(ops.token_ids(), "embeddings.word_embeddings", rows=config.vocab_size)
    x = ops.add(x, ops.first_row("embeddings.token_type_embeddings"))
    x = ops.layer_norm(x, "embeddings.LayerNorm", eps=eps)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"encoder.layer.{index}"
        attended = ops.attention(
            _asked(ops, config, x, f"{name}.attention.self", "query"),
            _asked(ops, config, context, f"{name}.attention.self", "key"),
            ops.linear(context, f"{name}.attention.self.value"),
            heads=config.num_attention_heads,
            bias=bias,
            picked=picked,
        )
        attended = ops.add(ops.linear(attended, f"{name}.attention.output.dense"), x)
        attended = ops.layer_norm(attended, f"{name}.attention.output.LayerNorm", eps=eps)
        if config.qk_norm:
            attended = ops.layer_norm(ops.add(attended, x), f"{name}.layer_norm_1", eps=eps)
        out = ops.add(_gated_mlp(ops, config, attended, f"{name}.mlp"), attended)
        norm = f"{name}.layer_norm_2" if config.qk_norm else f"{name}.mlp.layernorm"
        return ops.layer_norm(out, norm, eps=eps)

    return run_layers(ops, x, layer, config.num_hidden_layers)


def _asked(ops: TextOps, config: JinaBertConfig, x: Tensor, name: str, part: str) -> Tensor:
    """Queries or keys; the model for code normalises them over all heads at once."""
    asked = ops.linear(x, f"{name}.{part}")
    if not config.qk_norm:
        return asked
    return ops.layer_norm(asked, f"{name}.layer_norm_{part[0]}", eps=config.layer_norm_eps)


def _gated_mlp(ops: TextOps, config: JinaBertConfig, x: Tensor, name: str) -> Tensor:
    width = config.intermediate_size
    up = f"{name}.up_gated_layer" if config.qk_norm else f"{name}.gated_layers"
    halves = [ops.linear(x, up, bias=False, rows=(at, at + width)) for at in (0, width)]
    gate, inner = reversed(halves) if config.qk_norm else halves
    inner = ops.multiply(ops.activation(gate, _FEED_FORWARD[config.feed_forward_type]), inner)
    return ops.linear(inner, f"{name}.down_layer" if config.qk_norm else f"{name}.wo")


FAMILY = Family(
    name="jina_bert",
    architectures=("JinaBertModel", "JinaBertForMaskedLM"),
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
    key_prefixes=("bert.",),
    claims=_claims,
    ignored_keys=(r"pooler\..*", r"cls\..*", r"embeddings\.(position|token_type)_ids"),
    normalize=True,
    source="https://arxiv.org/abs/2310.19923",
    tiny={
        "_name_or_path": "jinaai/jina-bert-implementation",
        "architectures": ["JinaBertForMaskedLM"],
        "auto_map": {
            "AutoConfig": "jinaai/jina-bert-implementation--configuration_bert.JinaBertConfig",
            "AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel",
            "AutoModelForMaskedLM": (
                "jinaai/jina-bert-implementation--modeling_bert.JinaBertForMaskedLM"
            ),
        },
        "model_type": "bert",
        "model_max_length": 8192,
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_act": "gelu",
        "feed_forward_type": "geglu",
        "emb_pooler": "mean",
        "position_embedding_type": "alibi",
        "max_position_embeddings": 8192,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "torch_dtype": "float32",
    },
)
