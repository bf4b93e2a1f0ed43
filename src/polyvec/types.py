"""What travels between the layers: requests, results and model cards.

Shape letters used in every docstring: B batch, L tokens of one text, T packed tokens of a batch,
F frames, H W pixels, C channels, D vector length.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Modality = Literal["text", "image"]
Truncate = Literal["end", "start", "none"]
Output = Literal["dense", "sparse", "tokens", "score"]
"""What a model makes of an input: one vector; weights of a few vocabulary entries; one vector per
token; or a cross-encoder's scores of a pair."""
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]


# Where the bytes of a picture or a video are. Dialects build these; only `media` opens them.


@dataclass(frozen=True, slots=True)
class Base64:
    """Standard base64 text, without a ``data:`` prefix."""

    data: str


@dataclass(frozen=True, slots=True)
class DataUri:
    """A ``data:image/png;base64,…`` URI."""

    uri: str


@dataclass(frozen=True, slots=True)
class Url:
    """An ``http`` or ``https`` URL."""

    url: str


@dataclass(frozen=True, slots=True)
class Bytes:
    """The encoded file itself."""

    data: bytes


@dataclass(frozen=True, slots=True)
class File:
    """A file on the server's own machine, by its path; only under the operator's media roots."""

    path: str


Source = Base64 | DataUri | Url | Bytes | File


# What gets an embedding.


@dataclass(frozen=True, slots=True)
class Text:
    """A text as the caller wrote it, before any prompt."""

    text: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of the served model, used as they are: no special tokens, no prompt is added."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """A picture that is decoded already; only callers of the same process have one.

    Attributes:
        rgb: Shape (H, W, 3), uint8.
    """

    rgb: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Image:
    """One picture."""

    source: Source | Pixels


@dataclass(frozen=True, slots=True)
class FrameSampling:
    """Which frames of a video are embedded; the most exact wish that is given wins.

    Attributes:
        start_s: Where the wanted part begins, in seconds.
        duration_s: Its length in seconds, or None for all the rest.
        num_frames: Evenly spread over the part; 0 for every frame.
        fps: Frames for each second of the part; wins over ``num_frames``.
        indexes: Frames by their place in the whole video, those outside the part left out; wins
            over ``fps``.
    """

    start_s: float = 0.0
    duration_s: float | None = None
    num_frames: int = 64
    fps: float | None = None
    indexes: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """One encoded video, or an animated picture read as one; it gets a vector for every frame.

    Attributes:
        source: Where it is.
        sampling: Which of its frames.
        segment_s: Length in seconds of the segments that get a vector each; None for none.
    """

    source: Source
    sampling: FrameSampling = FrameSampling()
    segment_s: float | None = None


@dataclass(frozen=True, slots=True)
class FramesManifest:
    """A JSON file that lists frames: pictures, or frames of one video. Read as `Video` is.

    Attributes:
        source: Where it is.
    """

    source: Source


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that a cross-encoder reads together.

    Attributes:
        first: As a rule the query.
        second: As a rule the document.
        instruction: What a judging model is to look for; None for its own.
    """

    first: str
    second: str
    instruction: str | None = None


Part = Text | Tokens | Image | Video | FramesManifest | Pair


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that gets one embedding.

    Attributes:
        parts: One or more; today's models take exactly one part.
        param: Where the caller wrote it, such as ``input[3]``; error messages name it.
    """

    parts: tuple[Part, ...]
    param: str = "input"


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """What one caller asks for, whatever the dialect.

    Attributes:
        model: Served name, or None for the server's first model.
        inputs: In the caller's order; results keep it.
        dimensions: Wanted vector length (Matryoshka), or None for the model's own.
        normalize: Force unit length on or off, or None for what the checkpoint says. False also
            leaves a cross-encoder's scores without their activation.
        truncate: Which tokens of an over-long text to drop, ``"none"`` to refuse it, or None for
            the server's default.
        prompt_name: One of the checkpoint's prompts, put before every text, or None for the
            checkpoint's default prompt.
        task: Name of an adapter (jina-embeddings-v3), or None for none; the checkpoint's prompt of
            the same name goes with it unless ``prompt_name`` says otherwise.
        outputs: What to give for each input, or None for the model's main output.
        priority: Lower runs earlier; 0 is normal.
        cache_salt: Results are shared only between requests of equal salt.
    """

    model: str | None
    inputs: tuple[Input, ...]
    dimensions: int | None = None
    normalize: bool | None = None
    truncate: Truncate | None = None
    prompt_name: str | None = None
    task: str | None = None
    outputs: tuple[Output, ...] | None = None
    priority: int = 0
    cache_salt: str = ""


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
class ScoreRequest:
    """How well each document answers its query.

    Attributes:
        model: Served name, or None for the server's first model.
        queries: One for all documents, or one for each.
        documents: In the caller's order; scores keep it.
        instruction: As in `Pair`.
        activate: Whether a cross-encoder's scores go through its activation; else they are logits.
        truncate: As in `EmbedRequest`; of a pair, the longer text is cut.
        priority: As in `EmbedRequest`.
        cache_salt: As in `EmbedRequest`.
    """

    model: str | None
    queries: tuple[str, ...]
    documents: tuple[str, ...]
    instruction: str | None = None
    activate: bool = True
    truncate: Truncate | None = None
    priority: int = 0
    cache_salt: str = ""


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
    sampling: FrameSampling = FrameSampling()
