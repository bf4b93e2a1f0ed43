"""OpenVINO: models lowered to graphs, compiled once, run by one request per session."""

import logging
import os
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from polyvec.backends._base import BackendOptions, Batch, ImageBatch, TokenBatch
from polyvec.backends._openvino_ops import GraphOps, ImageOps
from polyvec.backends._openvino_text import PackedTextOps
from polyvec.backends._outputs import all_outputs, main_output, needs_tokens
from polyvec.backends._packing import pack
from polyvec.backends._parameters import Parameters, check_vector_length
from polyvec.errors import CheckpointError, ConfigError, InferenceError
from polyvec.models._model import Model
from polyvec.types import Float32Array, Modality, Output

_log = logging.getLogger(__name__)

_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}

_WIDE_LIMIT_BYTES = 1 << 30
"""Weights above this get no second compiled form: it would hold a second copy of them."""


class Graph:
    """A compiled graph, the names of its inputs, and of its outputs."""

    def __init__(
        self, compiled: ov.CompiledModel, inputs: tuple[str, ...], outputs: tuple[Output, ...]
    ) -> None:
        self.compiled = compiled
        self.inputs = inputs
        self.outputs = outputs


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
        (result,) = lane.run(self._feed(modality, batch)).values()
        return result if modality == "image" else _cut(result, batch)

    def run_outputs(
        self, batch: TokenBatch, outputs: tuple[Output, ...], *, alone: bool = False
    ) -> dict[Output, Float32Array]:
        """Several outputs of one forward pass; see `polyvec.backends._base.Session`."""
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
        tower = self._model.family.towers[modality]
        return pack(batch, text.poolings, tower.eos_token_id(self._model.config))


def _cut(result: Float32Array, batch: Batch) -> Float32Array:
    """Drop rows beyond the batch's tokens, which an output per token has."""
    if isinstance(batch, TokenBatch) and len(result) not in (len(batch.lengths), len(batch.ids)):
        return result[: len(batch.ids)]
    return result


class OpenVinoRunner:
    """A compiled model and the mapping of its weights, which the graph reads in place.

    Attributes:
        device: As the operator named it.
        dtype: Precision in force.
        num_sessions: One for each inference stream.
    """

    def __init__(
        self, model: Model, narrow: Compiled, wide: Compiled, options: BackendOptions
    ) -> None:
        self.model = model
        self._narrow = dict(narrow)
        self._wide = dict(wide)
        self._full: Graph | None = None
        self._full_lock = Lock()
        self._options = options
        self.device = options.device.lower()
        self.num_sessions = options.num_sessions or _cores()
        self.dtype = _effective_dtype(next(iter(narrow.values())).compiled)
        if options.dtype not in ("auto", self.dtype):
            _log.warning("%s was asked for; this device computes in %s", options.dtype, self.dtype)
        self._warm_up()

    def full_graph(self) -> Graph:
        """The text tower with all of its outputs; compiled when it is first asked for."""
        with self._full_lock:
            if self._full is None:
                self._full = _compile_full(self.model, self._options, self.num_sessions)
            return self._full

    def session(self) -> OpenVinoSession:
        """A new lane, for one thread."""
        return OpenVinoSession(self, self._narrow, self._wide)

    def close(self) -> None:
        """Free the compiled models, then the weights they read."""
        self._narrow.clear()
        self._wide.clear()
        self._full = None
        self.model.weights.close()

    def _warm_up(self) -> None:
        # Weights are packed at the first inference, which may take seconds.
        session = self.session()
        for modality in self._narrow:
            for alone in (False, True):
                session.run(modality, _smallest_batch(self.model, modality), alone=alone)
        # From now on kernels read packed copies; tables that are read in place come back on demand.
        self.model.weights.release_pages()


class OpenVinoBackend:
    """Builds graphs straight from `ops`, with no tracing and no conversion step."""

    name = "openvino"

    def load(self, model: Model, options: BackendOptions) -> OpenVinoRunner:
        """Build, compile and warm up."""
        core = ov.Core()
        device = _device(core, options.device)
        hint = _precision_hint(core, device, options)
        graphs = _checked_build(model)

        def compile_for(streams: int) -> Compiled:
            properties = _properties(device, hint, streams)
            return {
                tower: Graph(core.compile_model(built.model, device, properties), *built.names)
                for tower, built in graphs.items()
            }

        sessions = options.num_sessions or _cores()
        narrow = compile_for(sessions)
        # A lone text on one core of two takes half as long again as it need.
        split = device == "CPU" and sessions > 1 and model.weights.num_bytes <= _WIDE_LIMIT_BYTES
        return OpenVinoRunner(model, narrow, compile_for(1) if split else narrow, options)


