"""Images over HTTP against the bare model, side by side.

``python -m bench.images [--rounds N] [--name NAME]``. CLIP ViT-B/16 at its true size with random
weights, and the demo model, which is so small that decoding is most of the work. *Bare* is the
runner alone, with as many sessions as the server has, on pixels that are ready, in the batch size
that is fastest for it. *HTTP* is a real server and 16 clients that send JPEG files of 640 x 480 as
base64 and share the cores with it. Processor times say where the difference goes, and hardly depend
on what else the machine does.
"""

import argparse
import base64
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from bench import load, machine
from bench.pictures import DEMO, clip_b16, photographs
from bench.process import Started, server
from polyvec.backends._base import BackendOptions, ImageBatch
from polyvec.backends.openvino import BACKEND
from polyvec.media.image import decode_image
from polyvec.media.policy import MediaPolicy
from polyvec.models._resolve import resolve

CLIENTS = 16
SIZES = (1, 2, 4, 8, 16)
MODEL = "bench"


@dataclass(frozen=True, slots=True)
class Case:
    """A model, and how many images one run takes."""

    name: str
    make: Callable[[Path], Path]
    images: int


@dataclass(frozen=True, slots=True)
class Taken:
    """Images per second, and milliseconds of processor time for each image."""

    bare_per_s: float
    http_per_s: float
    bare_cpu_ms: float
    server_cpu_ms: float
    decoders_cpu_ms: float


CASES = (
    Case("clip_b16", lambda folder: clip_b16(folder / "clip"), 96),
    Case("demo", lambda _: DEMO, 1000),
)
Bare = Callable[[int, int], float]


@contextmanager
def bare(checkpoint: Path, jpegs: list[bytes]) -> Iterator[Bare]:
    """A function (number of images, batch size) -> images per second of the model alone."""
    model = resolve(str(checkpoint))
    if model.image is None:
        raise ValueError("the checkpoint has no image tower")
    transform, policy = model.image.transform, MediaPolicy()
    pixels = [transform(decode_image(jpeg, policy)) for jpeg in jpegs]
    runner = BACKEND.load(model, BackendOptions())
    sessions = [runner.session() for _ in range(runner.num_sessions)]

    def run(count: int, size: int) -> float:
        ready = [
            ImageBatch(np.stack([pixels[(i + k) % len(pixels)] for k in range(size)]))
            for i in range(0, min(count, len(pixels)), size)
        ]
        work = itertools.islice(itertools.cycle(ready), count // size)
        # One iterator for all: whoever is free takes the next batch.
        with ThreadPoolExecutor(len(sessions)) as threads:
            start = time.perf_counter()
            list(threads.map(lambda session: _serve(session, work), sessions))
            return count // size * size / (time.perf_counter() - start)

    yield run
    runner.close()


def _serve(session: Any, work: Iterator[ImageBatch]) -> None:
    for batch in work:
        session.run("image", batch)


def requests(jpegs: list[bytes], count: int) -> list[bytes]:
    """As many requests with one image each."""
    ready = []
    for jpeg in jpegs:
        value = {"type": "image_base64", "image_base64": base64.b64encode(jpeg).decode()}
        body = {"model": MODEL, "input": value, "encoding_format": "float"}
        ready.append(load.request_bytes("/embeddings", body))
    return list(itertools.islice(itertools.cycle(ready), count))


def processor_s(pid: int) -> tuple[float, float]:
    """Seconds of a server, and of the processes that decode for it."""
    server_process = psutil.Process(pid)
    own = server_process.cpu_times()
    living = [one.cpu_times() for one in server_process.children()]
    ended = own.children_user + own.children_system
    return own.user + own.system, ended + sum(one.user + one.system for one in living)


def round_of(case: Case, run: Callable[[], float], started: Started, asked: list[bytes]) -> Taken:
    """The model alone, then the server."""
    before = time.process_time()
    bare_per_s = run()
    bare_s = time.process_time() - before
    server_s, decoders_s = processor_s(started.pid)
    seconds, _ = load.drive(started.host, started.port, asked, CLIENTS)
    server_end_s, decoders_end_s = processor_s(started.pid)
    used = bare_s, server_end_s - server_s, decoders_end_s - decoders_s
    return Taken(bare_per_s, case.images / seconds, *(1e3 * each / case.images for each in used))


def measure(case: Case, rounds: int, jpegs: list[bytes]) -> dict[str, Any]:
    """Medians over rounds; both are taken in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = case.make(Path(scratch))
        asked = requests(jpegs, case.images)
        with (
            bare(checkpoint, jpegs) as run,
            server(checkpoint, "--served-model-name", MODEL) as started,
        ):
            trial = case.images // 4
            best = max(SIZES, key=lambda size: run(trial, size))
            load.drive(started.host, started.port, asked[:trial], CLIENTS)
            alone = partial(run, case.images, best)
            taken = [round_of(case, alone, started, asked) for _ in range(rounds)]
    found = {
        "bare_batch": best,
        "bare_per_s": round(median(one.bare_per_s for one in taken), 2),
        "http_per_s": round(median(one.http_per_s for one in taken), 2),
        "http_over_bare": round(median(one.http_per_s / one.bare_per_s for one in taken), 3),
        "bare_cpu_ms": round(median(one.bare_cpu_ms for one in taken), 2),
        "server_cpu_ms": round(median(one.server_cpu_ms for one in taken), 2),
        "decoders_cpu_ms": round(median(one.decoders_cpu_ms for one in taken), 2),
    }
    return {f"images_{case.name}_{name}": value for name, value in found.items()}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="bench.images", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=[case.name for case in CASES])
    parser.add_argument("--name", default="images-latest")
    options = parser.parse_args()
    described = machine.describe()
    jpegs = photographs(64)
    figures: dict[str, Any] = {}
    for case in CASES:
        if options.only in (None, case.name):
            figures |= measure(case, options.rounds, jpegs)
    text = json.dumps({"machine": described, "figures": figures}, indent=2)
    (Path(__file__).parent / "results" / f"{options.name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
