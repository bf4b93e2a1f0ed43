"""CLIP's vision transformer and its layers, which several families have.

Names are those of transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.models._blocks import Layer, LayersConfig, mlp, run_layers
from polyvec.models._config import activation, check_patches, heads, read_config
from polyvec.models._ops import ImageOps, Ops, Tensor


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """What the image tower reads; defaults are CLIPVisionConfig's own."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    @property
    def num_tokens(self) -> int:
        """Patches of one picture and the class token."""
        return int((self.image_size // self.patch_size) ** 2) + 1


def read_vision_config(raw: Mapping[str, Any]) -> VisionConfig:
    """``vision_config`` of a config.json.

    Raises:
        CheckpointError: It makes no sense.
    """
    where = "config.json: vision_config"
    vision = read_config(VisionConfig, section(raw, "vision_config"), where=where)
    heads(vision.hidden_size, vision.num_attention_heads)
    check_patches(vision.image_size, vision.patch_size)
    return vision


def section(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object of config.json; empty without it."""
    # Configs from before 2023 repeat a section as `text_config_dict`, which wins over the other.
    # Source: transformers CLIPConfig.
    for key in (f"{name}_dict", name):
        found = raw.get(key)
        if isinstance(found, Mapping):
            return found
    return {}


def read_projection_dim(raw: Mapping[str, Any]) -> int:
    """Width of the space that both towers share; CLIPConfig's own default without one."""

    @dataclass(frozen=True)
    class Shared:
        projection_dim: int = 512

    return read_config(Shared, raw).projection_dim


def vit(ops: ImageOps, vision: VisionConfig) -> Tensor:
    """Vision transformer up to the normalised state of the class token, before any projection.

    Source: https://arxiv.org/abs/2103.00020, transformers CLIPVisionTransformer.
    """
    stem = "vision_model.embeddings"
    x = ops.conv2d(ops.pixels(), f"{stem}.patch_embedding", stride=vision.patch_size)
    x = ops.prepend(ops.grid_tokens(x), f"{stem}.class_embedding")
    places = ops.embedding(ops.positions(), f"{stem}.position_embedding", rows=vision.num_tokens)
    x = ops.add(x, places)
    # The published name has this spelling.
    x = ops.layer_norm(x, "vision_model.pre_layrnorm", eps=vision.layer_norm_eps)
    x = pre_norm_layers(ops, x, vision, "vision_model.encoder.layers", causal=False)
    return ops.layer_norm(x, "vision_model.post_layernorm", eps=vision.layer_norm_eps)


def pre_norm_layers(
    ops: Ops, x: Tensor, config: LayersConfig, name: str, *, causal: bool
) -> Tensor:
    """CLIP's transformer layers, and pooling."""
    layer = pre_norm_layer(ops, config, name, causal=causal)
    return run_layers(ops, x, layer, config.num_hidden_layers)


def pre_norm_layer(ops: Ops, config: LayersConfig, name: str, *, causal: bool = False) -> Layer:
    """One of CLIP's transformer layers, which SigLIP has as well.

    Source: transformers CLIPEncoderLayer, SiglipEncoderLayer.
    """
    eps = config.layer_norm_eps
    act = activation(config.hidden_act)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        at = f"{name}.{index}"
        keys = ops.layer_norm(context, f"{at}.layer_norm1", eps=eps)
        asking = ops.layer_norm(x, f"{at}.layer_norm1", eps=eps) if picked else keys
        attended = ops.attention(
            ops.linear(asking, f"{at}.self_attn.q_proj"),
            ops.linear(keys, f"{at}.self_attn.k_proj"),
            ops.linear(keys, f"{at}.self_attn.v_proj"),
            heads=config.num_attention_heads,
            causal=causal,
            picked=picked,
        )
        x = ops.add(x, ops.linear(attended, f"{at}.self_attn.out_proj"))
        normed = ops.layer_norm(x, f"{at}.layer_norm2", eps=eps)
        return ops.add(x, mlp(ops, normed, f"{at}.mlp.fc1", f"{at}.mlp.fc2", act))

    return layer
