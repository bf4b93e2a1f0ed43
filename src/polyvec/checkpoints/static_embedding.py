"""Folders that are only a table of token vectors: StaticEmbedding and model2vec.

The first has no config.json, and the second's does not give the table's size reliably, so the files
themselves say how large it is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError

MODULE = "StaticEmbedding"
TABLE = "embedding.weight"
_MODEL2VEC = ("embeddings", "mapping", "weights")


def is_static(first_module: str | None, config: Mapping[str, Any]) -> bool:
    """Whether a folder holds token vectors alone.

    Args:
        first_module: Kind of the first entry of modules.json, None without one.
        config: config.json, empty without one.
    """
    return first_module == MODULE or config.get("model_type") == "model2vec"


def static_config(root: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """config.json with what the table's file says.

    Args:
        root: Folder of model.safetensors.
        config: config.json, empty without one.

    Raises:
        CheckpointError: The file is missing, damaged or holds no table.
    """
    weights = Weights.open({root / "model.safetensors": ""})
    table = TABLE if TABLE in weights else "embeddings"
    if table not in weights or len(weights.entry(table).shape) != 2:  # noqa: PLR2004  (a table)
        raise CheckpointError(f"model.safetensors holds no table {TABLE!r} or 'embeddings'")
    rows, width = weights.entry(table).shape
    if "mapping" in weights:
        rows = weights.entry("mapping").shape[0]
    weights.close()
    return {**config, "architectures": [MODULE], "vocab_size": rows, "hidden_size": width}


def folded(weights: Weights) -> Weights:
    """One row for each token: model2vec may share rows between tokens and weigh each token.

    Source: sentence_transformers StaticEmbedding, https://github.com/MinishLab/model2vec.

    Raises:
        CheckpointError: A mapping points beyond the table, or the weights are of another length.
    """
    if "embeddings" not in weights:
        return weights
    table = weights.float32("embeddings")
    if "mapping" in weights:
        mapping = weights.array("mapping")
        if mapping.size and not 0 <= mapping.min() <= mapping.max() < len(table):
            raise CheckpointError("model.safetensors: mapping points beyond the table")
        table = table[mapping]
    if "weights" in weights:
        shares = weights.array("weights").astype(np.float64)
        if shares.shape != table.shape[:1]:
            raise CheckpointError(
                f"model.safetensors: {len(shares)} weights for {len(table)} token vectors"
            )
        table = (table * shares[:, None]).astype(np.float32)
    return weights.joined({TABLE: table}, instead_of=_MODEL2VEC)
