"""Tiny CLIP checkpoints in open_clip's published layout, and Chinese-CLIP in transformers'."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import ChineseCLIPConfig, ChineseCLIPModel

from polyvec.models import chinese_clip, clip
from tests import tiny

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
CONTEXT = 20
MODEL_CFG: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 48,
        "head_width": 12,
        "patch_size": 8,
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": 200,
        "width": 32,
        "heads": 4,
        "layers": 2,
    },
}
PREPROCESS_CFG = {
    "mean": CLIP_MEAN,
    "std": CLIP_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
# As timm pushed it beside open_clip's files in timm/vit_base_patch16_clip_224.openai.
TIMM_CONFIG = {
    "architecture": "vit_base_patch16_clip_224",
    "num_classes": 0,
    "num_features": 48,
    "pretrained_cfg": {"tag": "openai", "input_size": [3, 32, 32], "crop_pct": 1.0},
}


def merged(own: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A config with other values; objects inside are merged."""
    out = dict(own)
    for key, value in changes.items():
        is_object = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merged(out[key], value) if is_object else value
    return out


def open_clip_weights(config: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """Seeded tensors under the names of open_clip's CLIP or CustomTextCLIP."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.15

    tensors: dict[str, torch.Tensor] = {"logit_scale": torch.tensor(2.6592)}

    def norm(name: str, width: int) -> None:
        tensors[f"{name}.weight"] = 1 + noise(width)
        tensors[f"{name}.bias"] = noise(width)

    def blocks(name: str, width: int, layers: int) -> None:
        for at in (f"{name}.resblocks.{index}" for index in range(layers)):
            norm(f"{at}.ln_1", width)
            norm(f"{at}.ln_2", width)
            tensors[f"{at}.attn.in_proj_weight"] = noise(3 * width, width)
            tensors[f"{at}.attn.in_proj_bias"] = noise(3 * width)
            tensors[f"{at}.attn.out_proj.weight"] = noise(width, width)
            tensors[f"{at}.attn.out_proj.bias"] = noise(width)
            tensors[f"{at}.mlp.c_fc.weight"] = noise(4 * width, width)
            tensors[f"{at}.mlp.c_fc.bias"] = noise(4 * width)
            tensors[f"{at}.mlp.c_proj.weight"] = noise(width, 4 * width)
            tensors[f"{at}.mlp.c_proj.bias"] = noise(width)

    wide, patch = vision["width"], vision["patch_size"]
    num_patches = (vision["image_size"] // patch) ** 2
    tensors["visual.class_embedding"] = noise(wide)
    tensors["visual.positional_embedding"] = noise(num_patches + 1, wide)
    tensors["visual.proj"] = noise(wide, config["embed_dim"])
    tensors["visual.conv1.weight"] = noise(wide, 3, patch, patch)
    norm("visual.ln_pre", wide)
    norm("visual.ln_post", wide)
    blocks("visual.transformer", wide, vision["layers"])
    at = "text." if config.get("custom_text") else ""
    tensors[f"{at}positional_embedding"] = noise(text["context_length"], text["width"])
    tensors[f"{at}text_projection"] = noise(text["width"], config["embed_dim"])
    tensors[f"{at}token_embedding.weight"] = noise(text["vocab_size"], text["width"])
    norm(f"{at}ln_final", text["width"])
    blocks(f"{at}transformer", text["width"], text["layers"])
    return tensors


def make_open_clip(
    folder: Path,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    preprocess: dict[str, Any] | None = None,
    timm: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A folder as open_clip's push_to_hf_hub leaves it; ``changes`` go into model_cfg."""
    config = merged(MODEL_CFG, changes)
    folder.mkdir(parents=True, exist_ok=True)
    said = {"model_cfg": config, "preprocess_cfg": {**PREPROCESS_CFG, **(preprocess or {})}}
    tiny.write_json(folder / "open_clip_config.json", said)
    if timm is not None:
        tiny.write_json(folder / "config.json", timm)
        save_file({"patch_embed.proj.weight": torch.ones(2)}, folder / "model.safetensors")
    tensors = {name: one.to(dtype) for name, one in open_clip_weights(config, seed).items()}
    save_file(tensors, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    tiny.clip_tokenizer(config["text_cfg"]["vocab_size"]).save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    tiny.write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": config["text_cfg"]["context_length"],
            **tokens,
            "unk_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
        },
    )
    return folder


def make_both(folder: Path) -> tuple[Path, Path]:
    """The same weights for transformers and open_clip in one folder, and for open_clip alone."""
    both = tiny.make_clip(folder / "both")
    tensors = as_open_clip(load_file(both / "model.safetensors"))
    alone = make_open_clip(folder / "alone", quick_gelu=True)
    save_file(tensors, alone / "open_clip_model.safetensors", metadata={"format": "pt"})
    said = {"model_cfg": {**MODEL_CFG, "quick_gelu": True}, "preprocess_cfg": PREPROCESS_CFG}
    tiny.write_json(both / "open_clip_config.json", said)
    save_file(tensors, both / "open_clip_model.safetensors", metadata={"format": "pt"})
    return both, alone


