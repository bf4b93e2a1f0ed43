"""open_clip's configs and tensor names → those that transformers has for the same towers.

Architectures are then written once, against the names of transformers.

Source: https://github.com/mlfoundations/open_clip, model.py and transformer.py.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyvec.checkpoints.open_clip import FILE, MODEL_TYPE
from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError
from polyvec.models._config import read_config

_TEXT = f"{FILE}: text_cfg"
_VISION = f"{FILE}: vision_cfg"
_POOLS = ("argmax", "eos", "last")
_EPS = 1e-5
# What open_clip understands and no published file that is supported here asks for → the values
# that ask for nothing. A key that is neither here nor read by a tower is one open_clip refuses.
_OFF: Mapping[str, tuple[object, ...]] = {
    "ls_init_value": (None,),
    "block_type": (None, "default"),
    **dict.fromkeys(
        ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn", "scale_attn_inner"),
        (False, None),
    ),
    "scale_fc": (False, None),
    "embed_cls": (False, None),
    "proj_type": ("linear", None),
    "tokenizer_mode": (None, ""),
    "attentional_pool": (False, None),
    "no_ln_pre": (False, None),
    "pos_embed_type": ("learnable", None),
}
_INERT = frozenset(
    (
        "mlp_ratio",  # the weights have the width
        "final_ln_after_pool",  # the same for one token as before it
        "output_tokens",
        "patch_dropout",
        "timm_model_pretrained",
        "timm_drop",
        "timm_drop_path",
        "hf_tokenizer_name",
        "hf_model_pretrained",
        "hf_proj_type",
        "hf_pooler_type",
        "attn_pooler_queries",
        "attn_pooler_heads",
        "timm_pool",
        "timm_proj",
        "timm_proj_bias",
    )
)


@dataclass(frozen=True, slots=True)
class OpenClipText:
    """A text tower; defaults are CLIPTextCfg's own.

    Attributes:
        context_length: Tokens that a text may have, and its padded length without `causal`.
        activation: transformers' name for it.
        causal: Whether a token sees only what stands before it. Otherwise it sees padding as well:
            every text is padded to ``context_length`` and nothing is masked.
        pool_type: ``argmax`` (the highest id), ``eos`` (the first `eos_id`) or ``last`` (the last
            place of the padded text).
        proj_bias: Whether the projection has a bias.
    """

    context_length: int = 77
    vocab_size: int = 49408
    width: int = 512
    heads: int = 8
    layers: int = 12
    pad_id: int = 0
    eos_id: int = 2
    pool_type: str = "argmax"
    proj_bias: bool = False
    no_causal_mask: bool = False
    activation: str = "gelu"
    layer_norm_eps: float = _EPS

    @property
    def causal(self) -> bool:
        """Whether a token sees only what stands before it."""
        return not self.no_causal_mask


@dataclass(frozen=True, slots=True)
class OpenClipVit:
    """An image tower of open_clip's own; defaults are CLIPVisionCfg's."""

    layers: int = 12
    width: int = 768
    head_width: int = 64
    patch_size: int = 16
    image_size: int = 224
    pool_type: str = "tok"
    activation: str = "gelu"
    layer_norm_eps: float = _EPS


def read_open_clip_text(raw: Mapping[str, Any]) -> OpenClipText:
    """The text tower that ``text_cfg`` describes.

    Raises:
        CheckpointError: It says what is not known, or asks for what is not supported.
    """
    said = raw["text_cfg"]
    _check_keys(said, OpenClipText, _TEXT)
    text = read_config(OpenClipText, {**said, **_shared(raw, said, _TEXT)}, where=_TEXT)
    if text.pool_type not in _POOLS:
        raise _unsupported(_TEXT, "pool_type", text.pool_type, ", ".join(_POOLS))
    return text


def read_open_clip_vit(raw: Mapping[str, Any]) -> OpenClipVit:
    """The image tower that ``vision_cfg`` describes, where it is not one of timm's.

    Raises:
        CheckpointError: It says what is not known, or asks for what is not supported.
    """
    said = raw["vision_cfg"]
    _check_keys(said, OpenClipVit, _VISION)
    found = {**said, "image_size": open_clip_image_side(raw)}
    vision = read_config(OpenClipVit, found | _shared(raw, said, _VISION), where=_VISION)
    if vision.pool_type != "tok":
        raise _unsupported(_VISION, "pool_type", vision.pool_type, "tok")
    if not vision.head_width or vision.width % vision.head_width:
        raise _unsupported(_VISION, "head_width", vision.head_width, f"a part of {vision.width}")
    return vision


def open_clip_image_side(raw: Mapping[str, Any]) -> int:
    """Side of the pictures that the image tower reads.

    Raises:
        CheckpointError: They are not square.
    """
    side = raw["vision_cfg"].get("image_size", 224)
    if isinstance(side, list) and len(set(side)) == 1:
        side = side[0]
    if type(side) is not int or side < 1:
        raise _unsupported(_VISION, "image_size", side, "square pictures")
    return side


def as_clip_config(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same model as transformers' CLIPConfig describes it; one of its own comes back as it is.

    Raises:
        CheckpointError: It is more than a plain CLIP.
    """
    if raw.get("model_type") != MODEL_TYPE:
        return raw
    text, vision = read_open_clip_text(raw), read_open_clip_vit(raw)
    if text.proj_bias:
        raise _unsupported(_TEXT, "proj_bias", True, "false")
    if text.pool_type == "last":
        raise _unsupported(_TEXT, "pool_type", text.pool_type, "argmax, eos")
    return {
        "projection_dim": raw.get("embed_dim"),
        "text_config": {
            "vocab_size": text.vocab_size,
            "hidden_size": text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.context_length,
            "hidden_act": text.activation,
            "layer_norm_eps": text.layer_norm_eps,
            "causal": text.causal,
            "pad_id": text.pad_id,
            "eos_token_id": text.eos_id,
            "pools_highest_id": text.pool_type == "argmax",
        },
        "vision_config": {
            "hidden_size": vision.width,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.width // vision.head_width,
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "hidden_act": vision.activation,
            "layer_norm_eps": vision.layer_norm_eps,
        },
    }


