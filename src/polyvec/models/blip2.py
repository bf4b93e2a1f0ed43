"""BLIP-2 for retrieval: a picture has one vector for each learned query, a text has one.

The reference scores a pair by the largest product of the text's vector with any of the picture's
unit vectors, which are the picture's ``tokens``. Its one ``dense`` vector is the mean of them
before they are brought to unit length, as other servers of this model have it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError
from polyvec.models._blocks import mlp, run_all_layers, run_layers
from polyvec.models._config import activation, check_patches, heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._ops import ImageOps, Ops, Tensor, TextOps


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """What the vision transformer reads; defaults are Blip2VisionConfig's own."""

    hidden_size: int = 1408
    num_hidden_layers: int = 39
    num_attention_heads: int = 16
    image_size: int = 224
    patch_size: int = 14
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True

    @property
    def num_tokens(self) -> int:
        """Patches of one picture and the class token."""
        return int((self.image_size // self.patch_size) ** 2) + 1


@dataclass(frozen=True, slots=True)
class QFormerConfig:
    """What the querying transformer reads; defaults are Blip2QFormerConfig's own."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    layer_norm_eps: float = 1e-12
    cross_attention_frequency: int = 2


@dataclass(frozen=True, slots=True)
class Shared:
    """What stands beside the sections; defaults are Blip2Config's own."""

    num_query_tokens: int = 32
    image_text_hidden_size: int = 256


@dataclass(frozen=True, slots=True)
class Blip2Config:
    """The vision transformer, the querying transformer and the space they share."""

    vision: VisionConfig
    qformer: QFormerConfig
    shared: Shared


def _read_config(raw: Mapping[str, Any]) -> Blip2Config:
    vision = read_config(
        VisionConfig, raw.get("vision_config") or {}, where="config.json: vision_config"
    )
    qformer = read_config(
        QFormerConfig, raw.get("qformer_config") or {}, where="config.json: qformer_config"
    )
    heads(vision.hidden_size, vision.num_attention_heads)
    heads(qformer.hidden_size, qformer.num_attention_heads)
    check_patches(vision.image_size, vision.patch_size)
    if qformer.cross_attention_frequency < 1:
        raise CheckpointError("config.json: cross_attention_frequency must be from 1 up")
    return Blip2Config(vision, qformer, read_config(Shared, raw))


def text_forward(ops: TextOps, config: Blip2Config) -> Tensor:
    """The querying transformer on a text alone, without its queries; the first state is projected.

    Source: https://arxiv.org/abs/2301.12597, transformers Blip2ForImageTextRetrieval.
    """
    qformer = config.qformer
    x = ops.embedding(ops.token_ids(), "embeddings.word_embeddings", rows=qformer.vocab_size)
    places = ops.embedding(
        ops.positions(), "embeddings.position_embeddings", rows=qformer.max_position_embeddings
    )
    x = ops.layer_norm(ops.add(x, places), "qformer.layernorm", eps=qformer.layer_norm_eps)
    block = _QFormer(ops, qformer)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        at = f"qformer.encoder.layer.{index}"
        x = block.attend(x, context, f"{at}.attention", picked=picked)
        return block.feed_forward(x, f"{at}.intermediate", f"{at}.output")

    return ops.linear(run_layers(ops, x, layer, qformer.num_hidden_layers), "text_projection")


def image_forward(ops: ImageOps, config: Blip2Config) -> Tensor:
    """Queries attend to a vision transformer's patches; each one's state is projected.

    Source: as `text_forward`.
    """
    qformer = config.qformer
    patches = _patches(ops, config.vision)
    x = ops.learned_tokens("query_tokens")
    x = ops.layer_norm(x, "qformer.layernorm", eps=qformer.layer_norm_eps)
    block = _QFormer(ops, qformer)
    for index in range(ops.depth(qformer.num_hidden_layers)):
        at = f"qformer.encoder.layer.{index}"
        x = block.attend(x, x, f"{at}.attention")
        if index % qformer.cross_attention_frequency == 0:
            x = block.attend(x, patches, f"{at}.crossattention")
        x = block.feed_forward(x, f"{at}.intermediate_query", f"{at}.output_query")
    return ops.linear(x, "vision_projection")


class _QFormer:
    """Parts of a layer of the querying transformer, which normalises after each."""

    def __init__(self, ops: Ops, config: QFormerConfig) -> None:
        self._ops = ops
        self._eps = config.layer_norm_eps
        self._heads = config.num_attention_heads
        self._activation = activation(config.hidden_act)

    def attend(self, x: Tensor, context: Tensor, name: str, *, picked: bool = False) -> Tensor:
        """``x`` attends to ``context``, itself or a picture's patches."""
        ops = self._ops
        attended = ops.attention(
            ops.linear(x, f"{name}.attention.query"),
            ops.linear(context, f"{name}.attention.key"),
            ops.linear(context, f"{name}.attention.value"),
            heads=self._heads,
            picked=picked,
        )
        x = ops.add(x, ops.linear(attended, f"{name}.output.dense"))
        return ops.layer_norm(x, f"{name}.output.LayerNorm", eps=self._eps)

    def feed_forward(self, x: Tensor, up: str, down: str) -> Tensor:
        """Texts and queries have weights of their own for it."""
        ops = self._ops
        inner = mlp(ops, x, f"{up}.dense", f"{down}.dense", self._activation)
        return ops.layer_norm(ops.add(x, inner), f"{down}.LayerNorm", eps=self._eps)


def _patches(ops: ImageOps, config: VisionConfig) -> Tensor:
    """States of all patches and of the class token."""
    stem, eps = "vision_model.embeddings", config.layer_norm_eps
    act = activation(config.hidden_act)
    x = ops.conv2d(ops.pixels(), f"{stem}.patch_embedding", stride=config.patch_size, bias=True)
    x = ops.prepend(ops.grid_tokens(x), f"{stem}.class_embedding")
    x = ops.add(x, ops.parameter(f"{stem}.position_embedding"))

    def layer(x: Tensor, context: Tensor, index: int, _picked: bool) -> Tensor:  # noqa: FBT001
        at = f"vision_model.encoder.layers.{index}"
        normed = ops.layer_norm(context, f"{at}.layer_norm1", eps=eps)
        q, k, v = (
            ops.linear(normed, f"{at}.self_attn.{part}_proj", bias=config.qkv_bias)
            for part in "qkv"
        )
        attended = ops.attention(q, k, v, heads=config.num_attention_heads)
        x = ops.add(x, ops.linear(attended, f"{at}.self_attn.projection"))
        normed = ops.layer_norm(x, f"{at}.layer_norm2", eps=eps)
        return ops.add(x, mlp(ops, normed, f"{at}.mlp.fc1", f"{at}.mlp.fc2", act))

    x = run_all_layers(ops, x, layer, config.num_hidden_layers)
    return ops.layer_norm(x, "vision_model.post_layernorm", eps=eps)


_FUSED = re.compile(r"(vision_model\..*\.self_attn)\.qkv\.(weight|bias)")


def _fold(weights: Weights) -> Weights:
    """Queries, keys and values of the vision transformer are stored as one tensor."""
    parts = {}
    for name in weights:
        if found := _FUSED.fullmatch(name):
            parts[name] = [f"{found[1]}.{part}_proj.{found[2]}" for part in "qkv"]
    return weights.split_rows(parts)


FAMILY = Family(
    name="blip2",
    architectures=("Blip2ForImageTextRetrieval",),
    read_config=_read_config,
    vocab_size=lambda config: config.qformer.vocab_size,
    towers={
        "text": Tower(
            forward=text_forward,
            dimensions=lambda config: config.shared.image_text_hidden_size,
            max_positions=lambda config: config.qformer.max_position_embeddings,
            pooling="cls",
            fixed_pooling=True,
        ),
        "image": Tower(
            forward=image_forward,
            dimensions=lambda config: config.shared.image_text_hidden_size,
            max_positions=lambda config: config.vision.num_tokens,
            pooling="cls",
            image_size=lambda config: config.vision.image_size,
            image_processor="BlipImageProcessor",
            num_vectors=lambda config: config.shared.num_query_tokens,
        ),
    },
    key_prefixes=(),
    ignored_keys=(
        r"itm_head\.(weight|bias)",  # judges a pair that is read together
        r"embeddings\.position_ids",
    ),
    normalize=True,
    fold=_fold,
    source="https://arxiv.org/abs/2301.12597",
    aliases={
        "Blip2/blip2_transformers": "Salesforce/blip2-itm-vit-g",
        "Blip2/blip2": "Salesforce/blip2-itm-vit-g",
    },
    tiny={
        "architectures": ["Blip2ForImageTextRetrieval"],
        "model_type": "blip-2",
        "image_text_hidden_size": 24,
        "image_token_index": None,
        "num_query_tokens": 6,
        "qformer_config": {
            "model_type": "blip_2_qformer",
            "vocab_size": 103,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": 40,
            "cross_attention_frequency": 2,
            "encoder_hidden_size": 48,
            "use_qformer_text_input": True,
        },
        "text_config": {
            "model_type": "opt",
            "vocab_size": 100,
            "hidden_size": 32,
            "ffn_dim": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "word_embed_proj_dim": 32,
        },
        "vision_config": {
            "model_type": "blip_2_vision_model",
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
        },
        "torch_dtype": "float32",
    },
)
