"""A model's towers as graphs that are not compiled yet."""

import logging
from collections.abc import Mapping
from typing import Any

import openvino as ov
from openvino import opset15 as op

from polyvec.backends._openvino_ops import GraphOps, ImageOps, ints
from polyvec.backends._openvino_prebuilt import prebuilt_ops
from polyvec.backends._openvino_text import PackedTextOps
from polyvec.backends._outputs import all_outputs, main_output, needs_tokens
from polyvec.backends._parameters import Parameters, check_vector_length
from polyvec.backends._weight_cache import QuantizedWeights
from polyvec.errors import CheckpointError
from polyvec.models._model import Model
from polyvec.types import Modality, Output

_log = logging.getLogger(__name__)

_PROBED_LAYERS = 2
"""Enough for every token to have reacted to every other one."""


class Built:
    """A graph before it is compiled.

    Attributes:
        model: The graph.
        inputs: Names, in the order in which batches are fed.
        outputs: Names, in the order of the results.
        matrices: Names of the weights that tokens are multiplied with.
    """

    def __init__(self, ops: GraphOps, outputs: Mapping[Output, Any], name: str) -> None:
        results = [op.result(node) for node in outputs.values()]
        self.model = ov.Model(results, list(ops.inputs.values()), name)
        self.inputs = tuple(ops.inputs)
        self.outputs = tuple(outputs)
        self.matrices = ops.matrices


class GraphBuilder:
    """Builds graphs of one model, whose weights they read in place.

    Args:
        model: What is built.
        quantized: Codes of matrices; None where every weight stays float.

    Attributes:
        model: As given.
        matrices: Names of the weights that tokens are multiplied with; known after `towers`.
    """

    def __init__(self, model: Model, quantized: QuantizedWeights | None = None) -> None:
        self.model = model
        self.matrices: frozenset[str] = frozenset()
        self._quantized = quantized
        self._parameters = Parameters(model.weights)

    def towers(self) -> dict[Modality, Built]:
        """One graph for each tower; every weight must be known to one of them.

        Raises:
            CheckpointError: Weights are missing, unexpected or of the wrong shape.
        """
        try:
            return self._towers()
        except RuntimeError as error:
            _log.debug("building the graph failed", exc_info=error)
            raise CheckpointError(
                "the weights do not fit config.json: a tensor has another shape than it says"
            ) from error

    def _towers(self) -> dict[Modality, Built]:
        model = self.model
        graphs: dict[Modality, Built] = {}
        every = []
        if model.text is not None:
            graphs["text"] = self.text((main_output(model),))
            if model.heads:  # other outputs may read weights of their own
                every.append(self.text(model.outputs))
        if model.image is not None:
            graphs["image"] = self._image()
        self._parameters.check_all_used(model)
        every.extend(graphs.values())
        self.matrices = frozenset().union(*(one.matrices for one in every))
        return graphs

    def text(self, outputs: tuple[Output, ...]) -> Built:
        """The text tower with some of its outputs."""
        model, keeps_tokens = self.model, needs_tokens(self.model, outputs)
        ops: Any
        if model.prebuilt is None:
            ops = self._text_ops(keeps_tokens=keeps_tokens)
        else:
            ops, model = prebuilt_ops(
                model, model.prebuilt, self._parameters, keeps_tokens=keeps_tokens
            )
        tower = model.family.towers["text"]
        made = all_outputs(ops, model, tower.forward(ops, model.config), outputs)
        if "dense" in made:
            check_vector_length(made["dense"].get_output_partial_shape(0)[-1].get_length(), model)
        return Built(ops, made, f"{model.family.name}_text")

    def probe(self) -> Built:
        """The first layers of the text tower, up to the states of all tokens."""
        ops = self._text_ops(keeps_tokens=True)
        ops.max_layers = _PROBED_LAYERS
        states = self.model.family.towers["text"].forward(ops, self.model.config)
        return Built(ops, {"tokens": states}, "probe")

    def _text_ops(self, *, keeps_tokens: bool) -> PackedTextOps:
        model = self.model
        assert model.text is not None  # noqa: S101  (the caller has looked)
        return PackedTextOps(
            self._parameters,
            model.text.poolings,
            max_positions=model.family.towers["text"].max_positions(model.config),
            keeps_tokens=keeps_tokens,
            quantized=self._quantized,
        )

    def _image(self) -> Built:
        model = self.model
        assert model.image is not None  # noqa: S101  (the caller has looked)
        tower = model.family.towers["image"]
        ops = ImageOps(
            self._parameters,
            rules=model.image,
            num_tokens=tower.max_positions(model.config),
            quantized=self._quantized,
        )
        rows = tower.forward(ops, model.config)
        check_vector_length(rows.get_output_partial_shape(0)[-1].get_length(), model)
        made: dict[Output, Any] = {"dense": rows}
        if tower.num_vectors(model.config):
            made = {"dense": op.reduce_mean(rows, ints(1), False), "tokens": rows}
        return Built(ops, made, f"{model.family.name}_image")
