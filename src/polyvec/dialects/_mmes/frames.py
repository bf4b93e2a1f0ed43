"""Vectors of a video in answers of Multimodal Embedding Serving, and what callers may add to them.

The original answers with vectors alone, which cannot be mapped to time, and with one for a picture
of which BLIP-2 has several. ``include`` in a request adds to the answer and changes nothing of
``embedding``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from polyvec.dialects._encode import wire_vector
from polyvec.dialects._mmes.fields import FieldError
from polyvec.types import Embedding, FrameVectors, SegmentVectors

INCLUDABLE: Final = ("frames", "video", "tokens")
_NO_LENGTH: Final = 1e-12


def parse_include(body: Mapping[str, Any]) -> frozenset[str]:
    """Return what a body wants beside vectors: of a video, or of a picture that has several.

    Raises:
        FieldError: It is not a list of known names.
    """
    value = body.get("include")
    if value is None:
        return frozenset()
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(name in INCLUDABLE for name in names):
        message = f"Value error, include must be a list of {', '.join(INCLUDABLE)}"
        raise FieldError("value_error", ("body", "include"), message)
    return frozenset(names)


def wire_mean(embeddings: Sequence[Embedding]) -> Any:
    """Return one vector for frames that came as pictures: the mean of theirs, of unit length."""
    mean = np.mean([embedding.vector for embedding in embeddings], axis=0)
    return wire_vector(mean / max(float(np.linalg.norm(mean)), _NO_LENGTH), "float")


def wire_video(embedding: Embedding, include: frozenset[str]) -> dict[str, Any]:
    """Return the answer to a video: a vector for each frame, and what was asked for beside it.

    ``frames`` has ``index`` and ``timestamp`` in seconds for each vector, ``video_embedding`` is
    the mean of all. ``segments`` comes with ``segment_config.segment_seconds`` and has ``start``,
    ``end`` and ``embedding`` for each part of that length. Pictures of a manifest that could not
    be read are listed under ``skipped``, asked for or not.
    """
    frames = embedding.frames
    if frames is None:
        return {"embedding": []}
    wire: dict[str, Any] = {"embedding": wire_vector(frames.vectors, "float")}
    if "frames" in include:
        wire["frames"] = _frames(frames)
    if "video" in include:
        wire["video_embedding"] = wire_vector(embedding.vector, "float")
    if embedding.segments is not None:
        wire["segments"] = _segments(embedding.segments)
    if frames.skipped:
        wire["skipped"] = [{"entry": n, "reason": why} for n, why in frames.skipped.items()]
    return wire


def _frames(frames: FrameVectors) -> list[dict[str, Any]]:
    pairs = zip(frames.indexes.tolist(), frames.timestamps_s.tolist(), strict=True)
    return [{"index": index, "timestamp": round(seconds, 6)} for index, seconds in pairs]


def _segments(segments: SegmentVectors) -> list[dict[str, Any]]:
    spans = zip(segments.starts_s.tolist(), segments.ends_s.tolist(), strict=True)
    return [
        {
            "start": round(start, 6),
            "end": round(end, 6),
            "embedding": wire_vector(vector, "float"),
        }
        for (start, end), vector in zip(spans, segments.vectors, strict=True)
    ]