def quick_gelu_origin(raw: Mapping[str, Any], origin_of: Callable[[str], str]) -> str | None:
    """What says which activation the weights were trained with; None for another layout."""
    if raw.get("model_type") != MODEL_TYPE:
        return None
    key = origin_of("quick_gelu")
    if raw.get("quick_gelu") is None:
        return f"default without {key}"
    return key if key.startswith("--") else raw.get("quick_gelu_origin", key)


def _shared(raw: Mapping[str, Any], said: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What open_clip derives alike for both towers."""
    quick = raw.get("quick_gelu")
    if quick not in (None, True, False):
        raise _unsupported(FILE, "quick_gelu", quick, "true, false")
    acts: dict[Any, str] = {None: "quick_gelu" if quick else "gelu"}
    if not quick:
        acts |= {"none": "gelu", "tanh": "gelu_pytorch_tanh"}
    act_kwargs, norm_kwargs = said.get("act_kwargs") or {}, said.get("norm_kwargs") or {}
    if set(act_kwargs) - {"approximate"} or act_kwargs.get("approximate") not in acts:
        raise _unsupported(where, "act_kwargs", act_kwargs, 'null, {"approximate": "tanh"}')
    if set(norm_kwargs) - {"eps"}:
        raise _unsupported(where, "norm_kwargs", norm_kwargs, 'null, {"eps": ...}')
    return {
        "activation": acts[act_kwargs.get("approximate")],
        "layer_norm_eps": norm_kwargs.get("eps", _EPS),
    }


def _check_keys(said: Mapping[str, Any], cls: type, where: str) -> None:
    own = set(cls.__dataclass_fields__) - {"activation", "layer_norm_eps"}  # type: ignore[attr-defined]
    read = own | {"act_kwargs", "norm_kwargs", "tokenizer_kwargs"}
    for key, value in said.items():
        if key in read or key in _INERT or (value is None and key.startswith(("timm_", "hf_"))):
            continue
        if key not in _OFF:
            raise CheckpointError(f"{where}: {key} is not known", param=key)
        if value not in _OFF[key]:
            raise _unsupported(where, key, value, str(_OFF[key][0]))


def _unsupported(where: str, key: str, value: Any, supported: str) -> CheckpointError:
    return CheckpointError(
        f"{where}: {key} {value!r} is not supported; supported: {supported}", param=key
    )


# Tensors.

_LAYERS = (
    (r"\.attn\.in_proj_", ".self_attn.qkv_proj."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.ln_1\.", ".layer_norm1."),
    (r"\.ln_2\.", ".layer_norm2."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
_TEXT_NAMES = (
    (r"(text\.)?token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"(text\.)?positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"(text\.)?transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"(text\.)?ln_final\.", "text_model.final_layer_norm."),
)
_VIT_NAMES = (
    (r"visual\.conv1\.", "vision_model.embeddings.patch_embedding."),
    (r"visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"visual\.transformer\.resblocks\.", "vision_model.encoder.layers."),
    (r"visual\.ln_pre\.", "vision_model.pre_layrnorm."),
    (r"visual\.ln_post\.", "vision_model.post_layernorm."),
)
_FUSED = re.compile(r"(.*\.self_attn)\.qkv_proj\.(weight|bias)")


def fold_text(weights: Weights, projection: str = "text_projection") -> Weights:
    """open_clip's names of a text tower → transformers'; other tensors stay as they are.

    Args:
        weights: As published, with or without ``text.`` before the names.
        projection: What the tower that reads them calls its projection.

    Raises:
        CheckpointError: A fused tensor does not split.
    """
    ends = ((r"(text\.)?text_projection\.(?=weight$|bias$)", f"{projection}."),)
    weights = _folded(weights, (*_TEXT_NAMES, *ends), "text_model.encoder.layers.")
    for bare in ("text_projection", "text.text_projection"):
        weights = _transposed(weights, bare, f"{projection}.weight")
    return weights


def fold_vit(weights: Weights) -> Weights:
    """open_clip's names of its own image tower → transformers' CLIPVisionModel's.

    Raises:
        CheckpointError: A fused tensor does not split.
    """
    weights = _folded(weights, _VIT_NAMES, "vision_model.encoder.layers.")
    return _transposed(weights, "visual.proj", "visual_projection.weight")


def fold_clip(weights: Weights) -> Weights:
    """Both towers; see `fold_text` and `fold_vit`."""
    return fold_vit(fold_text(weights))


def _folded(weights: Weights, starts: tuple[tuple[str, str], ...], layers: str) -> Weights:
    weights = weights.named(_renamer(starts, layers))
    parts = {}
    for name in weights:
        found = _FUSED.fullmatch(name)
        if found and name.startswith(layers):
            parts[name] = [f"{found[1]}.{part}_proj.{found[2]}" for part in "qkv"]
    return weights.split_rows(parts)


def _renamer(starts: tuple[tuple[str, str], ...], layers: str) -> Callable[[str], str]:
    def name_of(name: str) -> str:
        for pattern, ours in starts:
            if found := re.match(pattern, name):
                name = ours + name[found.end() :]
                break
        if name.startswith(layers):
            for pattern, ours in _LAYERS:
                name = re.sub(pattern, ours, name)
        return name

    return name_of


def _transposed(weights: Weights, name: str, ours: str) -> Weights:
    if name not in weights:
        return weights
    turned = np.ascontiguousarray(weights.float32(name).T)
    return weights.joined({ours: turned}, instead_of=(name,))
