"""Test doubles: a tokenizer of numbered words, a model, a runner that tests hold and break."""

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from polyvec.backends._base import Batch, TokenBatch
from polyvec.engine.engine import Engine
from polyvec.engine.options import EngineOptions
from polyvec.errors import MediaError
from polyvec.media.image import decode_image
from polyvec.media.policy import MediaPolicy
from polyvec.models._model import ImageRules, Model, TextRules
from polyvec.types import (
    Bytes,
    EmbedRequest,
    FrameSampling,
    FramesManifest,
    Image,
    Input,
    Part,
    Text,
    Tokens,
    Video,
)

D = 4
CLS, SEP, VOCAB = 1, 2, 20_000
NUM_PATCHES = 50
BROKEN = 255


class WordTokenizer:
    """``w12`` is token 12 (any other word its length), between CLS and SEP."""

    vocab_size = VOCAB

    def __init__(self, *, special: bool = True) -> None:
        self.ends = ([CLS], [SEP]) if special else ([], [])
        self.calls: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        self.calls.append(list(texts))
        return [np.array(self._ids(text), np.int64) for text in texts]

    def bare(self) -> "WordTokenizer":
        return WordTokenizer(special=False)

    def truncate(self, ids: np.ndarray, limit: int, side: str) -> np.ndarray:
        if not self.ends[0] or limit < 3:
            return ids[:limit] if side == "end" else ids[len(ids) - limit :]
        body, kept = ids[1:-1], limit - 2
        body = body[:kept] if side == "end" else body[len(body) - kept :]
        return np.concatenate([ids[:1], body, ids[-1:]])

    def _ids(self, text: str) -> list[int]:
        words = [int(w[1:]) if w[1:].isdigit() else len(w) for w in text.split()]
        return [*self.ends[0], *words, *self.ends[1]]


class Halve:
    """Image transform: (H, W, 3) uint8 → (2, 2, 3) uint8 → (3, 2, 2) float32, halved."""

    size = (2, 2)

    def fitted(self, rgb: np.ndarray) -> np.ndarray:
        return rgb[:2, :2]

    def normalized(self, fitted: np.ndarray) -> np.ndarray:
        return np.moveaxis(fitted, -1, 0).astype(np.float32) / 2


@dataclass(frozen=True)
class OneFrame:
    index: int
    timestamp_s: float
    pixels: np.ndarray


class InProcess:
    """Decodes pictures here. A video is one byte for each frame, its grey, two frames a second."""

    def __init__(self) -> None:
        self.num_decoded = 0
        self.num_closed = 0

    def image(self, encoded: Any, transform: Any, *, param: str) -> np.ndarray:
        return transform.fitted(decode_image(encoded, MediaPolicy(), param=param))

    def frames(
        self, encoded: Any, sampling: FrameSampling, transform: Any, *, param: str
    ) -> Iterator[OneFrame]:
        greys = encoded if isinstance(encoded, bytes) else encoded.read()
        wanted = range(len(greys)) if sampling.indexes is None else sampling.indexes
        try:
            for index in wanted:
                if greys[index] == BROKEN:
                    raise MediaError(f"{param}: damaged", param=param, code="invalid_video")
                self.num_decoded += 1
                pixels = np.full((4, 4, 3), greys[index], np.uint8)
                yield OneFrame(index, index / 2, transform.fitted(pixels))
        finally:
            self.num_closed += 1


def make_model(**changes: Any) -> Model:
    values: dict[str, Any] = {
        "checkpoint": "some/checkpoint",
        "architecture": "SomeModel",
        "family": SimpleNamespace(name="some", towers={}),
        "config": {},
        "weights": None,
        "dimensions": D,
        "matryoshka": (2,),
        "normalize": False,
        "text": make_text_rules(),
        "image": ImageRules(transform=Halve(), num_patches=NUM_PATCHES),
    }
    return Model(**{**values, **changes})


def make_text_rules(**changes: Any) -> TextRules:
    values: dict[str, Any] = {
        "tokenizer": WordTokenizer(),
        "max_input_tokens": 16,
        "prompts": {"query": "w7 ", "passage": "w8 w8 "},
        "default_prompt_name": None,
        "vocab_size": VOCAB,
        "poolings": ("mean",),
    }
    return TextRules(**{**values, **changes})


def expected_row(content: np.ndarray) -> np.ndarray:
    """What FakeRunner gives for one input: differs between contents, independent of neighbours."""
    values = content.astype(np.float64).ravel()
    return np.array([values.size, values.sum(), values[0], (values * values).sum()], np.float32)


class FakeRunner:
    """Rows by `expected_row`; `gate` holds the workers, `on_content` may raise or spoil."""

    device = "cpu"
    dtype = "float32"

    def __init__(self, num_sessions: int = 1) -> None:
        self.num_sessions = num_sessions
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[np.ndarray]] = []
        self.on_content: Callable[[np.ndarray], object] = lambda _: None
        self.alone: list[bool] = []
        self.closed = False

    def session(self) -> "FakeRunner":
        return self

    def close(self) -> None:
        self.closed = True

    def run(self, modality: str, batch: Batch, *, alone: bool = False) -> np.ndarray:
        self.alone.append(alone)
        contents = contents_of(batch)
        self.batches.append(contents)
        self.entered.release()
        self.gate.wait()
        rows = []
        for content in contents:
            row = expected_row(content)
            if self.on_content(content) == "nan":
                row[1] = np.nan
            rows.append(row)
        return np.stack(rows)


def contents_of(batch: Batch) -> list[np.ndarray]:
    if isinstance(batch, TokenBatch):
        return np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
    return list(batch.pixels)


def make_engine(
    runner: FakeRunner | None = None,
    *,
    model: Model | None = None,
    policy: MediaPolicy | None = None,
    decoder: InProcess | None = None,
    **options: Any,
) -> Engine:
    return Engine(
        model or make_model(),
        runner or FakeRunner(),
        EngineOptions(**options),
        policy or MediaPolicy(),
        decoder or InProcess(),
    )


def part_of(content: str | tuple[int, ...] | bytes | Part) -> Part:
    if isinstance(content, Image | Video | FramesManifest):
        return content
    if isinstance(content, str):
        return Text(content)
    return Image(Bytes(content)) if isinstance(content, bytes) else Tokens(content)


def ask(*contents: str | tuple[int, ...] | bytes | Part, **options: Any) -> EmbedRequest:
    inputs = tuple(
        Input((part_of(content),), f"input[{index}]") for index, content in enumerate(contents)
    )
    return EmbedRequest(model=None, inputs=inputs, **options)


def ids(*words: int) -> np.ndarray:
    return np.array([CLS, *words, SEP], np.int64)


def png(value: int) -> bytes:
    """An encoded picture of 4 x 4 equal pixels."""
    file = io.BytesIO()
    PillowImage.new("RGB", (4, 4), (value,) * 3).save(file, "PNG")
    return file.getvalue()
