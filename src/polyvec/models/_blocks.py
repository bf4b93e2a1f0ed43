"""Blocks that several architectures share, written against `Ops`."""

from collections.abc import Callable
from typing import Protocol

from polyvec.models._ops import Activation, Ops, Tensor

Layer = Callable[[Tensor, Tensor, int, bool], Tensor]
"""``(x, context, index, picked)``: one layer. ``x`` asks, ``context`` is attended to; they differ
only in the last layer, where ``picked`` is true and ``x`` holds the rows that pooling keeps."""


class LayersConfig(Protocol):
    """What a stack of transformer layers reads."""

    @property
    def num_hidden_layers(self) -> int:
        """How many."""
        ...

    @property
    def num_attention_heads(self) -> int:
        """Of every layer."""
        ...

    @property
    def hidden_act(self) -> str:
        """The activation as config.json names it."""
        ...

    @property
    def layer_norm_eps(self) -> float:
        """Added to variances."""
        ...


def run_layers(ops: Ops, x: Tensor, layer: Layer, num_layers: int) -> Tensor:
    """Run a stack of layers and pool.

    When pooling keeps one token of a sequence, the last layer computes only that token: exact, and
    6-7 % faster on 12 layers.

    Returns:
        Rows, (B, width).
    """
    num_layers = ops.depth(num_layers)
    for index in range(num_layers - 1):
        x = layer(x, x, index, False)
    if num_layers and ops.picks():
        return layer(ops.pick(x), x, num_layers - 1, True)
    if num_layers:
        x = layer(x, x, num_layers - 1, False)
    return ops.pool(x)


def run_all_layers(ops: Ops, x: Tensor, layer: Layer, num_layers: int) -> Tensor:
    """Run a stack of layers whose every token is needed afterwards.

    Returns:
        Tokens.
    """
    for index in range(ops.depth(num_layers)):
        x = layer(x, x, index, False)
    return x


def mlp(ops: Ops, x: Tensor, up: str, down: str, activation: Activation) -> Tensor:
    """Linear, activation, linear."""
    return ops.linear(ops.activation(ops.linear(x, up), activation), down)
