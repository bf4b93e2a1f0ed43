"""Sentence-Transformers' steps after pooling, or on every token of a late-interaction model."""

from collections.abc import Sequence

from polyvec.models._family import Dense, LayerNorm, Projection
from polyvec.models._ops import Ops, Tensor


def project(ops: Ops, x: Tensor, steps: Sequence[Projection]) -> Tensor:
    """Run the steps one after another on tokens or rows."""
    for step in steps:
        if isinstance(step, LayerNorm):
            x = ops.layer_norm(x, step.name, eps=step.eps)
        else:
            x = _dense(ops, x, step)
    return x


def _dense(ops: Ops, x: Tensor, layer: Dense) -> Tensor:
    out = ops.linear(x, layer.name, bias=layer.bias)
    if layer.activation is not None:
        out = ops.activation(out, layer.activation)
    if layer.residual is None:
        return out
    plain = not layer.residual
    return ops.add(out, x if plain else ops.linear(x, layer.residual, bias=False))
