"""Tiny SigLIP checkpoints in the published layout: first version (T5's vocabulary) and second."""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from polyvec.models import siglip
from tests import tiny

PUNCTUATION = r"[!\"\#\$%\&'\(\)\*\+,\-\.\/:;<=>\?@\[\\\]\^_`\{\|\}\~]"


def t5_tokenizer(*, cleans: bool = True) -> Tokenizer:
    """Unigram with the special ids of SigLIP's first version; texts end in </s>.

    Args:
        cleans: Whether the file itself lower-cases and takes punctuation out.
    """
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + word, -2.0 - 0.01 * i) for i, word in enumerate(tiny.WORDS)]
    pieces += [("▁", -3.0)] + [(chr(c), -5.0 - 0.01 * c) for c in range(97, 123)]
    pieces += [(chr(c), -6.0 - 0.01 * c) for c in range(65, 91)] + [("_", -7.0), ("!", -7.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    if cleans:
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Lowercase(),
                normalizers.Replace(Regex(PUNCTUATION), ""),
                normalizers.Replace(Regex(r"\s+"), " "),
                normalizers.Strip(),
            ]
        )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.enable_padding(pad_id=1, pad_token="</s>", length=16)
    return tokenizer


def gemma_tokenizer() -> Tokenizer:
    """Byte-pair with Gemma's special ids; texts end in <eos> and have no <bos>."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = [chr(c) for c in (*range(97, 123), *range(65, 91))] + list("▁.,!?'")
    vocab = {piece: i for i, piece in enumerate([*special, *letters, "▁t", "th", "at"])}
    merges = [("▁", "t"), ("t", "h"), ("a", "t")]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    tokenizer.add_special_tokens(special)
    tokenizer.enable_truncation(8)
    return tokenizer


def make_siglip(folder: Path, *, version: int = 1, seed: int = 0, **changes: Any) -> Path:
    """A checkpoint of version 1 or 2; ``changes`` go into config.json."""
    config = {**siglip.FAMILY.tiny, **changes}
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(folder / "config.json", config)
    tiny.save_weights(folder, tiny.random_weights(config, seed))
    (t5_tokenizer() if version == 1 else gemma_tokenizer()).save(str(folder / "tokenizer.json"))
    tiny.write_json(folder / "tokenizer_config.json", _TOKENIZERS[version])
    side = config["vision_config"].get("image_size", 224)
    tiny.write_json(
        folder / "preprocessor_config.json",
        {
            "do_convert_rgb": None,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SiglipImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "processor_class": "SiglipProcessor",
            "resample": 3 if version == 1 else 2,
            "rescale_factor": 0.00392156862745098,
            "size": {"height": side, "width": side},
        },
    )
    return folder


def make_naflex(folder: Path, *, max_num_patches: int = 20, seed: int = 0) -> Path:
    """SigLIP 2 whose pictures keep their shape, in patches of 8 pixels; the table is 4 x 4."""
    config = {
        **siglip.FAMILY.tiny,
        "architectures": ["Siglip2Model"],
        "model_type": "siglip2",
        "text_config": siglip.FAMILY.tiny["text_config"] | {"model_type": "siglip2_text_model"},
        "vision_config": {
            "model_type": "siglip2_vision_model",
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_patches": 16,
            "patch_size": 8,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(folder / "config.json", config)
    tiny.save_weights(folder, tiny.random_weights(config, seed))
    gemma_tokenizer().save(str(folder / "tokenizer.json"))
    tiny.write_json(folder / "tokenizer_config.json", _TOKENIZERS[2])
    tiny.write_json(
        folder / "preprocessor_config.json",
        {
            "do_convert_rgb": None,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "Siglip2ImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "max_num_patches": max_num_patches,
            "patch_size": 8,
            "processor_class": "Siglip2Processor",
            "resample": 2,
            "rescale_factor": 0.00392156862745098,
        },
    )
    return folder


def make_open_clip_siglip(
    folder: Path, *, version: int = 2, side: int = 16, seed: int = 0, **text: Any
) -> tuple[Path, dict[str, Any]]:
    """The same in open_clip's layout, as timm/ViT-B-16-SigLIP2 and its first version have it.

    Its image tower has the geometry that a test gives to timm's ``base``.

    Returns:
        The folder, and config.json of the same model as transformers has it, with the tensors under
        ``tensors``.
    """
    vision_act, text_act = "gelu", "gelu_pytorch_tanh" if version == 2 else "gelu"
    tower = {"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config: dict[str, Any] = {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "text_config": {
            **tower,
            "vocab_size": 100,
            "hidden_size": 32,
            "max_position_embeddings": 12,
            "projection_size": 32,
            "hidden_act": text_act,
        },
        "vision_config": {
            **tower,
            "hidden_size": 32,
            "image_size": side * 2,
            "patch_size": 16,
            "hidden_act": vision_act,
        },
    }
    tensors = tiny.random_weights(config, seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_open_clip_names(tensors), folder / "open_clip_model.safetensors")
    model = {
        "embed_dim": 32,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": side * 2,
            "timm_model_name": "vit_base_patch16_siglip_224",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 12,
            "vocab_size": 100,
            "hf_tokenizer_name": "timm/ViT-B-16-SigLIP2",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 32,
            "heads": 4,
            "layers": 2,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
            **({"act_kwargs": {"approximate": "tanh"}} if version == 2 else {}),
            **text,
        },
    }
    preprocess = {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    tiny.write_json(
        folder / "open_clip_config.json", {"model_cfg": model, "preprocess_cfg": preprocess}
    )
    (t5_tokenizer(cleans=False) if version == 1 else gemma_tokenizer()).save(
        str(folder / "tokenizer.json")
    )
    tiny.write_json(
        folder / "tokenizer_config.json",
        _TOKENIZERS[version] | ({"tokenizer_class": "T5Tokenizer"} if version == 1 else {}),
    )
    return folder, {"config": config, "tensors": tensors}


def _open_clip_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """transformers' names → those of open_clip and timm, projections fused."""
    fused: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if found := re.fullmatch(r"(.*self_attn)\.q_proj\.(weight|bias)", name):
            parts = [tensors[f"{found[1]}.{part}_proj.{found[2]}"] for part in "qkv"]
            fused[f"{found[1]}.qkv.{found[2]}"] = torch.cat(parts)
        elif found := re.fullmatch(r"(.*head\.attention)\.in_proj_(weight|bias)", name):
            width = len(tensor) // 3
            fused[f"{found[1]}.q.{found[2]}"] = tensor[:width].clone()
            fused[f"{found[1]}.kv.{found[2]}"] = tensor[width:].clone()
        elif not re.search(r"self_attn\.[kv]_proj", name):
            fused[name] = tensor
    fused["vision_model.embeddings.position_embedding.weight"] = fused[
        "vision_model.embeddings.position_embedding.weight"
    ][None]
    return {_open_clip_name(name): tensor.contiguous() for name, tensor in fused.items()}


