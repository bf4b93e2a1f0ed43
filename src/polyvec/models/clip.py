"""CLIP: a text and an image tower that share one vector space."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import mlp, run_layers
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._ops import ImageOps, Ops, Tensor, TextOps

_LEGACY_EOS = 2
"""The first published configs say 2, not the tokenizer's id, and mean a text's highest id."""


@dataclass(frozen=True, slots=True)
class TextConfig:
    """What the text tower reads; defaults are CLIPTextConfig's own."""

    vocab_size: int = 49408
    hidden_size: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    eos_token_id: int = 49407


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


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """Both towers and the width of the space they share."""

    text: TextConfig
    vision: VisionConfig
    projection_dim: int


def _read_config(raw: Mapping[str, Any]) -> ClipConfig:
    text = read_config(TextConfig, _section(raw, "text_config"), where="config.json: text_config")
    vision = read_config(
        VisionConfig, _section(raw, "vision_config"), where="config.json: vision_config"
    )
    heads(text.hidden_size, text.num_attention_heads)
    heads(vision.hidden_size, vision.num_attention_heads)
    if not vision.patch_size or vision.image_size < vision.patch_size:
        raise CheckpointError(
            f"config.json: image_size {vision.image_size} is smaller than patch_size "
            f"{vision.patch_size}"
        )
    return ClipConfig(text, vision, _projection_dim(raw))


def _section(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    # Configs from before 2023 repeat a section as `text_config_dict`, which wins over the other.
    # Source: transformers CLIPConfig.
    for key in (f"{name}_dict", name):
        section = raw.get(key)
        if isinstance(section, Mapping):
            return section
    return {}


def _projection_dim(raw: Mapping[str, Any]) -> int:
    @dataclass(frozen=True)
    class Shared:
        projection_dim: int = 512

    return read_config(Shared, raw).projection_dim


def text_forward(ops: TextOps, config: ClipConfig) -> Tensor:
    """Causal pre-norm encoder; the end-of-text state is projected.

    Source: https://arxiv.org/abs/2103.00020, transformers CLIPTextTransformer.
    """
    text = config.text
    stem = "text_model.embeddings"
    x = ops.embedding(ops.token_ids(), f"{stem}.token_embedding", rows=text.vocab_size)
    places = ops.embedding(
        ops.positions(), f"{stem}.position_embedding", rows=text.max_position_embeddings
    )
    x = _encoder(ops, ops.add(x, places), text, "text_model.encoder.layers", causal=True)
    x = ops.layer_norm(x, "text_model.final_layer_norm", eps=text.layer_norm_eps)
    return ops.linear(x, "text_projection", bias=False)


def image_forward(ops: ImageOps, config: ClipConfig) -> Tensor:
    """Vision transformer; the class token's state is projected.

    Source: https://arxiv.org/abs/2103.00020, transformers CLIPVisionTransformer.
    """
    vision = config.vision
    stem = "vision_model.embeddings"
    x = ops.conv2d(ops.pixels(), f"{stem}.patch_embedding", stride=vision.patch_size)
    x = ops.prepend(ops.grid_tokens(x), f"{stem}.class_embedding")
    places = ops.embedding(ops.positions(), f"{stem}.position_embedding", rows=vision.num_tokens)
    x = ops.add(x, places)
    # The published name has this spelling.
    x = ops.layer_norm(x, "vision_model.pre_layrnorm", eps=vision.layer_norm_eps)
    x = _encoder(ops, x, vision, "vision_model.encoder.layers", causal=False)
    x = ops.layer_norm(x, "vision_model.post_layernorm", eps=vision.layer_norm_eps)
    return ops.linear(x, "visual_projection", bias=False)


def _encoder(
    ops: Ops, x: Tensor, config: TextConfig | VisionConfig, name: str, *, causal: bool
) -> Tensor:
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

    return run_layers(ops, x, layer, config.num_hidden_layers)


def _eos_token_id(config: ClipConfig) -> int | None:
    return None if config.text.eos_token_id == _LEGACY_EOS else config.text.eos_token_id


FAMILY = Family(
    name="clip",
    architectures=("CLIPModel",),
    read_config=_read_config,
    vocab_size=lambda config: config.text.vocab_size,
    towers={
        "text": Tower(
            forward=text_forward,
            dimensions=lambda config: config.projection_dim,
            max_positions=lambda config: config.text.max_position_embeddings,
            pooling="eos",
            eos_token_id=_eos_token_id,
            causal=lambda _config: True,
        ),
        "image": Tower(
            forward=image_forward,
            dimensions=lambda config: config.projection_dim,
            max_positions=lambda config: config.vision.num_tokens,
            pooling="cls",
            image_size=lambda config: config.vision.image_size,
            image_processor="CLIPImageProcessor",
        ),
    },
    key_prefixes=(),
    model_types={"clip": "CLIPModel"},
    ignored_keys=(
        r"logit_scale",
        r"(text|vision)_model\.embeddings\.position_ids",
    ),
    normalize=True,
    source="https://arxiv.org/abs/2103.00020",
    aliases={
        "CLIP/clip-vit-b-32": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "CLIP/clip-vit-b-16": "openai/clip-vit-base-patch16",
        "CLIP/clip-vit-l-14": "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
        "CLIP/clip-vit-h-14": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    },
    tiny={
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": 24,
        "text_config": {
            "vocab_size": 200,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 20,
            "hidden_act": "quick_gelu",
            "bos_token_id": 198,
            "eos_token_id": 199,
            "pad_token_id": 199,
        },
        "vision_config": {
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
            "hidden_act": "quick_gelu",
        },
        "torch_dtype": "float32",
    },
)
