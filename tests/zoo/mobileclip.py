"""Tiny MobileCLIP checkpoints in both published layouts.

Tensors are drawn by numpy's RandomState, whose stream never changes, so golden vectors stay valid.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from polyvec.models._fastvit import FastVit, Stage
from polyvec.models.mobileclip import Vit
from tests import tiny
from tests.zoo.mobileclip_towers import EMBED_DIM, SIDE, TEXT, FastVitTower, TextTower, VitTower

TOWERS: dict[str, FastVit | Vit] = {
    "fastvit_tiny": FastVit(
        (
            Stage(16, 1),
            Stage(32, 2),
            Stage(64, 2, squeezes=True),
            Stage(128, 1, attends=True, squeezes=True),
        )
    ),
    "fastvit_tiny_norm": FastVit(
        (Stage(16, 1), Stage(32, 1), Stage(64, 2, attends=True), Stage(128, 1, attends=True)),
        layer_norm=True,
    ),
    "vit_tiny_mci": Vit(64, 2, 4, 16, 1e-6, has_conv_stem=True),
    "vit_tiny_clip_64": Vit(64, 2, 4, 16, 1e-5, has_conv_stem=False),
}
"""Registered under such names before a checkpoint is read, as with timm."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the published kinds, in small.

    Attributes:
        tower: Key of `TOWERS`.
        causal: Whether text tokens see only what stands before them.
        convolves: Whether the text tower has S0's convolving layers.
        folded: Whether the file was folded before it was published.
    """

    tower: str
    causal: bool = False
    convolves: bool = False
    folded: bool = False

    @property
    def is_vit(self) -> bool:
        return self.tower.startswith("vit")


KINDS = {
    "S1, S2": Kind("fastvit_tiny"),
    "S1, S2, folded": Kind("fastvit_tiny", folded=True),
    "2-S3, 2-S4": Kind("fastvit_tiny_norm"),
    "B": Kind("vit_tiny_mci", causal=True),
    "2-L-14": Kind("vit_tiny_clip_64"),
}
S0 = Kind("fastvit_tiny", convolves=True)
APPLE_KINDS = {"S0": S0, "S1, S2": KINDS["S1, S2"], "B": KINDS["B"]}
APPLE_TOWERS = {
    "mci_tiny": TOWERS["fastvit_tiny"],
    # Apple's class adds another number to variances than timm's.
    "vit_tiny": replace(TOWERS["vit_tiny_mci"], layer_norm_eps=1e-5),
}


class Reference(nn.Module):
    """Both towers."""

    def __init__(self, kind: Kind, *, seed: int = 0, tower: FastVit | Vit | None = None) -> None:
        super().__init__()
        tower = tower or TOWERS[kind.tower]
        self.visual = nn.Module()
        self.visual.trunk = (
            FastVitTower(tower, folded=kind.folded)
            if isinstance(tower, FastVit)
            else VitTower(tower)
        )
        self.text = TextTower(causal=kind.causal, convolves=kind.convolves)
        self.logit_scale = nn.Parameter(torch.zeros(()))
        self.load_state_dict(drawn(self.state_dict(), seed))
        self.eval()

    @torch.inference_mode()
    def images(self, pixels: np.ndarray) -> np.ndarray:
        return self.visual.trunk(torch.from_numpy(pixels)).numpy()

    @torch.inference_mode()
    def texts(self, ids: list[np.ndarray]) -> np.ndarray:
        return self.text(torch.from_numpy(filled(ids))).numpy()


def drawn(shapes: Mapping[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """Tensors in which every branch and every number counts."""
    rng = np.random.RandomState(seed)
    tensors = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name].shape)
        noise = rng.standard_normal(shape)
        if name.endswith("running_var"):
            noise = np.abs(noise) * 0.3 + 0.5
        elif name.endswith("gamma"):
            noise = noise * 0.3
        elif len(shape) > 1:
            noise = noise / np.sqrt(np.prod(shape[1:]))
        else:
            noise = noise * 0.1 + (1.0 if _is_norm_scale(name) else 0.0)
        tensors[name] = torch.from_numpy(np.array(noise)).to(shapes[name].dtype)
    return tensors


def _is_norm_scale(name: str) -> bool:
    return bool(re.search(r"(?:bn|identity|norm\w*|ln_\w+)\.weight$", name))


def filled(ids: list[np.ndarray]) -> np.ndarray:
    """Texts as the towers read them: filled up with id 0, of which nothing is masked."""
    rows = np.zeros((len(ids), TEXT["context_length"]), np.int64)
    for row, one in zip(rows, ids, strict=True):
        row[: len(one)] = one
    return rows


def pixels(count: int = 3) -> np.ndarray:
    pictures = [tiny.picture(SIDE, SIDE, seed) for seed in range(count)]
    return np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32) / 255


# Files.


def make(folder: Path, kind: Kind, *, seed: int = 0) -> Path:
    """A folder in open_clip's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(
        folder / "open_clip_config.json",
        {
            "model_cfg": model_config(kind),
            "preprocess_cfg": {
                "mean": [0.0, 0.0, 0.0],
                "std": [1.0, 1.0, 1.0],
                "interpolation": "bilinear",
                "resize_mode": "shortest",
            },
        },
    )
    save_file(published(Reference(kind, seed=seed)), folder / "open_clip_model.safetensors")
    _tokenizer(folder)
    return folder