def as_open_clip(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """transformers' CLIPModel under open_clip's names."""
    out = {
        "logit_scale": tensors["logit_scale"],
        "text_projection": tensors["text_projection.weight"].T.contiguous(),
        "visual.proj": tensors["visual_projection.weight"].T.contiguous(),
        "token_embedding.weight": tensors["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": tensors["text_model.embeddings.position_embedding.weight"],
        "visual.class_embedding": tensors["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": tensors["vision_model.embeddings.patch_embedding.weight"],
        "visual.positional_embedding": tensors["vision_model.embeddings.position_embedding.weight"],
    }
    pairs = {
        "ln_final": "text_model.final_layer_norm",
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
    }
    for ours, theirs in (("transformer", "text_model"), ("visual.transformer", "vision_model")):
        for index in range(clip.FAMILY.tiny["text_config"]["num_hidden_layers"]):
            old, new = f"{theirs}.encoder.layers.{index}", f"{ours}.resblocks.{index}"
            pairs |= {
                f"{new}.ln_1": f"{old}.layer_norm1",
                f"{new}.ln_2": f"{old}.layer_norm2",
                f"{new}.attn.out_proj": f"{old}.self_attn.out_proj",
                f"{new}.mlp.c_fc": f"{old}.mlp.fc1",
                f"{new}.mlp.c_proj": f"{old}.mlp.fc2",
            }
            for kind in ("weight", "bias"):
                parts = [tensors[f"{old}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                out[f"{new}.attn.in_proj_{kind}"] = torch.cat(parts)
    for new, old in pairs.items():
        for kind in ("weight", "bias"):
            out[f"{new}.{kind}"] = tensors[f"{old}.{kind}"]
    return out


def make_chinese_clip(
    folder: Path, *, seed: int = 0, pickled: bool = False, **changes: Any
) -> Path:
    """A folder as OFA-Sys publishes it; ``changes`` go into config.json.

    Args:
        folder: Gets the files.
        seed: Of the weights.
        pickled: Write pytorch_model.bin alone, as published: with buffers, and with projections
            that are transposed views of the matrices they were converted from.
    """
    config = merged(dict(chinese_clip.FAMILY.tiny), changes)
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(folder / "config.json", config)
    tensors = chinese_clip_weights(config, seed)
    if pickled:
        for name in ("text_projection.weight", "visual_projection.weight"):
            tensors[name] = tensors[name].T.contiguous().T
        positions = config["text_config"]["max_position_embeddings"]
        tensors["text_model.embeddings.position_ids"] = torch.arange(positions)[None]
        torch.save(OrderedDict(tensors), folder / "pytorch_model.bin")
    else:
        tiny.save_weights(folder, tensors)
    (folder / "vocab.txt").write_text("\n".join(_CHINESE_WORDS) + "\n", "utf-8")
    tiny.write_json(
        folder / "tokenizer_config.json",
        {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"},
    )
    side = config["vision_config"]["image_size"]
    tiny.write_json(
        folder / "preprocessor_config.json",
        {
            "crop_size": {"height": side, "width": side},
            "do_center_crop": False,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "ChineseCLIPFeatureExtractor",
            "image_mean": CLIP_MEAN,
            "image_std": CLIP_STD,
            "resample": 3,
            "size": {"height": side, "width": side},
        },
    )
    return folder


_CHINESE_WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"杰尼龟妙蛙种子小火皮卡丘一只猫和狗的照片。",
    *tiny.WORDS,
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
    *(f"[unused{index}]" for index in range(1, 100)),
][:200]


def chinese_clip_weights(config: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Seeded tensors under the names of transformers' ChineseCLIPModel."""
    kind = ChineseCLIPConfig(
        **{key: config[key] for key in ("projection_dim", "text_config", "vision_config")}
    )
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, value in ChineseCLIPModel(kind).state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator) * 0.15
            is_norm = "norm" in name.lower() and name.endswith("weight")
            tensors[name] = noise + 1 if is_norm else noise
    return tensors


def make_metaclip_2(folder: Path, *, seed: int = 0) -> Path:
    """CLIP's towers behind XLM-RoBERTa's tokens, whose end is 2 and not the highest id."""
    tokenizer = tiny.roberta_tokenizer()
    text = {
        **clip.FAMILY.tiny["text_config"],
        "model_type": "metaclip_2_text_model",
        "vocab_size": len(tokenizer.get_vocab()),
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
    vision = {**clip.FAMILY.tiny["vision_config"], "model_type": "metaclip_2_vision_model"}
    tiny.make_clip(
        folder,
        seed=seed,
        architectures=["MetaClip2Model"],
        model_type="metaclip_2",
        text_config=text,
        vision_config=vision,
    )
    save_roberta_tokenizer(folder)
    return folder


def save_roberta_tokenizer(folder: Path) -> None:
    """XLM-RoBERTa's tokenizer in place of CLIP's."""
    tiny.roberta_tokenizer().save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tiny.write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": CONTEXT, **tokens},
    )
