"""Tiny BLIP-2 retrieval checkpoints in the published layout."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import Blip2Config, Blip2ForImageTextRetrieval

from polyvec.models import blip2
from tests import tiny


def make_blip2(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A checkpoint; ``changes`` go into config.json.

    The tokenizer has [DEC] as the last word of the model's vocabulary, and <image> beyond it.
    """
    config = {**blip2.FAMILY.tiny, **changes}
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(folder / "config.json", config)
    tiny.save_weights(folder, _tensors(config, seed))
    size = config["qformer_config"]["vocab_size"]
    tokenizer = tiny.bert_tokenizer(size)
    tokenizer.add_tokens([f"unused{i}" for i in range(size - 1 - tokenizer.get_vocab_size())])
    tokenizer.add_special_tokens(
        [AddedToken("[DEC]", special=True), AddedToken("<image>", special=True)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    tiny.write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "BertTokenizer",
            "bos_token": "[DEC]",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
            "model_max_length": 512,
            "pad_token": "[PAD]",
            "sep_token": "[SEP]",
            "unk_token": "[UNK]",
            "processor_class": "Blip2Processor",
        },
    )
    side = config["vision_config"]["image_size"]
    tiny.write_json(
        folder / "preprocessor_config.json",
        {
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_processor_type": "BlipImageProcessor",
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "processor_class": "Blip2Processor",
            "resample": 3,
            "rescale_factor": 0.00392156862745098,
            "size": {"height": side, "width": side},
        },
    )
    return folder


def _tensors(config: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    kind = Blip2Config(**{k: v for k, v in config.items() if k != "torch_dtype"})
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, value in Blip2ForImageTextRetrieval(kind).state_dict().items():
        noise = torch.randn(value.shape, generator=generator) * 0.15
        is_norm = "norm" in name.lower() and name.endswith("weight")
        tensors[name] = noise + 1 if is_norm else noise
    return tensors
