"""`Ops` lowered to OpenVINO graph nodes.

`GraphOps` holds what does not depend on the batch's layout. `PackedTextOps` lays texts end to end;
`ImageOps` has sequences of one length, so its tokens are simply (B, N, D).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from polyvec.backends._packing import MASKED
from polyvec.backends._parameters import Parameters, check_rows
from polyvec.models._family import Dense, Pooling
from polyvec.models._ops import Activation

Node = Any

_SHARED_TYPES = {"F32": ov.Type.f32, "F16": ov.Type.f16, "BF16": ov.Type.bf16}
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


def _ints(*values: int) -> Node:
    return op.constant(np.array(values, np.int32))


_FIRST_AXIS = 0
_LAST_AXIS = -1


class GraphOps:
    """Operations on nodes of rank 2 (tokens or rows, D) or 3 (B, N, D).

    Args:
        parameters: Weights, which must stay mapped as long as the compiled model lives.
        picks_one: Whether pooling keeps one token.
    """

    def __init__(self, parameters: Parameters, *, picks_one: bool) -> None:
        self._parameters = parameters
        self._picks_one = picks_one
        self._constants: dict[str, Node] = {}
        self.inputs: list[Any] = []
        """Graph inputs in the order in which batches are fed."""

    def _input(self, name: str, shape: Sequence[int], kind: type[np.generic]) -> Node:
        node = op.parameter(list(shape), kind, name=name)
        node.output(0).get_tensor().set_names({name})
        self.inputs.append(node)
        return node

    # Parameters.

    def parameter(self, name: str) -> Node:
        """A weight as float32; half precision stays so in memory and is widened in the kernels."""
        if name not in self._constants:
            self._constants[name] = self._constant(self._parameters.use(name))
        return self._constants[name]

    def _constant(self, name: str) -> Node:
        weights = self._parameters.weights
        array, dtype = weights.array(name), weights.entry(name).dtype
        if dtype not in _SHARED_TYPES or not array.flags.aligned:
            return op.constant(weights.float32(name))
        tensor = ov.Tensor(array, ov.Shape(list(array.shape)), _SHARED_TYPES[dtype])
        constant = ov.op.Constant(tensor, True)
        if dtype == "F32":
            return constant
        widened = op.convert(constant, "f32")
        # Without the mark the conversion is folded into a float32 copy of every weight.
        widened.get_rt_info()["decompression_0"] = ""
        return widened

    def embedding(self, ids: Node, name: str, *, rows: int) -> Node:
        """Rows of the table ``name.weight``."""
        table = self.parameter(f"{name}.weight")
        check_rows(name, self._parameters.weights.entry(f"{name}.weight").shape[0], rows)
        return op.gather(table, ids, _ints(_FIRST_AXIS))

    def first_row(self, name: str) -> Node:
        """Row 0 of the table ``name.weight``, (1, D)."""
        return self.embedding(_ints(0), name, rows=1)

    def linear(self, x: Node, name: str, *, bias: bool = True) -> Node:
        """``x @ weight.T + bias``."""
        out = op.matmul(x, self.parameter(f"{name}.weight"), False, True)
        return op.add(out, self.parameter(f"{name}.bias")) if bias else out

    def layer_norm(self, x: Node, name: str, *, eps: float) -> Node:
        """Zero mean and unit variance over the last axis, then scale and shift."""
        normed = op.mvn(x, _ints(_LAST_AXIS), True, eps, "inside_sqrt")
        return op.add(
            op.multiply(normed, self.parameter(f"{name}.weight")), self.parameter(f"{name}.bias")
        )

    def conv2d(self, x: Node, name: str, *, stride: int, bias: bool = False) -> Node:
        """(B, C, H, W) → (B, C', H', W'), no padding."""
        out = op.convolution(
            x, self.parameter(f"{name}.weight"), [stride] * 2, [0, 0], [0, 0], [1, 1]
        )
        if not bias:
            return out
        return op.add(out, op.reshape(self.parameter(f"{name}.bias"), _ints(1, -1, 1, 1), False))

    # Arithmetic.

    def add(self, x: Node, y: Node) -> Node:
        """Sum, with broadcasting."""
        return op.add(x, y)

    def activation(self, x: Node, kind: Activation) -> Node:
        """Elementwise."""
        return _ACTIVATIONS[kind](x)

    def dense(self, rows: Node, layers: Sequence[Dense]) -> Node:
        """Projections after pooling."""
        for layer in layers:
            rows = self.linear(rows, layer.name, bias=layer.bias)
            if layer.activation is not None:
                rows = self.activation(rows, layer.activation)
        return rows

    # Sequences.

    def picks(self) -> bool:
        """True when pooling keeps one token of each sequence."""
        return self._picks_one

    def _attend(self, q: Node, k: Node, v: Node, *, heads: int, mask: Node | None) -> Node:
        """Attention over (B, L, D) nodes; ``q`` may have another L. Returns (B, L, D)."""
        split = [self._split_heads(x, heads) for x in (q, k, v)]
        out = (
            op.scaled_dot_product_attention(*split)
            if mask is None
            else op.scaled_dot_product_attention(*split, mask)
        )
        return op.reshape(op.transpose(out, _ints(0, 2, 1, 3)), _ints(0, 0, -1), True)

    @staticmethod
    def _split_heads(x: Node, heads: int) -> Node:
        width = x.get_output_partial_shape(0)[2].get_length() // heads
        return op.transpose(op.reshape(x, _ints(0, 0, heads, width), True), _ints(0, 2, 1, 3))


class PackedTextOps(GraphOps):
    """Texts laid end to end: tokens are (T, D), rows are (B, D).

    Only attention and pooling see a (B, L) view; see `polyvec.backends._packing` for the arrays.
    """

    def __init__(self, parameters: Parameters, pooling: Pooling) -> None:
        super().__init__(parameters, picks_one=pooling in ("cls", "last", "eos"))
        self._pooling = pooling
        self._ids = self._input("ids", [-1], np.int32)
        self._positions = self._input("positions", [-1], np.int32)
        self._gather = self._input("gather", [-1, -1], np.int32)
        self._scatter = self._input("scatter", [-1], np.int32)
        self._key_mask = self._input("key_mask", [-1, -1], np.float32)
        self._picked = self._input("picked", [-1], np.int32)
        self._picked_mask = self._input("picked_mask", [-1, -1], np.float32)
        self._pool_weights = self._input("pool_weights", [-1, -1], np.float32)
        self._masks: dict[str, Node] = {}

    def token_ids(self) -> Node:
        """(T,)."""
        return self._ids

    def positions(self, *, offset: int = 0) -> Node:
        """(T,)."""
        return op.add(self._positions, _ints(offset)) if offset else self._positions

    def attention(
        self, q: Node, k: Node, v: Node, *, heads: int, causal: bool = False, picked: bool = False
    ) -> Node:
        """Attention within each text."""
        k, v = self._by_text(k), self._by_text(v)
        mask = self._mask(causal=causal, picked=picked)
        if picked:
            out = self._attend(op.unsqueeze(q, _ints(1)), k, v, heads=heads, mask=mask)
            return op.squeeze(out, _ints(1))
        out = self._attend(self._by_text(q), k, v, heads=heads, mask=mask)
        width = out.get_output_partial_shape(0)[2].get_length()
        return op.gather(
            op.reshape(out, _ints(-1, width), False), self._scatter, _ints(_FIRST_AXIS)
        )

    def pick(self, x: Node) -> Node:
        """(T, D) → (B, D)."""
        return op.gather(x, self._picked, _ints(_FIRST_AXIS))

    def pool(self, x: Node) -> Node:
        """(T, D) → (B, D)."""
        if self._picks_one:
            return self.pick(x)
        by_text = self._by_text(x)
        if self._pooling == "max":  # slots beyond a text repeat its last token
            return op.reduce_max(by_text, _ints(1), False)
        weighted = op.multiply(by_text, op.unsqueeze(self._pool_weights, _ints(2)))
        return op.reduce_sum(weighted, _ints(1), False)

    def _by_text(self, x: Node) -> Node:
        """(T, D) → (B, L, D)."""
        return op.gather(x, self._gather, _ints(_FIRST_AXIS))

    def _mask(self, *, causal: bool, picked: bool) -> Node:
        kind = f"{causal}{picked}"
        if kind not in self._masks:
            self._masks[kind] = self._build_mask(causal=causal, picked=picked)
        return self._masks[kind]

    def _build_mask(self, *, causal: bool, picked: bool) -> Node:
        if not causal:
            return op.unsqueeze(self._key_mask, _ints(1, 2))  # (B, 1, 1, L)
        if picked:
            return op.unsqueeze(self._picked_mask, _ints(1, 2))
        # Texts start at slot 0, so what stands before a token is never beyond its text.
        width = op.squeeze(
            op.gather(op.shape_of(self._gather, "i32"), _ints(1), _ints(0)), _ints(0)
        )
        slots = op.range(op.constant(np.int32(0)), width, op.constant(np.int32(1)), "i32")
        seen = op.less_equal(op.unsqueeze(slots, _ints(0)), op.unsqueeze(slots, _ints(1)))
        mask = op.select(seen, op.constant(np.float32(0)), op.constant(MASKED))
        return op.unsqueeze(mask, _ints(0, 1))  # (1, 1, L, L)


class ImageOps(GraphOps):
    """Pictures of one size: tokens are (B, N, D), rows are (B, D)."""

    def __init__(self, parameters: Parameters, *, image_size: int, num_tokens: int) -> None:
        super().__init__(parameters, picks_one=True)
        self._num_tokens = num_tokens
        self._pixels = self._input("pixels", [-1, 3, image_size, image_size], np.float32)

    def pixels(self) -> Node:
        """(B, 3, H, W)."""
        return self._pixels

    def positions(self, *, offset: int = 0) -> Node:
        """(N,)."""
        return op.constant(np.arange(offset, offset + self._num_tokens, dtype=np.int32))

    def grid_tokens(self, x: Node) -> Node:
        """(B, C, H', W') → (B, N, C)."""
        return op.transpose(op.reshape(x, _ints(0, 0, -1), True), _ints(0, 2, 1))

    def prepend(self, x: Node, name: str) -> Node:
        """(B, N, D) → (B, N+1, D)."""
        width = x.get_output_partial_shape(0)[2].get_length()
        batch = op.gather(op.shape_of(x, "i32"), _ints(0), _ints(0))
        shape = op.concat([batch, _ints(1, width)], 0)
        first = op.broadcast(op.reshape(self.parameter(name), _ints(1, 1, width), False), shape)
        return op.concat([first, x], 1)

    def attention(
        self, q: Node, k: Node, v: Node, *, heads: int, causal: bool = False, picked: bool = False
    ) -> Node:
        """Attention within each picture; nothing is masked."""
        if causal:
            raise ValueError("pictures have no causal attention")
        if not picked:
            return self._attend(q, k, v, heads=heads, mask=None)
        out = self._attend(op.unsqueeze(q, _ints(1)), k, v, heads=heads, mask=None)
        return op.squeeze(out, _ints(1))

    def pick(self, x: Node) -> Node:
        """(B, N, D) → (B, D), the class token."""
        return op.squeeze(op.slice(x, _ints(0), _ints(1), _ints(1), _ints(1)), _ints(1))

    def pool(self, x: Node) -> Node:
        """(B, N, D) → (B, D), the class token."""
        return self.pick(x)
