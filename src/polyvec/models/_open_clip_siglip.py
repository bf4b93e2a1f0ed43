"""SigLIP as open_clip publishes it, over timm's image tower → transformers' config and names.

Source: https://github.com/mlfoundations/open_clip, timm_model.py;
https://github.com/huggingface/pytorch-image-models, vision_transformer.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.checkpoints.open_clip import FILE, MODEL_TYPE
from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError
from polyvec.models._open_clip import fold_text, open_clip_image_side, read_open_clip_text


@dataclass(frozen=True, slots=True)
class TimmTower:
    """The geometry that timm's name of an image tower stands for."""

    width: int
    layers: int
    heads: int


TOWERS: dict[str, TimmTower] = {
    "base": TimmTower(768, 12, 12),
    "large": TimmTower(1024, 24, 16),
    "so400m": TimmTower(1152, 27, 16),
    "giantopt": TimmTower(1536, 40, 16),
}
_NAME = re.compile(r"vit_([a-z0-9]+)_patch(\d+)_siglip_(\d+)")
# Towers that were added before timm told the two forms of GELU apart compute the exact one, with
# weights of either version; of the others, it does not matter which picture size they are for.
_EXACT_GELU = frozenset(
    (
        *(("base", 16, side) for side in (224, 256, 384, 512)),
        *(("large", 16, side) for side in (256, 384)),
        *(("so400m", 14, side) for side in (224, 378, 384)),
    )
)
_EPS = 1e-6


def as_siglip_config(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same model as transformers' SiglipConfig describes it; one of its own stays as it is.

    Raises:
        CheckpointError: It is another kind of model.
    """
    if raw.get("model_type") != MODEL_TYPE:
        return raw
    text = read_open_clip_text(raw)
    for key, found, needed in (
        ("pool_type", text.pool_type, "last"),
        ("no_causal_mask", text.no_causal_mask, True),
        ("proj_bias", text.proj_bias, True),
    ):
        if found != needed:
            raise _unsupported(f"text_cfg: {key}", found, needed)
    return {
        "text_config": {
            "vocab_size": text.vocab_size,
            "hidden_size": text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.context_length,
            "hidden_act": text.activation,
            "layer_norm_eps": text.layer_norm_eps,
            "projection_size": raw.get("embed_dim"),
            "pad_token_id": text.pad_id,
        },
        "vision_config": _vision(raw),
    }


def _vision(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    said = raw["vision_cfg"]
    # open_clip's own defaults are another pooling and a projection.
    for key, default, needed in (("timm_pool", "avg", "map"), ("timm_proj", "linear", "none")):
        found = said.get(key, default)
        if (found or "none") != needed:
            raise _unsupported(f"vision_cfg: {key}", found, needed)
    found = _NAME.fullmatch(str(said.get("timm_model_name")))
    if found is None or found[1] not in TOWERS:
        known = ", ".join(f"vit_{size}_patch*_siglip_*" for size in TOWERS)
        raise _unsupported("vision_cfg: timm_model_name", said.get("timm_model_name"), known)
    tower, patch, side = TOWERS[found[1]], int(found[2]), int(found[3])
    exact = (found[1], patch, side) in _EXACT_GELU
    return {
        "hidden_size": tower.width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "image_size": open_clip_image_side(raw),
        "patch_size": patch,
        "hidden_act": "gelu" if exact else "gelu_pytorch_tanh",
        "layer_norm_eps": _EPS,
    }


def _unsupported(key: str, found: Any, supported: Any) -> CheckpointError:
    return CheckpointError(f"{FILE}: {key} {found!r} is not supported; supported: {supported!r}")


# Tensors.

_TRUNK = "visual.trunk."
_NAMES = (
    (r"patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"blocks\.(\d+)\.norm([12])\.", r"encoder.layers.\1.layer_norm\2."),
    (r"blocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.\1.self_attn.qkv."),
    (r"blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.out_proj."),
    (r"blocks\.(\d+)\.mlp\.", r"encoder.layers.\1.mlp."),
    (r"norm\.", "post_layernorm."),
    (r"attn_pool\.latent$", "head.probe"),
    (r"attn_pool\.q\.", "head.attention.q_proj."),
    (r"attn_pool\.kv\.", "head.attention.kv."),
    (r"attn_pool\.proj\.", "head.attention.out_proj."),
    (r"attn_pool\.norm\.", "head.layernorm."),
    (r"attn_pool\.mlp\.", "head.mlp."),
)
_FUSED = re.compile(r"(vision_model\..*)\.(qkv|kv|in_proj)[._](weight|bias)")


def fold_siglip(weights: Weights) -> Weights:
    """Either layout → one projection each for queries, keys and values, by transformers' names.

    Raises:
        CheckpointError: A fused tensor does not split.
    """
    weights = fold_text(weights, projection="text_model.head").named(_vision_name)
    places = f"{_TRUNK}pos_embed"
    if places in weights:
        table = weights.float32(places)
        ours = "vision_model.embeddings.position_embedding.weight"
        weights = weights.joined({ours: table.reshape(table.shape[-2:])}, instead_of=(places,))
    parts = {}
    for name in weights:
        if found := _FUSED.fullmatch(name):
            kinds = "qkv" if found[2] == "in_proj" else found[2]
            parts[name] = [f"{found[1]}.{kind}_proj.{found[3]}" for kind in kinds]
    return weights.split_rows(parts)


def _vision_name(name: str) -> str:
    if not name.startswith(_TRUNK):
        return name
    rest = name.removeprefix(_TRUNK)
    for pattern, ours in _NAMES:
        if found := re.match(pattern, rest):
            return f"vision_model.{found.expand(ours)}{rest[found.end() :]}"
    return name
