"""A class of transformers run by torch itself: for what cannot be converted."""

from typing import Any

import torch

from polyvec.backends._base import BackendOptions, TokenBatch
from polyvec.backends._outputs import all_outputs, needs_tokens
from polyvec.backends._packing import pad
from polyvec.backends._torch_text import PackedTextOps
from polyvec.backends._transformers_class import States
from polyvec.backends.torch import TorchRunner, TorchSession
from polyvec.errors import InferenceError
from polyvec.models._foreign import ForeignConfig
from polyvec.models._model import Model
from polyvec.types import Float32Array, Output


class _ForeignOps(PackedTextOps):
    """States come from the class; pooling and what follows is the package's own."""

    def __init__(
        self,
        runner: "EagerRunner",
        batch: TokenBatch,
        *,
        keeps_tokens: bool,
    ) -> None:
        model = runner.model
        assert model.text is not None  # noqa: S101  (the family has nothing else)
        config: ForeignConfig = model.config
        super().__init__(
            runner.tensors,
            batch,
            model.text.poolings,
            max_positions=config.max_positions,
            keeps_tokens=keeps_tokens,
        )
        self._encoder = runner.states
        self._padded = pad(
            batch, (), None, pad_token_id=config.pad_token_id, max_positions=config.max_positions
        )

    def states(self) -> torch.Tensor:
        """(T, D)."""
        device = self._tensors.device
        ids = torch.from_numpy(self._padded["input_ids"]).to(device)
        mask = torch.from_numpy(self._padded["attention_mask"]).to(device)
        return self._encoder(ids, mask)[mask.bool()]


class EagerSession(TorchSession):
    """Runs the class on padded batches."""

    def __init__(self, runner: "EagerRunner") -> None:
        super().__init__(runner.model, runner.tensors)
        self._runner = runner

    def _text_outputs(
        self, batch: TokenBatch, outputs: tuple[Output, ...]
    ) -> dict[Output, Float32Array]:
        model = self._model
        if model.text is None:
            raise InferenceError("the model has no text tower")
        ops = _ForeignOps(self._runner, batch, keeps_tokens=needs_tokens(model, outputs))
        made = all_outputs(
            ops, model, model.family.towers["text"].forward(ops, model.config), outputs
        )
        return {name: _array(value) for name, value in made.items()}


class EagerRunner(TorchRunner):
    """The class on a device.

    Args:
        model: Of family ``transformers``.
        options: As for backend torch.
        states: The loaded class.
    """

    def __init__(self, model: Model, options: BackendOptions, states: States) -> None:
        self.states = states
        super().__init__(model, options)

    @property
    def model(self) -> Model:
        """What is run."""
        return self._model

    @property
    def tensors(self) -> Any:
        """Weights of the modules after pooling."""
        return self._tensors

    def session(self) -> EagerSession:
        """A new lane, for one thread."""
        self.states.to(self._tensors.device, self._tensors.dtype)
        return EagerSession(self)


def _array(value: torch.Tensor) -> Float32Array:
    array: Float32Array = value.float().cpu().numpy()
    return array
