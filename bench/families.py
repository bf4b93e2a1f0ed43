"""Every text family against transformers' own class converted by OpenVINO, side by side.

``python -m bench.families [--rounds N] [--name NAME]``. Random weights at a middling size: speed
does not depend on their values. Both graphs run the same batches under the same settings, in turn;
a figure is the median over rounds of the converted graph's time over ours, so above 1 ours is
faster. ``equal`` is four texts of 128 tokens, ``mixed`` eight texts of 16 to 128.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import openvino as ov
import torch
from transformers import AutoConfig, AutoModel, T5EncoderModel

from bench import machine
from polyvec.backends._base import BackendOptions
from polyvec.backends._packing import tokens_of
from polyvec.backends.openvino import BACKEND
from polyvec.models._resolve import ModelOptions, resolve
from tests.zoo import custom_encoders, decoders, encoders

WIDTH, INNER, LAYERS, HEADS = 384, 1536, 4, 6
LENGTHS = {"equal": [128] * 4, "mixed": [16, 24, 32, 48, 64, 80, 112, 128]}
_ENCODER = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 512,
}
_DECODER = {key: value for key, value in _ENCODER.items() if key != "num_hidden_layers"} | {
    "head_dim": WIDTH // HEADS,
    "num_key_value_heads": 2,
}
_SIZES: dict[str, dict[str, Any]] = {
    "bert": _ENCODER,
    "distilbert": {
        "dim": WIDTH,
        "hidden_dim": INNER,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "max_position_embeddings": 512,
    },
    "mpnet": _ENCODER | {"max_position_embeddings": 514},
    "t5": {
        "d_model": WIDTH,
        "d_ff": INNER,
        "num_layers": LAYERS,
        "num_heads": HEADS,
        "d_kv": WIDTH // HEADS,
    },
    "modernbert": _ENCODER,
}

Run = Callable[[list[np.ndarray]], Any]


def checkpoints(folder: Path) -> Iterator[tuple[str, Path, Mapping[str, Any]]]:
    """Each family's name, its folder, and the config that transformers' class takes."""
    for name, sizes in _SIZES.items():
        config = {**encoders.FAMILIES[name].tiny, **sizes}
        yield name, encoders.make(folder / name, name, **sizes), config
    gte = {**_ENCODER, "architectures": ["GteModel"], "model_type": "gte", "rope_scaling": None}
    made = custom_encoders.make_gte(folder / "gte", **gte)
    yield "gte", made, json.loads((made / "config.json").read_text())
    for name, layout in decoders.LAYOUTS.items():
        known = {*layout.config, *_ENCODER, "head_dim"}
        sizes = {key: value for key, value in _DECODER.items() if key in known}
        made = decoders.make(folder / name, name, **sizes)
        yield name, made, decoders.transformers_config(name, **sizes)


def converted(config: Mapping[str, Any], threads: int, hint: str) -> Run:
    """Transformers' model with mean pooling, exported by torch and converted."""

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            known = {k: v for k, v in config.items() if k not in ("torch_dtype", "auto_map")}
            spec = AutoConfig.for_model(**known)
            made = T5EncoderModel(spec) if spec.model_type == "t5" else AutoModel.from_config(spec)
            self.model = made.eval().requires_grad_(False)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.model(input_ids=input_ids, attention_mask=attention_mask)[0]
            mask = attention_mask.unsqueeze(-1).float()
            return (states * mask).sum(1) / mask.sum(1)

    ones = torch.ones(2, 8, dtype=torch.long)
    sizes = {0: torch.export.Dim("b", min=1, max=64), 1: torch.export.Dim("s", min=2, max=512)}
    with torch.no_grad():
        exported = torch.export.export(
            Pooled(),
            (ones, ones),
            dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
            strict=False,
        )
    compiled = ov.Core().compile_model(
        ov.convert_model(exported),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
        },
    )
    request = compiled.create_infer_request()

    def run(ids: list[np.ndarray]) -> Any:
        shape = len(ids), max(map(len, ids))
        padded, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, one in enumerate(ids):
            padded[row, : len(one)], mask[row, : len(one)] = one, 1
        return request.infer([padded, mask])

    return run


def seconds(run: Run, ids: list[np.ndarray], repeats: int = 5) -> float:
    """The fastest of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(ids)
        times.append(time.perf_counter() - start)
    return min(times)


def measure(folder: Path, config: Mapping[str, Any], rounds: int) -> dict[str, float]:
    """Converted time over ours, for each batch."""
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    runner = BACKEND.load(model, BackendOptions(num_sessions=1))
    session = runner.session()
    hint = {"bfloat16": "bf16", "float16": "f16"}.get(runner.dtype, "f32")
    other = converted(config, len(os.sched_getaffinity(0)), hint)
    random = np.random.default_rng(0)
    figures = {}
    for name, lengths in LENGTHS.items():
        ids = [random.integers(5, 40, n) for n in lengths]

        def ours(batch: list[np.ndarray]) -> Any:
            return session.run("text", tokens_of(batch))

        ratios = [seconds(other, ids) / seconds(ours, ids) for _ in range(rounds)]
        figures[name] = round(median(ratios), 2)
    runner.close()
    return figures


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(prog="bench.families", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append")
    parser.add_argument("--name", default="families-latest")
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, folder, config in checkpoints(Path(scratch)):
            if options.only and name not in options.only:
                continue
            figures[name] = measure(folder, config, options.rounds)
            print(name, figures[name], flush=True)
    result = {"machine": machine.describe(), "converted_over_ours": figures}
    path = Path(__file__).parent / "results" / f"{options.name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
