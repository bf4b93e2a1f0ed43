"""MobileCLIP and MobileCLIP2: small CLIPs, in open_clip's layout and in Apple's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.checkpoints.mobileclip import MODEL_TYPE
from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError
from polyvec.models._blocks import mlp, run_layers
from polyvec.models._branches import fold_branches
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Tower
from polyvec.models._fastvit import FastVit, Stage, fastvit
from polyvec.models._mobileclip_names import fold_names
from polyvec.models._open_clip import (
    OpenClipText,
    fold_text,
    open_clip_image_side,
    read_open_clip_text,
)
from polyvec.models._ops import Activation, ImageOps, Tensor, TextOps
from polyvec.models._padding import Padding

_TRUNK, _HEAD = "visual.trunk", "visual.head"


@dataclass(frozen=True, slots=True)
class Vit:
    """A plain vision transformer as timm has it.

    Attributes:
        width: Of a token.
        depth: Layers.
        heads: Of attention.
        patch_size: Side of the square that becomes one token.
        layer_norm_eps: Added to variances.
        has_conv_stem: Three convolutions make the tokens, not one; places are added to them before
            the class token is there, and nothing is normalised before the first layer.
    """

    width: int
    depth: int
    heads: int
    patch_size: int
    layer_norm_eps: float
    has_conv_stem: bool

    def num_tokens(self, side: int) -> int:
        """Patches of one picture and the class token."""
        return int((side // self.patch_size) ** 2) + 1


@dataclass(frozen=True, slots=True)
class MobileClipConfig:
    """Both towers and the width of the space they share.

    Attributes:
        text: The text tower; see `OpenClipText`.
        image: Geometry of the image tower.
        image_size: Side of a picture in pixels.
        embed_dim: Length of a vector.
        convolves_text: Whether the text tower's first and last layer convolve instead of attending
            (S0); they count as layers.
    """

    text: OpenClipText
    image: FastVit | Vit
    image_size: int
    embed_dim: int
    convolves_text: bool = False


def _fastvit(
    width: int, *depths: int, num_attending: int = 1, num_squeezing: int = 0, layer_norm: bool
) -> FastVit:
    last = len(depths)
    return FastVit(
        tuple(
            Stage(
                width=width << index,
                depth=depth,
                attends=index >= last - num_attending,
                squeezes=index >= last - num_squeezing,
            )
            for index, depth in enumerate(depths)
        ),
        layer_norm=layer_norm,
    )


IMAGE_TOWERS: dict[str, FastVit | Vit] = {
    "fastvit_mci0": _fastvit(64, 2, 6, 10, 2, num_squeezing=2, layer_norm=False),
    "fastvit_mci1": _fastvit(64, 4, 12, 20, 4, num_squeezing=2, layer_norm=False),
    "fastvit_mci2": _fastvit(80, 4, 12, 24, 4, num_squeezing=2, layer_norm=False),
    "fastvit_mci3": _fastvit(96, 2, 12, 24, 4, 2, num_attending=2, layer_norm=True),
    "fastvit_mci4": _fastvit(128, 2, 12, 24, 4, 4, num_attending=2, layer_norm=True),
    "vit_base_mci_224": Vit(768, 12, 12, 16, 1e-6, has_conv_stem=True),
    "vit_large_patch14_clip_224": Vit(1024, 24, 16, 14, 1e-5, has_conv_stem=False),
}
"""By timm's name. Source: timm.models.fastvit, vision_transformer_hybrid, vision_transformer."""

APPLE_IMAGE_TOWERS = {
    **{f"mci{index}": IMAGE_TOWERS[f"fastvit_mci{index}"] for index in range(3)},
    # The same tower in Apple's code adds more to variances than timm's.
    "vit_b16": Vit(768, 12, 12, 16, 1e-5, has_conv_stem=True),
}


# Reading the config.


def _read_config(raw: Mapping[str, Any]) -> MobileClipConfig:
    is_apple = raw.get("model_type") == MODEL_TYPE
    config = _read_apple(raw) if is_apple else _read_open_clip(raw)
    heads(config.text.width, config.text.heads)
    if config.text.pool_type != "argmax" or config.text.proj_bias:
        raise CheckpointError("text_cfg: only pool_type argmax without proj_bias is supported")
    return config


def _read_open_clip(raw: Mapping[str, Any]) -> MobileClipConfig:
    vision = raw["vision_cfg"]
    pools = ("avg", "token")
    if vision.get("timm_proj") not in (None, "") or vision.get("timm_pool") not in pools:
        raise CheckpointError(
            "open_clip_config.json: vision_cfg: only timm_pool avg or token, with timm_proj null, "
            "is supported"
        )
    return MobileClipConfig(
        text=read_open_clip_text(raw),
        image=_known(IMAGE_TOWERS, vision.get("timm_model_name"), "vision_cfg: timm_model_name"),
        image_size=open_clip_image_side(raw),
        embed_dim=_embed_dim(raw),
    )


