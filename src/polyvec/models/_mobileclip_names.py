"""Tensor names of Apple's own MobileCLIP code → those of timm and open_clip.

Source: https://github.com/apple/ml-mobileclip, models/mci.py, models/vit.py, text_encoder.py.
"""

import re
from collections.abc import Callable, Iterable

import numpy as np

from polyvec.checkpoints.weights import Weights

Renames = tuple[tuple[str, str], ...]

_IMAGE = "image_encoder.model."
_TEXT = "text_encoder."
_HEAD = "visual.head"
_TABLES = {"text.positional_embedding": 2, "visual.trunk.pos_embed": 3}
"""Tables of places → their axes in timm and open_clip."""

# Branches, in both towers.
_BRANCHES: Renames = (
    (r"\brbr_conv\b", "conv_kxk"),
    (r"\brbr_scale\b", "conv_scale"),
    (r"\brbr_skip\b", "identity"),
    (r"\blkb_origin\b", "large_conv"),
    (r"\blkb_reparam\b", "reparam_conv"),
    (r"\bconvffn\b", "mlp"),
    (r"\bse\.reduce\b", "se.fc1"),
    (r"\bse\.expand\b", "se.fc2"),
    (r"\b(layer_scale(?:_[12])?)$", r"\1.gamma"),
)
_IMAGE_NAMES: Renames = (
    (r"^patch_embed\.", "stem."),
    (r"^conv_exp\.", "final_conv."),
    # The plain transformer's.
    (r"^patch_emb\.(\d+)\.block\.conv\.", r"patch_embed.backbone.\1.conv."),
    (r"^patch_emb\.(\d+)\.block\.norm\.", r"patch_embed.backbone.\1.bn."),
    (r"^pos_embed\.pos_embed\.pos_embed$", "pos_embed"),
    (r"^post_transformer_norm\.", "norm."),
    (r"^transformer\.(\d+)\.", r"blocks.\1."),
    (r"\.pre_norm_mha\.0\.", ".norm1."),
    (r"\.pre_norm_mha\.1\.qkv_proj\.", ".attn.qkv."),
    (r"\.pre_norm_mha\.1\.out_proj\.", ".attn.proj."),
    (r"\.pre_norm_ffn\.0\.", ".norm2."),
    (r"\.pre_norm_ffn\.1\.", ".mlp.fc1."),
    (r"\.pre_norm_ffn\.4\.", ".mlp.fc2."),
    (r"^(?:head|classifier)\.proj$", "head.proj"),
)
_TEXT_NAMES: Renames = (
    (r"^embedding_layer\.", "token_embedding."),
    (r"^positional_embedding\.pos_embed\.pos_embed$", "positional_embedding"),
    (r"^transformer\.", "transformer.resblocks."),
    (r"^final_layer_norm\.", "ln_final."),
    (r"^projection_layer$", "text_projection"),
    (r"\.pre_norm_mha\.0\.", ".ln_1."),
    (r"\.pre_norm_mha\.1\.qkv_proj\.", ".attn.in_proj_"),
    (r"\.pre_norm_mha\.1\.out_proj\.", ".attn.out_proj."),
    (r"\.pre_norm_ffn\.0\.", ".ln_2."),
    (r"\.pre_norm_ffn\.1\.", ".mlp.c_fc."),
    (r"\.pre_norm_ffn\.4\.", ".mlp.c_proj."),
)


def fold_names(weights: Weights) -> Weights:
    """Either layout → one: ``visual.trunk.…``, ``visual.head.…`` and ``text.…``.

    Apple's projections of pictures are stored turned over and have no bias; they get one of zeros.
    """
    weights = weights.named(_renamer(weights))
    bare = f"{_HEAD}.proj"
    if bare in weights:
        turned = np.ascontiguousarray(weights.float32(bare).T)
        made = {f"{_HEAD}.weight": turned, f"{_HEAD}.bias": np.zeros(len(turned), np.float32)}
        weights = weights.joined(made, instead_of=(bare,))
    # Apple's tables of places have more axes.
    tables = {name: weights.float32(name) for name in _TABLES if name in weights}
    deep = {name: table for name, table in tables.items() if table.ndim > _TABLES[name]}
    flat = {
        name: np.array(table.reshape(table.shape[-_TABLES[name] :])) for name, table in deep.items()
    }
    weights = weights.joined(flat, instead_of=deep) if deep else weights
    return weights


def _renamer(names: Iterable[str]) -> Callable[[str], str]:
    # The network is one flat list in Apple's code; a stage begins where the map is made smaller.
    starts = sorted({int(found[1]) for name in names if (found := _STAGE_START.match(name))})

    def name_of(name: str) -> str:
        if name.startswith(_IMAGE):
            name = _renamed(name.removeprefix(_IMAGE), (*_BRANCHES, *_IMAGE_NAMES))
            name = f"visual.trunk.{_in_stages(name, starts)}"
        elif name.startswith(_TEXT):
            name = "text." + _renamed(name.removeprefix(_TEXT), (*_BRANCHES, *_TEXT_NAMES))
        return re.sub(r"^visual\.trunk\.head\.(?:fc\.)?", f"{_HEAD}.", name)

    return name_of


_STAGE_START = re.compile(rf"{re.escape(_IMAGE)}network\.(\d+)\.proj\.")


def _renamed(name: str, renames: Renames) -> str:
    for pattern, ours in renames:
        name = re.sub(pattern, ours, name)
    return name


def _in_stages(name: str, starts: list[int]) -> str:
    found = re.match(r"network\.(\d+)\.", name)
    if found is None:
        return name
    stage = f"stages.{sum(start <= int(found[1]) for start in starts)}"
    rest = name[found.end() :]
    if rest.startswith("proj."):
        return f"{stage}.downsample.{rest}"
    if rest.startswith("pe."):
        return f"{stage}.pos_emb.pos_enc.{rest.removeprefix('pe.')}"
    if rest.startswith("reparam_conv."):
        return f"{stage}.pos_emb.{rest}"
    return f"{stage}.blocks.{rest}"
