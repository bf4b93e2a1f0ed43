"""torch: the same model files run eagerly and packed, on CPU or an accelerator (an extra)."""

import logging
import os
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)

from polyvec.backends._base import BackendOptions, Batch, ImageBatch, TokenBatch
from polyvec.backends._packing import pack
from polyvec.backends._parameters import Parameters, check_rows, check_vector_length
from polyvec.errors import ConfigError, InferenceError
from polyvec.models._family import Pooling
from polyvec.models._model import Model
from polyvec.models._ops import Activation
from polyvec.types import Float32Array, Modality

_log = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_ACTIVATIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


class _Tensors:
    """Weights on the device, converted once."""

    def __init__(self, parameters: Parameters, device: torch.device, dtype: torch.dtype) -> None:
        self._parameters = parameters
        self.device = device
        self.dtype = dtype
        self._held: dict[str, torch.Tensor] = {}

    def get(self, name: str) -> torch.Tensor:
        if name not in self._held:
            array = self._parameters.weights.float32(self._parameters.use(name))
            held = torch.from_numpy(array.copy())  # the mapping is read-only
            self._held[name] = held.to(self.device, self.dtype)
        return self._held[name]

    def clear(self) -> None:
        self._held.clear()


class TorchOps:
    """Operations computed right away on tensors of rank 2 (tokens or rows) or 3 (B, N, D).

    Args:
        tensors: Weights.
        picks_one: Whether pooling keeps one token.
    """

    def __init__(self, tensors: _Tensors, *, picks_one: bool) -> None:
        self._tensors = tensors
        self._picks_one = picks_one

    def parameter(self, name: str) -> torch.Tensor:
        """A weight as it is."""
        return self._tensors.get(name)

    def embedding(self, ids: torch.Tensor, name: str, *, rows: int) -> torch.Tensor:
        """Rows of the table ``name.weight``."""
        table = self.parameter(f"{name}.weight")
        check_rows(name, table.shape[0], rows)
        return F.embedding(ids, table)

    def first_row(self, name: str) -> torch.Tensor:
        """Row 0 of the table ``name.weight``."""
        return self.parameter(f"{name}.weight")[0]

    def linear(self, x: torch.Tensor, name: str, *, bias: bool = True) -> torch.Tensor:
        """``x @ weight.T + bias``."""
        shift = self.parameter(f"{name}.bias") if bias else None
        return F.linear(x, self.parameter(f"{name}.weight"), shift)

    def layer_norm(self, x: torch.Tensor, name: str, *, eps: float) -> torch.Tensor:
        """Zero mean and unit variance over the last axis, then scale and shift."""
        weight, shift = self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias")
        return F.layer_norm(x, weight.shape, weight, shift, eps)

    def conv2d(
        self, x: torch.Tensor, name: str, *, stride: int, bias: bool = False
    ) -> torch.Tensor:
        """(B, C, H, W) → (B, C', H', W'), no padding."""
        shift = self.parameter(f"{name}.bias") if bias else None
        return F.conv2d(x, self.parameter(f"{name}.weight"), shift, stride=stride)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Sum, with broadcasting."""
        return x + y

    def activation(self, x: torch.Tensor, kind: Activation) -> torch.Tensor:
        """Elementwise."""
        return _ACTIVATIONS[kind](x)

    def picks(self) -> bool:
        """True when pooling keeps one token of each sequence."""
        return self._picks_one


class PackedTextOps(TorchOps):
    """Texts laid end to end: tokens are (T, D); attention loops over the texts."""

    def __init__(
        self, tensors: _Tensors, batch: TokenBatch, pooling: Pooling, eos: int | None
    ) -> None:
        super().__init__(tensors, picks_one=pooling in ("cls", "last", "eos"))
        device = tensors.device
        packed = pack(batch, pooling, eos)
        self._pooling = pooling
        self._ids = torch.from_numpy(batch.ids).to(device)
        self._places = torch.from_numpy(packed.positions[: len(batch.ids)].copy()).to(device).long()
        self._picked = torch.from_numpy(packed.picked).to(device).long()
        self._weights = packed.pool_weights
        ends = np.cumsum(batch.lengths)
        self._spans = [
            (int(end - length), int(end)) for end, length in zip(ends, batch.lengths, strict=True)
        ]

    def token_ids(self) -> torch.Tensor:
        """(T,)."""
        return self._ids

    def positions(self, *, offset: int = 0) -> torch.Tensor:
        """(T,)."""
        return self._places + offset

    def attention(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        *,
        heads: int,
        causal: bool = False,
        picked: bool = False,
    ) -> torch.Tensor:
        """Attention within each text."""
        out = []
        for index, (start, end) in enumerate(self._spans):
            asking = q[index : index + 1] if picked else q[start:end]
            # A picked token sees everything up to itself, or all of its text.
            stop = int(self._picked[index]) + 1 if picked and causal else end
            out.append(
                _attend(asking, k[start:stop], v[start:stop], heads, causal=causal and not picked)
            )
        return torch.cat(out)

    def pick(self, x: torch.Tensor) -> torch.Tensor:
        """(T, D) → (B, D)."""
        return x[self._picked]

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(T, D) → (B, D)."""
        if self._picks_one:
            return self.pick(x)
        return torch.stack([self._pool_one(x[a:b], i) for i, (a, b) in enumerate(self._spans)])

    def _pool_one(self, x: torch.Tensor, index: int) -> torch.Tensor:
        if self._pooling == "max":
            return x.amax(0)
        weights = torch.from_numpy(self._weights[index, : len(x)].copy()).to(x.device)
        return weights @ x.float()


