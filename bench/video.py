"""Frames of a video by polyvec and by hand, side by side: ``python -m bench.video``.

Makes 30 s of 1080p H.264 with several distances of key frames, then takes evenly spread frames as
RGB of 224 x 224, each way in a process of its own. By hand means the loops that people write:
PyAV from the first frame on, PyAV with a seek for each frame, decord and OpenCV where they are
installed. Processor seconds are compared: wall time depends on what else the machine does.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import PIL.Image

FPS, SECONDS, WIDTH, HEIGHT, SIDE = 30, 30, 1920, 1080, 224
KEY_DISTANCES = (48, 250)
Frames = list[np.ndarray]


def make_clip(path: Path, key_distance: int) -> None:
    """A textured ground that is panned, and a box that crosses it."""
    import av

    rng = np.random.default_rng(0)
    coarse = PIL.Image.fromarray(rng.integers(0, 255, (215, 400, 3), dtype=np.uint8))
    ground = np.asarray(coarse.resize((WIDTH + 1280, HEIGHT + 640), PIL.Image.Resampling.BICUBIC))
    with av.open(str(path), "w") as out:
        options = {"preset": "veryfast", "x264-params": "scenecut=0"}
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = key_distance
        for place in range(FPS * SECONDS):
            y, x = int(300 + 280 * np.sin(place / 40)), int(600 + 580 * np.sin(place / 70))
            picture = np.ascontiguousarray(ground[y : y + HEIGHT, x : x + WIDTH])
            top, left = place * 7 % (HEIGHT - 200), place * 11 % (WIDTH - 200)
            picture[top : top + 200, left : left + 200] = (place % 256, 128, 255 - place % 256)
            frame = av.VideoFrame.from_ndarray(picture)
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode())


def fit(rgb: np.ndarray) -> np.ndarray:
    """As the image processors of CLIP resize."""
    image = PIL.Image.fromarray(rgb)
    return np.asarray(image.resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC))


def with_polyvec(path: str, wanted: list[int]) -> Frames:
    """What the server runs."""
    from polyvec.media.policy import MediaPolicy
    from polyvec.media.transform import ImageTransform
    from polyvec.media.video import sample_frames
    from polyvec.types import FrameSampling

    sampling = FrameSampling(indexes=tuple(wanted))
    transform = ImageTransform(resize=(SIDE, SIDE))
    with Path(path).open("rb") as file:
        return [one.pixels for one in sample_frames(file, sampling, MediaPolicy(), transform)]


def with_pyav(path: str, wanted: list[int]) -> Frames:
    """From the first frame to the last wanted one."""
    import av

    found = []
    with av.open(path) as opened:
        opened.streams.video[0].thread_type = "AUTO"
        for place, frame in enumerate(opened.decode(video=0)):
            if place in wanted:
                found.append(fit(frame.to_ndarray(format="rgb24")))
            if place == wanted[-1]:
                break
    return found


def with_pyav_seeks(path: str, wanted: list[int]) -> Frames:
    """A seek for every frame."""
    import av

    found = []
    with av.open(path) as opened:
        stream = opened.streams.video[0]
        stream.thread_type = "AUTO"
        for place in wanted:
            tick = round(place / FPS / stream.time_base)
            opened.seek(tick, stream=stream)
            frame = next(one for one in opened.decode(stream) if one.pts >= tick)
            found.append(fit(frame.to_ndarray(format="rgb24")))
    return found


def with_decord(path: str, wanted: list[int]) -> Frames:
    """Its batch call."""
    import decord

    return [fit(one) for one in decord.VideoReader(path).get_batch(wanted).asnumpy()]


def with_opencv(path: str, wanted: list[int]) -> Frames:
    """Frames between wanted ones are grabbed only."""
    import cv2

    opened, found = cv2.VideoCapture(path), []
    for place in range(wanted[-1] + 1):
        opened.grab()
        if place in wanted:
            found.append(fit(cv2.cvtColor(opened.retrieve()[1], cv2.COLOR_BGR2RGB)))
    return found


WAYS: dict[str, tuple[str, Callable[[str, list[int]], Frames]]] = {
    "polyvec": ("polyvec.media._video_frames", with_polyvec),
    "pyav": ("av", with_pyav),
    "pyav_seeks": ("av", with_pyav_seeks),
    "decord": ("decord", with_decord),
    "opencv": ("cv2", with_opencv),
}


def take(way: str, path: str, count: int) -> dict[str, Any]:
    """Seconds of one way, and what it saw."""
    wanted = [int(i) for i in np.linspace(0, FPS * SECONDS, count, endpoint=False)]
    module, run = WAYS[way]
    importlib.import_module(module)
    wall, processor = time.perf_counter(), time.process_time()
    found = run(path, wanted)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    mean = round(float(np.mean([one.mean() for one in found])), 3)
    return {"wall_s": wall, "processor_s": processor, "frames": len(found), "mean": mean}


def measure(path: Path, count: int, rounds: int) -> dict[str, Any]:
    """Medians of every way that is installed, taken in turn."""
    ways = [way for way, (module, _) in WAYS.items() if importlib.util.find_spec(module)]
    taken: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            command = [sys.executable, "-m", "bench.video", "--take", way, str(path), str(count)]
            done = subprocess.run(command, check=True, capture_output=True)
            taken[way].append(json.loads(done.stdout))
    figures = {
        way: {
            "processor_s": round(median(one["processor_s"] for one in many), 2),
            "wall_s": round(median(one["wall_s"] for one in many), 2),
            "mean": many[0]["mean"],
        }
        for way, many in taken.items()
    }
    by_hand = min(one["processor_s"] for way, one in figures.items() if way != "polyvec")
    ratio = round(figures["polyvec"]["processor_s"] / by_hand, 3)
    return {**figures, "polyvec_over_fastest_by_hand": ratio}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.video", description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[64, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--take", nargs=3, metavar=("WAY", "PATH", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.take:
        way, path, count = options.take
        print(json.dumps(take(way, path, int(count))))
        return
    with tempfile.TemporaryDirectory() as folder:
        result = {}
        for distance in KEY_DISTANCES:
            path = Path(folder) / f"{distance}.mp4"
            make_clip(path, distance)
            for count in options.frames:
                name = f"{count}_frames_key_every_{distance}"
                result[name] = measure(path, count, options.rounds)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
