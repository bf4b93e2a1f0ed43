"""Input → Prepared: what the model reads, its cost and its key. Pure but for fetching a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvec.engine.cache import content_key
from polyvec.engine.prompts import adapter_of
from polyvec.errors import UnsupportedInputError
from polyvec.media.image import decode_image
from polyvec.media.policy import MediaPolicy
from polyvec.models._model import ImageRules, Model
from polyvec.types import (
    EmbedRequest,
    Float32Array,
    Image,
    Input,
    IntArray,
    Modality,
    Output,
    Pair,
    Part,
    Text,
    Tokens,
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


def modalities_of(request: EmbedRequest, model: Model) -> list[Modality]:
    """Which tower reads each input of a request.

    Raises:
        UnsupportedInputError: The model has no such tower, or an input has several parts.
    """
    return [_modality_of(item, model) for item in request.inputs]


def _modality_of(item: Input, model: Model) -> Modality:
    if len(item.parts) != 1:
        raise UnsupportedInputError(
            f"{item.param} has {len(item.parts)} parts; the active model takes exactly one text or "
            "image per input",
            param=item.param,
        )
    modality: Modality = "image" if isinstance(item.parts[0], Image) else "text"
    if isinstance(item.parts[0], Pair) and "score" not in model.outputs:
        raise UnsupportedInputError(
            f"{item.param} is a pair of texts, which only a cross-encoder reads", param=item.param
        )
    if (model.image if modality == "image" else model.text) is None:
        raise UnsupportedInputError(
            f"{modality.capitalize()} inputs are not supported by the active model, which takes "
            f"{' and '.join(model.modalities)}",
            param=item.param,
        )
    return modality


def num_chars(inputs: Sequence[Input]) -> int:
    """Characters and token ids to read: what preparing texts costs."""
    return sum(_size(item.parts[0]) for item in inputs)


def _size(part: Part) -> int:
    if isinstance(part, Text):
        return len(part.text)
    if isinstance(part, Pair):
        return len(part.first) + len(part.second)
    return len(part.ids) if isinstance(part, Tokens) else 0


def prepare_image(
    data: bytes, rules: ImageRules, policy: MediaPolicy, *, param: str, salt: str
) -> Prepared:
    """Decode and transform one picture.

    Args:
        data: The encoded file.
        rules: The model's.
        policy: Byte and pixel limits; one engine has one, so it is not part of the key.
        param: The input's name in messages.
        salt: The request's.

    Raises:
        MediaError: It cannot be decoded under the policy.
    """
    pixels = rules.transform(decode_image(data, policy, param=param))
    return Prepared(
        route=PLAIN_IMAGE,
        array=pixels,
        cost=rules.num_patches,
        num_tokens=0,
        key=content_key("image", data, salt=salt),
    )