class ImageOps(TorchOps):
    """Pictures of one size: tokens are (B, N, D), rows are (B, D)."""

    def __init__(self, tensors: _Tensors, pixels: torch.Tensor, num_tokens: int) -> None:
        super().__init__(tensors, picks_one=True)
        self._pixels = pixels
        self._num_tokens = num_tokens

    def pixels(self) -> torch.Tensor:
        """(B, 3, H, W)."""
        return self._pixels

    def positions(self, *, offset: int = 0) -> torch.Tensor:
        """(N,)."""
        return torch.arange(offset, offset + self._num_tokens, device=self._pixels.device)

    def grid_tokens(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H', W') → (B, N, C)."""
        return x.flatten(2).transpose(1, 2)

    def prepend(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """(B, N, D) → (B, N+1, D)."""
        first = self.parameter(name).reshape(1, 1, -1).expand(len(x), 1, -1)
        return torch.cat([first, x], 1)

    def attention(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        *,
        heads: int,
        causal: bool = False,
        picked: bool = False,
    ) -> torch.Tensor:
        """Attention within each picture."""
        if picked:
            return _attend(q[:, None], k, v, heads, causal=False)[:, 0]
        return _attend(q, k, v, heads, causal=causal)

    def pick(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, D) → (B, D), the class token."""
        return x[:, 0]

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, D) → (B, D), the class token."""
        return self.pick(x)


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *, causal: bool
) -> torch.Tensor:
    """Attention over (…, L, D)."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(-2, -3) for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return out.transpose(-2, -3).flatten(-2)


class TorchSession:
    """Runs the model file on tensors. Sessions share the weights, which nobody writes."""

    def __init__(self, model: Model, tensors: _Tensors) -> None:
        self._model = model
        self._tensors = tensors

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def run(self, modality: Modality, batch: Batch, *, alone: bool = False) -> Float32Array:  # noqa: ARG002
        """Forward pass and pooling; see `polyvec.backends._base.Session`."""
        tower = self._model.family.towers[modality]
        ops = self._ops(modality, batch)
        try:
            rows = tower.forward(ops, self._model.config)
            for layer in self._model.dense:
                rows = ops.linear(rows.to(self._tensors.dtype), layer.name, bias=layer.bias)
                rows = ops.activation(rows, layer.activation) if layer.activation else rows
        except RuntimeError as error:
            _log.exception("torch failed on a batch")
            raise InferenceError("the runtime failed on this batch") from error
        result: Float32Array = rows.float().cpu().numpy()
        return result

    def _ops(self, modality: Modality, batch: Batch) -> "PackedTextOps | ImageOps":
        tower, text = self._model.family.towers[modality], self._model.text
        if isinstance(batch, ImageBatch):
            pixels = torch.from_numpy(batch.pixels).to(self._tensors.device, self._tensors.dtype)
            return ImageOps(self._tensors, pixels, tower.max_positions(self._model.config))
        if text is None:
            raise InferenceError("the model has no text tower")
        eos = tower.eos_token_id(self._model.config)
        return PackedTextOps(self._tensors, batch, text.pooling, eos)


class TorchRunner:
    """Weights on a device.

    Attributes:
        device: Where it runs.
        dtype: Precision in force.
        num_sessions: Batches that may run at the same time.
    """

    def __init__(self, model: Model, options: BackendOptions) -> None:
        self.device = options.device
        self.dtype = "float32" if options.dtype == "auto" else options.dtype
        on_cpu = options.device == "cpu"
        self.num_sessions = options.num_sessions or (len(os.sched_getaffinity(0)) if on_cpu else 1)
        if on_cpu:  # each session is a thread of its own; torch's threads on top would only fight
            torch.set_num_threads(1)
        parameters = Parameters(model.weights)
        self._model = model
        self._tensors = _Tensors(parameters, _device(options.device), _DTYPES[self.dtype])
        self._warm_up()
        parameters.check_all_used(model)

    def session(self) -> TorchSession:
        """A new lane, for one thread."""
        return TorchSession(self._model, self._tensors)

    def close(self) -> None:
        """Free the weights."""
        self._tensors.clear()
        self._model.weights.close()

    def _warm_up(self) -> None:
        session = self.session()
        for modality in self._model.modalities:
            if modality == "text":
                batch: Batch = TokenBatch(np.zeros(1, np.int64), np.ones(1, np.int64))
            else:
                side = self._model.family.towers["image"].image_size(self._model.config)
                batch = ImageBatch(np.zeros((1, 3, side, side), np.float32))
            check_vector_length(session.run(modality, batch).shape[1], self._model)


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
