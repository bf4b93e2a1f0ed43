"""OpenVINO called by hand, as well as we know how: the limit that the server is measured against.

Two graphs of the same weights: transformers' model as `openvino.convert_model` makes it, on padded
batches, and polyvec's own packed graph. Texts are tokenised beforehand, sorted by length and cut
into batches of at most 512 tokens; one thread and one infer request per core.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import openvino as ov

from polyvec.backends._base import BackendOptions, Session
from polyvec.backends._packing import tokens_of
from polyvec.backends.openvino import BACKEND
from polyvec.models._resolve import resolve

Ids = list[np.ndarray]
Run = Callable[[Ids], Any]

BATCH_TOKENS = 512


def batches(ids: Ids) -> list[Ids]:
    """Sorted by length, at most 512 tokens each, longest first."""
    groups: list[Ids] = [[]]
    for one in sorted(ids, key=len, reverse=True):
        if groups[-1] and (len(groups[-1]) + 1) * len(groups[-1][0]) > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(one)
    return groups


class Raw:
    """Both graphs, ready to run."""

    def __init__(self, checkpoint: Path, cores: int) -> None:
        model = resolve(str(checkpoint))
        if model.text is None:
            raise ValueError("the checkpoint has no text tower")
        self.text = model.text
        self._cores = cores
        runner = BACKEND.load(model, BackendOptions())
        self.dtype = runner.dtype
        self._sessions: list[Session] = [runner.session() for _ in range(cores)]
        self._traced = trace(checkpoint, runner.dtype)

    def tokenise(self, texts: Sequence[str]) -> Ids:
        """As the server does, cut to the model's length."""
        limit = self.text.max_input_tokens
        return [
            self.text.tokenizer.truncate(i, limit, "end") for i in self.text.tokenizer.encode(texts)
        ]

    def lanes(self, name: str) -> list[Run]:
        """One callable for each core: ``packed`` or ``traced``."""
        if name == "packed":
            return [_packed(session) for session in self._sessions]
        streams = self._traced(streams=self._cores)
        return [_padded(streams.create_infer_request()) for _ in range(self._cores)]

    def throughput(self, name: str, ids: Ids) -> float:
        """Tokens per second of all cores."""
        lanes = self.lanes(name)
        work = batches(ids)
        shares = [work[i :: self._cores] for i in range(self._cores)]

        def run_share(lane: Run, share: list[Ids]) -> None:
            for batch in share:
                lane(batch)

        with ThreadPoolExecutor(self._cores) as pool:
            list(pool.map(run_share, lanes, shares))  # every shape once
            start = time.perf_counter()
            list(pool.map(run_share, lanes, shares))
            return sum(map(len, ids)) / (time.perf_counter() - start)

    def lone_latency_ms(self, texts: Sequence[str]) -> float:
        """Median of one text on all cores, the faster of both graphs."""
        wide = _padded(self._traced(streams=1).create_infer_request())
        packed = self._sessions[0]
        times: dict[str, list[float]] = {"packed": [], "traced": []}
        for one in self.tokenise(texts):
            for name, run in (
                ("packed", lambda i: packed.run("text", tokens_of(i), alone=True)),
                ("traced", wide),
            ):
                start = time.perf_counter()
                run([one])
                times[name].append(time.perf_counter() - start)
        return min(median(values) for values in times.values()) * 1e3


def trace(checkpoint: Path, dtype: str) -> Callable[..., ov.CompiledModel]:
    """Transformers' model with mean pooling, converted; answers a function that compiles it."""
    import torch
    from transformers import AutoModel

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.model(input_ids=input_ids, attention_mask=attention_mask)[0]
            mask = attention_mask.unsqueeze(-1).float()
            return (states * mask).sum(1) / mask.sum(1)

    example = {
        "input_ids": torch.ones(2, 8, dtype=torch.long),
        "attention_mask": torch.ones(2, 8, dtype=torch.long),
    }
    graph = ov.convert_model(Pooled(), example_input=example)
    hint = {"bfloat16": "bf16", "float16": "f16"}.get(dtype, "f32")

    def compile_for(*, streams: int) -> ov.CompiledModel:
        import os

        return ov.Core().compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": hint,
                "NUM_STREAMS": str(streams),
                "INFERENCE_NUM_THREADS": str(len(os.sched_getaffinity(0))),
            },
        )

    return compile_for


def _packed(session: Session) -> Run:
    return lambda ids: session.run("text", tokens_of(ids))


def _padded(request: Any) -> Run:
    def run(ids: Ids) -> Any:
        width = max(map(len, ids))
        padded = np.zeros((len(ids), width), np.int64)
        mask = np.zeros((len(ids), width), np.int64)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = one
            mask[row, : len(one)] = 1
        return request.infer([padded, mask])

    return run
