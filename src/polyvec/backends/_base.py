"""What the engine asks of a runtime: load a model, then run batches of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from polyvec.models._model import Model
from polyvec.types import Float32Array, IntArray, Modality, Output, Setting

Dtype = Literal["auto", "float32", "bfloat16", "float16", "int8", "int4", "int8-full"]


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """How to run a model.

    Attributes:
        device: ``cpu``, or what the runtime calls another device (``GPU.1``, ``cuda:0``).
        dtype: Wanted precision; ``auto`` is what the model's alias asks for, else bfloat16 where
            the CPU has it natively, else float32. ``int8`` and ``int4`` keep matrices in so many
            bits and compute as ``auto`` does; ``int8-full`` computes in 8 bits as well.
        num_sessions: Batches that may run at the same time; None for one per core.
        activation_group_size: With quantised weights, neighbouring activations that share a scale
            when they are rounded to 8 bits; 0 leaves activations as they are: slower and exacter.
        cache_dir: Where quantised weights are kept; empty for nowhere, None for the user's own
            cache folder.
        calibration_file: Texts, one a line, from which ``int8-full`` learns the range of
            activations; None for built-in ones.
        verify_precision: Whether a model in a reduced precision is compared with float32 when it is
            loaded.
    """

    device: str = "cpu"
    dtype: Dtype = "auto"
    num_sessions: int | None = None
    activation_group_size: int = 128
    cache_dir: str | None = None
    calibration_file: str | None = None
    verify_precision: bool = False


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Texts laid end to end.

    Attributes:
        ids: Shape (T,), all texts after one another, no padding.
        lengths: Shape (B,), tokens of each text; every one is at least 1 and they sum to T.
        segments: Shape (T,), 0 in the first text of a pair and 1 in the second; None for all 0.
        skipped: Shape (B,), leading tokens of each text that pooling leaves out; None for none.
        adapter: Index of the adapter that all texts go through, or None for none.
        attended: Shape (B,), leading tokens of each text that others see, at least 1; those after
            them only look (ColBERT's query expansion). None for all.
    """

    ids: IntArray
    lengths: IntArray
    segments: IntArray | None = None
    skipped: IntArray | None = None
    adapter: int | None = None
    attended: IntArray | None = None


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Preprocessed pictures.

    Attributes:
        pixels: Shape (B, 3, H, W), float32, normalised as the checkpoint asks.
    """

    pixels: Float32Array


Batch = TokenBatch | ImageBatch


class Session(Protocol):
    """One lane of a runner. Belongs to one thread: it is never called from two at a time."""

    def run(self, modality: Modality, batch: Batch, *, alone: bool = False) -> Float32Array:
        """Forward pass and pooling.

        Args:
            modality: Which tower.
            batch: What to embed.
            alone: No other session runs now and nothing waits, so the batch may take every core.

        Returns:
            The model's main output: shape (B, D), or (T, D) where that is one per token; float32,
            owned by the caller, not normalised. A text or image whose states are not finite gives a
            non-finite row and leaves the other rows as they are.

        Raises:
            InferenceError: The runtime failed.
        """
        ...

    def run_outputs(
        self, batch: Batch, outputs: tuple[Output, ...], *, alone: bool = False
    ) -> Mapping[Output, Float32Array]:
        """Several outputs of one forward pass.

        Args:
            batch: What to embed.
            outputs: Of `Model.outputs`, or of `Model.image_outputs` for pictures.
            alone: As in `run`.

        Returns:
            By output, (B, N) or (T, N); see `Head.gives`. A picture's ``tokens`` are (B, M, N).

        Raises:
            InferenceError: The runtime failed.
        """
        ...


class Runner(Protocol):
    """A loaded, warmed-up model.

    Attributes:
        device: Where it runs.
        dtype: Precision in force, which may differ from the wanted one (``float32`` on a CPU
            without bfloat16); ``int8`` and the like where weights are quantised.
        num_sessions: How many sessions make full use of the device.
        settings: What was found out or decided while loading, for the model's card.
    """

    device: str
    dtype: str
    num_sessions: int
    settings: Mapping[str, Setting]

    def session(self) -> Session:
        """A new lane, for one thread."""
        ...

    def probe(self, batch: TokenBatch) -> Float32Array | None:
        """For self-tests: states (T, D) of the text tower, of its first layers where that is cheap.

        Returns:
            None when there is no text tower or its states cannot be seen.
        """
        ...

    def close(self) -> None:
        """Free the weights. No session may be running."""
        ...


class Backend(Protocol):
    """A runtime. Each file of this package declares one as ``BACKEND``."""

    name: str

    def load(self, model: Model, options: BackendOptions) -> Runner:
        """Build, compile and warm up.

        Raises:
            CheckpointError: Weights are missing, unexpected or of the wrong shape.
            ConfigError: The device or dtype is not to be had here.
        """
        ...
