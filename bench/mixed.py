"""How texts and ``/health`` fare while a long 4K video is embedded.

``python -m bench.mixed [--rounds N] [--name NAME]``. One client sends one text after another, a
second asks for ``/health`` twenty times a second, first without anything else, then while one
request embeds frames of a film of 3840 x 2160. CLIP ViT-B/16 at its true size with random weights,
and the demo model, with which decoding is most of the work. Needs ``polyvec[video]``.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np

from bench import load, machine
from bench.pictures import DEMO, clip_b16
from bench.process import Started, server

MODEL = "bench"
WIDTH, HEIGHT, FPS = 3840, 2160, 24
CALM_S = 8.0
HEALTH_EVERY_S = 0.05
HEALTH = b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A model, and how many frames of the film keep it busy for more than 20 s."""

    name: str
    make: Callable[[Path], Path]
    segment: dict[str, Any]


CASES = (
    Case("clip_b16", lambda folder: clip_b16(folder / "clip"), {"extraction_fps": 1}),
    Case("demo", lambda _: DEMO, {"num_frames": 0}),
)


def film(folder: Path, seconds: int) -> Path:
    """A 4K film in which a bright square crosses a still scene; made once for each folder."""
    path = folder / f"polyvec-bench-4k-{seconds}s.mp4"
    if path.exists():
        return path
    unfinished = path.with_suffix(".part")
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    still = (100 + 60 * np.sin(columns / 211) + 30 * np.cos(rows / 97)).astype(np.uint8)
    with av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream("libx264", FPS, options={"preset": "ultrafast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(seconds * FPS):
            planes[:HEIGHT] = still
            left = number * 2 % (WIDTH - 400)
            planes[900:1300, left : left + 400] = 235
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return unfinished.rename(path)


@dataclass(frozen=True, slots=True)
class Seen:
    """Seconds that answers took."""

    texts: list[float]
    health: list[float]

    def figures(self, when: str) -> dict[str, float]:
        """In milliseconds."""
        return {
            f"text_p50_{when}_ms": round(median(self.texts) * 1e3, 2),
            f"text_max_{when}_ms": round(max(self.texts) * 1e3, 1),
            f"health_max_{when}_ms": round(max(self.health) * 1e3, 1),
        }


async def watch(started: Started, until: "asyncio.Future[Any]") -> Seen:
    """Send lone texts and ask for ``/health`` until something is done."""
    seen = Seen([], [])

    async def texts() -> None:
        client = await load.connect(started.host, started.port)
        number = 0
        while not until.done():
            number += 1
            text = f"red boat {number}"  # some 16 tokens of either tokenizer
            body = {"model": MODEL, "input": {"type": "text", "text": text}}
            seen.texts.append(await client.ask(load.request_bytes("/embeddings", body)))

    async def health() -> None:
        client = await load.connect(started.host, started.port)
        while not until.done():
            seen.health.append(await client.ask(HEALTH))
            await asyncio.sleep(HEALTH_EVERY_S)

    await asyncio.gather(texts(), health())
    return seen


async def embed(started: Started, path: Path, segment: dict[str, Any]) -> float:
    """Seconds until the film is embedded."""
    value = {"type": "video_file", "video_path": str(path), "segment_config": segment}
    client = await load.connect(started.host, started.port)
    return await client.ask(load.request_bytes("/embeddings", {"model": MODEL, "input": value}))


async def round_of(started: Started, case: Case, path: Path) -> tuple[Seen, Seen, float]:
    """What was seen without the video and with it, and how long it took."""
    calm = await watch(started, asyncio.ensure_future(asyncio.sleep(CALM_S)))
    running = asyncio.ensure_future(embed(started, path, case.segment))
    busy = await watch(started, running)
    return calm, busy, await running


def measure(case: Case, rounds: int, path: Path) -> dict[str, float]:
    """Medians over rounds of the ratio, the worst of ``/health``, the last round's details."""
    growths: list[float] = []
    worst_health_s = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = case.make(Path(scratch))
        flags = ("--served-model-name", MODEL, "--media-root", str(path.parent))
        with server(checkpoint, *flags) as started:
            for _ in range(rounds):
                calm, busy, seconds = asyncio.run(round_of(started, case, path))
                growths.append(median(busy.texts) / median(calm.texts))
                worst_health_s = max(worst_health_s, *busy.health)
    named = calm.figures("calm") | busy.figures("video")
    named |= {
        "video_s": round(seconds, 1),
        "health_worst_ms": round(worst_health_s * 1e3, 1),
        "text_p50_growth": round(median(growths), 2),
    }
    return {f"mixed_{case.name}_{name}": value for name, value in named.items()}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="bench.mixed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=60, help="length of the film")
    parser.add_argument("--only", choices=[case.name for case in CASES])
    parser.add_argument("--name", default="mixed-latest")
    options = parser.parse_args()
    start = time.perf_counter()
    path = film(Path(tempfile.gettempdir()), options.seconds)
    print(f"film ready after {time.perf_counter() - start:.0f} s", flush=True)
    described = machine.describe()
    figures: dict[str, float] = {}
    for case in CASES:
        if options.only in (None, case.name):
            figures |= measure(case, options.rounds, path)
    text = json.dumps({"machine": described, "figures": figures}, indent=2)
    (Path(__file__).parent / "results" / f"{options.name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
