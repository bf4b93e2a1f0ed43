"""`Ops` computed right away on torch tensors, packed."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)

from polyvec.backends._parameters import Parameters, check_rows
from polyvec.models._ops import Activation
from polyvec.models._patches import PatchLayout

_ACTIVATIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


class Tensors:
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
    """

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

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

    def linear(
        self,
        x: torch.Tensor,
        name: str,
        *,
        bias: bool = True,
        rows: tuple[int, int] | None = None,
    ) -> torch.Tensor:
        """``x @ weight.T + bias``."""
        part = slice(*rows or (None,))
        shift = self.parameter(f"{name}.bias")[part] if bias else None
        return F.linear(x, self.parameter(f"{name}.weight")[part], shift)

    def layer_norm(
        self, x: torch.Tensor, name: str, *, eps: float, bias: bool = True
    ) -> torch.Tensor:
        """Zero mean and unit variance over the last axis, then scale and shift."""
        weight = self.parameter(f"{name}.weight") if name else None
        shift = self.parameter(f"{name}.bias") if name and bias else None
        return F.layer_norm(x, x.shape[-1:], weight, shift, eps)

    def rms_norm(
        self, x: torch.Tensor, name: str, *, eps: float, offset: float = 0.0, heads: int = 1
    ) -> torch.Tensor:
        """Unit mean square over the last axis, then scale; in float32 as the references do."""
        wide = x.unflatten(-1, (heads, -1)).float()
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        weight = self.parameter(f"{name}.weight").float() + offset
        return (normed * weight).flatten(-2).to(x.dtype)

    def conv2d(
        self,
        x: torch.Tensor,
        name: str,
        *,
        stride: int,
        padding: int = 0,
        groups: int = 1,
        bias: bool = False,
    ) -> torch.Tensor:
        """(B, C, H, W) → (B, C', H', W')."""
        kernels = self.parameter(f"{name}.weight")
        shift = self.parameter(f"{name}.bias") if bias else None
        return F.conv2d(x, kernels, shift, stride=stride, padding=padding, groups=groups)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Sum, with broadcasting."""
        return x + y

    def depth(self, num_layers: int) -> int:
        """All layers."""
        return num_layers

    def multiply(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Elementwise product, with broadcasting."""
        return x * y

    def scale(self, x: torch.Tensor, factor: float) -> torch.Tensor:
        """``x * factor``."""
        return x * factor

    def log1p_relu(self, x: torch.Tensor) -> torch.Tensor:
        """``log(1 + max(x, 0))``, elementwise."""
        return torch.log1p(torch.relu(x))

    def activation(self, x: torch.Tensor, kind: Activation) -> torch.Tensor:
        """Elementwise."""
        return _ACTIVATIONS[kind](x)


class ImageOps(TorchOps):
    """Pictures of one size: tokens are (B, N, D), rows are (B, D)."""

    def __init__(
        self,
        tensors: Tensors,
        pixels: torch.Tensor,
        num_tokens: int,
        layout: PatchLayout | None = None,
    ) -> None:
        super().__init__(tensors)
        self._pixels = pixels
        self._num_tokens = num_tokens
        self._layout = layout

    def pixels(self) -> torch.Tensor:
        """(B, 3, H, W)."""
        return self._pixels

    def embedding(self, ids: torch.Tensor, name: str, *, rows: int) -> torch.Tensor:
        """Rows of the table ``name.weight``, of which a picture takes all."""
        check_rows(name, self.parameter(f"{name}.weight").shape[0], rows, exact=True)
        return super().embedding(ids, name, rows=rows)

    def patches(self) -> torch.Tensor:
        """(B, N, 3 * side * side)."""
        return self._pixels[..., : self._patch_layout.num_pixels]

    def places(self, name: str) -> torch.Tensor:
        """(B, N, D)."""
        table = self.parameter(f"{name}.weight")
        check_rows(name, table.shape[0], self._patch_layout.num_places)
        return self._pixels[..., self._patch_layout.num_pixels : -1] @ table

    @property
    def _patch_layout(self) -> PatchLayout:
        if self._layout is None:
            raise ValueError("the tower reads whole pictures")
        return self._layout

    def _hidden(self) -> torch.Tensor | None:
        """What is added to scores, (B, 1, 1, N): rows without a patch must not be seen."""
        if self._layout is None:
            return None
        present = self._pixels[:, None, None, :, -1]
        lowest = torch.finfo(present.dtype).min
        return torch.zeros_like(present).masked_fill(present == 0, lowest)

    def positions(self, *, offset: int = 0) -> torch.Tensor:
        """(N,)."""
        return torch.arange(offset, offset + self._num_tokens, device=self._pixels.device)

    def mean_over_map(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) → (B, C)."""
        return x.mean((2, 3))

    def scale_channels(self, x: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) times (B, C)."""
        return x * factors[:, :, None, None]

    def grid_tokens(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H', W') → (B, N, C)."""
        return x.flatten(2).transpose(1, 2)

    def token_grid(self, x: torch.Tensor, *, height: int) -> torch.Tensor:
        """(B, N, C) → (B, C, height, W')."""
        return x.transpose(1, 2).unflatten(2, (height, -1))

    def prepend(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """(B, N, D) → (B, N+1, D)."""
        first = self.parameter(name).reshape(1, 1, -1).expand(len(x), 1, -1)
        return torch.cat([first, x], 1)

    def learned_tokens(self, name: str) -> torch.Tensor:
        """(B, M, D)."""
        return self.parameter(name).expand(len(self._pixels), -1, -1)

    def picks(self) -> bool:
        """The class token is kept."""
        return True

    def attention(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        *,
        heads: int,
        scale: float | None = None,
        picked: bool = False,
        **asked: Any,
    ) -> torch.Tensor:
        """Attention within each picture.

        Raises:
            ValueError: A form of attention is asked for that pictures do not have.
        """
        if any(asked.values()):
            raise ValueError(f"pictures have no attention with {', '.join(asked)}")
        added = self._hidden()
        if picked:
            return attend(q[:, None], k, v, (heads, heads), scale=scale, added=added)[:, 0]
        return attend(q, k, v, (heads, heads), scale=scale, added=added)

    def pick(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, D) → (B, D), the class token."""
        return x[:, 0]

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, D) → (B, D), the class token."""
        return self.pick(x)


def attend(  # noqa: PLR0913  (what `ops.attention` may ask for)
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    heads: tuple[int, int],
    *,
    added: torch.Tensor | None = None,
    scale: float | None = None,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attention over (…, L, D) with that many query heads and key heads."""
    q = q.unflatten(-1, (heads[0], -1)).transpose(-2, -3)
    k, v = (
        x.unflatten(-1, (heads[1], -1))
        .transpose(-2, -3)
        .repeat_interleave(heads[0] // heads[1], -3)
        for x in (k, v)
    )
    if softcap is None:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale)
    else:
        scores = q @ k.transpose(-1, -2) * (scale or q.shape[-1] ** -0.5)
        scores = softcap * torch.tanh(scores / softcap)
        scores = scores if added is None else scores + added
        out = torch.softmax(scores, -1) @ v
    return out.transpose(-2, -3).flatten(-2)
