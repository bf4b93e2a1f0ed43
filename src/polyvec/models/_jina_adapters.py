"""jina-embeddings-v3's adapters where transformers' re-upload keeps them: a folder for each task.

They change the layers of transformers' class, which holds queries, keys and values apart, so they
are put together here as the authors' own file has them.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyvec.checkpoints.adapter_folders import KEY, check_plain
from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError

_TASKS = {"retrieval_query": "retrieval.query", "retrieval_passage": "retrieval.passage"}
_TASKS |= {"text_matching": "text-matching"}
"""Folders whose task's name is no name for a folder of Python's → the task."""
_NAME = re.compile(
    rf"{KEY}\.(?P<folder>[^.]+)\.(?:base_model\.model\.)?(?:roberta\.)?(?P<layer>.+)"
    r"\.lora_(?P<table>embedding_)?(?P<factor>[AB])(?:\.weight)?"
)
_LAYER = re.compile(r"(?:encoder\.)?layers\.(\d+)\.(.+)")
# Layers of transformers' class → of the authors', and which third of it.
_PLACES = {
    "self_attn.q_proj": ("mixer.Wqkv", 0),
    "self_attn.k_proj": ("mixer.Wqkv", 1),
    "self_attn.v_proj": ("mixer.Wqkv", 2),
    "self_attn.o_proj": ("mixer.out_proj", 0),
}
_Factors = dict[str, NDArray[np.float32]]


def adapter_tasks(folders: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of tasks, in the order of the weights' first axis.

    Args:
        folders: adapter_config.json by folder.
    """
    return tuple(_TASKS.get(folder, folder) for folder in sorted(folders))


def adapter_scale(folders: Mapping[str, Any]) -> dict[str, Any]:
    """``lora_rank`` and ``lora_alpha``, which all folders must share.

    Raises:
        CheckpointError: They do not, do not say it, or are another kind of adapter.
    """
    check_plain(folders)
    said = {(config.get("r"), config.get("lora_alpha")) for config in folders.values()}
    rank, alpha = next(iter(said))
    if len(said) > 1 or type(rank) is not int or isinstance(alpha, bool | None):
        raise CheckpointError(
            "adapter_config.json: r and lora_alpha must be numbers, the same in every folder",
            param="r",
        )
    return {"lora_rank": rank, "lora_alpha": alpha}


def folded(weights: Weights) -> Weights:
    """The weights with their folders' adapters under the names of the authors' own file.

    A layer that a task leaves alone gets an update of zeros. Names that are not known stay, and so
    the checkpoint is refused.

    Raises:
        CheckpointError: Factors do not fit their layer.
    """
    matches = {name: match for name in weights if (match := _NAME.fullmatch(name))}
    folders = sorted({match["folder"] for match in matches.values()})
    if not folders:
        return weights
    found: dict[tuple[str, int, int], _Factors] = {}
    for name, match in matches.items():
        place, part = _place(match["layer"])
        key = (place, folders.index(match["folder"]), part)
        found.setdefault(key, {})[match["factor"]] = weights.float32(name)
    arrays: _Factors = {}
    for name in weights:
        layer = name.removesuffix(".weight")
        is_changed = name.endswith(".weight") and len(weights.entry(name).shape) == 2  # noqa: PLR2004
        if name not in matches and is_changed and not layer.startswith("pooler."):
            shape = weights.entry(name).shape
            ours = {key[1:]: both for key, both in found.items() if key[0] == layer}
            stack = _tables if layer.startswith("embeddings.") else _layers
            stored = f"{layer}.parametrizations.weight.0"
            try:
                down, up = stack(ours, shape, len(folders))
            except (KeyError, ValueError):
                raise CheckpointError(f"the adapters of {layer!r} do not fit its weight") from None
            arrays |= {f"{stored}.lora_A": down, f"{stored}.lora_B": up}
    known = {name.removesuffix(".weight") for name in weights}
    taken = [n for n, match in matches.items() if _place(match["layer"])[0] in known]
    return weights.joined(arrays, instead_of=taken)


def _place(layer: str) -> tuple[str, int]:
    """The authors' name of a layer, and which part of it is meant."""
    match = _LAYER.fullmatch(layer)
    if match is None:
        return layer, 0
    name, part = _PLACES.get(match[2], (match[2], 0))
    return f"encoder.layers.{match[1]}.{name}", part


def _layers(
    found: Mapping[tuple[int, int], _Factors], shape: tuple[int, ...], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factors (tasks, rank, in) and (tasks, out, rank); parts keep ranks of their own."""
    parts = 1 + max((part for _, part in found), default=0)
    rank = max((both["A"].shape[0] for both in found.values()), default=1)
    down = np.zeros((count, parts * rank, shape[1]), np.float32)
    up = np.zeros((count, shape[0], parts * rank), np.float32)
    for (task, part), both in found.items():
        own, size = slice(part * rank, part * rank + len(both["A"])), both["B"].shape[0]
        down[task, own] = both["A"]
        up[task, part * size : (part + 1) * size, own] = both["B"]
    return down, up


def _tables(
    found: Mapping[tuple[int, int], _Factors], shape: tuple[int, ...], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factors (tasks, rows, rank) and (tasks, rank, width)."""
    rank = max((both["A"].shape[0] for both in found.values()), default=1)
    first = np.zeros((count, shape[0], rank), np.float32)
    second = np.zeros((count, rank, shape[1]), np.float32)
    for (task, _), both in found.items():
        first[task], second[task] = both["A"].T, both["B"].T
    return first, second
