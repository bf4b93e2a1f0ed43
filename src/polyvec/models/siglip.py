"""SigLIP and SigLIP 2: two towers without class or end-of-text token.

Some of SigLIP 2 read pictures of one size, others (NaFlex) let them keep their shape. Checkpoints
come in transformers' layout and in open_clip's, whose activations may differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._blocks import mlp, run_all_layers, run_layers
from polyvec.models._clip_towers import pre_norm_layer
from polyvec.models._config import activation, check_patches, heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._open_clip_siglip import as_siglip_config, fold_siglip
from polyvec.models._ops import ImageOps, Tensor, TextOps
from polyvec.models._padding import Padding
from polyvec.models._patches import PatchLayout

_NUM_PATCHES = 256


@dataclass(frozen=True, slots=True)
class TextConfig:
    """What the text tower reads; defaults are SiglipTextConfig's own.

    Attributes:
        projection_size: Width of its vectors, 0 for ``hidden_size``.
        pad_token_id: Fills texts up; what tokenizer_config.json says comes before it.
    """

    vocab_size: int = 32000
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 64
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    projection_size: int = 0
    pad_token_id: int = 1


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """What the image tower reads; defaults are SiglipVisionConfig's own.

    Attributes:
        num_patches: Rows of the table of places, where pictures keep their shape; 0 where all have
            ``image_size``.
    """

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 16
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    vision_use_head: bool = True
    num_patches: int = 0

    @property
    def num_tokens(self) -> int:
        """Patches of one picture; there is no class token."""
        return self.num_patches or int((self.image_size // self.patch_size) ** 2)


@dataclass(frozen=True, slots=True)
class SiglipConfig:
    """Both towers."""

    text: TextConfig
    vision: VisionConfig


def _read_config(raw: Mapping[str, Any]) -> SiglipConfig:
    raw = as_siglip_config(raw)
    text = read_config(TextConfig, _section(raw, "text_config"), where="config.json: text_config")
    # Source: transformers Siglip2VisionConfig, whose pictures keep their shape.
    patches = {"num_patches": _NUM_PATCHES} if raw.get("model_type") == "siglip2" else {}
    section = {**patches, **_section(raw, "vision_config")}
    vision = read_config(VisionConfig, section, where="config.json: vision_config")
    return _checked(SiglipConfig(text, vision))


def _section(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = raw.get(name)
    return section if isinstance(section, Mapping) else {}


def _checked(config: SiglipConfig) -> SiglipConfig:
    text, vision = config.text, config.vision
    heads(text.hidden_size, text.num_attention_heads)
    heads(vision.hidden_size, vision.num_attention_heads)
    if isqrt(vision.num_patches) ** 2 != vision.num_patches:
        raise CheckpointError(
            f"config.json: num_patches {vision.num_patches} must be the square of a whole number",
            param="num_patches",
        )
    check_patches(vision.image_size, vision.patch_size)
    if not vision.vision_use_head:
        raise CheckpointError(
            "config.json: vision_use_head is false, so pictures have no vector of their own",
            param="vision_use_head",
        )
    if _dimensions(config) != vision.hidden_size:
        raise CheckpointError(
            f"config.json: vectors of texts have {_dimensions(config)} numbers, those of pictures "
            f"{vision.hidden_size}"
        )
    return config


def _dimensions(config: SiglipConfig) -> int:
    return config.text.projection_size or config.text.hidden_size


def text_forward(ops: TextOps, config: SiglipConfig) -> Tensor:
    """Pre-norm encoder that sees its own padding; the last token's state is projected.

    Source: https://arxiv.org/abs/2303.15343, transformers SiglipTextModel.
    """
    text = config.text
    stem = "text_model.embeddings"
    x = ops.embedding(ops.token_ids(), f"{stem}.token_embedding", rows=text.vocab_size)
    places = ops.embedding(
        ops.positions(), f"{stem}.position_embedding", rows=text.max_position_embeddings
    )
    layer = pre_norm_layer(ops, text, "text_model.encoder.layers")
    x = run_layers(ops, ops.add(x, places), layer, text.num_hidden_layers)
    x = ops.layer_norm(x, "text_model.final_layer_norm", eps=text.layer_norm_eps)
    return ops.linear(x, "text_model.head")


def image_forward(ops: ImageOps, config: SiglipConfig) -> Tensor:
    """Vision transformer whose patches a learned probe attends to.

    Source: https://arxiv.org/abs/2303.15343, transformers SiglipVisionModel.
    """
    vision = config.vision
    stem = "vision_model.embeddings"
    if vision.num_patches:
        x = ops.linear(ops.patches(), f"{stem}.patch_embedding")
        places = ops.places(f"{stem}.position_embedding")
    else:
        x = ops.conv2d(ops.pixels(), f"{stem}.patch_embedding", stride=vision.patch_size, bias=True)
        x, rows = ops.grid_tokens(x), vision.num_tokens
        places = ops.embedding(ops.positions(), f"{stem}.position_embedding", rows=rows)
    x = ops.add(x, places)
    layer = pre_norm_layer(ops, vision, "vision_model.encoder.layers")
    x = run_all_layers(ops, x, layer, vision.num_hidden_layers)
    x = ops.layer_norm(x, "vision_model.post_layernorm", eps=vision.layer_norm_eps)
    return _probed(ops, x, vision, "vision_model.head")


def _layout(config: SiglipConfig) -> PatchLayout | None:
    vision = config.vision
    if not vision.num_patches:
        return None
    side = isqrt(vision.num_patches)
    return PatchLayout(vision.patch_size, vision.num_patches, side)


def _probed(ops: ImageOps, x: Tensor, config: VisionConfig, name: str) -> Tensor:
    """Tokens → rows: a learned query attends to all of them."""
    attended = ops.attention(
        ops.linear(ops.learned_tokens(f"{name}.probe"), f"{name}.attention.q_proj"),
        ops.linear(x, f"{name}.attention.k_proj"),
        ops.linear(x, f"{name}.attention.v_proj"),
        heads=config.num_attention_heads,
    )
    row = ops.pick(ops.linear(attended, f"{name}.attention.out_proj"))
    normed = ops.layer_norm(row, f"{name}.layernorm", eps=config.layer_norm_eps)
    act = activation(config.hidden_act)
    return ops.add(row, mlp(ops, normed, f"{name}.mlp.fc1", f"{name}.mlp.fc2", act))


FAMILY = Family(
    name="siglip",
    architectures=("SiglipModel", "Siglip2Model", "OpenClipVitSiglip"),
    read_config=_read_config,
    vocab_size=lambda config: config.text.vocab_size,
    towers={
        "text": Tower(
            forward=text_forward,
            dimensions=_dimensions,
            max_positions=lambda config: config.text.max_position_embeddings,
            pooling="last",
            fixed_pooling=True,
            padding=lambda config: Padding(
                config.text.max_position_embeddings, config.text.pad_token_id
            ),
        ),
        "image": Tower(
            forward=image_forward,
            dimensions=lambda config: config.vision.hidden_size,
            max_positions=lambda config: config.vision.num_tokens,
            pooling="cls",
            image_size=lambda config: config.vision.image_size,
            image_processor="SiglipImageProcessor",
            layout=_layout,
        ),
    },
    key_prefixes=(),
    model_types={"siglip": "SiglipModel", "siglip2": "Siglip2Model"},
    ignored_keys=(
        r"logit_(scale|bias)",
        r"(text|vision)_model\.embeddings\.position_ids",
    ),
    normalize=True,
    fold=fold_siglip,
    aliases={
        "SigLIP/siglip2-vit-b-16": "timm/ViT-B-16-SigLIP2",
        "SigLIP/siglip2-vit-l-16": "timm/ViT-L-16-SigLIP2-256",
        "SigLIP/siglip2-so400m-patch16-384": "timm/ViT-SO400M-16-SigLIP2-384",
    },
    source="https://arxiv.org/abs/2303.15343",
    tiny={
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "text_config": {
            "model_type": "siglip_text_model",
            "vocab_size": 100,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 16,
            "projection_size": 48,
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
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
