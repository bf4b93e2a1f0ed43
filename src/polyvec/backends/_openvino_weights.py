"""A checkpoint's weights as constants of a graph: as they are, or as codes and scales."""

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from polyvec.backends._parameters import Parameters
from polyvec.backends._quantize import Quantized
from polyvec.backends._weight_cache import QuantizedWeights

Node = Any
Rows = tuple[int, int] | None

_SHARED_TYPES = {"F32": ov.Type.f32, "F16": ov.Type.f16, "BF16": ov.Type.bf16}


class GraphWeights:
    """Makes each constant once. What it makes reads the mapped files in place.

    Args:
        parameters: Float weights.
        quantized: Codes of matrices; None where every weight stays float.

    Attributes:
        parameters: As given.
        matrices: Names of all weights that were asked for by `matrix`.
    """

    def __init__(self, parameters: Parameters, quantized: QuantizedWeights | None = None) -> None:
        self.parameters = parameters
        self.matrices: set[str] = set()
        self._quantized = quantized
        self._made: dict[tuple[str, Rows, bool], Node] = {}

    def plain(self, name: str, rows: Rows = None) -> Node:
        """A weight as float32; half precision stays so in memory and is widened in the kernels.

        Args:
            name: As in the checkpoint.
            rows: Only these of its first axis, from the first up to before the second.
        """
        key = (name, rows, False)
        if key not in self._made:
            self._made[key] = self._float(self.parameters.use(name), slice(*rows or (None,)))
        return self._made[key]

    def matrix(self, name: str, rows: Rows = None) -> Node:
        """A weight (out, in) that tokens are multiplied with: its codes, where it has any."""
        self.matrices.add(name)
        codes = None if self._quantized is None else self._quantized.get(name)
        if codes is None:
            return self.plain(name, rows)
        key = (self.parameters.use(name), rows, True)
        if key not in self._made:
            self._made[key] = _compressed(codes, slice(*rows or (None,)))
        return self._made[key]

    def _float(self, name: str, rows: slice) -> Node:
        weights = self.parameters.weights
        array, dtype = weights.array(name)[rows], weights.entry(name).dtype
        if dtype not in _SHARED_TYPES or not array.flags.aligned:
            return op.constant(weights.float32(name)[rows])
        constant = _shared(array, array.shape, _SHARED_TYPES[dtype])
        if dtype == "F32":
            return constant
        widened = op.convert(constant, "f32")
        # Without the mark the conversion is folded into a float32 copy of every weight.
        widened.get_rt_info()["decompression_0"] = ""
        return widened


def _compressed(made: Quantized, rows: slice) -> Node:
    """The product of codes and scales, in the one spelling that compressed kernels know."""
    codes, scales = made.codes[rows], made.scales[rows]
    if made.layout.dtype == "int8":
        wide = op.convert(_shared(codes, codes.shape, ov.Type.i8), "f32")
        return op.multiply(wide, op.constant(scales))
    shape = (*scales.shape, made.layout.group)
    wide = op.convert(_shared(codes, shape, ov.Type.i4), "f32")
    values = op.multiply(wide, op.constant(scales[:, :, None]))
    flat = np.array([len(codes), made.layout.columns], np.int32)
    return op.reshape(values, op.constant(flat), False)


def _shared(array: Any, shape: tuple[int, ...], kind: Any) -> Node:
    return ov.op.Constant(ov.Tensor(array, ov.Shape(list(shape)), kind), True)