class _Built:
    """A graph before it is compiled, with the names of its inputs and outputs."""

    def __init__(self, ops: GraphOps, outputs: Mapping[Output, Any], name: str) -> None:
        results = [op.result(node) for node in outputs.values()]
        self.model = ov.Model(results, list(ops.inputs.values()), name)
        self.names = tuple(ops.inputs), tuple(outputs)


def _checked_build(model: Model) -> dict[Modality, _Built]:
    try:
        return _build(model)
    except RuntimeError as error:
        _log.debug("building the graph failed", exc_info=error)
        raise CheckpointError(
            "the weights do not fit config.json: a tensor has another shape than it says"
        ) from error


def _build(model: Model) -> dict[Modality, _Built]:
    """One graph for each tower; every weight must be known to one of them."""
    parameters = Parameters(model.weights)
    graphs: dict[Modality, _Built] = {}
    if model.text is not None:
        graphs["text"] = _build_text(model, parameters, (main_output(model),))
        if model.heads:  # other outputs may read weights of their own
            _build_text(model, parameters, model.outputs)
    if model.image is not None:
        graphs["image"] = _build_image(model, parameters)
    parameters.check_all_used(model)
    return graphs


def _build_text(model: Model, parameters: Parameters, outputs: tuple[Output, ...]) -> _Built:
    assert model.text is not None  # noqa: S101  (the caller has looked)
    tower = model.family.towers["text"]
    ops = PackedTextOps(
        parameters,
        model.text.poolings,
        max_positions=tower.max_positions(model.config),
        keeps_tokens=needs_tokens(model, outputs),
    )
    made = all_outputs(ops, model, tower.forward(ops, model.config), outputs)
    if "dense" in made:
        check_vector_length(made["dense"].get_output_partial_shape(0)[-1].get_length(), model)
    return _Built(ops, made, f"{model.family.name}_text")


def _build_image(model: Model, parameters: Parameters) -> _Built:
    tower = model.family.towers["image"]
    ops = ImageOps(
        parameters,
        image_size=tower.image_size(model.config),
        num_tokens=tower.max_positions(model.config),
    )
    rows = tower.forward(ops, model.config)
    check_vector_length(rows.get_output_partial_shape(0)[-1].get_length(), model)
    return _Built(ops, {"dense": rows}, f"{model.family.name}_image")


def _compile_full(model: Model, options: BackendOptions, streams: int) -> Graph:
    core = ov.Core()
    device = _device(core, options.device)
    built = _build_text(model, Parameters(model.weights), model.outputs)
    properties = _properties(device, _precision_hint(core, device, options), streams)
    return Graph(core.compile_model(built.model, device, properties), *built.names)


def _properties(device: str, precision_hint: str, streams: int) -> dict[str, str]:
    properties = {"INFERENCE_PRECISION_HINT": precision_hint}
    if device == "CPU":
        properties |= {
            # Compressed weights would otherwise turn on 8-bit activations by themselves.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(_cores()),
        }
    return properties


def _smallest_batch(model: Model, modality: Modality) -> Batch:
    if modality == "text":
        return TokenBatch(np.zeros(1, np.int64), np.ones(1, np.int64))
    side = model.family.towers["image"].image_size(model.config)
    return ImageBatch(np.zeros((1, 3, side, side), np.float32))


def _device(core: ov.Core, wanted: str) -> str:
    device = wanted.upper()
    available = core.available_devices
    if device not in available and device not in {name.split(".")[0] for name in available}:
        raise ConfigError(
            f"device {wanted!r} is not here; here are: {', '.join(available).lower()}",
            param="device",
        )
    return device


def _precision_hint(core: ov.Core, device: str, options: BackendOptions) -> str:
    """Never left to the runtime, which takes bfloat16 silently where the CPU has it."""
    if options.dtype != "auto":
        return _HINTS[options.dtype]
    native = core.get_property(device, "INFERENCE_PRECISION_HINT")
    return {"bfloat16": "bf16", "float16": "f16"}.get(native.to_string(), "f32")


def _effective_dtype(compiled: ov.CompiledModel) -> str:
    return {"bf16": "bfloat16", "f16": "float16"}.get(
        compiled.get_property("INFERENCE_PRECISION_HINT").to_string(), "float32"
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0))


BACKEND = OpenVinoBackend()
