"""Inputs of several parts, and conversations without a template → inputs of one part each."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from polyvec.engine.conversation import check_chat, is_rendered, parts_of
from polyvec.engine.options import EngineOptions
from polyvec.engine.postprocess import finish, normalized
from polyvec.engine.prepare import EMPTY_PROMPT, no_media
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.models._model import Model
from polyvec.types import (
    Chat,
    Embedding,
    EmbedRequest,
    FramesManifest,
    Image,
    Input,
    Part,
    Text,
    Video,
)

Embed = Callable[[EmbedRequest], Awaitable[list[Embedding]]]

_FAMILY_NAMES: Final = {
    "blip2": "BLIP-2",
    "chinese_clip": "Chinese CLIP",
    "clip": "CLIP",
    "mobileclip": "MobileCLIP",
    "siglip": "SigLIP",
}


@dataclass(frozen=True, slots=True)
class Split:
    """Inputs with one part each, and how their vectors go together again.

    Attributes:
        request: As asked, with the inputs that keep one part.
        places: Of those inputs, in the caller's request.
        fused: Place → the inputs whose vectors become one.
    """

    request: EmbedRequest
    places: tuple[int, ...]
    fused: dict[int, tuple[Input, ...]]

    @property
    def num_inputs(self) -> int:
        """Inputs that are embedded."""
        return len(self.places) + sum(map(len, self.fused.values()))


def split(request: EmbedRequest, model: Model, options: EngineOptions, name: str) -> Split | None:
    """Bring every input to one part; None where each has one already.

    Args:
        request: As a caller asks.
        model: Says what it reads.
        options: Says whether parts are fused.
        name: What callers call the model.

    Raises:
        UnsupportedInputError: The model reads no pictures, or not beside texts.
        InvalidInputError: An input has no content, or a conversation cannot be read.
        TemplateError: A conversation brings a template that is not trusted.
    """
    if all(len(item.parts) == 1 and not isinstance(item.parts[0], Chat) for item in request.inputs):
        return None
    kept: dict[int, Input] = {}
    fused: dict[int, tuple[Input, ...]] = {}
    for place, item in enumerate(request.inputs):
        parts = _simple_parts(item, model, options, name)
        if len(parts) == 1:
            kept[place] = replace(item, parts=parts)
        else:
            fused[place] = tuple(replace(item, parts=(part,)) for part in parts)
    if fused and request.outputs not in (None, ("dense",)):
        raise UnsupportedInputError(
            "an input of several parts has a dense vector only", param="outputs"
        )
    return Split(replace(request, inputs=tuple(kept.values())), tuple(kept), fused)


async def embed_split(found: Split, model: Model, embed: Embed) -> list[Embedding]:
    """Embed what was split; results in the caller's order."""
    results: dict[int, Embedding] = {}
    if found.places:
        results.update(zip(found.places, await embed(found.request), strict=True))
    if found.fused:
        flat = tuple(part for parts in found.fused.values() for part in parts)
        # Whole vectors of unit length, so that each part weighs the same.
        asked = replace(found.request, inputs=flat, dimensions=None, normalize=True)
        embedded = iter(await embed(asked))
        for place, parts in found.fused.items():
            group = [next(embedded) for _ in parts]
            results[place] = _fused(group, found.request, model)
    return [results[place] for place in sorted(results)]


def _fused(group: Sequence[Embedding], request: EmbedRequest, model: Model) -> Embedding:
    """The mean of unit vectors, as one vector."""
    # A video's vector is a mean itself, and has no unit length yet.
    units = normalized(np.stack([each.vector for each in group]))
    rows = finish(
        normalized(units.mean(axis=0, keepdims=True)),
        dimensions=request.dimensions,
        normalize=request.normalize is not False,
        standardize=model.standardizes,
    )
    return Embedding(rows[0], sum(each.num_tokens for each in group))


# One input.


def _simple_parts(item: Input, model: Model, options: EngineOptions, name: str) -> tuple[Part, ...]:
    """One part, or those that are to be fused."""
    parts = item.parts
    if len(parts) == 1 and isinstance(parts[0], Chat):
        check_chat(parts[0], options, item.param)
        if is_rendered(parts[0], model.text):
            return parts
        parts = parts_of(parts[0])
    elif len(parts) == 1:
        return parts
    texts, media = _sorted(parts, item.param)
    if media and model.image is None:
        raise no_media(name, item.param)
    text = joined_text(texts)
    if not media and not texts:
        raise InvalidInputError(EMPTY_PROMPT, param=item.param)
    if not media:
        return (Text(text),)
    simple = (*((Text(text),) if text else ()), *media)
    if len(simple) > 1:
        _check_fusing(simple, model, options, item.param)
    return simple


def _sorted(parts: Sequence[Part], param: str) -> tuple[list[Text], list[Part]]:
    texts = [part for part in parts if isinstance(part, Text)]
    media: list[Part] = [part for part in parts if isinstance(part, Image | Video | FramesManifest)]
    if len(texts) + len(media) < len(parts):
        raise UnsupportedInputError(
            f"{param} has several parts; they must be texts, pictures and videos", param=param
        )
    return texts, media


def joined_text(texts: Sequence[Text]) -> str:
    """One text of many, a line each; empty ones are left out."""
    return "\n".join(part.text for part in texts if part.text)


def _check_fusing(parts: Sequence[Part], model: Model, options: EngineOptions, param: str) -> None:
    """Refuse parts that no tower reads together, unless their vectors are fused.

    Raises:
        UnsupportedInputError: They are refused, in vLLM's words.
    """
    if options.fuse == "mean":
        return
    for kind, word in ((Image, "image"), (Video, "video")):
        if sum(isinstance(part, kind) for part in parts) > 1:
            raise UnsupportedInputError(
                f"At most 1 {word}(s) may be provided in one prompt.", param=param
            )
    family = _FAMILY_NAMES.get(model.family.name, model.family.name)
    raise UnsupportedInputError(
        f"{family} accepts text-only or image-only inputs, not both! You must pass an image with "
        "an empty token prompt.",
        param=param,
    )
