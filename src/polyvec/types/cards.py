"""What the server says about its models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from polyvec.types.arrays import Modality, Output, Truncate
from polyvec.types.inputs import FrameSampling

ModelState = Literal["ready", "unloaded", "loading", "failed"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A resolved value and where it came from.

    Attributes:
        value: JSON-able.
        origin: For people, such as ``1_Pooling/config.json``, ``--pooling`` or ``bert default``.
    """

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the server knows about one served model.

    Attributes:
        name: Served name.
        aliases: Other names callers may use.
        checkpoint: Folder or hub id it was loaded from.
        architecture: Class name in config.json.
        family: Our family's name.
        modalities: What it embeds.
        dimensions: Native vector length D.
        matryoshka: Shorter lengths that may be asked for; empty when none.
        max_input_tokens: Longest text in tokens, special ones included; None without a text tower.
        outputs: What it gives for a text, the main output first.
        prompts: Prompt name → prefix.
        tasks: Adapters that a request may choose.
        reads_video: Whether videos can be sent: it embeds pictures, and the extra is installed.
        sampling: Which frames of a video are embedded where a request does not say.
        device: Where it runs, such as ``cpu``.
        dtype: Precision in force, such as ``float32``.
        backend: Runtime's name.
        created: Unix seconds at which it was loaded.
        settings: Every resolved setting with its origin.
        labels: What a classifier's scores stand for, in their order; empty where there are none.
        vocab_size: Token ids are below it; None without a text tower.
        has_chat_template: Whether conversations go through a template.
        fuses: Whether an input may have texts and pictures together.
        is_pair_model: Whether it reads pairs of texts (a cross-encoder).
        max_inputs: Most inputs of one request.
        truncate: What happens to an over-long text when a request does not say.
        state: Whether it can answer at once. A model that is not loaded is loaded by its first
            request; what cannot be known before is empty or 0 in its card.
    """

    name: str
    aliases: tuple[str, ...]
    checkpoint: str
    architecture: str
    family: str
    modalities: tuple[Modality, ...]
    dimensions: int
    matryoshka: tuple[int, ...]
    max_input_tokens: int | None
    device: str
    dtype: str
    backend: str
    created: int
    settings: Mapping[str, Setting] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ("dense",)
    prompts: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    reads_video: bool = False
    sampling: FrameSampling = field(default_factory=FrameSampling)
    labels: tuple[str, ...] = ()
    vocab_size: int | None = None
    has_chat_template: bool = False
    fuses: bool = False
    is_pair_model: bool = False
    max_inputs: int = 2048
    truncate: Truncate = "none"
    state: ModelState = "ready"
