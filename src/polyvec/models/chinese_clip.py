"""Chinese-CLIP: CLIP's vision transformer beside a BERT for texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._bert_layers import post_norm_layers
from polyvec.models._clip_towers import (
    VisionConfig,
    read_projection_dim,
    read_vision_config,
    section,
    vit,
)
from polyvec.models._config import heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._ops import ImageOps, Tensor, TextOps

_TRAINED_TOKENS = 52
"""Texts of more tokens were never seen in training; the reference cuts them.

Source: https://github.com/OFA-Sys/Chinese-CLIP, cn_clip.clip.tokenize.
"""


@dataclass(frozen=True, slots=True)
class TextConfig:
    """What the text tower reads; defaults are ChineseCLIPTextConfig's own."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 512
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    position_embedding_type: str = "absolute"


@dataclass(frozen=True, slots=True)
class ChineseClipConfig:
    """Both towers and the width of the space they share."""

    text: TextConfig
    vision: VisionConfig
    projection_dim: int


def _read_config(raw: Mapping[str, Any]) -> ChineseClipConfig:
    where = "config.json: text_config"
    text = read_config(TextConfig, section(raw, "text_config"), where=where)
    heads(text.hidden_size, text.num_attention_heads)
    if text.position_embedding_type != "absolute":
        raise CheckpointError(
            f"{where}: position_embedding_type {text.position_embedding_type!r} is not supported; "
            "supported: absolute",
            param="position_embedding_type",
        )
    return ChineseClipConfig(text, read_vision_config(raw), read_projection_dim(raw))


def text_forward(ops: TextOps, config: ChineseClipConfig) -> Tensor:
    """BERT; the first token's state is projected.

    Source: https://arxiv.org/abs/2211.01335, transformers ChineseCLIPModel.get_text_features.
    """
    text = config.text
    stem = "text_model.embeddings"
    x = ops.embedding(ops.token_ids(), f"{stem}.word_embeddings", rows=text.vocab_size)
    table = f"{stem}.position_embeddings"
    x = ops.add(x, ops.embedding(ops.positions(), table, rows=text.max_position_embeddings))
    x = ops.add(x, ops.first_row(f"{stem}.token_type_embeddings"))
    x = ops.layer_norm(x, f"{stem}.LayerNorm", eps=text.layer_norm_eps)
    x = post_norm_layers(ops, x, text, "text_model.encoder.layer")
    return ops.linear(x, "text_projection", bias=False)


def image_forward(ops: ImageOps, config: ChineseClipConfig) -> Tensor:
    """CLIP's vision transformer; the class token's state is projected.

    Source: https://arxiv.org/abs/2211.01335, transformers ChineseCLIPModel.get_image_features.
    """
    return ops.linear(vit(ops, config.vision), "visual_projection", bias=False)


FAMILY = Family(
    name="chinese_clip",
    architectures=("ChineseCLIPModel",),
    read_config=_read_config,
    vocab_size=lambda config: config.text.vocab_size,
    towers={
        "text": Tower(
            forward=text_forward,
            dimensions=lambda config: config.projection_dim,
            max_positions=lambda config: config.text.max_position_embeddings,
            trained_tokens=_TRAINED_TOKENS,
            pooling="cls",
            fixed_pooling=True,
        ),
        "image": Tower(
            forward=image_forward,
            dimensions=lambda config: config.projection_dim,
            max_positions=lambda config: config.vision.num_tokens,
            pooling="cls",
            image_size=lambda config: config.vision.image_size,
            image_processor="ChineseCLIPImageProcessor",
        ),
    },
    key_prefixes=(),
    model_types={"chinese_clip": "ChineseCLIPModel"},
    ignored_keys=(
        r"logit_scale",
        r"text_model\.pooler\..*",
        r"(text|vision)_model\.embeddings\.(position|token_type)_ids",
    ),
    normalize=True,
    source="https://arxiv.org/abs/2211.01335",
    aliases={
        "CN-CLIP/cn-clip-vit-b-16": "OFA-Sys/chinese-clip-vit-base-patch16",
        "CN-CLIP/cn-clip-vit-l-14": "OFA-Sys/chinese-clip-vit-large-patch14",
        "CN-CLIP/cn-clip-vit-h-14": "OFA-Sys/chinese-clip-vit-huge-patch14",
    },
    tiny={
        "architectures": ["ChineseCLIPModel"],
        "model_type": "chinese_clip",
        "initializer_factor": 1.0,
        "logit_scale_init_value": 2.6592,
        "projection_dim": 24,
        "text_config": {
            "architectures": ["ChineseCLIPTextModel"],
            "model_type": "chinese_clip_text_model",
            "hidden_act": "gelu",
            "hidden_size": 32,
            "intermediate_size": 64,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "pad_token_id": 0,
            "type_vocab_size": 2,
            "vocab_size": 200,
        },
        "text_config_dict": None,
        "vision_config": {
            "model_type": "chinese_clip_vision_model",
            "hidden_act": "quick_gelu",
            "hidden_size": 48,
            "image_size": 32,
            "intermediate_size": 64,
            "layer_norm_eps": 1e-5,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "patch_size": 8,
        },
        "vision_config_dict": None,
        "torch_dtype": "float32",
    },
)
