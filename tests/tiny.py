"""Tiny random checkpoints in the published layout: true file names, keys and formats.

config.json is written by hand in published form, because transformers rewrites keys when it saves.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel

from polyvec.models import bert, clip

WORDS = (
    "the a red blue green cat dog sat on mat of and in happy person is that very long text".split()
)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def random_weights(config: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Seeded tensors under the names that transformers gives them."""
    kind = AutoConfig.for_model(**{k: v for k, v in config.items() if k != "torch_dtype"})
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, value in AutoModel.from_config(kind).state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator) * 0.15
        is_norm = "norm" in name.lower() and name.endswith("weight")
        tensors[name] = noise + 1 if is_norm else noise
    return tensors


def bert_tokenizer(vocab_size: int) -> Tokenizer:
    """WordPiece with BERT's real special ids for a vocabulary that starts with [PAD]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(c) for c in range(97, 123)]
    pieces = special + WORDS + letters + ["##" + c for c in letters] + list(".,!?'0123456789")
    pieces = list(dict.fromkeys(pieces))[:vocab_size]
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(special)
    # Published files carry both; whoever forgets to switch them off cuts and pads.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    return tokenizer


def roberta_tokenizer() -> Tokenizer:
    """Unigram with XLM-RoBERTa's special ids."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + word, -2.0 - 0.01 * i) for i, word in enumerate(WORDS)]
    pieces += [("▁", -3.0)] + [(chr(c), -5.0 - 0.01 * c) for c in range(97, 123)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return tokenizer


def clip_tokenizer(vocab_size: int) -> Tokenizer:
    """Byte-pair with end-of-word marks; the end-of-text id is the highest."""
    letters = [chr(c) for c in range(33, 127)]
    vocab = letters + [c + "</w>" for c in letters]
    vocab += [f"unused{i}</w>" for i in range(vocab_size - 2 - len(vocab))]
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    ids = {piece: i for i, piece in enumerate(vocab)}
    tokenizer = Tokenizer(
        models.BPE(ids, [], unk_token="<|endoftext|>", end_of_word_suffix="</w>", fuse_unk=False)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    end = len(vocab) - 1
    tokenizer.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", end),
        ("<|startoftext|>", end - 1),
        trim_offsets=False,
        add_prefix_space=False,
    )
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    return tokenizer


def sentence_transformers_files(
    folder: Path,
    width: int,
    *,
    pooling: str = "mean",
    normalize: bool = True,
    dense: int = 0,
    seed: int = 0,
    **files: Any,
) -> None:
    """modules.json and its folders, in the layout of version 2 (boolean pooling keys)."""
    modules = [
        ("", "Transformer"),
        ("1_Pooling", "Pooling"),
    ]
    keys = (
        "cls_token",
        "mean_tokens",
        "max_tokens",
        "mean_sqrt_len_tokens",
        "weightedmean_tokens",
        "lasttoken",
    )
    write_json(
        folder / "1_Pooling/config.json",
        {"word_embedding_dimension": width}
        | {
            f"pooling_mode_{key}": key.removesuffix("_token").removesuffix("_tokens") == pooling
            or key == pooling
            for key in keys
        },
    )
    if dense:
        modules.append(("2_Dense", "Dense"))
        write_json(
            folder / "2_Dense/config.json",
            {
                "in_features": width,
                "out_features": dense,
                "bias": True,
                "activation_function": "torch.nn.modules.activation.Tanh",
            },
        )
        generator = torch.Generator().manual_seed(seed + 1)
        save_file(
            {
                "linear.weight": torch.randn(dense, width, generator=generator) * 0.2,
                "linear.bias": torch.randn(dense, generator=generator) * 0.2,
            },
            folder / "2_Dense/model.safetensors",
        )
    if normalize:
        modules.append((f"{len(modules)}_Normalize", "Normalize"))
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    for name, value in files.items():
        write_json(folder / f"{name}.json", value)


def make_bert(
    folder: Path,
    *,
    architecture: str = "BertModel",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    prefix: str = "",
    shards: int = 1,
    **changes: Any,
) -> Path:
    """A BERT-like checkpoint; ``changes`` go into config.json."""
    config = {**bert.FAMILY.tiny, "architectures": [architecture]}
    if architecture.startswith("XLMRoberta"):
        config |= {
            "model_type": "xlm-roberta",
            "pad_token_id": 1,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "vocab_size": len(roberta_tokenizer().get_vocab()),
        }
        tokenizer, kind = roberta_tokenizer(), "XLMRobertaTokenizer"
        special = {
            "pad_token": "<pad>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "cls_token": "<s>",
            "sep_token": "</s>",
        }
    else:
        tokenizer, kind = bert_tokenizer(config["vocab_size"]), "BertTokenizer"
        special = {
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        }
    config |= changes
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    tensors = random_weights(config, seed)
    save_weights(folder, {prefix + n: t.to(dtype) for n, t in tensors.items()}, shards)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": kind, **special})
    return folder


def save_weights(folder: Path, tensors: dict[str, torch.Tensor], shards: int = 1) -> None:
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def make_clip(
    folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any
) -> Path:
    """A CLIP checkpoint; ``changes`` go into config.json."""
    config = {**clip.FAMILY.tiny, **changes}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    tensors = random_weights(config, seed)
    save_weights(folder, {name: tensor.to(dtype) for name, tensor in tensors.items()})
    tokenizer = clip_tokenizer(config["text_config"]["vocab_size"])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": config["text_config"]["max_position_embeddings"],
            "bos_token": "<|startoftext|>",
            "eos_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
        },
    )
    side = config["vision_config"]["image_size"]
    write_json(
        folder / "preprocessor_config.json",
        {
            "feature_extractor_type": "CLIPFeatureExtractor",
            "do_resize": True,
            "size": side,
            "resample": 3,
            "do_center_crop": True,
            "crop_size": side,
            "do_normalize": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        },
    )
    return folder


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random RGB picture, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    channels = [
        127
        + 120
        * np.sin(x / width * rng.uniform(2, 9) + y / height * rng.uniform(2, 9) + rng.uniform(0, 6))
        for _ in range(3)
    ]
    return np.stack(channels, -1).clip(0, 255).astype(np.uint8)
