"""Input → Prepared: what the model reads, its cost and its key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polyvec.engine.prompts import adapter_of
from polyvec.errors import UnsupportedInputError
from polyvec.media.rgb import RgbArray
from polyvec.models._model import ImageRules, Model
from polyvec.types import (
    Chat,
    EmbedRequest,
    Float32Array,
    FramesManifest,
    Image,
    Input,
    IntArray,
    Modality,
    Output,
    Pair,
    Part,
    Text,
    Tokens,
    Video,
)


@dataclass(frozen=True, slots=True)
class Route:
    """The way of an input through the model; inputs of a batch share it.

    Attributes:
        modality: Which tower reads it.
        outputs: What is made of it.
        adapter: Index of the adapter it goes through, or None.
    """

    modality: Modality
    outputs: tuple[Output, ...] = ("dense",)
    adapter: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether only the dense row is wanted."""
        return self.outputs == ("dense",)

    @property
    def name(self) -> str:
        """For content keys; empty for the plain route without adapter."""
        outputs = "" if self.is_plain else "+".join(self.outputs)
        return outputs if self.adapter is None else f"{outputs}@{self.adapter}"


Kind = Literal["text", "image", "video"]
"""How an input is prepared; a video becomes many pictures."""

_CHAT_CHARS = 1_000_000
"""What a conversation counts for: templates take their time, so they are for threads."""

LIKELY_FRAMES = 64
"""What a video counts for while nobody has looked into it."""

EMPTY_PROMPT = "The decoder prompt cannot be empty"
"""Word for word what vLLM says of an input that gives the model nothing to read."""

PLAIN_TEXT = Route("text")
PLAIN_IMAGE = Route("image")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the model reads of one input.

    Attributes:
        route: Its way through the model.
        array: Token ids (L,) int64, or pixels (3, H, W) float32.
        cost: Tokens or patches, at least 1.
        num_tokens: Tokens that are counted for the caller; 0 for a picture.
        key: Equal for inputs that must get the same vector.
        segments: For a pair, 0 in its first text and 1 in the second, (L,); None for all 0.
        skipped: Leading tokens that pooling leaves out.
        attended: Leading tokens that others see; None for all.
        kept: Whether a token's vector is given, (L,); None for all.
    """

    route: Route
    array: IntArray | Float32Array
    cost: int
    num_tokens: int
    key: bytes
    segments: IntArray | None = None
    skipped: int = 0
    attended: int | None = None
    kept: NDArray[np.bool_] | None = None


def route_of(request: EmbedRequest, model: Model) -> Route:
    """The way of a request's texts through the model.

    Raises:
        UnsupportedInputError: The model does not give an output that is asked for.
        InvalidInputError: The task or the prompt is not one of the model's.
    """
    outputs = request.outputs or model.outputs[:1]
    for output in outputs:
        if output not in model.outputs:
            raise UnsupportedInputError(
                f"this model gives no {output} output; it gives {', '.join(model.outputs)}",
                param="outputs",
            )
    adapter = adapter_of(request, model)
    if outputs == ("dense",) and adapter is None:
        return PLAIN_TEXT
    return Route("text", tuple(dict.fromkeys(outputs)), adapter)


def image_route_of(request: EmbedRequest, model: Model) -> Route:
    """The way of a request's pictures through the model.

    Raises:
        UnsupportedInputError: The model does not give an output that is asked for.
    """
    outputs = tuple(dict.fromkeys(request.outputs or PLAIN_IMAGE.outputs))
    for output in outputs:
        if output not in model.image_outputs:
            raise UnsupportedInputError(
                f"this model gives no {output} output of pictures; it gives "
                f"{', '.join(model.image_outputs)}",
                param="outputs",
            )
    return PLAIN_IMAGE if outputs == PLAIN_IMAGE.outputs else Route("image", outputs)


def kinds_of(request: EmbedRequest, model: Model, name: str = "") -> list[Kind]:
    """How each input of a request, which has one part, is prepared.

    Args:
        request: Says what is embedded.
        model: Says what it reads.
        name: What callers call the model.

    Raises:
        UnsupportedInputError: The model has no tower for it, or reads no pairs.
    """
    return [_kind_of(item, model, name) for item in request.inputs]


def no_media(name: str, param: str) -> UnsupportedInputError:
    """The error for pictures and videos on a model that reads texts only, in vLLM's words."""
    return UnsupportedInputError(f"{name} is not a multimodal model", param=param)


def _kind_of(item: Input, model: Model, name: str) -> Kind:
    (part,) = item.parts
    if isinstance(part, Pair) and "score" not in model.outputs:
        raise UnsupportedInputError(
            f"{item.param} is a pair of texts, which only a cross-encoder reads", param=item.param
        )
    kind: Kind = "text"
    if isinstance(part, Image):
        kind = "image"
    elif isinstance(part, Video | FramesManifest):
        kind = "video"
    if kind == "text" and model.text is None:
        raise UnsupportedInputError(
            "Text inputs are not supported by the active model, which takes image",
            param=item.param,
        )
    if kind != "text" and model.image is None:
        raise no_media(name, item.param)
    return kind


def num_pictures(part: Part) -> int:
    """Pictures that the model reads of a part; of a video, as many as are likely."""
    if isinstance(part, Video):
        indexes = part.sampling.indexes
        return len(indexes) if indexes is not None else part.sampling.num_frames or LIKELY_FRAMES
    if isinstance(part, FramesManifest):
        return LIKELY_FRAMES
    return 1 if isinstance(part, Image) else 0


def num_chars(inputs: Sequence[Input]) -> int:
    """Characters and token ids to read: what preparing texts costs."""
    return sum(_size(item.parts[0]) for item in inputs)


def _size(part: Part) -> int:
    if isinstance(part, Text):
        return len(part.text)
    if isinstance(part, Pair):
        return len(part.first) + len(part.second)
    if isinstance(part, Chat):
        return _CHAT_CHARS
    return len(part.ids) if isinstance(part, Tokens) else 0


def prepare_picture(pixels: RgbArray, rules: ImageRules, key: bytes, route: Route) -> Prepared:
    """What the model reads of a decoded picture.

    Args:
        pixels: As the transform's ``fitted`` gives them.
        rules: The model's.
        key: See `Prepared`.
        route: The picture's.
    """
    return Prepared(
        route=route,
        array=rules.read(pixels),
        cost=rules.num_patches,
        num_tokens=0,
        key=key,
    )
