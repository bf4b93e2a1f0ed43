"""What images and videos are measured with: CLIP ViT-B/16 at its true size, and photographs."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
from safetensors.torch import load_file, save_file

import polyvec
from tests import tiny

DEMO = Path(polyvec.__file__).parent / "checkpoints/demo"
_B16 = {
    "text_config": {
        "model_type": "clip_text_model",
        "vocab_size": 49408,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "bos_token_id": 49406,
        "eos_token_id": 49407,
    },
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 16,
        "hidden_act": "quick_gelu",
    },
    "projection_dim": 512,
}


def clip_b16(folder: Path) -> Path:
    """A checkpoint of CLIP ViT-B/16's sizes, as published, with random weights."""
    made = tiny.make_clip(folder, **_B16)
    file = made / "model.safetensors"
    tensors = load_file(file)
    # As small as trained weights are, so that no value becomes denormal on the way.
    small = {k: v if "norm" in k and k.endswith("weight") else v / 8 for k, v in tensors.items()}
    save_file(small, file, metadata={"format": "pt"})
    return made


def photographs(count: int) -> list[bytes]:
    """JPEG files of 640 x 480, all different, of about 90 kB as photographs have."""
    files = []
    for seed in range(count):
        grain = np.random.default_rng(seed).normal(0, 8, (480, 640, 3))
        rgb = (tiny.picture(480, 640, seed) + grain).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(rgb).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files
