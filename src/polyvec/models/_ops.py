"""The operations an architecture may use.

A model file is written once against these and knows nothing of any runtime, nor of how a batch is
laid out: it sees the tokens of some texts, or the patches of some pictures, and never padding. A
backend lowers each operation, either building a graph or computing right away.

Parameters are named as in the published checkpoint: ``ops.linear(x, "encoder.0.fc")`` reads
``encoder.0.fc.weight`` (out, in) and ``encoder.0.fc.bias`` (out,).
"""

from typing import Any, Literal, Protocol

Tensor = Any
"""A backend's own handle; opaque to model files."""

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu", "tanh", "sigmoid"]


class Ops(Protocol):
    """What a backend offers to every forward function.

    "tokens" below are the states of all sequences of a batch; "rows" are one state per sequence.
    """

    # What the batch holds.

    def positions(self, *, offset: int = 0) -> Tensor:
        """Place of each token in its own sequence, counted from ``offset``."""
        ...

    # Parameters.

    def parameter(self, name: str) -> Tensor:
        """A weight as it is; broadcasts over the tokens."""
        ...

    def first_row(self, name: str) -> Tensor:
        """Row 0 of the table ``name.weight``; broadcasts over the tokens."""
        ...

    def embedding(self, ids: Tensor, name: str, *, rows: int) -> Tensor:
        """Rows of the table ``name.weight``.

        Args:
            ids: From 0 to ``rows - 1``.
            name: The table's.
            rows: How many config.json says it has. Runtimes read zeros or strange memory beyond a
                table's end, so a shorter one is refused when the model is loaded.
        """
        ...

    def linear(self, x: Tensor, name: str, *, bias: bool = True) -> Tensor:
        """``x @ weight.T + bias``."""
        ...

    def layer_norm(self, x: Tensor, name: str, *, eps: float) -> Tensor:
        """Zero mean and unit variance over the last axis, then scale and shift."""
        ...

    # Arithmetic.

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Sum, with broadcasting."""
        ...

    def activation(self, x: Tensor, kind: Activation) -> Tensor:
        """Elementwise; ``gelu`` is the exact (erf) form."""
        ...

    # Sequences.

    def attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        heads: int,
        causal: bool = False,
        picked: bool = False,
    ) -> Tensor:
        """Scaled dot-product attention of each sequence with itself.

        Args:
            q: Tokens, or rows when ``picked``.
            k: Tokens.
            v: Tokens.
            heads: The width is split evenly between them.
            causal: A token sees itself and what stands before it.
            picked: ``q`` holds only the rows that pooling keeps.
        """
        ...

    def picks(self) -> bool:
        """True when pooling keeps one token of each sequence (``cls``, ``last``, ``eos``)."""
        ...

    def pick(self, x: Tensor) -> Tensor:
        """Tokens → the rows that pooling keeps. Only when `picks` is true."""
        ...

    def pool(self, x: Tensor) -> Tensor:
        """Tokens → one row per sequence, by the checkpoint's pooling."""
        ...


class TextOps(Ops, Protocol):
    """What a text tower may use beside `Ops`."""

    def token_ids(self) -> Tensor:
        """Ids of all tokens."""
        ...


class ImageOps(Ops, Protocol):
    """What an image tower may use beside `Ops`."""

    def pixels(self) -> Tensor:
        """Pictures, (B, 3, H, W)."""
        ...

    def conv2d(self, x: Tensor, name: str, *, stride: int, bias: bool = False) -> Tensor:
        """(B, C, H, W) → (B, C', H', W'), no padding."""
        ...

    def grid_tokens(self, x: Tensor) -> Tensor:
        """A feature map (B, C, H', W') → its H'·W' tokens of width C, row by row."""
        ...

    def prepend(self, x: Tensor, name: str) -> Tensor:
        """Put the learned vector ``name`` before the tokens of every sequence."""
        ...
