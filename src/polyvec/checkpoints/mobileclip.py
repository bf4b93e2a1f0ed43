"""Folders of Apple's own MobileCLIP code: config.json and one file that ``torch.save`` wrote.

Source: https://github.com/apple/ml-mobileclip, create_model_and_transforms.
"""

from collections.abc import Mapping
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.types import Setting

MODEL_TYPE = "mobileclip"
"""``model_type`` of the config made here; no published config.json has it."""
ARCHITECTURE = "MobileCLIP"
PATTERN = "mobileclip*.pt"
"""Names of the published files."""

_BILINEAR = 2


def is_mobileclip(config: Mapping[str, Any]) -> bool:
    """Whether config.json is one of Apple's: it names no class, but both towers."""
    named = "architectures" in config or "model_type" in config
    towers = [config.get(key) for key in ("image_cfg", "text_cfg")]
    return not named and all(isinstance(one, Mapping) and "model_name" in one for one in towers)


def mobileclip_config(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with ``architectures`` and ``model_type``."""
    return {**said, "architectures": [ARCHITECTURE], "model_type": MODEL_TYPE}


def mobileclip_image_config(config: Mapping[str, Any]) -> Setting:
    """The image processor, which Apple's code has no file for, in preprocessor_config.json's form.

    Raises:
        CheckpointError: config.json says no picture size.
    """
    side = config["image_cfg"].get("image_size")
    if type(side) is not int or side < 1:
        raise CheckpointError(
            f"config.json: image_cfg.image_size must be a number of pixels, not {side!r}",
            param="image_size",
        )
    values = {
        "image_processor_type": "CLIPImageProcessor",
        "resample": _BILINEAR,
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "do_normalize": False,
        "_crop_rounding": "half_even",
    }
    return Setting(values, "config.json: image_cfg")
