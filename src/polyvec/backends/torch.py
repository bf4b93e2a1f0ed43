"""torch: the same model files run eagerly and packed, on CPU or an accelerator (an extra)."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from polyvec.backends._base import BackendOptions, Batch, ImageBatch, TokenBatch
from polyvec.backends._outputs import all_outputs, main_output, needs_tokens
from polyvec.backends._parameters import Parameters, check_vector_length
from polyvec.backends._torch_ops import ImageOps, Tensors
from polyvec.backends._torch_text import PackedTextOps
from polyvec.errors import ConfigError, InferenceError
from polyvec.models._model import Model
from polyvec.types import Float32Array, Modality, Output, Setting

_log = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchSession:
    """Runs the model file on tensors. Sessions share the weights, which nobody writes."""

    def __init__(self, model: Model, tensors: Tensors) -> None:
        self._model = model
        self._tensors = tensors

    def run(self, modality: Modality, batch: Batch, *, alone: bool = False) -> Float32Array:
        """Forward pass and pooling; see `polyvec.backends._base.Session`."""
        main: Output = main_output(self._model) if modality == "text" else "dense"
        return self.run_outputs(batch, (main,), alone=alone)[main]

    def run_outputs(
        self,
        batch: Batch,
        outputs: tuple[Output, ...],
        *,
        alone: bool = False,  # noqa: ARG002  (every session takes one core)
    ) -> dict[Output, Float32Array]:
        """Several outputs of one forward pass; see `polyvec.backends._base.Session`."""
        run = self._text_outputs if isinstance(batch, TokenBatch) else self._image_outputs
        made: dict[Output, Float32Array] = self._checked(run, batch, outputs)
        return made

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _checked(self, run: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return run(*arguments)
        except RuntimeError as error:
            _log.exception("torch failed on a batch")
            raise InferenceError("the runtime failed on this batch") from error

    def _image_outputs(
        self, batch: ImageBatch, outputs: tuple[Output, ...]
    ) -> dict[Output, Float32Array]:
        tower = self._model.family.towers["image"]
        layout = None if self._model.image is None else self._model.image.layout
        pixels = torch.from_numpy(batch.pixels).to(self._tensors.device, self._tensors.dtype)
        ops = ImageOps(self._tensors, pixels, tower.max_positions(self._model.config), layout)
        rows = tower.forward(ops, self._model.config)
        if not tower.num_vectors(self._model.config):
            return {"dense": _array(rows)}
        made: dict[Output, torch.Tensor] = {"dense": rows.mean(1), "tokens": rows}
        return {name: _array(made[name]) for name in outputs}

    def _text_outputs(
        self, batch: TokenBatch, outputs: tuple[Output, ...]
    ) -> dict[Output, Float32Array]:
        model, text = self._model, self._model.text
        if text is None:
            raise InferenceError("the model has no text tower")
        tower = model.family.towers["text"]
        ops = PackedTextOps(
            self._tensors,
            batch,
            text.poolings,
            max_positions=tower.max_positions(model.config),
            eos=tower.eos_token_id(model.config),
            keeps_tokens=needs_tokens(model, outputs),
        )
        states = tower.forward(ops, model.config)
        made = all_outputs(ops, model, states, outputs)
        return {name: _array(value) for name, value in made.items()}


def _array(value: torch.Tensor) -> Float32Array:
    array: Float32Array = value.float().cpu().numpy()
    return array


class TorchRunner:
    """Weights on a device.

    Attributes:
        device: Where it runs.
        dtype: Precision in force.
        num_sessions: Batches that may run at the same time.
        settings: The precision and where it comes from.

    Raises:
        ConfigError: The device or dtype is not to be had here.
    """

    def __init__(self, model: Model, options: BackendOptions) -> None:
        self.device = options.device
        self.dtype = "float32" if options.dtype == "auto" else options.dtype
        if self.dtype not in _DTYPES:
            raise ConfigError(
                f"backend torch has no dtype {self.dtype}; it has: auto, {', '.join(_DTYPES)}. "
                "Backend openvino quantises weights",
                param="dtype",
            )
        self.settings: Mapping[str, Setting] = {"dtype": Setting(self.dtype, "--dtype")}
        on_cpu = options.device == "cpu"
        self.num_sessions = options.num_sessions or (len(os.sched_getaffinity(0)) if on_cpu else 1)
        if on_cpu:  # each session is a thread of its own; torch's threads on top would only fight
            torch.set_num_threads(1)
        parameters = Parameters(model.weights)
        self._model = model
        self._tensors = Tensors(parameters, _device(options.device), _DTYPES[self.dtype])
        self._warm_up()
        parameters.check_all_used(model)

    def session(self) -> TorchSession:
        """A new lane, for one thread."""
        return TorchSession(self._model, self._tensors)

    def probe(self, batch: TokenBatch) -> Float32Array | None:
        """States of all layers; see `polyvec.backends._base.Runner`."""
        if "tokens" not in self._model.outputs:
            return None
        return self.session().run_outputs(batch, ("tokens",))["tokens"]

    def close(self) -> None:
        """Free the weights."""
        self._tensors.clear()
        self._model.weights.close()

    def _warm_up(self) -> None:
        session = self.session()
        if self._model.text is not None:
            batch = TokenBatch(np.zeros(1, np.int64), np.ones(1, np.int64))
            made = session.run_outputs(batch, self._model.outputs)
            if "dense" in made:
                check_vector_length(made["dense"].shape[1], self._model)
        if self._model.image is not None:
            pixels = ImageBatch(np.zeros((1, *self._model.image.shape), np.float32))
            check_vector_length(session.run("image", pixels).shape[1], self._model)


class TorchBackend:
    """The second lowering of `ops`: it proves that model files know no runtime."""

    name = "torch"

    def load(self, model: Model, options: BackendOptions) -> TorchRunner:
        """Convert the weights and warm up."""
        return TorchRunner(model, options)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ConfigError(f"torch has no device {name!r} here", param="device") from None
    return device


BACKEND = TorchBackend()
