"""What gets an embedding: inputs, their parts, and where the bytes of pictures are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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


Vocabulary = Literal["model", "openai"]
"""Whose numbering token ids have: the served model's, or that of clients made for OpenAI's."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids, used as they are: no special tokens, no prompt is added.

    Attributes:
        ids: At least one.
        vocabulary: ``"model"``, or ``"openai"`` when they come from a client made for OpenAI's
            models. Such clients count in cl100k whatever model they name; the operator's setting
            says whether their ids are read so.
    """

    ids: tuple[int, ...]
    vocabulary: Vocabulary = "model"


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


MediaPart = Text | Image | Video
"""What a message or an input of several parts may hold."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: Any word that the template knows, such as ``user``, ``system`` or ``query``.
        parts: In the caller's order; may be empty.
    """

    role: str
    parts: tuple[MediaPart, ...]


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation that gets one embedding.

    It goes through the model's chat template. A model without one reads the texts of all messages,
    joined by newlines, with its special tokens.

    Attributes:
        messages: At least one.
        add_generation_prompt: Whether the template opens the assistant's turn at the end.
        continue_final_message: Whether the last message stays open.
        add_special_tokens: Whether special tokens are put around what the template gives; most
            templates write them. Not asked of a model without a template.
        template: Jinja source to use instead of the model's, or None. Only where the operator
            trusts requests with that.
        template_variables: Further variables of the template.
    """

    messages: tuple[Message, ...]
    add_generation_prompt: bool = False
    continue_final_message: bool = False
    add_special_tokens: bool = False
    template: str | None = None
    template_variables: Mapping[str, Any] = field(default_factory=dict)


Part = Text | Tokens | Image | Video | FramesManifest | Pair | Chat


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that gets one embedding.

    Attributes:
        parts: One or more. Texts are joined by newlines; texts and pictures together are refused
            by models with a tower for each, unless the operator has them fused.
        param: Where the caller wrote it, such as ``input[3]``; error messages name it.
    """

    parts: tuple[Part, ...]
    param: str = "input"
