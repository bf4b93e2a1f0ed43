"""Converted graphs, OpenVINO IR or ONNX, served like our own.

Pooling and what follows it are added to the graph, so that a session sees no difference.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset15 as op
from openvino.preprocess import PrePostProcessor

from polyvec.backends._base import TokenBatch
from polyvec.backends._openvino_ops import FIRST_AXIS, LAST_AXIS, GraphOps, Node, ints
from polyvec.backends._packing import MASKED, Array, pad
from polyvec.backends._parameters import Parameters
from polyvec.errors import CheckpointError, UnsupportedInputError
from polyvec.models._family import ONE_TOKEN, Pooling
from polyvec.models._model import Model
from polyvec.models._prebuilt import PrebuiltConfig

_log = logging.getLogger(__name__)

_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_TOKEN_RANK, _ROW_RANK = 3, 2


class PrebuiltTextOps(GraphOps):
    """A converted graph's states, (B, L, D), and what is done with them.

    Args:
        parameters: Weights of the modules after pooling.
        path: ``.xml`` or ``.onnx``.
        poolings: The checkpoint's.
        keeps_tokens: Whether `pool` leaves states as they are, for outputs per token.

    Raises:
        CheckpointError: The file cannot be read, or asks for inputs that polyvec has not.
    """

    def __init__(
        self,
        parameters: Parameters,
        path: Path,
        poolings: tuple[Pooling, ...],
        *,
        keeps_tokens: bool = False,
    ) -> None:
        super().__init__(parameters)
        self._poolings = poolings
        self._keeps_tokens = keeps_tokens
        graph = _read(path)
        for port in graph.inputs:
            self._inputs[_name_of(port, path)] = port.get_node()
        self._output = _output_of(graph, path)
        if self._keeps_tokens and self.is_pooled:
            raise UnsupportedInputError(
                f"{path.name} gives one vector per text and no states of tokens"
            )

    @property
    def is_pooled(self) -> bool:
        """Whether the graph gives rows only: it pools, and does all that follows, by itself."""
        rank: int = self._output.get_partial_shape().rank.get_length()
        return rank == _ROW_RANK

    def states(self) -> Node:
        """(B, L, D), or (B, D) of a graph that pools."""
        return op.convert(self._output, "f32")

    def pool(self, x: Node) -> Node:
        """(B, L, D) → (B, D), or x itself when tokens are kept or pooled already."""
        return x if self._keeps_tokens or self.is_pooled else self.rows(x)

    def rows(self, x: Node) -> Node:
        """(B, L, D) → (B, D), several poolings laid end to end."""
        pooled = [self._pooled(x, pooling) for pooling in self._poolings]
        return pooled[0] if len(pooled) == 1 else op.concat(pooled, LAST_AXIS)

    def _pooled(self, x: Node, pooling: Pooling) -> Node:
        if pooling in ONE_TOKEN:
            width = x.get_output_partial_shape(0)[2]
            flat = op.reshape(x, ints(-1, width.get_length()), False)
            picked = self._input(f"picked.{pooling}", [-1], np.int32)
            return op.gather(flat, picked, ints(FIRST_AXIS))
        weights = op.unsqueeze(self._input(f"weights.{pooling}", [-1, -1], np.float32), ints(2))
        inside = op.greater(weights, op.constant(np.float32(0)))
        if pooling == "max":
            kept = op.select(inside, x, op.constant(MASKED))
            return op.reduce_max(kept, ints(1), False)
        # What stands beyond a text may be anything, and zero times NaN is NaN.
        kept = op.select(inside, x, op.constant(np.float32(0)))
        return op.reduce_sum(op.multiply(kept, weights), ints(1), False)


def prebuilt_ops(
    model: Model, path: Path, parameters: Parameters, *, keeps_tokens: bool
) -> tuple[PrebuiltTextOps, Model]:
    """Open a model's converted graph.

    Args:
        model: Of family ``prebuilt``.
        path: Its graph.
        parameters: Weights of the modules after pooling.
        keeps_tokens: Whether states of tokens are wanted.

    Returns:
        Its operations, and the model less the steps that the graph does by itself.
    """
    assert model.text is not None  # noqa: S101  (the family has nothing else)
    ops = PrebuiltTextOps(parameters, path, model.text.poolings, keeps_tokens=keeps_tokens)
    if not ops.is_pooled:
        return ops, model
    _log.info("%s pools by itself; pooling %s is not used", path.name, model.text.poolings)
    for name in parameters.weights:
        parameters.use(name)
    return ops, replace(model, dense=())


def feed(model: Model, batch: TokenBatch) -> dict[str, Array]:
    """A batch as the graph takes it."""
    assert model.text is not None  # noqa: S101
    config: PrebuiltConfig = model.config
    return pad(
        batch,
        model.text.poolings,
        None,
        pad_token_id=config.pad_token_id,
        max_positions=config.max_positions,
    )


def num_bytes(model: Model) -> int:
    """Size of a model's weights, those of a converted graph included."""
    size = model.weights.num_bytes
    if model.prebuilt is None:
        return size
    beside = (model.prebuilt.with_suffix(".bin"), model.prebuilt.with_name("model.onnx_data"))
    files = (model.prebuilt, *(path for path in beside if path.is_file()))
    return size + sum(path.stat().st_size for path in files)


def _read(path: Path) -> ov.Model:
    try:
        graph = ov.Core().read_model(path)
        if any(port.get_partial_shape().is_static for port in graph.inputs):
            graph.reshape({port: ov.PartialShape([-1, -1]) for port in graph.inputs})
        process = PrePostProcessor(graph)
        for index, port in enumerate(graph.inputs):
            if port.get_element_type() != ov.Type.i64:
                process.input(index).tensor().set_element_type(ov.Type.i64)
        graph = process.build()
    except RuntimeError as error:
        _log.debug("reading %s failed", path, exc_info=error)
        raise CheckpointError(
            f"{path.name} cannot be read as a graph of texts of any length: it is damaged, of a "
            "newer format, or made for one shape"
        ) from None
    if graph.get_sinks():
        raise CheckpointError(
            f"{path.name} keeps state from call to call, as graphs for text generation do; convert "
            "the model for feature extraction"
        )
    return graph


def _name_of(port: ov.Output, path: Path) -> str:
    found = [name for name in _INPUTS if name in port.get_names()]
    if not found:
        names = ", ".join(sorted(port.get_names())) or "without a name"
        raise CheckpointError(
            f"{path.name} has an input {names} that polyvec cannot fill; it fills: "
            f"{', '.join(_INPUTS)}"
        )
    return found[0]


def _output_of(graph: ov.Model, path: Path) -> ov.Output:
    """The first output of rank 3, as OpenVINO Model Server takes it, or else of rank 2."""
    for rank in (_TOKEN_RANK, _ROW_RANK):
        for port in graph.outputs:
            if "logits" in port.get_names():  # scores of labels or of words, not states
                continue
            shape = port.get_partial_shape()
            if shape.rank.is_static and shape.rank.get_length() == rank and shape[-1].is_static:
                source: ov.Output = port.get_node().input_value(0)
                return source
    raise CheckpointError(
        f"{path.name} has no output (batch, tokens, width) or (batch, width) of one fixed width"
    )
