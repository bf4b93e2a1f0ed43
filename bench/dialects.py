"""What dialects cost: CPU time to read a body and to write its answer, per request.

``python -m bench.dialects [--rounds N] [DIALECT …]`` prints a table, the dialects side by side. The
service behind them is a stub that has its vectors ready, so nothing else is measured. A new dialect
adds its body to `BODIES`.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from polyvec.dialects._base import Call
from polyvec.dialects._registry import RouteTable, find_dialects
from polyvec.types import (
    DetokenizeRequest,
    DetokenizeResult,
    Embedding,
    EmbedRequest,
    EmbedResult,
    ModelCard,
    ScoreRequest,
    ScoreResult,
    TokenizeRequest,
    TokenizeResult,
)

TEXT = "The food was delicious and the waiter was very friendly to all of us."
SMALL, LARGE = (1, 384), (256, 1024)
MODEL = "minilm"

Write = Callable[[list[str]], Any]


def field(name: str, **fields: Any) -> Write:
    """A body whose texts are an array in a field."""
    return lambda texts: {**fields, name: texts}


def each(name: str, item: Callable[[str], Any], **fields: Any) -> Write:
    """A body with an object for every text."""
    return lambda texts: {**fields, name: [item(text) for text in texts]}


BODIES: dict[str, tuple[str, Write]] = {
    "openai": ("/v1/embeddings", field("input", model=MODEL, encoding_format="float")),
    "openai base64": ("/v1/embeddings", field("input", model=MODEL, encoding_format="base64")),
    "openai bytes": ("/v1/embeddings", field("input", model=MODEL, encoding_format="bytes")),
    "openai messages": (
        "/v1/embeddings",
        each("messages", lambda text: [{"role": "user", "content": text}], model=MODEL),
    ),
    "vllm pooling": ("/pooling", field("input", model=MODEL)),
    "cohere": ("/v2/embed", field("texts", model=MODEL, input_type="search_document")),
    "sglang": ("/v1/embeddings", each("input", lambda text: {"text": text}, model=MODEL)),
    "tei": ("/embed", field("inputs")),
    "hugging face": ("/", field("inputs")),
    "infinity": ("/embeddings", field("input", model=MODEL, modality="text")),
    "jina": ("/v1/embeddings", field("input", model=MODEL, normalized=True)),
    "voyage": ("/v1/embeddings", field("input", model=MODEL, truncation=True)),
    "mmes": (
        "/embeddings",
        lambda texts: {"model": MODEL, "input": {"type": "text", "text": texts}},
    ),
    "ovms": ("/v3/embeddings", field("input", model=MODEL)),
    "ollama": ("/api/embed", field("input", model=MODEL)),
    "weaviate": ("/vectors", field("texts")),
    "qdrant": (
        "/",
        each("inputs", lambda text: {"data": text, "data_type": "text", "model": MODEL}),
    ),
}
"""Name → path, and how a body is written for texts."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Least CPU time of a request in microseconds, and the length of its answer."""

    cpu_us: float
    num_bytes: int


class ReadyService:
    """Gives every request the first of its vectors."""

    def __init__(self, shape: tuple[int, int]) -> None:
        count, dimensions = shape
        rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        self._embeddings = tuple(Embedding(row, 18) for row in rows)
        self._card = ModelCard(
            name=MODEL,
            aliases=(),
            checkpoint=MODEL,
            architecture="BertModel",
            family="bert",
            modalities=("text",),
            dimensions=dimensions,
            matryoshka=(),
            max_input_tokens=256,
            device="cpu",
            dtype="float32",
            backend="stub",
            created=0,
        )
        self._scores = np.linspace(0, 1, count, dtype=np.float32)

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """As many vectors as inputs."""
        return EmbedResult(MODEL, self._embeddings[: len(request.inputs)])

    async def score(self, request: ScoreRequest) -> ScoreResult:
        """As many scores as documents."""
        return ScoreResult(MODEL, self._scores[: len(request.documents)], 18)

    async def tokenize(self, request: TokenizeRequest) -> TokenizeResult:
        """Nothing."""
        return TokenizeResult(request.model or MODEL, ())

    async def detokenize(self, request: DetokenizeRequest) -> DetokenizeResult:
        """Nothing."""
        return DetokenizeResult(request.model or MODEL, ())

    def models(self) -> tuple[ModelCard, ...]:
        """The one model."""
        return (self._card,)

    def find(self, name: str | None) -> ModelCard:
        """The one model."""
        del name
        return self._card

    async def reload(self) -> bool:
        """Nothing to read."""
        return False

    def known_models(self) -> tuple[str, ...]:
        """None."""
        return ()

    def is_ready(self) -> bool:
        """Always."""
        return True


async def measure(table: RouteTable, name: str, shape: tuple[int, int], rounds: int) -> Cost | None:
    """Cost of a request of a dialect for ``shape`` numbers; None where nobody answers it well."""
    path, write = BODIES[name]
    body = orjson.dumps(write([TEXT] * shape[0]))
    service = ReadyService(shape)
    times_s = []
    for _ in range(rounds):
        start_s = time.process_time()
        call = Call("POST", path, body=body)
        found = table.resolve(call)
        if found is None:
            return None
        reply = await found[1].endpoint(call, service)
        times_s.append(time.process_time() - start_s)
    return Cost(min(times_s) * 1e6, len(reply.body))


def _line(name: str, small: Cost | None, large: Cost | None) -> str:
    cells = [
        f"{cost.cpu_us:10.0f} {cost.num_bytes:12,}" if cost else f"{'-':>10} {'-':>12}"
        for cost in (small, large)
    ]
    return f"{name:<16}" + "".join(cells)


async def run(names: Sequence[str], rounds: int) -> None:
    """Print the table."""
    table = RouteTable(find_dialects())
    head = "".join(f"{f'{count} x {size}, us':>10} {'bytes':>12}" for count, size in (SMALL, LARGE))
    print(f"{'dialect':<16}{head}")
    for name in names:
        small = await measure(table, name, SMALL, rounds * 20)
        large = await measure(table, name, LARGE, rounds)
        print(_line(name, small, large))


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("dialects", nargs="*", default=[], help="all when none is named")
    options = parser.parse_args()
    asyncio.run(run(options.dialects or list(BODIES), options.rounds))


if __name__ == "__main__":
    main()