def _read_apple(raw: Mapping[str, Any]) -> MobileClipConfig:
    image, said = raw["image_cfg"], raw["text_cfg"]
    counts = said.get("n_heads_per_layer")
    head_counts = set(counts) if isinstance(counts, list) else {counts}
    if len(head_counts) != 1:
        raise CheckpointError("config.json: n_heads_per_layer must be the same for all layers")
    convolves = _known({"base": False, "mct": True}, said["model_name"], "text_cfg: model_name")
    found = {
        **{key: said.get(key) for key in ("context_length", "vocab_size")},
        "width": said.get("dim"),
        "heads": head_counts.pop(),
        "layers": said.get("n_transformer_layers"),
        "no_causal_mask": said.get("causal_masking") is False,
    }
    text = read_config(OpenClipText, found, where="config.json: text_cfg")
    return MobileClipConfig(
        text=text,
        image=_known(APPLE_IMAGE_TOWERS, image["model_name"], "image_cfg: model_name"),
        image_size=int(image["image_size"]),
        embed_dim=_embed_dim(raw),
        convolves_text=convolves,
    )


def _known(choices: Mapping[str, Any], name: Any, where: str) -> Any:
    if name not in choices:
        raise CheckpointError(
            f"{where} {name!r} is not supported; supported: {', '.join(choices)}", param="config"
        )
    return choices[name]


def _embed_dim(raw: Mapping[str, Any]) -> int:
    @dataclass(frozen=True)
    class Shared:
        embed_dim: int = 512

    return read_config(Shared, raw, where="embed_dim").embed_dim


def _fold(weights: Weights) -> Weights:
    return fold_text(fold_branches(fold_names(weights)))


# Texts.


def text_forward(ops: TextOps, config: MobileClipConfig) -> Tensor:
    """Pre-norm encoder; the end-of-text state is projected.

    Source: https://arxiv.org/abs/2311.17049, open_clip TextTransformer, ml-mobileclip
    TextTransformer.
    """
    text = config.text
    stem = "text_model.embeddings"
    x = ops.embedding(ops.token_ids(), f"{stem}.token_embedding", rows=text.vocab_size)
    places = ops.embedding(ops.positions(), f"{stem}.position_embedding", rows=text.context_length)
    x = _text_layers(ops, ops.add(x, places), config)
    x = ops.layer_norm(x, "text_model.final_layer_norm", eps=text.layer_norm_eps)
    return ops.linear(x, "text_projection", bias=False)


def _text_layers(ops: TextOps, x: Tensor, config: MobileClipConfig) -> Tensor:
    text = config.text
    act = activation(text.activation)
    count = text.layers + (2 if config.convolves_text else 0)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        at = f"text_model.encoder.layers.{index}"
        if config.convolves_text and index in (0, count - 1):
            return _convolving_layer(ops, context, at, act, picked=picked)
        keys = ops.layer_norm(context, f"{at}.layer_norm1", eps=text.layer_norm_eps)
        asking = ops.layer_norm(x, f"{at}.layer_norm1", eps=text.layer_norm_eps) if picked else keys
        attended = ops.attention(
            ops.linear(asking, f"{at}.self_attn.q_proj"),
            ops.linear(keys, f"{at}.self_attn.k_proj"),
            ops.linear(keys, f"{at}.self_attn.v_proj"),
            heads=text.heads,
            causal=text.causal,
            picked=picked,
        )
        x = ops.add(x, ops.linear(attended, f"{at}.self_attn.out_proj"))
        normed = ops.layer_norm(x, f"{at}.layer_norm2", eps=text.layer_norm_eps)
        return ops.add(x, mlp(ops, normed, f"{at}.mlp.fc1", f"{at}.mlp.fc2", act))

    return run_layers(ops, x, layer, count)


def _convolving_layer(ops: TextOps, x: Tensor, at: str, act: Activation, *, picked: bool) -> Tensor:
    """Tokens are mixed with near ones; padding is mixed in like any other token."""
    x = ops.convolve_tokens(x, f"{at}.token_mixer.reparam_conv")
    near = ops.convolve_tokens(x, f"{at}.mlp.conv.conv")
    if picked:
        x, near = ops.pick(x), ops.pick(near)
    return ops.add(x, mlp(ops, near, f"{at}.mlp.fc1", f"{at}.mlp.fc2", act))


# Pictures.


def image_forward(ops: ImageOps, config: MobileClipConfig) -> Tensor:
    """FastViT or a plain vision transformer, projected."""
    if isinstance(config.image, FastVit):
        return fastvit(ops, config.image, _TRUNK, _HEAD, side=config.image_size)
    return _vit(ops, config.image)


