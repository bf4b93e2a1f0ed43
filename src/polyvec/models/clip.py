"""CLIP and MetaCLIP 2: a text and an image tower that share one vector space."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.models._clip_towers import (
    VisionConfig,
    pre_norm_layers,
    read_projection_dim,
    read_vision_config,
    section,
    vit,
)
from polyvec.models._config import heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._open_clip import as_clip_config, fold_clip, quick_gelu_origin
from polyvec.models._ops import ImageOps, Tensor, TextOps
from polyvec.models._padding import Padding
from polyvec.types import Setting

_METACLIP_2 = "metaclip_2"
_LEGACY_EOS = 2
"""CLIP's first published configs say 2, not the tokenizer's id, and mean a text's highest id."""


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
    causal: bool = True
    pad_id: int = 0


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """Both towers and the width of the space they share.

    Attributes:
        text: The text tower.
        vision: The image tower.
        projection_dim: Width of the space.
        pools_highest_id: Whether a text's state is that of its highest token id, not of its first
            ``eos_token_id``.
    """

    text: TextConfig
    vision: VisionConfig
    projection_dim: int
    pools_highest_id: bool = False


def _read_config(raw: Mapping[str, Any]) -> ClipConfig:
    raw = as_clip_config(raw)
    said = section(raw, "text_config")
    text = read_config(TextConfig, said, where="config.json: text_config")
    heads(text.hidden_size, text.num_attention_heads)
    # MetaCLIP 2's end of text really is 2.
    is_legacy = text.eos_token_id == _LEGACY_EOS and raw.get("model_type") != _METACLIP_2
    highest = bool(said.get("pools_highest_id", is_legacy))
    return ClipConfig(text, read_vision_config(raw), read_projection_dim(raw), highest)


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
    x = ops.add(x, places)
    x = pre_norm_layers(ops, x, text, "text_model.encoder.layers", causal=text.causal)
    x = ops.layer_norm(x, "text_model.final_layer_norm", eps=text.layer_norm_eps)
    return ops.linear(x, "text_projection", bias=False)


def image_forward(ops: ImageOps, config: ClipConfig) -> Tensor:
    """Vision transformer; the class token's state is projected.

    Source: https://arxiv.org/abs/2103.00020, transformers CLIPVisionTransformer.
    """
    return ops.linear(vit(ops, config.vision), "visual_projection", bias=False)


def _facts(raw: Mapping[str, Any], origin_of: Callable[[str], str]) -> Mapping[str, Setting]:
    config = _read_config(raw)
    acts = dict.fromkeys((config.text.hidden_act, config.vision.hidden_act))
    origin = quick_gelu_origin(raw, origin_of) or origin_of("text_config.hidden_act")
    return {"activation": Setting("/".join(acts), origin)}


def _eos_token_id(config: ClipConfig) -> int | None:
    return None if config.pools_highest_id else config.text.eos_token_id


def _padding(config: ClipConfig) -> Padding | None:
    """Without a causal mask, open_clip's texts see what they are filled up with."""
    text = config.text
    return None if text.causal else Padding(text.max_position_embeddings, text.pad_id)


FAMILY = Family(
    name="clip",
    architectures=("CLIPModel", "MetaClip2Model", "OpenClipVit"),
    read_config=_read_config,
    vocab_size=lambda config: config.text.vocab_size,
    towers={
        "text": Tower(
            forward=text_forward,
            dimensions=lambda config: config.projection_dim,
            max_positions=lambda config: config.text.max_position_embeddings,
            pooling="eos",
            eos_token_id=_eos_token_id,
            causal=lambda config: config.text.causal,
            padding=_padding,
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
    model_types={"clip": "CLIPModel", _METACLIP_2: "MetaClip2Model"},
    ignored_keys=(
        r"logit_(scale|bias)",
        r"(text\.)?attn_mask",
        r"(text|vision)_model\.embeddings\.position_ids",
    ),
    normalize=True,
    fold=fold_clip,
    facts=_facts,
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
