"""From a text tower's states to the outputs that are asked for; the same for every runtime."""

from collections.abc import Sequence
from typing import Protocol

from polyvec.models._model import Model
from polyvec.models._ops import Tensor, TextOps
from polyvec.models._projections import project
from polyvec.types import Output


class RowOps(TextOps, Protocol):
    """`TextOps` that can pool at the end."""

    def rows(self, x: Tensor) -> Tensor:
        """Tokens → rows, by the checkpoint's pooling, even where `TextOps.pool` keeps tokens."""
        ...


def main_output(model: Model) -> Output:
    """What a request gets that asks for nothing else."""
    return model.outputs[0]


def gives_tokens(model: Model, output: Output) -> bool:
    """Whether an output is one per token (T, N), or else one per text (B, N)."""
    head = model.heads.get(output)
    return output == "tokens" if head is None else head.gives == "tokens"


def needs_tokens(model: Model, outputs: Sequence[Output]) -> bool:
    """Whether the states of all tokens are needed, so that pooling must wait."""
    return any(_reads_tokens(model, output) for output in outputs)


def all_outputs(
    ops: RowOps, model: Model, states: Tensor, outputs: Sequence[Output]
) -> dict[Output, Tensor]:
    """Make every output from what a tower's forward gave.

    Args:
        ops: Made with ``keeps_tokens`` as `needs_tokens` says.
        model: What is computed.
        states: Tokens if `needs_tokens`, otherwise rows.
        outputs: Wanted, of `Model.outputs`.
    """
    rows = None
    if any(not _reads_tokens(model, output) for output in outputs):
        rows = ops.rows(states) if needs_tokens(model, outputs) else states
        rows = project(ops, rows, model.dense)
    made = {}
    for output in outputs:
        head = model.heads.get(output)
        x = states if _reads_tokens(model, output) else rows
        made[output] = x if head is None else head.forward(ops, model.config, x)
    return made


def _reads_tokens(model: Model, output: Output) -> bool:
    head = model.heads.get(output)
    return output == "tokens" if head is None else head.reads == "tokens"