def model_config(kind: Kind) -> dict[str, Any]:
    """As in open_clip_config.json."""
    return {
        "embed_dim": EMBED_DIM,
        "vision_cfg": {
            "timm_model_name": kind.tower,
            "timm_model_pretrained": False,
            "timm_pool": "token" if kind.is_vit else "avg",
            "timm_proj": None,
            "timm_drop": 0.0,
            "timm_drop_path": 0.0,
            "image_size": SIDE,
        },
        "text_cfg": {**TEXT, "no_causal_mask": not kind.causal},
        "custom_text": True,
    }


def make_apple(folder: Path, kind: Kind, *, seed: int = 0) -> tuple[Path, Reference]:
    """A folder as Apple's own code has it, and what it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "vit_tiny" if kind.is_vit else "mci_tiny"
    tiny.write_json(
        folder / "config.json",
        {
            "embed_dim": EMBED_DIM,
            "image_cfg": {"image_size": SIDE, "model_name": name},
            "text_cfg": {
                "context_length": TEXT["context_length"],
                "vocab_size": TEXT["vocab_size"],
                "dim": TEXT["width"],
                "ffn_multiplier_per_layer": 4.0,
                "n_heads_per_layer": TEXT["heads"],
                "n_transformer_layers": TEXT["layers"],
                "norm_layer": "layer_norm_fp32",
                "causal_masking": kind.causal,
                "model_name": "mct" if kind.convolves else "base",
            },
        },
    )
    reference = Reference(kind, seed=seed, tower=APPLE_TOWERS[name])
    head = reference.visual.trunk.head
    (head if kind.is_vit else head.fc).bias.data.zero_()  # Apple's has none
    torch.save(apple_names(published(reference)), folder / "mobileclip_tiny.pt")
    _tokenizer(folder)
    return folder, reference


def add_tensors(folder: Path, extra: Mapping[str, np.ndarray]) -> None:
    """Put further tensors into a folder of open_clip's layout."""
    file = folder / "open_clip_model.safetensors"
    more = {name: torch.from_numpy(array) for name, array in extra.items()}
    save_file(load_file(file) | more, file)


def published(reference: Reference) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in reference.state_dict().items()}


def _tokenizer(folder: Path) -> None:
    tiny.clip_tokenizer(TEXT["vocab_size"]).save(str(folder / "tokenizer.json"))
    tiny.write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": 77,
            # Published so, although padding has id 0.
            **dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>"),
            "bos_token": "<|startoftext|>",
        },
    )


