"""`Ops` lowered to OpenVINO graph nodes.

`GraphOps` holds what does not depend on the batch's layout; `ImageOps` has sequences of one length,
so its tokens are simply (B, N, D). Texts are in `polyvec.backends._openvino_text`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from openvino import opset15 as op

from polyvec.backends._openvino_weights import GraphWeights
from polyvec.backends._packing import MASKED
from polyvec.backends._parameters import Parameters, check_rows
from polyvec.backends._weight_cache import QuantizedWeights
from polyvec.models._model import ImageRules
from polyvec.models._ops import Activation
from polyvec.models._patches import PatchLayout

Node = Any

_QUICK_GELU_BETA = 1.702

_ACTIVATIONS: dict[Activation, Callable[[Node], Node]] = {
    "gelu": lambda x: op.gelu(x, "erf"),
    "gelu_tanh": lambda x: op.gelu(x, "tanh"),
    "quick_gelu": lambda x: op.swish(x, np.float32(_QUICK_GELU_BETA)),
    "relu": op.relu,
    "silu": lambda x: op.swish(x, np.float32(1)),
    "tanh": op.tanh,
    "sigmoid": op.sigmoid,
}


def ints(*values: int) -> Node:
    """A constant of whole numbers."""
    return op.constant(np.array(values, np.int32))


FIRST_AXIS = 0
LAST_AXIS = -1


class GraphOps:
    """Operations on nodes of rank 2 (tokens or rows, D) or 3 (B, N, D).

    Args:
        parameters: Weights, which must stay mapped as long as the compiled model lives.
        quantized: Codes of matrices, which must stay too; None where every weight stays float.

    Attributes:
        max_layers: Layers to run, None for all; set by a self-test before `depth` is asked.
    """

    def __init__(self, parameters: Parameters, quantized: QuantizedWeights | None = None) -> None:
        self._parameters = parameters
        self._weights = GraphWeights(parameters, quantized)
        self._inputs: dict[str, Node] = {}
        self.max_layers: int | None = None

    def _input(self, name: str, shape: Sequence[int], kind: type[np.generic]) -> Node:
        """The graph input of this name, made when it is first asked for."""
        if name not in self._inputs:
            node = op.parameter(list(shape), kind, name=name)
            node.output(0).get_tensor().set_names({name})
            self._inputs[name] = node
        return self._inputs[name]

    @property
    def inputs(self) -> dict[str, Node]:
        """Graph inputs by name, in the order in which batches are fed."""
        return self._inputs

    @property
    def matrices(self) -> frozenset[str]:
        """Names of the weights that tokens were multiplied with."""
        return frozenset(self._weights.matrices)

    # Parameters.

    def parameter(self, name: str, rows: tuple[int, int] | None = None) -> Node:
        """A weight as float32; see `GraphWeights.plain`."""
        return self._weights.plain(name, rows)

    def embedding(self, ids: Node, name: str, *, rows: int) -> Node:
        """Rows of the table ``name.weight``."""
        table = self.parameter(f"{name}.weight")
        check_rows(name, self._parameters.weights.entry(f"{name}.weight").shape[0], rows)
        return op.gather(table, ids, ints(FIRST_AXIS))

    def first_row(self, name: str) -> Node:
        """Row 0 of the table ``name.weight``, (1, D)."""
        return self.embedding(ints(0), name, rows=1)

    def linear(
        self, x: Node, name: str, *, bias: bool = True, rows: tuple[int, int] | None = None
    ) -> Node:
        """``x @ weight.T + bias``."""
        out = op.matmul(x, self._weights.matrix(f"{name}.weight", rows), False, True)
        return op.add(out, self.parameter(f"{name}.bias", rows)) if bias else out

    def layer_norm(self, x: Node, name: str, *, eps: float, bias: bool = True) -> Node:
        """Zero mean and unit variance over the last axis, then scale and shift."""
        out = op.mvn(x, ints(LAST_AXIS), True, eps, "inside_sqrt")
        if not name:
            return out
        out = op.multiply(out, self.parameter(f"{name}.weight"))
        return op.add(out, self.parameter(f"{name}.bias")) if bias else out

    def rms_norm(
        self, x: Node, name: str, *, eps: float, offset: float = 0.0, heads: int = 1
    ) -> Node:
        """Unit mean square over the last axis, then scale; spelled as the plugin fuses it."""
        weight = self._parameters.weights.float32(self._parameters.use(f"{name}.weight"))
        split = op.reshape(x, ints(0, heads, -1), True) if heads > 1 else x
        square = op.power(split, op.constant(np.float32(2)))
        mean = op.reduce_mean(square, ints(LAST_AXIS), True)
        root = op.sqrt(op.add(mean, op.constant(np.float32(eps))))
        normed = op.multiply(split, op.divide(op.constant(np.float32(1)), root))
        out = op.multiply(normed, op.constant(weight + np.float32(offset)))
        return op.reshape(out, ints(0, -1), True) if heads > 1 else out

    def conv2d(
        self,
        x: Node,
        name: str,
        *,
        stride: int,
        padding: int = 0,
        groups: int = 1,
        bias: bool = False,
    ) -> Node:
        """(B, C, H, W) → (B, C', H', W')."""
        kernels = self.parameter(f"{name}.weight")
        steps, zeros = [stride] * 2, [padding] * 2
        if groups == 1:
            out = op.convolution(x, kernels, steps, zeros, zeros, [1, 1])
        else:
            made, taken, *window = self._parameters.weights.entry(f"{name}.weight").shape
            parts = ints(groups, made // groups, taken, *window)
            kernels = op.reshape(kernels, parts, False)
            out = op.group_convolution(x, kernels, steps, zeros, zeros, [1, 1])
        if not bias:
            return out
        return op.add(out, op.reshape(self.parameter(f"{name}.bias"), ints(1, -1, 1, 1), False))

    # Arithmetic.

    def add(self, x: Node, y: Node) -> Node:
        """Sum, with broadcasting."""
        return op.add(x, y)

    def depth(self, num_layers: int) -> int:
        """All layers, or as many as a self-test looks at."""
        return num_layers if self.max_layers is None else min(num_layers, self.max_layers)

    def multiply(self, x: Node, y: Node) -> Node:
        """Elementwise product, with broadcasting."""
        return op.multiply(x, y)

    def scale(self, x: Node, factor: float) -> Node:
        """``x * factor``."""
        return op.multiply(x, op.constant(np.float32(factor)))

    def activation(self, x: Node, kind: Activation) -> Node:
        """Elementwise."""
        return _ACTIVATIONS[kind](x)

    def log1p_relu(self, x: Node) -> Node:
        """``log(1 + max(x, 0))``, elementwise."""
        return op.log(op.add(op.relu(x), op.constant(np.float32(1))))


def attend(  # noqa: PLR0913  (what `ops.attention` may ask for)
    q: Node,
    k: Node,
    v: Node,
    *,
    heads: int,
    kv_heads: int | None = None,
    mask: Node | None = None,
    scale: float | None = None,
    softcap: float | None = None,
) -> Node:
    """Attention over (B, L, D) nodes; ``q`` may have another L.

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        heads: Query heads.
        kv_heads: Key and value heads, None for as many.
        mask: Added to scores, (B or 1, heads or 1, Lq or 1, Lk).
        scale: Factor on scores, None for ``head_width ** -0.5``.
        softcap: Bound of scores, None for none.

    Returns:
        (B, Lq, D).
    """
    q = _split_heads(q, heads)
    k, v = (_shared_heads(_split_heads(x, kv_heads or heads), heads, kv_heads) for x in (k, v))
    if softcap is None:
        rest = [] if mask is None else [mask]
        if scale is not None:
            rest = [mask or op.constant(np.float32(0)), op.constant(np.float32(scale))]
        out = op.scaled_dot_product_attention(q, k, v, *rest)
    else:
        width = q.get_output_partial_shape(0)[3].get_length()
        factor = op.constant(np.float32((scale or width**-0.5) / softcap))
        scores = op.matmul(op.multiply(q, factor), k, False, True)
        scores = op.multiply(op.tanh(scores), op.constant(np.float32(softcap)))
        scores = scores if mask is None else op.add(scores, mask)
        out = op.matmul(op.softmax(scores, LAST_AXIS), v, False, False)
    return op.reshape(op.transpose(out, ints(0, 2, 1, 3)), ints(0, 0, -1), True)


def _split_heads(x: Node, heads: int) -> Node:
    width = x.get_output_partial_shape(0)[2].get_length() // heads
    return op.transpose(op.reshape(x, ints(0, 0, heads, width), True), ints(0, 2, 1, 3))


def _shared_heads(x: Node, heads: int, kv_heads: int | None) -> Node:
    """Repeat each key or value head for the query heads that share it."""
    if kv_heads is None or kv_heads == heads:
        return x
    owners = np.repeat(np.arange(kv_heads, dtype=np.int32), heads // kv_heads)
    return op.gather(x, op.constant(owners), ints(1))


class ImageOps(GraphOps):
    """Pictures of one size: tokens are (B, N, D), rows are (B, D)."""

    def __init__(
        self,
        parameters: Parameters,
        *,
        rules: ImageRules,
        num_tokens: int,
        quantized: QuantizedWeights | None = None,
    ) -> None:
        super().__init__(parameters, quantized)
        self._num_tokens = num_tokens
        self._layout = rules.layout
        self._pixels = self._input("pixels", [-1, *rules.shape], np.float32)
        self._hidden = None if rules.layout is None else self._hidden_patches()

    def pixels(self) -> Node:
        """(B, 3, H, W)."""
        return self._pixels

    def embedding(self, ids: Node, name: str, *, rows: int) -> Node:
        """Rows of the table ``name.weight``, of which a picture takes all."""
        found = self._parameters.weights.entry(f"{name}.weight").shape[0]
        check_rows(name, found, rows, exact=True)
        return super().embedding(ids, name, rows=rows)

    def patches(self) -> Node:
        """(B, N, 3 * side * side)."""
        return self._columns(0, self._patch_layout.num_pixels)

    def places(self, name: str) -> Node:
        """(B, N, D)."""
        layout = self._patch_layout
        table = self.parameter(f"{name}.weight")
        found = self._parameters.weights.entry(f"{name}.weight").shape[0]
        check_rows(name, found, layout.num_places)
        shares = self._columns(layout.num_pixels, layout.num_pixels + layout.num_places)
        return op.matmul(shares, table, False, False)

    @property
    def _patch_layout(self) -> PatchLayout:
        if self._layout is None:
            raise ValueError("the tower reads whole pictures")
        return self._layout

    def _columns(self, start: int, stop: int) -> Node:
        return op.slice(self._pixels, ints(start), ints(stop), ints(1), ints(2))

    def _hidden_patches(self) -> Node:
        """What is added to scores, (B, 1, 1, N): rows without a patch must not be seen."""
        last = self._patch_layout.shape[1] - 1
        zero = op.constant(np.float32(0))
        present = op.greater(op.squeeze(self._columns(last, last + 1), ints(2)), zero)
        return op.unsqueeze(op.select(present, zero, op.constant(MASKED)), ints(1, 2))

    def positions(self, *, offset: int = 0) -> Node:
        """(N,)."""
        return op.constant(np.arange(offset, offset + self._num_tokens, dtype=np.int32))

    def mean_over_map(self, x: Node) -> Node:
        """(B, C, H, W) → (B, C)."""
        return op.reduce_mean(x, ints(2, 3), False)

    def scale_channels(self, x: Node, factors: Node) -> Node:
        """(B, C, H, W) times (B, C)."""
        return op.multiply(x, op.unsqueeze(factors, ints(2, 3)))

    def grid_tokens(self, x: Node) -> Node:
        """(B, C, H', W') → (B, N, C)."""
        return op.transpose(op.reshape(x, ints(0, 0, -1), True), ints(0, 2, 1))

    def token_grid(self, x: Node, *, height: int) -> Node:
        """(B, N, C) → (B, C, height, W')."""
        width = x.get_output_partial_shape(0)[2].get_length()
        return op.reshape(op.transpose(x, ints(0, 2, 1)), ints(0, width, height, -1), True)

    def prepend(self, x: Node, name: str) -> Node:
        """(B, N, D) → (B, N+1, D)."""
        width = x.get_output_partial_shape(0)[2].get_length()
        batch = op.gather(op.shape_of(x, "i32"), ints(0), ints(0))
        shape = op.concat([batch, ints(1, width)], 0)
        first = op.broadcast(op.reshape(self.parameter(name), ints(1, 1, width), False), shape)
        return op.concat([first, x], 1)

    def learned_tokens(self, name: str) -> Node:
        """(B, M, D)."""
        batch = op.gather(op.shape_of(self._pixels, "i32"), ints(0), ints(0))
        _, count, width = self._parameters.weights.entry(name).shape
        return op.broadcast(self.parameter(name), op.concat([batch, ints(count, width)], 0))

    def picks(self) -> bool:
        """The class token is kept."""
        return True

    def attention(
        self, q: Node, k: Node, v: Node, *, heads: int, scale: float | None = None, **asked: Any
    ) -> Node:
        """Attention within each picture.

        Raises:
            ValueError: A form of attention is asked for that pictures do not have.
        """
        picked = asked.pop("picked", False)
        if any(asked.values()):
            raise ValueError(f"pictures have no attention with {', '.join(asked)}")
        if not picked:
            return attend(q, k, v, heads=heads, scale=scale, mask=self._hidden)
        out = attend(op.unsqueeze(q, ints(1)), k, v, heads=heads, scale=scale, mask=self._hidden)
        return op.squeeze(out, ints(1))

    def pick(self, x: Node) -> Node:
        """(B, N, D) → (B, D), the class token."""
        return op.squeeze(op.slice(x, ints(0), ints(1), ints(1), ints(1)), ints(1))

    def pool(self, x: Node) -> Node:
        """(B, N, D) → (B, D), the class token."""
        return self.pick(x)
