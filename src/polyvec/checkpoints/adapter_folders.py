"""Folders beside a checkpoint that hold one low-rank adapter each, as the peft library saves them.

Source: https://github.com/huggingface/peft, LoraConfig and its save_pretrained.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyvec.errors import CheckpointError

KEY = "adapter_folders"
"""Where a checkpoint's config says what its folders hold, and the prefix of their tensors."""
WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"
# What changes the meaning of the factors → what is computed here.
_SUPPORTED: Mapping[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "use_rslora": (False, None),
    "use_dora": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "modules_to_save": ([], None),
}


def adapter_folders(root: Path) -> dict[str, Mapping[str, Any]]:
    """adapter_config.json of every folder that holds an adapter, by the folder's name.

    Args:
        root: Folder of the checkpoint.

    Raises:
        CheckpointError: One cannot be read.
    """
    found = sorted(path.parent for path in root.glob(f"*/{_CONFIG}"))
    return {folder.name: _read(folder) for folder in found if (folder / WEIGHTS).is_file()}


def check_plain(folders: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse adapters that are more than two factors and a scale.

    Raises:
        CheckpointError: One of them is.
    """
    for folder, config in folders.items():
        for key, supported in _SUPPORTED.items():
            if config.get(key) not in supported:
                raise CheckpointError(
                    f"{folder}/{_CONFIG}: {key} {config.get(key)!r} is not supported; supported: "
                    f"{supported[0]!r}",
                    param=key,
                )


def _read(folder: Path) -> Mapping[str, Any]:
    where = f"{folder.name}/{_CONFIG}"
    try:
        config = json.loads((folder / _CONFIG).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{where} must hold a JSON object")
    return config
