"""Hash vectors: load tests of everything around a model, without its weights."""

import os
from collections.abc import Mapping
from hashlib import blake2b, shake_128

import numpy as np

from polyvec.backends._base import Backend, BackendOptions, Batch, Runner, Session, TokenBatch
from polyvec.models._model import Model
from polyvec.types import Float32Array, Modality, Output, Setting

_HALF_RANGE = 32768


class FakeBackend:
    """Answers at once with vectors that depend on the content alone."""

    name = "fake"

    def load(self, model: Model, options: BackendOptions) -> Runner:
        """Nothing is read: the vector length is all that is taken from the model."""
        return FakeRunner(
            model.dimensions, num_sessions=options.num_sessions or os.cpu_count() or 1
        )


class FakeRunner:
    """A model without weights.

    Attributes:
        device: Always ``cpu``.
        dtype: Always ``float32``.
        num_sessions: As asked, else one per core.
        settings: None.
    """

    def __init__(self, dimensions: int, *, num_sessions: int) -> None:
        self.device = "cpu"
        self.dtype = "float32"
        self.num_sessions = num_sessions
        self.settings: Mapping[str, Setting] = {}
        self._dimensions = dimensions

    def session(self) -> Session:
        """A lane; it has no state."""
        return FakeSession(self._dimensions)

    def probe(self, batch: TokenBatch) -> None:
        """It has no states."""

    def close(self) -> None:
        """Nothing to free."""


class FakeSession:
    """Digests content into vectors."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions

    def run(self, modality: Modality, batch: Batch, *, alone: bool = False) -> Float32Array:  # noqa: ARG002
        """Vectors in [-1, 1), shape (B, D), not normalised; equal contents give equal rows."""
        if isinstance(batch, TokenBatch):
            contents = np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
            return np.stack([self._vector(modality, ids.tobytes()) for ids in contents])
        return np.stack([self._vector(modality, pixels.tobytes()) for pixels in batch.pixels])

    def run_outputs(
        self,
        batch: Batch,
        outputs: tuple[Output, ...],  # noqa: ARG002  (it has but one)
        *,
        alone: bool = False,
    ) -> dict[Output, Float32Array]:
        """The one output there is."""
        modality: Modality = "text" if isinstance(batch, TokenBatch) else "image"
        return {"dense": self.run(modality, batch, alone=alone)}

    def _vector(self, modality: Modality, content: bytes) -> Float32Array:
        seed = blake2b(content, person=modality.encode()).digest()
        noise = np.frombuffer(shake_128(seed).digest(2 * self._dimensions), np.dtype("<i2"))
        vector: Float32Array = noise.astype(np.float32) / np.float32(_HALF_RANGE)
        return vector


BACKEND: Backend = FakeBackend()
