"""A model as a graph that OpenVINO Model Server, and anybody else, can feed."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import openvino as ov
from openvino import opset15 as op

from polyvec.backends._openvino_build import GraphBuilder
from polyvec.backends._openvino_ops import Node
from polyvec.backends._openvino_padded import PaddedTextOps
from polyvec.backends._outputs import main_output
from polyvec.backends._parameters import Parameters
from polyvec.backends._weight_cache import QuantizedWeights, quantized_weights
from polyvec.errors import ConfigError, UnsupportedInputError
from polyvec.models._family import Dense, Projection
from polyvec.models._model import Model
from polyvec.models._projections import project

_log = logging.getLogger(__name__)

ExportDtype = Literal["auto", "float32", "float16", "int8", "int4"]

GRAPH_FILE = "openvino_model.xml"
STATES = "last_hidden_state"
ROWS = "sentence_embedding"


@dataclass(frozen=True, slots=True)
class ExportedGraph:
    """What a written graph does by itself.

    Attributes:
        dimensions: Width of its states.
        remaining: Steps after pooling that it leaves to whoever pools; empty when all are in it.
    """

    dimensions: int
    remaining: tuple[Projection, ...]


def export_graph(model: Model, folder: Path, dtype: ExportDtype) -> ExportedGraph:
    """Write ``openvino_model.xml`` and ``.bin``.

    Inputs are ``input_ids``, ``attention_mask`` and, where the model reads them,
    ``token_type_ids``, all (B, L) i64; padding may stand on either side. The output is
    ``last_hidden_state`` (B, L, D). Steps after pooling that are linear are applied to every state,
    since they commute with pooling; others need a second output, ``sentence_embedding`` (B, N).

    Args:
        model: A text embedder that polyvec computes by itself.
        folder: Exists.
        dtype: How weights are kept; ``auto`` and ``float32`` keep them as the checkpoint has them.

    Raises:
        ConfigError: The model gives something else than one pooled vector per text.
        CheckpointError: Its weights do not fit.
    """
    _check(model)
    builder = GraphBuilder(model)
    builder.towers()  # refuses weights that do not fit, and finds the matrices
    quantized = None  # the graph reads the codes in place, so they stay until it is written
    if dtype in ("int8", "int4"):
        quantized = quantized_weights(model.weights, builder.matrices, dtype, None)
    graph, exported = _padded_graph(model, quantized)
    ov.save_model(graph, folder / GRAPH_FILE, compress_to_fp16=dtype == "float16")
    return exported


def _check(model: Model) -> None:
    if model.prebuilt is not None:
        raise ConfigError(
            f"the model is converted already: copy its folder ({model.prebuilt.name})",
            param="MODEL",
        )
    if model.text is None or model.image is not None:
        raise ConfigError("export writes text embedders; this model reads pictures", param="MODEL")
    if main_output(model) != "dense":
        raise ConfigError(
            f"export writes models of one vector per text; this one gives {main_output(model)}",
            param="MODEL",
        )


def _padded_graph(
    model: Model, quantized: QuantizedWeights | None
) -> tuple[ov.Model, ExportedGraph]:
    assert model.text is not None  # noqa: S101  (checked before)
    tower = model.family.towers["text"]
    ops = PaddedTextOps(
        Parameters(model.weights),
        model.text.poolings,
        max_positions=tower.max_positions(model.config),
        quantized=quantized,
    )
    try:
        tokens = tower.forward(ops, model.config)
    except (AttributeError, UnsupportedInputError) as error:
        _log.debug("no padded form", exc_info=error)
        raise ConfigError(
            f"models of family {model.family.name} have no form with an attention mask",
            param="MODEL",
        ) from None
    folds = _commutes(model)
    states = project(ops, tokens, model.dense) if folds else tokens
    outputs = {STATES: ops.states(states)}
    if not folds:
        outputs[ROWS] = project(ops, ops.rows(tokens), model.dense)
    graph = ov.Model(
        [_result(node, name) for name, node in outputs.items()],
        list(ops.inputs.values()),
        model.family.name,
    )
    width = outputs[STATES].get_output_partial_shape(0)[2].get_length()
    return graph, ExportedGraph(width, () if folds else model.dense)


def _commutes(model: Model) -> bool:
    """Whether projecting every state and then pooling is the same as the other way round."""
    assert model.text is not None  # noqa: S101
    if not model.dense:
        return True
    # Weights of these poolings sum to 1, so a bias passes through; several are laid end to end, and
    # a projection reads them together.
    if model.text.poolings not in (("mean",), ("cls",), ("last",), ("weightedmean",)):
        return False
    return all(isinstance(step, Dense) and step.activation is None for step in model.dense)


def _result(node: Node, name: str) -> Node:
    node.output(0).get_tensor().set_names({name})
    result = op.result(node, name=name)
    result.output(0).get_tensor().set_names({name})
    return result
