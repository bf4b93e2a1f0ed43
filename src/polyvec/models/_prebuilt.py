"""Graphs that somebody else converted: OpenVINO IR and ONNX folders, with pooling put on top.

A checkpoint whose weights and architecture polyvec knows is computed by its own graph; a converted
one is used where that cannot be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from polyvec.checkpoints.ovms_graph import read_ovms_graph
from polyvec.checkpoints.read import Checkpoint
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._family import Family, Pooling, Tower
from polyvec.models._ops import Tensor
from polyvec.models._registry import architecture_of, claimant, family_of

NAME = "prebuilt"

# In the order in which OpenVINO Model Server looks for them.
_LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "seq_len",
    "seq_length",
    "n_ctx",
    "sliding_window",
)
_DEFAULT_LENGTH = 1024
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")
_WIDTHS = ("hidden_size", "d_model", "n_embd", "dim")
_POOLED_WIDTHS = ("word_embedding_dimension", "embedding_dimension")


@dataclass(frozen=True, slots=True)
class PrebuiltConfig:
    """What is known of a converted graph before it is opened.

    Attributes:
        hidden_size: Width of its states.
        max_positions: Longest text it takes.
        vocab_size: Token ids are below it.
        pad_token_id: Stands behind a text in a batch; some graphs count positions by it.
    """

    hidden_size: int
    max_positions: int
    vocab_size: int
    pad_token_id: int


def prebuilt_family(checkpoint: Checkpoint) -> Family | None:
    """The family made for a folder with a converted graph.

    Args:
        checkpoint: The files.

    Returns:
        None where there is no such graph, or where polyvec computes the model by itself.

    Raises:
        CheckpointError: The folder lacks what the graph needs beside it.
    """
    known = _known(checkpoint)
    if checkpoint.graph_file is None or (known is not None and checkpoint.has_weights):
        return None
    if known is not None and set(known.towers) != {"text"}:
        return None  # a converted tower of several has no agreed form
    _check_tokenizer(checkpoint)
    tower = None if known is None else known.towers["text"]
    ovms = read_ovms_graph(checkpoint.folder)
    return Family(
        name=NAME,
        architectures=(),
        read_config=lambda raw: read_config(raw, checkpoint, known),
        vocab_size=lambda config: config.vocab_size,
        towers={
            "text": Tower(
                forward=forward,
                dimensions=lambda config: config.hidden_size,
                max_positions=lambda config: config.max_positions,
                pooling=default_pooling(checkpoint, tower),
            )
        },
        key_prefixes=(),
        ignored_keys=(),
        normalize=_normalizes(known) if ovms is None else ovms.normalize,
        source="the converted graph itself",
    )


def forward(ops: Any, _config: PrebuiltConfig) -> Tensor:
    """Take the graph's states and pool them.

    Raises:
        ConfigError: The backend cannot run a converted graph.
    """
    if not hasattr(ops, "states"):
        raise ConfigError(
            "a converted graph (openvino_model.xml, model.onnx) runs on backend openvino alone",
            param="backend",
        )
    return ops.pool(ops.states())


def _normalizes(known: Family | None) -> bool:
    return known is None or known.normalize


def _known(checkpoint: Checkpoint) -> Family | None:
    try:
        named = checkpoint.architecture or architecture_of(checkpoint.config.get("model_type"))
        return claimant(checkpoint.config) or family_of(named)
    except CheckpointError:
        return None


def _check_tokenizer(checkpoint: Checkpoint) -> None:
    if any((checkpoint.root / name).is_file() for name in _TOKENIZERS):
        return
    if (checkpoint.root / "openvino_tokenizer.xml").is_file():
        raise CheckpointError(
            "tokenizer.json is missing: the folder has its tokenizer as openvino_tokenizer.xml "
            "alone, which polyvec does not run; copy tokenizer.json from the model it was made of"
        )


def read_config(
    raw: Mapping[str, Any], checkpoint: Checkpoint, known: Family | None
) -> PrebuiltConfig:
    nested = raw.get("text_config")
    values = {**raw, **nested} if isinstance(nested, Mapping) else raw
    config = _known_config(raw, known)
    positions = _first(values, _LENGTHS) or _DEFAULT_LENGTH
    if known is not None and config is not None:
        positions = known.towers["text"].max_positions(config)
    width = _pooled_width(checkpoint) or _first(values, _WIDTHS)
    vocabulary = _first(values, ("vocab_size",))
    for name, value in (("hidden_size", width), ("vocab_size", vocabulary)):
        if value is None:
            raise CheckpointError(f"config.json lacks {name!r}", param=name)
    pad = values.get("pad_token_id", getattr(config, "pad_token_id", None))
    return PrebuiltConfig(
        hidden_size=cast(int, width),
        max_positions=positions,
        vocab_size=cast(int, vocabulary),
        pad_token_id=pad if type(pad) is int and 0 <= pad < cast(int, vocabulary) else 0,
    )


def _known_config(raw: Mapping[str, Any], known: Family | None) -> Any:
    """The typed config of the architecture, whose limits are exact where OVMS's are not."""
    try:
        return None if known is None else known.read_config(raw)
    except CheckpointError:  # the graph may do what our own cannot
        return None


def _pooled_width(checkpoint: Checkpoint) -> int | None:
    for module in (*(checkpoint.modules or ()), *checkpoint.lone_pooling):
        if module.kind == "Pooling":
            return _first(module.config, _POOLED_WIDTHS)
    return None


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    found = (values.get(name) for name in names)
    return next((value for value in found if type(value) is int and value > 0), None)


def default_pooling(checkpoint: Checkpoint, tower: Tower | None) -> Pooling:
    if tower is not None:
        return tower.pooling
    is_causal = checkpoint.config.get("is_causal") is not False
    generates = (checkpoint.architecture or "").endswith("ForCausalLM")
    return "last" if generates and is_causal else "mean"
