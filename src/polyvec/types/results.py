"""What callers get."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from polyvec.types.arrays import Float32Array, IntArray


@dataclass(frozen=True, slots=True)
class SparseVector:
    """A vector with few entries other than zero.

    Attributes:
        indexes: Shape (N,), token ids of the vocabulary, rising.
        values: Shape (N,), float32, positive.
    """

    indexes: IntArray
    values: Float32Array


@dataclass(frozen=True, slots=True)
class FrameVectors:
    """The vectors of a video's frames, in the video's order.

    Attributes:
        vectors: Shape (F, D), float32, finite.
        indexes: Shape (F,), place of each frame in the whole video, from 0.
        timestamps_s: Shape (F,), float64, seconds from the video's start.
        skipped: For pictures of a manifest that could not be read: their place in it, from 0, and
            why. They have no vector.
    """

    vectors: Float32Array
    indexes: IntArray
    timestamps_s: NDArray[np.float64]
    skipped: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SegmentVectors:
    """One vector for each segment of a video: the mean of its frames' vectors.

    Attributes:
        vectors: Shape (S, D), float32, finite.
        starts_s: Shape (S,), float64, seconds from the video's start.
        ends_s: Shape (S,), float64.
    """

    vectors: Float32Array
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Embedding:
    """What the model makes of one input: the outputs that were asked for.

    Attributes:
        vector: Shape (D,), float32, finite; (0,) when ``dense`` was not asked for. Of a video, the
            mean of its frames' unit vectors.
        num_tokens: Tokens the model read, special tokens included; patches are not counted, so 0
            for an image.
        sparse: None when ``sparse`` was not asked for.
        token_vectors: Shape (L, K), float32; None when ``tokens`` was not asked for.
        scores: Shape (N,), float32, one per label, activated; None when ``score`` was not asked
            for.
        frames: Of a video; None for anything else.
        segments: Of a video whose input asked for segments.
    """

    vector: Float32Array
    num_tokens: int
    sparse: SparseVector | None = None
    token_vectors: Float32Array | None = None
    scores: Float32Array | None = None
    frames: FrameVectors | None = None
    segments: SegmentVectors | None = None


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """Answer to an EmbedRequest.

    Attributes:
        model: The served name that answered.
        embeddings: One per input, in request order.
    """

    model: str
    embeddings: tuple[Embedding, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens read over all inputs."""
        return sum(embedding.num_tokens for embedding in self.embeddings)


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """Answer to a ScoreRequest.

    Attributes:
        model: The served name that answered.
        scores: Shape (N,), float32, one per document.
        num_tokens: Tokens read in all.
    """

    model: str
    scores: Float32Array
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Tokenized:
    """The tokens of one input.

    Attributes:
        ids: Shape (L,).
        tokens: As the vocabulary spells them.
        is_special: Shape (L,), whether a token is one of the model's special tokens.
        spans: Shape (L, 2), where in the text, in characters, a token begins and ends, the prompt
            included; -1 for a token that was added to the text.
        text: What was read, the prompt included; empty for a pair.
    """

    ids: IntArray
    tokens: tuple[str, ...]
    is_special: NDArray[np.bool_]
    spans: IntArray
    text: str = ""


@dataclass(frozen=True, slots=True)
class TokenizeResult:
    """Answer to a TokenizeRequest.

    Attributes:
        model: The served name that answered.
        inputs: One per input, in request order.
    """

    model: str
    inputs: tuple[Tokenized, ...]


@dataclass(frozen=True, slots=True)
class DetokenizeResult:
    """Answer to a DetokenizeRequest.

    Attributes:
        model: The served name that answered.
        texts: One per tuple of ids, in request order.
    """

    model: str
    texts: tuple[str, ...]
