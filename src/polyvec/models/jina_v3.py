"""jina-embeddings-v3: XLM-RoBERTa with rotary positions and one low-rank adapter for each task.

Its files call themselves ``XLMRobertaModel``; what they are stands in ``auto_map``. Transformers
publishes the encoder as ``JinaEmbeddingsV3Model``, with a folder for each adapter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from polyvec.checkpoints.adapter_folders import KEY as ADAPTERS
from polyvec.errors import CheckpointError
from polyvec.models._blocks import run_layers
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._jina_adapters import adapter_scale, adapter_tasks, folded
from polyvec.models._ops import Adapters, Rope, Tensor, TextOps
from polyvec.models._rope import read_rope

_NATIVE = "jina_embeddings_v3"
_THETA = {_NATIVE: 20_000.0, "xlm-roberta": 10_000.0}
"""Wavelengths where config.json names none, of each published class."""
_CLASSES = ("XLMRobertaModel", "XLMRobertaForMaskedLM")
"""What files with these layers call themselves."""
_CODE = ("XLMRobertaFlashConfig", "XLMRobertaLoRA")
"""Classes of Jina's own code that ``auto_map`` may name."""
_NO_ROPE = Rope(())


@dataclass(frozen=True, slots=True)
class JinaV3Config:
    """What the encoder reads from config.json; defaults are XLMRobertaFlashConfig's own.

    Attributes:
        rope: Rotary positions.
        adapters: Names of tasks, in the order of the weights' first axis.
        lora_rank: Width between an adapter's two factors.
        lora_alpha: An adapter's update is multiplied by ``lora_alpha / lora_rank``.
    """

    rope: Rope = _NO_ROPE
    adapters: tuple[str, ...] = ()
    lora_rank: int = 4
    lora_alpha: float = 1.0
    model_type: str = "xlm-roberta"
    vocab_size: int = 250002
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    hidden_act: str = "gelu"
    max_position_embeddings: int = 8194
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5


def _read_config(raw: Mapping[str, Any]) -> JinaV3Config:
    positions = raw.get("position_embedding_type")
    if raw.get("model_type") != _NATIVE and positions != "rotary":
        raise CheckpointError(
            f"config.json: position_embedding_type {positions!r} is not supported; supported: "
            "rotary",
            param="position_embedding_type",
        )
    folders = raw.get(ADAPTERS) or {}
    found = {**raw, **(adapter_scale(folders) if folders else {})}
    config = read_config(JinaV3Config, {**found, "rope": None, "adapters": _adapters(raw)})
    if config.lora_rank < 1:
        raise CheckpointError("config.json: lora_rank must be from 1 up", param="lora_rank")
    width = config.hidden_size // heads(config.hidden_size, config.num_attention_heads)
    known = {"rope_theta": raw.get("rotary_emb_base"), **raw}
    rope = read_rope(known, head_width=width, theta=_THETA.get(config.model_type, 10_000.0))
    return replace(config, rope=rope)


def _adapters(raw: Mapping[str, Any]) -> tuple[str, ...]:
    names = raw.get("lora_adaptations") or adapter_tasks(raw.get(ADAPTERS) or {})
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(
            f"config.json: lora_adaptations must list names of tasks, not {names!r}",
            param="lora_adaptations",
        )
    return tuple(names)


def _claims(raw: Mapping[str, Any]) -> bool:
    """Whether config.json is read by Jina's class behind the common name of XLM-RoBERTa."""
    code, names = raw.get("auto_map"), raw.get("architectures") or [None]
    sources = code.values() if isinstance(code, Mapping) else ()
    is_theirs = any(str(source).rsplit(".", 1)[-1] in _CODE for source in sources)
    return is_theirs and isinstance(names, list) and names[0] in (*_CLASSES, None)


