"""NomicBERT: a post-norm bidirectional encoder with rotary positions.

Version 1 has gated inner layers, version 2 plain ones of which every second is a mixture of
experts. config.json comes with the keys of GPT-2 (as the authors' code has it) or of BERT.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import run_layers
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._ops import Activation, ExpertNames, Rope, Tensor, TextOps
from polyvec.models._rope import read_rope

# GPT-2's keys → BERT's.
_RENAMED = {
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
    "n_inner": "intermediate_size",
    "layer_norm_epsilon": "layer_norm_eps",
    "rotary_emb_base": "rope_theta",
    "rotary_emb_fraction": "partial_rotary_factor",
}
_GATES: dict[str, Activation] = {"swiglu": "silu", "geglu": "gelu", "glu": "sigmoid"}
"""``activation_function`` of a gated inner layer → activation of the gate."""
# Keys of the authors' code that change vectors → the values that are computed here.
_SUPPORTED: dict[str, tuple[object, ...]] = {
    "prenorm": (False, None),
    "use_rms_norm": (False, None),
    "parallel_block": (False, None),
    "causal": (False, None),
    "rotary_emb_scale_base": (None,),
    "scale_attn_weights": (True, None),
    "scale_attn_by_inverse_layer_idx": (False, None),
    "expert_choice_router": (False, None),
    "moe_normalize_expert_weights": (False, None),
    "num_shared_experts": (0, None),
}
_NO_ROPE = Rope(())


@dataclass(frozen=True, slots=True)
class NomicBertConfig:
    """What the encoder reads from config.json.

    Attributes:
        rope: Rotary positions.
        vocab_size: Token ids are below it.
        hidden_size: Width of states.
        num_hidden_layers: Layers.
        num_attention_heads: Heads of each.
        max_positions: Longest text.
        layer_norm_eps: Added to variances.
        type_vocab_size: Rows of the table of segments; 0 for no table.
        inner_activation: Of the inner layer or of its gate.
        gated: Whether the inner layer is gated.
        qkv_proj_bias: Whether attention's projections have biases.
        mlp_fc1_bias: Whether the inner layer's first projections have biases.
        mlp_fc2_bias: Whether its last one has.
        moe_every_n_layers: Distance between layers with experts, the first of them being the second
            layer; 0 for none.
        moe_top_k: Experts that each token goes through.
    """

    rope: Rope = _NO_ROPE
    vocab_size: int = 30528
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_positions: int = 2048
    layer_norm_eps: float = 1e-12
    type_vocab_size: int = 2
    inner_activation: Activation = "silu"
    gated: bool = True
    qkv_proj_bias: bool = False
    mlp_fc1_bias: bool = False
    mlp_fc2_bias: bool = False
    moe_every_n_layers: int = 0
    moe_top_k: int = 1

    def has_experts(self, index: int) -> bool:
        """Whether a layer is a mixture of experts.

        Source: https://huggingface.co/nomic-ai/nomic-bert-2048 modeling_hf_nomic_bert.py.
        """
        every = self.moe_every_n_layers
        return every > 0 and index % every == 1


def _read_config(raw: Mapping[str, Any]) -> NomicBertConfig:
    for key, supported in _SUPPORTED.items():
        if raw.get(key) not in supported:
            raise CheckpointError(
                f"config.json: {key} {raw[key]!r} is not supported; supported: {supported[0]!r}",
                param=key,
            )
    found = dict(raw)
    for old, new in _RENAMED.items():
        if raw.get(old) is not None:
            found[new] = raw[old]
    is_old = "n_embd" in raw
    gated, kind = _inner(raw)
    # The authors' class has biases and computes no rotary positions unless told otherwise; the
    # native one has no biases and always rotates.
    defaults = dict.fromkeys(("qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"), is_old)
    if is_old and not raw.get("rotary_emb_fraction"):
        raise CheckpointError(
            "config.json: rotary_emb_fraction must be above 0: other positions are not supported",
            param="rotary_emb_fraction",
        )
    found = defaults | {key: value for key, value in found.items() if value is not None}
    found |= {"max_positions": _max_positions(raw), "gated": gated, "inner_activation": kind}
    config = read_config(NomicBertConfig, {**found, "rope": None})
    return replace(config, rope=_rope(found, config))


def _inner(raw: Mapping[str, Any]) -> tuple[bool, Activation]:
    name = raw.get("activation_function")
    if name is None:  # the native class, whose inner layers are all gated
        return True, activation(str(raw.get("hidden_act", "silu")))
    return name in _GATES, _GATES.get(name) or activation(name)


def _max_positions(raw: Mapping[str, Any]) -> int:
    """Longest text whose positions mean what they meant in training.

    Beyond ``max_trained_positions``, a ``rotary_scaling_factor`` would turn every token by the
    length of the longest text in its batch, so such texts are cut there.
    """
    trained = raw.get("max_trained_positions")
    longest = raw.get("n_positions") or raw.get("max_position_embeddings") or trained or 2048
    if raw.get("rotary_scaling_factor"):
        longest = min(longest, trained or 2048)
    if not isinstance(longest, int) or longest < 1:
        raise CheckpointError(
            f"config.json: n_positions must be a whole number from 1 up, not {longest!r}",
            param="n_positions",
        )
    return longest


def _rope(found: Mapping[str, Any], config: NomicBertConfig) -> Rope:
    width = config.hidden_size // heads(config.hidden_size, config.num_attention_heads)
    rope = read_rope(found, head_width=width, theta=1000.0)
    return replace(rope, interleaved=bool(found.get("rotary_emb_interleaved")))


def forward(ops: TextOps, config: NomicBertConfig) -> Tensor:
    """Embed, run the layers, pool.

    Source: https://arxiv.org/abs/2402.01613 and https://arxiv.org/abs/2502.07972,
    https://huggingface.co/nomic-ai/nomic-bert-2048 modeling_hf_nomic_bert.py.
    """
    eps = config.layer_norm_eps
    x = ops.embedding(ops.token_ids(), "embeddings.word_embeddings", rows=config.vocab_size)
    if config.type_vocab_size:
        x = ops.add(x, ops.first_row("embeddings.token_type_embeddings"))
    x = ops.layer_norm(x, "emb_ln", eps=eps)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"encoder.layers.{index}"
        attended = _attention(ops, config, (x, context), f"{name}.attn", picked=picked)
        x = ops.layer_norm(ops.add(attended, x), f"{name}.norm1", eps=eps)
        out = _inner_layer(ops, config, x, index)
        return ops.layer_norm(ops.add(out, x), f"{name}.norm2", eps=eps)

    return run_layers(ops, x, layer, config.num_hidden_layers)


def _attention(
    ops: TextOps, config: NomicBertConfig, states: tuple[Tensor, Tensor], name: str, *, picked: bool
) -> Tensor:
    """Attention of the first states to the second ones."""
    x, context = states
    width, count, bias = config.hidden_size, config.num_attention_heads, config.qkv_proj_bias

    def project(x: Tensor, part: int) -> Tensor:
        return ops.linear(x, f"{name}.Wqkv", bias=bias, rows=(part * width, (part + 1) * width))

    attended = ops.attention(
        ops.rope(project(x, 0), config.rope, heads=count, picked=picked),
        ops.rope(project(context, 1), config.rope, heads=count),
        project(context, 2),
        heads=count,
        picked=picked,
    )
    return ops.linear(attended, f"{name}.out_proj", bias=bias)


def _inner_layer(ops: TextOps, config: NomicBertConfig, x: Tensor, index: int) -> Tensor:
    name, act = f"encoder.layers.{index}.mlp", config.inner_activation
    if config.has_experts(index):
        names = ExpertNames(
            router=f"{name}.router.layer",
            up=f"{name}.experts.mlp.w1",
            down=f"{name}.experts.mlp.w2",
        )
        mixed = ops.experts(x, names, top_k=config.moe_top_k, kind=act)
        return ops.add(mixed, ops.parameter(f"{name}.experts.bias"))
    if config.gated:
        up = ops.linear(x, f"{name}.fc11", bias=config.mlp_fc1_bias)
        gate = ops.linear(x, f"{name}.fc12", bias=config.mlp_fc1_bias)
        inner = ops.multiply(up, ops.activation(gate, act))
    else:
        inner = ops.activation(ops.linear(x, f"{name}.fc1", bias=config.mlp_fc1_bias), act)
    return ops.linear(inner, f"{name}.fc2", bias=config.mlp_fc2_bias)


FAMILY = Family(
    name="nomic_bert",
    architectures=("NomicBertModel", "NomicBertForMaskedLM", "NomicBertForPreTraining"),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.hidden_size,
            max_positions=lambda config: config.max_positions,
            pooling="mean",
        )
    },
    key_prefixes=("nomic_bert.", "bert."),
    model_types={"nomic_bert": "NomicBertModel"},
    ignored_keys=(r"pooler\..*", r"cls\..*", r".*\.rotary_emb\..*"),
    normalize=True,
    source="https://arxiv.org/abs/2402.01613",
    tiny={
        "architectures": ["NomicBertModel"],
        "model_type": "nomic_bert",
        "activation_function": "swiglu",
        "causal": False,
        "layer_norm_epsilon": 1e-12,
        "max_trained_positions": 48,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "n_embd": 32,
        "n_head": 4,
        "n_inner": 48,
        "n_layer": 2,
        "n_positions": 64,
        "pad_vocab_size_multiple": 64,
        "parallel_block": False,
        "prenorm": False,
        "qkv_proj_bias": False,
        "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "rotary_scaling_factor": None,
        "scale_attn_by_inverse_layer_idx": False,
        "scale_attn_weights": True,
        "type_vocab_size": 2,
        "use_rms_norm": False,
        "vocab_size": 200,
        "torch_dtype": "float32",
    },
)
