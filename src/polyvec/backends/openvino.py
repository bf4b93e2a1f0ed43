"""OpenVINO: models lowered to graphs, compiled once, run by one request per session."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from polyvec.backends._base import BackendOptions, Batch, ImageBatch, TokenBatch
from polyvec.backends._openvino_build import Built, GraphBuilder
from polyvec.backends._openvino_calibrate import calibrated
from polyvec.backends._openvino_device import QUANTIZED, Device, Graph, num_cores
from polyvec.backends._openvino_prebuilt import feed, num_bytes
from polyvec.backends._outputs import main_output
from polyvec.backends._packing import pack, unpad
from polyvec.backends._quantize import WeightDtype
from polyvec.backends._weight_cache import QuantizedWeights, cache_folder, quantized_weights
from polyvec.errors import ConfigError, InferenceError
from polyvec.models._model import Model
from polyvec.types import Float32Array, Modality, Output, Setting

_log = logging.getLogger(__name__)

_PADDED_RANK = 3

_WIDE_LIMIT_BYTES = 1 << 30
"""Weights above this get no second compiled form: it would hold a second copy of them."""


Compiled = Mapping[Modality, Graph]


class _Lane:
    """One infer request of a graph."""

    def __init__(self, graph: Graph) -> None:
        # A request sees only copied inputs: mixing copied and shared ones corrupts the heap.
        self._request = graph.compiled.create_infer_request()
        self._graph = graph

    def run(self, arrays: Mapping[str, Any]) -> dict[Output, Float32Array]:
        try:
            results = self._request.infer([arrays[name] for name in self._graph.inputs])
        except RuntimeError as error:
            _log.exception("OpenVINO failed on a batch")
            raise InferenceError("the runtime failed on this batch") from error
        return {
            name: np.asarray(results[index], np.float32)
            for index, name in enumerate(self._graph.outputs)
        }


class OpenVinoSession:
    """For each tower, one infer request and another that takes every core. One thread's own."""

    def __init__(self, runner: "OpenVinoRunner", narrow: Compiled, wide: Compiled) -> None:
        self._runner = runner
        self._model = runner.model
        self._narrow = {tower: _Lane(one) for tower, one in narrow.items()}
        self._wide = {tower: _Lane(one) for tower, one in wide.items()}
        self._full: _Lane | None = None

    def run(self, modality: Modality, batch: Batch, *, alone: bool = False) -> Float32Array:
        """Forward pass and pooling; see `polyvec.backends._base.Session`."""
        lane = (self._wide if alone else self._narrow)[modality]
        results = lane.run(self._feed(modality, batch))
        if modality == "image":
            return results["dense"]
        (result,) = results.values()
        return _cut(result, batch)

    def run_outputs(
        self, batch: Batch, outputs: tuple[Output, ...], *, alone: bool = False
    ) -> dict[Output, Float32Array]:
        """Several outputs of one forward pass; see `polyvec.backends._base.Session`."""
        if isinstance(batch, ImageBatch):
            lane = (self._wide if alone else self._narrow)["image"]
            made = lane.run(self._feed("image", batch))
            return {name: made[name] for name in outputs}
        if outputs == (main_output(self._model),):
            return {outputs[0]: self.run("text", batch, alone=alone)}
        if self._full is None:
            self._full = _Lane(self._runner.full_graph())
        results = self._full.run(self._feed("text", batch))
        return {name: _cut(results[name], batch) for name in outputs}

    def _feed(self, modality: Modality, batch: Batch) -> dict[str, Any]:
        if isinstance(batch, ImageBatch):
            return {"pixels": batch.pixels}
        text = self._model.text
        if text is None:
            raise InferenceError("the model has no text tower")
        if self._model.prebuilt is not None:
            return feed(self._model, batch)
        tower = self._model.family.towers[modality]
        return pack(batch, text.poolings, tower.eos_token_id(self._model.config))


def _cut(result: Float32Array, batch: Batch) -> Float32Array:
    """Drop rows beyond the batch's tokens, which an output per token has."""
    if isinstance(batch, TokenBatch) and result.ndim == _PADDED_RANK:
        return unpad(result, batch.lengths)
    if isinstance(batch, TokenBatch) and len(result) not in (len(batch.lengths), len(batch.ids)):
        return result[: len(batch.ids)]
    return result