def forward(ops: TextOps, config: JinaV3Config) -> Tensor:
    """Embed, run the layers, pool; every table and layer is changed by the batch's adapter.

    Source: https://arxiv.org/abs/2409.10173,
    https://huggingface.co/jinaai/xlm-roberta-flash-implementation modeling_lora.py.
    """
    eps = config.layer_norm_eps
    act = activation(config.hidden_act)
    x = _embedding(ops, config, ops.token_ids(), "word_embeddings", config.vocab_size)
    if config.type_vocab_size:
        table = "token_type_embeddings"
        x = ops.add(x, _embedding(ops, config, ops.segments(), table, config.type_vocab_size))
    x = ops.layer_norm(x, "emb_ln", eps=eps)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        name = f"encoder.layers.{index}"
        attended = _attention(ops, config, (x, context), f"{name}.mixer", picked=picked)
        x = ops.layer_norm(ops.add(attended, x), f"{name}.norm1", eps=eps)
        inner = ops.activation(_linear(ops, config, x, f"{name}.mlp.fc1"), act)
        out = _linear(ops, config, inner, f"{name}.mlp.fc2")
        return ops.layer_norm(ops.add(out, x), f"{name}.norm2", eps=eps)

    return run_layers(ops, x, layer, config.num_hidden_layers)


def _attention(
    ops: TextOps, config: JinaV3Config, states: tuple[Tensor, Tensor], name: str, *, picked: bool
) -> Tensor:
    """Attention of the first states to the second ones."""
    x, context = states
    width, count = config.hidden_size, config.num_attention_heads

    def project(x: Tensor, part: int) -> Tensor:
        rows = (part * width, (part + 1) * width)
        return _linear(ops, config, x, f"{name}.Wqkv", rows=rows)

    attended = ops.attention(
        ops.rope(project(x, 0), config.rope, heads=count, picked=picked),
        ops.rope(project(context, 1), config.rope, heads=count),
        project(context, 2),
        heads=count,
        picked=picked,
    )
    return _linear(ops, config, attended, f"{name}.out_proj")


def _linear(
    ops: TextOps, config: JinaV3Config, x: Tensor, name: str, rows: tuple[int, int] | None = None
) -> Tensor:
    out = ops.linear(x, name, rows=rows)
    if not config.adapters:
        return out
    # Stored as A (tasks, rank, in) and B (tasks, out, rank): weight + B @ A.
    return ops.add(out, ops.adapter(x, _factors(config, name, "lora_A", "lora_B"), rows=rows))


def _embedding(ops: TextOps, config: JinaV3Config, ids: Tensor, table: str, rows: int) -> Tensor:
    name = f"embeddings.{table}"
    out = ops.embedding(ids, name, rows=rows)
    if not config.adapters:
        return out
    # Stored the other way round, A (tasks, rows, rank) and B (tasks, rank, width): weight + A @ B.
    update = ops.adapter_embedding(ids, _factors(config, name, "lora_B", "lora_A"), rows=rows)
    return ops.add(out, update)


def _factors(config: JinaV3Config, name: str, down: str, up: str) -> Adapters:
    stored = f"{name}.parametrizations.weight.0"
    return Adapters(
        down=f"{stored}.{down}",
        up=f"{stored}.{up}",
        count=len(config.adapters),
        scale=config.lora_alpha / config.lora_rank,
    )


FAMILY = Family(
    name="jina_v3",
    architectures=("JinaEmbeddingsV3Model", "JinaEmbeddingsV3ForMaskedLM", "XLMRobertaLoRA"),
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
    key_prefixes=("roberta.",),
    key_endings={".parametrizations.weight.original": ".weight"},
    model_types={_NATIVE: "JinaEmbeddingsV3Model"},
    claims=_claims,
    ignored_keys=(r"pooler\..*", r"lm_head\..*", r".*\.rotary_emb\..*"),
    normalize=True,
    fold=folded,
    adapters=lambda config: config.adapters,
    source="https://arxiv.org/abs/2409.10173",
    tiny={
        "architectures": ["JinaEmbeddingsV3Model"],
        "model_type": _NATIVE,
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_act": "gelu",
        "max_position_embeddings": 64,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-05,
        "pad_token_id": 1,
        "rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"},
        "dtype": "float32",
    },
)
