"""An ASGI client of a few lines, and a service that waits when told to."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from polyvec.dialects._registry import find_dialects
from polyvec.errors import ModelNotFoundError
from polyvec.server.app import App
from polyvec.server.options import ServerOptions
from polyvec.server.protocol import CANCELS_ON_DISCONNECT
from polyvec.types import Embedding, EmbedRequest, EmbedResult, ModelCard, ScoreRequest, ScoreResult

CARD = ModelCard(
    name="stub",
    aliases=(),
    checkpoint="stub",
    architecture="BertModel",
    family="bert",
    modalities=("text",),
    dimensions=3,
    matryoshka=(),
    max_input_tokens=77,
    device="cpu",
    dtype="float32",
    backend="fake",
    created=1_700_000_000,
)
VECTOR = np.array([0.6, 0.0, 0.8], np.float32)


@dataclass
class StubService:
    """Answers at once, unless it is told to fail or to wait for `go`."""

    error: Exception | None = None
    waits: bool = False
    started: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.started.set()
        if self.error is not None:
            raise self.error
        if self.waits:
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return EmbedResult("stub", tuple(Embedding(VECTOR, 4) for _ in request.inputs))

    async def reload(self) -> bool:
        return False

    async def score(self, request: ScoreRequest) -> ScoreResult:
        if self.error is not None:
            raise self.error
        scores = np.zeros(len(request.documents), np.float32)
        return ScoreResult("stub", scores, len(request.documents))

    def models(self) -> tuple[ModelCard, ...]:
        return (CARD,)

    def find(self, name: str | None) -> ModelCard:
        if name not in (None, "", CARD.name):
            raise ModelNotFoundError("not served", name=name or "", served=(CARD.name,))
        return CARD

    def known_models(self) -> tuple[str, ...]:
        return ()

    def is_ready(self) -> bool:
        return True


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    num_received: int

    def json(self) -> Any:
        return orjson.loads(self.body)


def make_app(service: Any = None, **options: Any) -> App:
    return App(service or StubService(), find_dialects(), ServerOptions(**options))


async def ask(
    app: App,
    method: str,
    path: str,
    *,
    body: bytes | list[bytes] = b"",
    headers: dict[str, str] | None = None,
    watched: bool = True,
) -> Answer:
    """Send one request; a list of bodies is sent in chunks, without Content-Length."""
    chunks = [body] if isinstance(body, bytes) else body
    given = {name.lower(): value for name, value in (headers or {}).items()}
    if isinstance(body, bytes) and body:
        given.setdefault("content-length", str(len(body)))
    messages = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1}
        for number, chunk in enumerate(chunks)
    ]
    received: list[Any] = []
    sent: list[Any] = []

    async def receive() -> Any:
        if len(received) == len(messages):
            await asyncio.Event().wait()  # the client stays
        received.append(messages[len(received)])
        return received[-1]

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope(method, path, given, watched=watched), receive, send)
    start, *parts = sent
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(part["body"] for part in parts),
        len(received),
    )


def scope(
    method: str, path: str, headers: dict[str, str], *, watched: bool = True
) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 1234),
        "extensions": {CANCELS_ON_DISCONNECT: {}} if watched else {},
    }