def _open_clip_name(name: str) -> str:
    for pattern, theirs in _OPEN_CLIP:
        name = re.sub(pattern, theirs, name)
    return name


_OPEN_CLIP = (
    (r"^vision_model\.embeddings\.patch_embedding", "visual.trunk.patch_embed.proj"),
    (r"^vision_model\.embeddings\.position_embedding\.weight", "visual.trunk.pos_embed"),
    (r"^vision_model\.encoder\.layers\.", "visual.trunk.blocks."),
    (r"^vision_model\.post_layernorm", "visual.trunk.norm"),
    (r"^vision_model\.head\.probe", "visual.trunk.attn_pool.latent"),
    (r"^vision_model\.head\.attention\.out_proj", "visual.trunk.attn_pool.proj"),
    (r"^vision_model\.head\.(attention\.)?", "visual.trunk.attn_pool."),
    (r"(visual.*)layer_?norm(\d?)", r"\1norm\2"),
    (r"(visual.*)self_attn\.out_proj", r"\1attn.proj"),
    (r"(visual.*)self_attn", r"\1attn"),
    (r"^text_model\.embeddings\.token_embedding", "text.token_embedding"),
    (r"^text_model\.embeddings\.position_embedding\.weight", "text.positional_embedding"),
    (r"^text_model\.encoder\.layers\.", "text.transformer.resblocks."),
    (r"^text_model\.final_layer_norm", "text.ln_final"),
    (r"^text_model\.head", "text.text_projection"),
    (r"(text.*)layer_norm(\d)", r"\1ln_\2"),
    (r"(text.*)self_attn\.qkv\.", r"\1attn.in_proj_"),
    (r"(text.*)self_attn", r"\1attn"),
    (r"(text.*)mlp\.fc1", r"\1mlp.c_fc"),
    (r"(text.*)mlp\.fc2", r"\1mlp.c_proj"),
)

_TOKENIZERS = {
    1: {
        "tokenizer_class": "SiglipTokenizer",
        "do_lower_case": True,
        "model_max_length": 16,
        "eos_token": "</s>",
        "pad_token": "</s>",
        "unk_token": "<unk>",
        "model_input_names": ["input_ids"],
    },
    2: {
        "tokenizer_class": "GemmaTokenizer",
        "add_bos_token": False,
        "add_eos_token": True,
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "model_max_length": 1000000000000000019884624838656,
        "padding_side": "right",
    },
}