class OpenVinoRunner:
    """A compiled model and the mapping of its weights, which the graph reads in place.

    Attributes:
        device: As the operator named it.
        dtype: Precision in force.
        num_sessions: One for each inference stream.
        settings: Precision of weights and of what is computed, with origins.
    """

    def __init__(self, loaded: "_Loaded", options: BackendOptions) -> None:
        self.model = loaded.builder.model
        self._loaded = loaded
        self._full: Graph | None = None
        self._full_lock = Lock()
        self.device = options.device.lower()
        self.num_sessions = options.num_sessions or num_cores()
        computed = loaded.device.computes_in(next(iter(loaded.narrow.values())))
        self.settings = _precision_settings(loaded.device, computed, options)
        self.dtype: str = self.settings["dtype"].value
        if self.dtype != loaded.device.dtype:
            _log.warning("%s was asked for; this device computes in %s", options.dtype, computed)
        self._warm_up()

    def full_graph(self) -> Graph:
        """The text tower with all of its outputs; compiled when it is first asked for."""
        with self._full_lock:
            if self._full is None:
                built = self._loaded.builder.text(self.model.outputs)
                self._full = self._loaded.device.compile(built, streams=self.num_sessions)
            return self._full

    def session(self) -> OpenVinoSession:
        """A new lane, for one thread."""
        return OpenVinoSession(self, self._loaded.narrow, self._loaded.wide)

    def probe(self, batch: TokenBatch) -> Float32Array | None:
        """States of the first layers, from a graph that is dropped at once."""
        if self.model.text is None or self.model.prebuilt is not None:
            return None
        graph = self._loaded.device.compile(self._loaded.builder.probe(), streams=1)
        arrays = pack(batch, self.model.text.poolings, None)
        return _Lane(graph).run(arrays)["tokens"][: len(batch.ids)]

    def close(self) -> None:
        """Free the compiled models, then the weights they read."""
        self._full = None
        self._loaded.close()
        self.model.weights.close()

    def _warm_up(self) -> None:
        # Weights are packed at the first inference, which may take seconds.
        session = self.session()
        for modality in self._loaded.narrow:
            for alone in (False, True):
                session.run(modality, _smallest_batch(self.model, modality), alone=alone)
        # From now on kernels read packed copies; tables that are read in place come back on demand.
        self.model.weights.release_pages()
        if self._loaded.quantized is not None:
            self._loaded.quantized.release_pages()


class OpenVinoBackend:
    """Builds graphs straight from `ops`, with no tracing and no conversion step."""

    name = "openvino"

    def load(self, model: Model, options: BackendOptions) -> OpenVinoRunner:
        """Build, compile and warm up."""
        asked = options
        if options.dtype == "auto" and model.default_dtype is not None:
            options = replace(options, dtype=model.default_dtype)
        device = Device(options)
        builder = GraphBuilder(model)
        graphs = builder.towers()
        quantized = None
        if options.dtype in QUANTIZED:
            _refuse_prebuilt(model, options)
            full = calibrated(model, graphs, options) if options.dtype == "int8-full" else {}
            quantized = _codes(builder, options)
            builder = GraphBuilder(model, quantized)
            graphs = builder.towers() | full
        return OpenVinoRunner(_Loaded(builder, device, graphs, quantized, options), asked)


def _refuse_prebuilt(model: Model, options: BackendOptions) -> None:
    if model.prebuilt is not None:
        raise ConfigError(
            f"dtype {options.dtype} is for checkpoints; {model.prebuilt.name} is converted already "
            "and keeps the precision of its weights",
            param="dtype",
        )


def _codes(builder: GraphBuilder, options: BackendOptions) -> QuantizedWeights:
    dtype: WeightDtype = "int4" if options.dtype == "int4" else "int8"
    folder = cache_folder(options.cache_dir)
    return quantized_weights(builder.model.weights, builder.matrices, dtype, folder)


class _Loaded:
    """Compiled towers, and what they read and were made from."""

    def __init__(
        self,
        builder: GraphBuilder,
        device: Device,
        graphs: Mapping[Modality, Built],
        quantized: QuantizedWeights | None,
        options: BackendOptions,
    ) -> None:
        self.builder = builder
        self.device = device
        self.quantized = quantized
        sessions = options.num_sessions or num_cores()
        self.narrow = self._compiled(graphs, sessions)
        # A lone text on one core of two takes half as long again as it need.
        is_small = num_bytes(builder.model) <= _WIDE_LIMIT_BYTES
        split = device.name == "CPU" and sessions > 1 and is_small
        self.wide = self._compiled(graphs, 1) if split else dict(self.narrow)

    def _compiled(self, graphs: Mapping[Modality, Built], streams: int) -> dict[Modality, Graph]:
        return {
            tower: self.device.compile(built, streams=streams) for tower, built in graphs.items()
        }

    def close(self) -> None:
        """Free the compiled models, then the codes they read."""
        self.narrow.clear()
        self.wide.clear()
        if self.quantized is not None:
            self.quantized.close()


def _precision_settings(
    device: Device, computed: str, options: BackendOptions
) -> Mapping[str, Setting]:
    is_auto = options.dtype == "auto"
    if device.dtype not in QUANTIZED:
        return {"dtype": Setting(computed, "device" if is_auto else "--dtype")}
    return {
        "dtype": Setting(device.dtype, "alias" if is_auto else "--dtype"),
        "compute_dtype": Setting(computed, "device"),
        "activation_group_size": Setting(device.group_size, "--activation-group-size"),
    }


def _smallest_batch(model: Model, modality: Modality) -> Batch:
    if modality == "text":
        return TokenBatch(np.zeros(1, np.int64), np.ones(1, np.int64))
    assert model.image is not None  # noqa: S101  (there is a graph of it)
    return ImageBatch(np.zeros((1, *model.image.shape), np.float32))


BACKEND = OpenVinoBackend()
