"""A service without an engine: fixed vectors, or a chosen error."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson

from polyvec.dialects._base import Call, Dialect, Reply
from polyvec.dialects._registry import RouteTable, find_dialects
from polyvec.errors import ModelNotFoundError, PolyvecError
from polyvec.types import (
    DetokenizeRequest,
    DetokenizeResult,
    Embedding,
    EmbedRequest,
    EmbedResult,
    FramesManifest,
    FrameVectors,
    ModelCard,
    ScoreRequest,
    ScoreResult,
    SegmentVectors,
    Text,
    Tokenized,
    TokenizeRequest,
    TokenizeResult,
    Video,
)

CARD = ModelCard(
    name="CLIP/clip-vit-b-16",
    aliases=("clip-vit-b-16-alias",),
    checkpoint="/srv/secret/clip",
    architecture="CLIPModel",
    family="clip",
    modalities=("text", "image"),
    dimensions=3,
    matryoshka=(),
    max_input_tokens=77,
    device="cpu",
    dtype="float32",
    backend="openvino",
    created=1_700_000_000,
    reads_video=True,
)
TEXT_CARD = replace(
    CARD,
    name="minilm",
    aliases=(),
    family="bert",
    modalities=("text",),
    backend="torch",
    reads_video=False,
)
KNOWN = ("QwenText/qwen3-embedding-0.6b", "CLIP/clip-vit-b-32", "CLIP/clip-vit-b-16", "plain-name")

# No vector is a multiple of another, and 0.1 has no exact float32.
ROWS = np.array([[0.1, -0.25, 1.0], [0.5, 1e-30, -3.0], [2.0, 0.125, 7.5]], dtype=np.float32)


@dataclass
class StubService:
    """Gives the n-th input of a request the n-th row of ROWS, five tokens each."""

    cards: tuple[ModelCard, ...] = (CARD,)
    error: PolyvecError | None = None
    is_up: bool = True
    requests: list[EmbedRequest] = field(default_factory=list)
    scored: list[ScoreRequest] = field(default_factory=list)
    tokenized: list[TokenizeRequest] = field(default_factory=list)
    detokenized: list[DetokenizeRequest] = field(default_factory=list)
    reloads: int = 0

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        embeddings = tuple(
            _frames_of(item.parts[0])
            if isinstance(item.parts[0], Video | FramesManifest)
            else _embedding_of(index, request)
            for index, item in enumerate(request.inputs)
        )
        return EmbedResult(request.model or self.cards[0].name, embeddings)

    async def score(self, request: ScoreRequest) -> ScoreResult:
        """Longer documents score higher, seven tokens each; parts count as characters do."""
        self.scored.append(request)
        if self.error is not None:
            raise self.error
        scores = np.array(
            [
                len(found if isinstance(found, str) else found.parts) / 8
                for found in request.documents
            ],
            np.float32,
        )
        return ScoreResult(request.model or self.cards[0].name, scores, 7 * len(scores))

    async def tokenize(self, request: TokenizeRequest) -> TokenizeResult:
        """A token for each word, with id 10 and on, between two special ones."""
        self.tokenized.append(request)
        if self.error is not None:
            raise self.error
        found = tuple(
            _words_of(item.parts[0], special=request.add_special_tokens) for item in request.inputs
        )
        return TokenizeResult(request.model or self.cards[0].name, found)

    async def detokenize(self, request: DetokenizeRequest) -> DetokenizeResult:
        self.detokenized.append(request)
        if self.error is not None:
            raise self.error
        texts = tuple(" ".join(f"w{token}" for token in ids) for ids in request.ids)
        return DetokenizeResult(request.model or self.cards[0].name, texts)

    def models(self) -> tuple[ModelCard, ...]:
        return self.cards

    def find(self, name: str | None) -> ModelCard:
        for card in self.cards:
            if not name or name in (card.name, *card.aliases):
                return card
        served = tuple(card.name for card in self.cards)
        raise ModelNotFoundError(f"model {name!r} is not served", name=name or "", served=served)

    async def reload(self) -> bool:
        self.reloads += 1
        return True

    def known_models(self) -> tuple[str, ...]:
        return KNOWN

    def is_ready(self) -> bool:
        return self.is_up


def _embedding_of(index: int, request: EmbedRequest) -> Embedding:
    """A row of ROWS, and scores of two labels where they are asked for."""
    asks = request.outputs is not None and "score" in request.outputs
    scores = np.array([0.25, 0.75], np.float32) if asks else None
    return Embedding(ROWS[index % len(ROWS)], 5, scores=scores)


def _frames_of(part: Video | FramesManifest) -> Embedding:
    """Two frames, at 0 and 0.5 seconds; a manifest's second picture could not be read."""
    frames = FrameVectors(
        ROWS[:2],
        np.array([0, 15]),
        np.array([0.0, 0.5]),
        skipped={1: "it is damaged"} if isinstance(part, FramesManifest) else {},
    )
    segments = None
    if isinstance(part, Video) and part.segment_s:
        segments = SegmentVectors(ROWS[2:], np.array([0.0]), np.array([part.segment_s]))
    return Embedding(ROWS[2], 0, frames=frames, segments=segments)


def _words_of(part: Any, *, special: bool) -> Tokenized:
    text = part.text if isinstance(part, Text) else "chat"
    words = text.split(" ")
    tokens, spans, start = list(words), [], 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    ids = [10 + index for index in range(len(words))]
    flags = [False] * len(words)
    if special:
        tokens, ids = ["[CLS]", *tokens, "[SEP]"], [1, *ids, 2]
        spans, flags = [(-1, -1), *spans, (-1, -1)], [True, *flags, True]
    columns = np.array(ids, np.int64), tuple(tokens), np.array(flags), np.array(spans, np.int64)
    return Tokenized(*columns, text=text)


TABLE = RouteTable(find_dialects())


async def answer(call: Call, service: StubService, table: RouteTable = TABLE) -> Reply:
    """Do what the server does with a call."""
    found = table.resolve(call)
    assert found is not None, f"nobody answers {call.method} {call.path}"
    dialect, route = found
    try:
        return await route.endpoint(call, service)
    except PolyvecError as error:
        return dialect.render_error(error, call)


def post(path: str, body: Any, service: StubService | None = None) -> tuple[Reply, Any]:
    """Return the reply to a JSON body, and its own body decoded."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    reply = asyncio.run(answer(Call("POST", path, body=raw), service or StubService()))
    return reply, orjson.loads(reply.body)


def get(path: str, service: StubService | None = None) -> tuple[Reply, Any]:
    """Return the reply to a GET, and its body decoded."""
    reply = asyncio.run(answer(Call("GET", path), service or StubService()))
    return reply, orjson.loads(reply.body)


def dialect_named(name: str) -> Dialect:
    return next(dialect for dialect in find_dialects() if dialect.name == name)
