"""`TextOps` lowered to OpenVINO: texts laid end to end, tokens (T, D), rows (B, D).

Only attention and pooling see a (B, L) view; see `polyvec.backends._packing` for the arrays.
"""

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from polyvec.backends._masks import bias_reach, bucket_of_distance, slope_of_distance, turns
from polyvec.backends._openvino_ops import FIRST_AXIS, LAST_AXIS, GraphOps, Node, attend, ints
from polyvec.backends._packing import MASKED
from polyvec.backends._parameters import Parameters, check_rows
from polyvec.backends._weight_cache import QuantizedWeights
from polyvec.models._family import ONE_TOKEN, Pooling
from polyvec.models._ops import Activation, Adapters, BucketBias, ExpertNames, Rope, ScoreBias

_INPUTS: dict[str, tuple[list[int], type[np.generic]]] = {
    "ids": ([-1], np.int32),
    "positions": ([-1], np.int32),
    "segments": ([-1], np.int32),
    "gather": ([-1, -1], np.int32),
    "scatter": ([-1], np.int32),
    "key_mask": ([-1, -1], np.float32),
    "adapter": ([], np.int32),
    "adapter_on": ([], np.float32),
}
_FLOAT_ZERO = np.float32(0)


class PackedTextOps(GraphOps):
    """Texts laid end to end.

    Args:
        parameters: Weights.
        poolings: The checkpoint's.
        max_positions: No text is longer.
        keeps_tokens: Whether `pool` leaves tokens as they are, for outputs per token.
        quantized: Codes of matrices; None where every weight stays float.
    """

    def __init__(
        self,
        parameters: Parameters,
        poolings: tuple[Pooling, ...],
        *,
        max_positions: int,
        keeps_tokens: bool = False,
        quantized: QuantizedWeights | None = None,
    ) -> None:
        super().__init__(parameters, quantized)
        self._poolings = poolings
        self._max_positions = max_positions
        self._keeps_tokens = keeps_tokens
        self._made: dict[Any, Node] = {}

    def _fed(self, name: str) -> Node:
        return self._input(name, *_INPUTS[name])

    def _pool_weights(self, pooling: Pooling) -> Node:
        return self._input(f"weights.{pooling}", [-1, -1], np.float32)

    def _picked(self, pooling: Pooling) -> Node:
        return self._input(f"picked.{pooling}", [-1], np.int32)

    def token_ids(self) -> Node:
        """(T,)."""
        return self._fed("ids")

    def segments(self) -> Node:
        """(T,)."""
        return self._fed("segments")

    def positions(self, *, offset: int = 0) -> Node:
        """(T,)."""
        places = self._fed("positions")
        return op.add(places, ints(offset)) if offset else places

    # Pooling.

    def picks(self) -> bool:
        """True when only one token of each text is needed at the end."""
        return (
            not self._keeps_tokens and len(self._poolings) == 1 and self._poolings[0] in ONE_TOKEN
        )

    def pick(self, x: Node) -> Node:
        """(T, D) → (B, D)."""
        return op.gather(x, self._picked(self._poolings[0]), ints(FIRST_AXIS))

    def pool(self, x: Node) -> Node:
        """(T, D) → (B, D), or x itself when tokens are kept."""
        return x if self._keeps_tokens else self.rows(x)

    def rows(self, x: Node) -> Node:
        """(T, D) → (B, D), several poolings laid end to end."""
        pooled = [self._pooled(x, pooling) for pooling in self._poolings]
        return pooled[0] if len(pooled) == 1 else op.concat(pooled, LAST_AXIS)

    def _pooled(self, x: Node, pooling: Pooling) -> Node:
        if pooling in ONE_TOKEN:
            return op.gather(x, self._picked(pooling), ints(FIRST_AXIS))
        weights = op.unsqueeze(self._pool_weights(pooling), ints(2))
        if pooling == "max":
            inside = op.greater(weights, op.constant(_FLOAT_ZERO))
            kept = op.select(inside, self._by_text(x), op.constant(MASKED))
            return op.reduce_max(kept, ints(1), False)
        return op.reduce_sum(op.multiply(self._by_text(x), weights), ints(1), False)

    def max_over_tokens(self, x: Node) -> Node:
        """(T, D) → (B, D); slots beyond a text repeat its last token."""
        return op.reduce_max(self._by_text(x), ints(1), False)

    def sum_over_tokens(self, x: Node) -> Node:
        """(T, D) → (B, D); slots beyond a text count nothing."""
        inside = op.equal(op.unsqueeze(self._fed("key_mask"), ints(2)), op.constant(_FLOAT_ZERO))
        kept = op.select(inside, self._by_text(x), op.constant(_FLOAT_ZERO))
        return op.reduce_sum(kept, ints(1), False)

    def _by_text(self, x: Node) -> Node:
        """(T, D) → (B, L, D)."""
        return op.gather(x, self._fed("gather"), ints(FIRST_AXIS))

    def _by_token(self, x: Node) -> Node:
        """(B * L, D) → (T, D)."""
        return op.gather(x, self._fed("scatter"), ints(FIRST_AXIS))

    # Attention.

    def attention(  # noqa: PLR0913  (as `ops` has it)
        self,
        q: Node,
        k: Node,
        v: Node,
        *,
        heads: int,
        kv_heads: int | None = None,
        causal: bool = False,
        window: int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        bias: ScoreBias | None = None,
        picked: bool = False,
    ) -> Node:
        """Attention within each text."""
        mask = self._once(
            ("mask", causal, window, bias, picked),
            lambda: self._mask(causal=causal, window=window, bias=bias, picked=picked),
        )
        q = op.unsqueeze(q, ints(1)) if picked else self._by_text(q)
        out = attend(
            q,
            self._by_text(k),
            self._by_text(v),
            heads=heads,
            kv_heads=kv_heads,
            mask=mask,
            scale=scale,
            softcap=softcap,
        )
        if picked:
            return op.squeeze(out, ints(1))
        width = out.get_output_partial_shape(0)[2].get_length()
        return self._by_token(op.reshape(out, ints(-1, width), False))

    def _once(self, key: Any, build: Any) -> Node:
        """Masks and angles are the same in every layer."""
        if key not in self._made:
            self._made[key] = build()
        return self._made[key]

    def _mask(
        self, *, causal: bool, window: int | None, bias: ScoreBias | None, picked: bool
    ) -> Node:
        """What is added to scores, (B or 1, H or 1, Lq or 1, L)."""
        # Texts start at slot 0, so what stands before a token is never beyond its text.
        mask = None if causal else op.unsqueeze(self._fed("key_mask"), ints(1, 2))
        distance = None
        if causal or window is not None or bias is not None:
            distance = self._once(("distance", picked), lambda: self._distance(picked=picked))
        if causal:
            mask = _masked(op.less_equal(distance, ints(0)))
        if window is not None:
            near = _masked(op.less_equal(op.absolute(distance), ints(window)))
            mask = op.minimum(mask, near)
        return mask if bias is None else op.add(mask, self._bias(bias, distance))

    def _distance(self, *, picked: bool) -> Node:
        """Place of the key less place of the query, (B or 1, 1, Lq, L)."""
        width = op.gather(op.shape_of(self._fed("gather"), "i32"), ints(1), ints(0))
        slots = op.range(
            op.constant(np.int32(0)), op.squeeze(width, ints(0)), op.constant(np.int32(1)), "i32"
        )
        if picked:
            places = op.unsqueeze(self.pick(self._fed("positions")), ints(1, 2, 3))
        else:
            places = op.unsqueeze(slots, ints(0, 1, 3))
        return op.subtract(op.unsqueeze(slots, ints(0, 1, 2)), places)

    def _bias(self, bias: ScoreBias, distance: Node) -> Node:
        """(B or 1, H, Lq, L)."""
        reach = bias_reach(bias, self._max_positions)
        if isinstance(bias, BucketBias):
            buckets = op.constant(bucket_of_distance(bias).astype(np.int32))
            table = op.gather(self.parameter(f"{bias.name}.weight"), buckets, ints(FIRST_AXIS))
        else:
            table = op.constant(slope_of_distance(bias, reach))
        index = op.add(op.clamp(distance, -reach, reach), ints(reach))
        by_pair = op.gather(table, op.squeeze(index, ints(1)), ints(FIRST_AXIS))  # (B, Lq, L, H)
        return op.transpose(by_pair, ints(0, 3, 1, 2))

    def rope(self, x: Node, rope: Rope, *, heads: int, picked: bool = False) -> Node:
        """Turn every head by its token's place."""
        cos, sin = self._once(("rope", rope, picked), lambda: self._angles(rope, picked=picked))
        half = len(rope.frequencies)
        split = op.reshape(x, ints(0, heads, -1), True)
        rest = split.get_output_partial_shape(0)[2].get_length() - 2 * half
        if rest:
            split, kept = op.variadic_split(
                split, op.constant(np.int32(LAST_AXIS)), ints(2 * half, rest)
            ).outputs()
        turned = _interleaved(split, cos, sin) if rope.interleaved else _halves(split, cos, sin)
        if rest:
            turned = op.concat([turned, kept], LAST_AXIS)
        return op.reshape(turned, ints(0, -1), True)

    def _angles(self, rope: Rope, *, picked: bool) -> tuple[Node, Node]:
        """Cosine and sine, (T or B, 1, half), from tables.

        Computed in the graph, angles would be rounded to bfloat16 where that is the precision in
        force, and far places would stand anywhere.
        """
        places = self._fed("positions")
        places = op.unsqueeze(self.pick(places) if picked else places, ints(1))
        tables = self._once(
            ("turns", rope), lambda: [op.constant(x) for x in turns(rope, self._max_positions)]
        )
        cos, sin = (op.gather(table, places, ints(FIRST_AXIS)) for table in tables)
        return cos, sin

    # Parts of few families.

    def convolve_tokens(self, x: Node, name: str) -> Node:
        """(T, D) → (T, D); slots beyond a text are zeros for the length of the convolution."""
        width, kernel = self._parameters.weights.entry(f"{name}.weight").shape
        kernels = op.reshape(self.parameter(f"{name}.weight"), ints(width, 1, 1, kernel), False)
        inside = op.equal(op.unsqueeze(self._fed("key_mask"), ints(2)), op.constant(_FLOAT_ZERO))
        kept = op.select(inside, self._by_text(x), op.constant(_FLOAT_ZERO))
        reach = [kernel // 2]
        out = op.group_convolution(
            op.transpose(kept, ints(0, 2, 1)), kernels, [1], reach, reach, [1]
        )
        flat = op.reshape(op.transpose(out, ints(0, 2, 1)), ints(-1, width), False)
        return op.add(self._by_token(flat), self.parameter(f"{name}.bias"))

    def experts(self, x: Node, names: ExpertNames, *, top_k: int, kind: Activation) -> Node:
        """Mixture of experts: each one sees only its tokens."""
        shares = op.softmax(self.linear(x, names.router, bias=False), LAST_AXIS)
        best = op.topk(shares, op.constant(np.int32(top_k)), LAST_AXIS, "max", "value")
        least = op.reduce_min(best.output(0), ints(LAST_AXIS), True)
        count = shares.get_output_partial_shape(0)[1].get_length()
        hidden = self._parameters.weights.entry(names.up).shape[0] // count
        columns = op.split(shares, op.constant(np.int32(1)), count).outputs()
        out = op.multiply(x, op.constant(_FLOAT_ZERO))
        for expert, share in enumerate(columns):
            chosen = op.greater_equal(share, least)
            rows = op.transpose(op.non_zero(op.squeeze(chosen, ints(1)), "i32"), ints(1, 0))
            index = op.squeeze(rows, ints(1))
            mine = op.gather(x, index, ints(FIRST_AXIS))
            part = (expert * hidden, (expert + 1) * hidden)
            inner = op.matmul(mine, self._weights.matrix(names.up, part), False, True)
            inner = self.activation(inner, kind)
            done = op.matmul(inner, self.parameter(names.down, part), False, False)
            done = op.multiply(done, op.gather(share, index, ints(FIRST_AXIS)))
            out = op.scatter_nd_update(out, rows, done, "sum")
        return out

    def adapter(self, x: Node, adapters: Adapters, *, rows: tuple[int, int] | None = None) -> Node:
        """Low-rank update of a linear layer by the batch's adapter."""
        self._check_count(adapters)
        up = self._adapted(adapters.up)
        if rows is not None:
            up = op.slice(up, ints(rows[0]), ints(rows[1]), ints(1), ints(0))
        narrow = op.matmul(x, self._adapted(adapters.down), False, True)
        return self._shared(op.matmul(narrow, up, False, True), adapters)

    def adapter_embedding(self, ids: Node, adapters: Adapters, *, rows: int) -> Node:
        """Low-rank update of a table by the batch's adapter."""
        self._check_count(adapters)
        _, found, rank = self._parameters.weights.entry(adapters.up).shape
        check_rows(adapters.up, found, rows)
        # One table of all adapters, so that no adapter's table is copied for a batch.
        table = op.reshape(self.parameter(adapters.up), ints(-1, rank), False)
        first = op.multiply(self._fed("adapter"), ints(found))
        narrow = op.gather(table, op.add(ids, first), ints(FIRST_AXIS))
        down = self._adapted(adapters.down)
        return self._shared(op.matmul(narrow, down, False, False), adapters)

    def _check_count(self, adapters: Adapters) -> None:
        for name in (adapters.down, adapters.up):
            check_rows(name, self._parameters.weights.entry(name).shape[0], adapters.count)

    def _adapted(self, name: str) -> Node:
        return op.gather(self.parameter(name), self._fed("adapter"), ints(FIRST_AXIS))

    def _shared(self, x: Node, adapters: Adapters) -> Node:
        factor = op.constant(np.float32(adapters.scale))
        return op.multiply(x, op.multiply(self._fed("adapter_on"), factor))


def _masked(seen: Node) -> Node:
    return op.select(seen, op.constant(_FLOAT_ZERO), op.constant(MASKED))


def _halves(x: Node, cos: Node, sin: Node) -> Node:
    """Number i of a head is turned with number i + half."""
    a, b = op.split(x, op.constant(np.int32(LAST_AXIS)), 2).outputs()
    first = op.subtract(op.multiply(a, cos), op.multiply(b, sin))
    return op.concat([first, op.add(op.multiply(b, cos), op.multiply(a, sin))], LAST_AXIS)


def _interleaved(x: Node, cos: Node, sin: Node) -> Node:
    """Number 2i of a head is turned with number 2i + 1."""
    shape: ov.PartialShape = x.get_output_partial_shape(0)
    heads, width = shape[1].get_length(), shape[2].get_length()
    pairs = op.reshape(x, ints(0, heads, width // 2, 2), True)
    a, b = (
        op.squeeze(part, ints(3)) for part in op.split(pairs, op.constant(np.int32(3)), 2).outputs()
    )
    first = op.subtract(op.multiply(a, cos), op.multiply(b, sin))
    second = op.add(op.multiply(b, cos), op.multiply(a, sin))
    joined = op.concat([op.unsqueeze(first, ints(3)), op.unsqueeze(second, ints(3))], 3)
    return op.reshape(joined, ints(0, heads, width), True)