_APPLE_VIT = {
    "patch_embed.backbone.": "patch_emb.",
    ".conv.": ".block.conv.",
    ".bn.": ".block.norm.",
    "pos_embed": "pos_embed.pos_embed.pos_embed",
    ".norm1.": ".pre_norm_mha.0.",
    ".norm2.": ".pre_norm_ffn.0.",
    ".attn.qkv.": ".pre_norm_mha.1.qkv_proj.",
    ".attn.proj.": ".pre_norm_mha.1.out_proj.",
    ".mlp.fc1.": ".pre_norm_ffn.1.",
    ".mlp.fc2.": ".pre_norm_ffn.4.",
    "blocks.": "transformer.",
}
_APPLE_BRANCHES = {
    "conv_kxk": "rbr_conv",
    "conv_scale": "rbr_scale",
    "identity": "rbr_skip",
    "large_conv": "lkb_origin",
    "mlp.": "convffn.",
    ".gamma": "",
}
_APPLE_TEXT = {
    "token_embedding": "embedding_layer",
    "text_projection": "projection_layer",
    "ln_final": "final_layer_norm",
    "transformer.resblocks.": "transformer.",
    ".ln_1.": ".pre_norm_mha.0.",
    ".ln_2.": ".pre_norm_ffn.0.",
    ".attn.in_proj_": ".pre_norm_mha.1.qkv_proj.",
    ".attn.out_proj.": ".pre_norm_mha.1.out_proj.",
    ".mlp.c_fc.": ".pre_norm_ffn.1.",
    ".mlp.c_proj.": ".pre_norm_ffn.4.",
}


def apple_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors as Apple's own code names and lays them out."""
    made: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith("visual.trunk."):
            short = name.removeprefix("visual.trunk.")
            if short in ("head.bias", "head.fc.bias"):
                continue
            if short in ("head.weight", "head.fc.weight"):
                turned = "classifier.proj" if short == "head.weight" else "head.proj"
                made[f"image_encoder.model.{turned}"] = tensor.T.contiguous()
                continue
            made["image_encoder.model." + _apple_image_name(short)] = (
                tensor[None] if short == "pos_embed" else tensor
            )
        elif name == "text.positional_embedding":
            made["text_encoder.positional_embedding.pos_embed.pos_embed"] = tensor[None, None]
        elif name.startswith("text."):
            short = _swapped(name.removeprefix("text."), _APPLE_TEXT)
            made["text_encoder." + _swapped(short, _APPLE_BRANCHES)] = tensor
        else:
            made[name] = tensor
    return made


def _apple_image_name(name: str) -> str:
    if name.startswith(("patch_embed.", "pos_embed", "cls_token", "blocks.", "norm.")):
        name = f"post_transformer_{name}" if name.startswith("norm.") else name
        return _swapped(name, _APPLE_VIT)
    name = re.sub(r"^stem\.", "patch_embed.", name).replace("final_conv.", "conv_exp.")
    if name.startswith("conv_exp."):
        name = name.replace("se.fc1", "se.reduce").replace("se.fc2", "se.expand")
    found = re.match(r"stages\.(\d)\.(downsample|pos_emb\.pos_enc|blocks)\.", name)
    if found:
        # One list: blocks of a stage, what leads to the next, and places before the last blocks.
        stage, rest = int(found[1]), name[found.end() :]
        places = {"downsample": 2 * stage - 1, "pos_emb.pos_enc": 6, "blocks": 2 * stage}
        index = places[found[2]] + (found[2] == "blocks" and stage == 3)
        middle = "pe." if found[2] == "pos_emb.pos_enc" else ""
        name = f"network.{index}.{middle}{rest}"
    return _swapped(name, _APPLE_BRANCHES)


def _swapped(name: str, pairs: Mapping[str, str]) -> str:
    for ours, theirs in pairs.items():
        name = name.replace(ours, theirs)
    return name
