"""OpenVINO: models lowered to graphs, compiled once, run by one request per session."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from polyvec.backends._base import BackendOptions, Batch, ImageBatch, TokenBatch
from polyvec.backends._openvino_ops import ImageOps, PackedTextOps
from polyvec.backends._packing import pack
from polyvec.backends._parameters import Parameters, check_vector_length
from polyvec.errors import CheckpointError, ConfigError, InferenceError
from polyvec.models._model import Model
from polyvec.types import Float32Array, Modality

_log = logging.getLogger(__name__)

_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}

_WIDE_LIMIT_BYTES = 1 << 30
"""Weights above this get no second compiled form: it would hold a second copy of them."""


Compiled = Mapping[Modality, ov.CompiledModel]


class OpenVinoSession:
    """For each tower, one infer request and another that takes every core. One thread's own."""

    def __init__(self, model: Model, narrow: Compiled, wide: Compiled) -> None:
        self._model = model
        # A request sees only copied inputs: mixing copied and shared ones corrupts the heap.
        self._narrow = {tower: one.create_infer_request() for tower, one in narrow.items()}
        self._wide = {tower: one.create_infer_request() for tower, one in wide.items()}

    def run(self, modality: Modality, batch: Batch, *, alone: bool = False) -> Float32Array:
        """Forward pass and pooling; see `polyvec.backends._base.Session`."""
        feed = self._feed(modality, batch)
        request = (self._wide if alone else self._narrow)[modality]
        try:
            outputs = request.infer(feed)
        except RuntimeError as error:
            _log.exception("OpenVINO failed on a batch")
            raise InferenceError("the runtime failed on this batch") from error
        return np.asarray(outputs[0], np.float32)

    def _feed(self, modality: Modality, batch: Batch) -> list[Any]:
        if isinstance(batch, ImageBatch):
            return [batch.pixels]
        text = self._model.text
        if text is None or not isinstance(batch, TokenBatch):
            raise InferenceError("the model has no text tower")
        tower = self._model.family.towers[modality]
        packed = pack(batch, text.pooling, tower.eos_token_id(self._model.config))
        return [
            packed.ids,
            packed.positions,
            packed.gather,
            packed.scatter,
            packed.key_mask,
            packed.picked,
            packed.picked_mask,
            packed.pool_weights,
        ]


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
        self._model = model
        self._narrow = dict(narrow)
        self._wide = dict(wide)
        self.device = options.device.lower()
        self.num_sessions = options.num_sessions or _cores()
        self.dtype = _effective_dtype(next(iter(narrow.values())))
        if options.dtype not in ("auto", self.dtype):
            _log.warning("%s was asked for; this device computes in %s", options.dtype, self.dtype)
        self._warm_up()

    def session(self) -> OpenVinoSession:
        """A new lane, for one thread."""
        return OpenVinoSession(self._model, self._narrow, self._wide)

    def close(self) -> None:
        """Free the compiled models, then the weights they read."""
        self._narrow.clear()
        self._wide.clear()
        self._model.weights.close()

    def _warm_up(self) -> None:
        # Weights are packed at the first inference, which may take seconds.
        session = self.session()
        for modality in self._narrow:
            for alone in (False, True):
                session.run(modality, _smallest_batch(self._model, modality), alone=alone)
        # From now on kernels read packed copies; tables that are read in place come back on demand.
        self._model.weights.release_pages()


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
            return {t: core.compile_model(g, device, properties) for t, g in graphs.items()}

        sessions = options.num_sessions or _cores()
        narrow = compile_for(sessions)
        # A lone text on one core of two takes half as long again as it need.
        split = device == "CPU" and sessions > 1 and model.weights.num_bytes <= _WIDE_LIMIT_BYTES
        return OpenVinoRunner(model, narrow, compile_for(1) if split else narrow, options)


def _checked_build(model: Model) -> dict[Modality, ov.Model]:
    try:
        return _build(model)
    except RuntimeError as error:
        _log.debug("building the graph failed", exc_info=error)
        raise CheckpointError(
            "the weights do not fit config.json: a tensor has another shape than it says"
        ) from error


def _build(model: Model) -> dict[Modality, ov.Model]:
    """One graph for each tower; every weight must be known to one of them."""
    parameters = Parameters(model.weights)
    graphs: dict[Modality, ov.Model] = {}
    for modality in model.modalities:
        ops = _ops_for(model, modality, parameters)
        rows = model.family.towers[modality].forward(ops, model.config)
        rows = op.result(ops.dense(rows, model.dense))
        check_vector_length(rows.get_output_partial_shape(0)[-1].get_length(), model)
        graphs[modality] = ov.Model([rows], ops.inputs, f"{model.family.name}_{modality}")
    parameters.check_all_used(model)
    return graphs


def _ops_for(model: Model, modality: Modality, parameters: Parameters) -> PackedTextOps | ImageOps:
    tower = model.family.towers[modality]
    if modality == "image":
        return ImageOps(
            parameters,
            image_size=tower.image_size(model.config),
            num_tokens=tower.max_positions(model.config),
        )
    assert model.text is not None  # noqa: S101  (modalities says so)
    return PackedTextOps(parameters, model.text.pooling)


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
