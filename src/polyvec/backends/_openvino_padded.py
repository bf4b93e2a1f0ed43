"""`TextOps` for graphs that other servers feed: ``input_ids`` and ``attention_mask``, both (B, L).

Tokens are the B·L slots after one another. Padding may stand on either side: positions count a
text's own tokens, and no slot beyond a text is ever seen by one of its tokens.
"""

from typing import Any

import numpy as np
from openvino import opset15 as op

from polyvec.backends._openvino_ops import Node, ints
from polyvec.backends._openvino_text import PackedTextOps
from polyvec.backends._packing import MASKED
from polyvec.backends._parameters import Parameters
from polyvec.backends._weight_cache import QuantizedWeights
from polyvec.models._family import ONE_TOKEN, Pooling
from polyvec.models._ops import ScoreBias

_ZERO, _ONE = np.float32(0), np.float32(1)


class PaddedTextOps(PackedTextOps):
    """Texts side by side, filled up to one length. `pool` keeps tokens.

    Args:
        parameters: Weights.
        poolings: The checkpoint's, for `rows`.
        max_positions: No text is longer.
        quantized: Codes of matrices; None where every weight stays float.
    """

    def __init__(
        self,
        parameters: Parameters,
        poolings: tuple[Pooling, ...],
        *,
        max_positions: int,
        quantized: QuantizedWeights | None = None,
    ) -> None:
        super().__init__(
            parameters,
            poolings,
            max_positions=max_positions,
            keeps_tokens=True,
            quantized=quantized,
        )
        self._ids = self._input("input_ids", [-1, -1], np.int64)
        self._mask01 = op.convert(self._input("attention_mask", [-1, -1], np.int64), "i32")

    def states(self, x: Node) -> Node:
        """(B·L, D) → (B, L, D)."""
        return self._by_text(x)

    def _fed(self, name: str) -> Node:
        """What a packed batch has as inputs, worked out from the two."""
        makers: dict[str, Any] = {
            "ids": lambda: _flat(op.convert(self._ids, "i32")),
            "positions": lambda: _flat(self._places()),
            "segments": self._segments,
            "key_mask": lambda: op.select(self._inside(), op.constant(_ZERO), op.constant(MASKED)),
            "gather": lambda: self._mask01,  # asked for its shape alone
            "adapter": lambda: op.constant(np.int32(0)),
            "adapter_on": lambda: op.constant(_ZERO),
        }
        node: Node = self._once(("fed", name), makers[name])
        return node

    def _inside(self) -> Node:
        """(B, L), true for a text's own tokens."""
        return op.greater(self._mask01, ints(0))

    def _places(self) -> Node:
        """(B, L), place of each token in its own text; a number from 0 up in other slots too."""
        count = op.cum_sum(self._mask01, op.constant(np.int32(1)))
        return op.maximum(op.subtract(count, ints(1)), ints(0))

    def _segments(self) -> Node:
        return _flat(op.convert(self._input("token_type_ids", [-1, -1], np.int64), "i32"))

    def _by_text(self, x: Node) -> Node:
        width = x.get_output_partial_shape(0)[1].get_length()
        shape = op.concat([op.shape_of(self._ids, "i32"), ints(width)], 0)
        return op.reshape(x, shape, False)

    def _by_token(self, x: Node) -> Node:
        return x

    def _mask(
        self, *, causal: bool, window: int | None, bias: ScoreBias | None, picked: bool
    ) -> Node:
        mask = super()._mask(causal=causal, window=window, bias=bias, picked=picked)
        # Also what stands before a text. The largest score wins a row that is masked as a whole, so
        # its softmax is a number.
        return op.select(op.unsqueeze(self._inside(), ints(1, 2)), mask, op.constant(MASKED))

    # Pooling.

    def _pooled(self, x: Node, pooling: Pooling) -> Node:
        if pooling not in ONE_TOKEN:
            return super()._pooled(x, pooling)
        weights = op.unsqueeze(self._pool_weights(pooling), ints(2))
        return op.reduce_sum(op.multiply(self._by_text(x), weights), ints(1), False)

    def _pool_weights(self, pooling: Pooling) -> Node:
        """(B, L); see `polyvec.backends._packing.pack`."""
        own = op.convert(self._inside(), "f32")
        places = self._places()
        if pooling in ONE_TOKEN:
            last = op.subtract(op.reduce_sum(self._mask01, ints(1), True), ints(1))
            kept = ints(0) if pooling == "cls" else last
            return op.multiply(own, op.convert(op.equal(places, kept), "f32"))
        if pooling == "max":
            return own
        if pooling == "weightedmean":
            own = op.multiply(own, op.add(op.convert(places, "f32"), op.constant(_ONE)))
        count = op.reduce_sum(own, ints(1), True)
        return op.divide(own, op.sqrt(count) if pooling == "mean_sqrt_len" else count)

    def max_over_tokens(self, x: Node) -> Node:
        """(B·L, D) → (B, D)."""
        kept = op.select(
            op.unsqueeze(self._inside(), ints(2)), self._by_text(x), op.constant(MASKED)
        )
        return op.reduce_max(kept, ints(1), False)


def _flat(x: Node) -> Node:
    """(B, L) → (B·L,)."""
    return op.reshape(x, ints(-1), False)
