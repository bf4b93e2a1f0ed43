"""Checkpoints of architectures that no model file computes: transformers' class does, as an extra.

Nothing here imports it; backend ``transformers`` converts the class to a graph, or runs it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from polyvec.checkpoints.read import Checkpoint
from polyvec.errors import CheckpointError
from polyvec.models._family import Family, Tower
from polyvec.models._prebuilt import PrebuiltConfig, default_pooling, forward, read_config
from polyvec.models._registry import families

NAME = "transformers"
_SCORES = "ForSequenceClassification"

_OFFSET_TYPES = frozenset(
    (
        "camembert",
        "data2vec-text",
        "ibert",
        "longformer",
        "luke",
        "roberta-prelayernorm",
        "xlm-roberta-xl",
        "xmod",
    )
)
"""Model types whose places start behind ``pad_token_id``, so that fewer tokens fit the table."""


@dataclass(frozen=True, slots=True)
class ForeignConfig(PrebuiltConfig):
    """What the backend needs to load the class.

    Attributes:
        folder: Of config.json and the weights.
        published: config.json, with the operator's changes.
        trust_remote_code: Whether the checkpoint's own Python files may run.
    """

    folder: Path
    published: Mapping[str, Any]
    trust_remote_code: bool


def foreign_family(checkpoint: Checkpoint, *, trust_remote_code: bool) -> Family | None:
    """The family made for a checkpoint that no model file computes.

    Args:
        checkpoint: The files.
        trust_remote_code: Whether the operator lets the checkpoint's own Python files run.

    Returns:
        None where config.json names no ``model_type``, by which transformers finds the class.

    Raises:
        CheckpointError: It is a cross-encoder; of those only built-in ones are computed.
    """
    if not isinstance(checkpoint.config.get("model_type"), str):
        return None
    _refuse_cross_encoder(checkpoint)
    return Family(
        name=NAME,
        architectures=(),
        read_config=lambda raw: _read_config(raw, checkpoint, trust_remote_code),
        vocab_size=lambda config: config.vocab_size,
        towers={
            "text": Tower(
                forward=forward,
                dimensions=lambda config: config.hidden_size,
                max_positions=lambda config: config.max_positions,
                pooling=default_pooling(checkpoint, None),
            )
        },
        key_prefixes=(),
        ignored_keys=(r"[\s\S]*",),  # the class takes what it needs, and the backend checks it
        normalize=True,
        source="transformers' own class",
    )


def _refuse_cross_encoder(checkpoint: Checkpoint) -> None:
    """Its states would be pooled to well-shaped vectors that mean nothing."""
    if checkpoint.pools:
        return
    if not (checkpoint.architecture or "").endswith(_SCORES):
        return
    names = (name for family in families() for name in family.architectures)
    known = ", ".join(sorted(name for name in names if name.endswith(_SCORES)))
    raise CheckpointError(
        f"architecture {checkpoint.architecture!r} is a cross-encoder that is not built in; "
        f"built-in ones: {known}",
        param="architectures",
    )


def _read_config(
    raw: Mapping[str, Any],
    checkpoint: Checkpoint,
    trust_remote_code: bool,  # noqa: FBT001  (called in one place, by position)
) -> ForeignConfig:
    known = read_config(raw, checkpoint, None)
    if raw.get("model_type") in _OFFSET_TYPES:
        known = replace(known, max_positions=known.max_positions - known.pad_token_id - 1)
    return ForeignConfig(
        **asdict(known),
        folder=checkpoint.root,
        published=dict(raw),
        trust_remote_code=trust_remote_code,
    )