def _vit(ops: ImageOps, tower: Vit) -> Tensor:
    """Pre-norm encoder; the class token's state is projected.

    Source: timm.models.vision_transformer, vision_transformer_hybrid.ConvStem.
    """
    eps = tower.layer_norm_eps
    x = ops.grid_tokens(_patches(ops, tower))
    places = ops.parameter(f"{_TRUNK}.pos_embed")
    if tower.has_conv_stem:
        x = ops.prepend(ops.add(x, places), f"{_TRUNK}.cls_token")
    else:
        x = ops.add(ops.prepend(x, f"{_TRUNK}.cls_token"), places)
        x = ops.layer_norm(x, f"{_TRUNK}.norm_pre", eps=eps)

    def layer(x: Tensor, context: Tensor, index: int, picked: bool) -> Tensor:  # noqa: FBT001
        at = f"{_TRUNK}.blocks.{index}"
        keys = ops.layer_norm(context, f"{at}.norm1", eps=eps)
        asking = ops.layer_norm(x, f"{at}.norm1", eps=eps) if picked else keys
        q, k, v = (
            ops.linear(
                tokens, f"{at}.attn.qkv", rows=(part * tower.width, (part + 1) * tower.width)
            )
            for part, tokens in enumerate((asking, keys, keys))
        )
        attended = ops.attention(q, k, v, heads=tower.heads, picked=picked)
        x = ops.add(x, ops.linear(attended, f"{at}.attn.proj"))
        normed = ops.layer_norm(x, f"{at}.norm2", eps=eps)
        return ops.add(x, mlp(ops, normed, f"{at}.mlp.fc1", f"{at}.mlp.fc2", "gelu"))

    x = run_layers(ops, x, layer, tower.depth)
    return ops.linear(ops.layer_norm(x, f"{_TRUNK}.norm", eps=eps), _HEAD)


def _patches(ops: ImageOps, tower: Vit) -> Tensor:
    at = f"{_TRUNK}.patch_embed"
    if not tower.has_conv_stem:
        return ops.conv2d(ops.pixels(), f"{at}.proj", stride=tower.patch_size)
    x = ops.conv2d(ops.pixels(), f"{at}.backbone.0.conv", stride=4, bias=True)
    x = ops.conv2d(ops.activation(x, "gelu"), f"{at}.backbone.1.conv", stride=2, bias=True)
    return ops.conv2d(ops.activation(x, "gelu"), f"{at}.backbone.2.conv", stride=2, bias=True)


def _padding(config: MobileClipConfig) -> Padding | None:
    """Without a causal mask nothing is masked, so padding is part of what the model reads."""
    text = config.text
    return None if text.causal else Padding(text.context_length, text.pad_id)


FAMILY = Family(
    name="mobileclip",
    architectures=("OpenClipFastVit", "OpenClipVitMci", "OpenClipVitClip", "MobileCLIP"),
    read_config=_read_config,
    vocab_size=lambda config: config.text.vocab_size,
    towers={
        "text": Tower(
            forward=text_forward,
            dimensions=lambda config: config.embed_dim,
            max_positions=lambda config: config.text.context_length,
            pooling="eos",
            causal=lambda config: config.text.causal,
            padding=_padding,
        ),
        "image": Tower(
            forward=image_forward,
            dimensions=lambda config: config.embed_dim,
            max_positions=lambda config: config.image.num_tokens(config.image_size),
            pooling="cls",
            image_size=lambda config: config.image_size,
            image_processor="CLIPImageProcessor",
        ),
    },
    key_prefixes=(),
    ignored_keys=(r"logit_(scale|bias)", r"(text\.)?attn_mask", r".*\.num_batches_tracked"),
    normalize=True,
    fold=_fold,
    source="https://arxiv.org/abs/2311.17049",
    aliases={
        "MobileCLIP/mobileclip_s0": "apple/MobileCLIP-S0",
        "MobileCLIP/mobileclip_s1": "apple/MobileCLIP-S1-OpenCLIP",
        "MobileCLIP/mobileclip_s2": "apple/MobileCLIP-S2-OpenCLIP",
        "MobileCLIP/mobileclip_b": "apple/MobileCLIP-B-OpenCLIP",
        "MobileCLIP/mobileclip_blt": "apple/MobileCLIP-B-LT-OpenCLIP",
    },
    tiny={
        "architectures": ["OpenClipFastVit"],
        "model_type": "open_clip",
        "embed_dim": 24,
        "vision_cfg": {
            "timm_model_name": "fastvit_mci0",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": None,
            "timm_drop": 0.0,
            "timm_drop_path": 0.0,
            "image_size": 64,
        },
        "text_cfg": {
            "context_length": 20,
            "vocab_size": 200,
            "width": 32,
            "heads": 4,
            "layers": 2,
            "no_causal_mask": True,
        },
        "custom_text": True,
        "preprocess_cfg": {
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
            "interpolation": "bilinear",
            "resize_mode": "shortest",
        },
    },
)
