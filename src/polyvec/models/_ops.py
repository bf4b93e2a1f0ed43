"""The operations an architecture may use.

A model file is written once against these and knows nothing of any runtime, nor of how a batch is
laid out: it sees the tokens of some texts, or the patches of some pictures, and never padding. A
backend lowers each operation, either building a graph or computing right away.

Parameters are named as in the published checkpoint: ``ops.linear(x, "encoder.0.fc")`` reads
``encoder.0.fc.weight`` (out, in) and ``encoder.0.fc.bias`` (out,).
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

Tensor = Any
"""A backend's own handle; opaque to model files."""

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu", "tanh", "sigmoid"]


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions: pairs of numbers of a head are turned by an angle that grows with place.

    Attributes:
        frequencies: Radians per place of each pair. A head's first ``2 * len(frequencies)`` numbers
            are turned, the rest stays.
        scale: Factor on the turned numbers (YaRN's attention factor).
        interleaved: Pairs are neighbours (0, 1), (2, 3) …; otherwise number i goes with i + half.
        growth: Further factor on the turned numbers, ``1 + growth * ln(1 + floor(place / step))``
            (Llama 4's and Ministral 3's queries). Only for heads that are turned as a whole.
        growth_step: That ``step``, in places.
    """

    frequencies: tuple[float, ...]
    scale: float = 1.0
    interleaved: bool = False
    growth: float = 0.0
    growth_step: int = 1


@dataclass(frozen=True, slots=True)
class BucketBias:
    """Learned addition to attention scores by distance, as T5 and MPNet have it.

    Attributes:
        name: Table ``name.weight``, (buckets, heads).
        buckets: Rows of the table; half of them for each direction.
        max_distance: Farther tokens share the last bucket.
    """

    name: str
    buckets: int
    max_distance: int


@dataclass(frozen=True, slots=True)
class LinearBias:
    """ALiBi: every head subtracts its slope times the distance from attention scores.

    Attributes:
        slopes: One per head.
    """

    slopes: tuple[float, ...]


ScoreBias = BucketBias | LinearBias


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

    def linear(
        self, x: Tensor, name: str, *, bias: bool = True, rows: tuple[int, int] | None = None
    ) -> Tensor:
        """``x @ weight.T + bias``.

        Args:
            x: Tokens or rows.
            name: Of the weight (out, in) and the bias (out,).
            bias: Whether there is one.
            rows: Use only these output rows, from the first up to before the second: one part of a
                projection that a checkpoint stores fused (``Wqkv``, ``gate_up_proj``).
        """
        ...

    def layer_norm(self, x: Tensor, name: str, *, eps: float, bias: bool = True) -> Tensor:
        """Zero mean and unit variance over the last axis, then scale and shift.

        Args:
            x: Tokens or rows.
            name: Of the scale ``name.weight`` and the shift ``name.bias``; ``""`` for neither.
            eps: Added to the variance.
            bias: Whether there is a shift.
        """
        ...

    def rms_norm(
        self, x: Tensor, name: str, *, eps: float, offset: float = 0.0, heads: int = 1
    ) -> Tensor:
        """Unit mean square over the last axis, then scale by ``offset + name.weight``.

        Args:
            x: Tokens or rows.
            name: Of the scale ``name.weight``.
            eps: Added to the mean square.
            offset: 1 where the checkpoint stores the scale's distance from 1 (Gemma).
            heads: Normalise each of this many parts of the last axis by itself (Qwen3's and
                Gemma3's query and key norms); the scale has one part's length.
        """
        ...

    # Arithmetic.

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Sum, with broadcasting."""
        ...

    def multiply(self, x: Tensor, y: Tensor) -> Tensor:
        """Elementwise product, with broadcasting."""
        ...

    def scale(self, x: Tensor, factor: float) -> Tensor:
        """``x * factor``."""
        ...

    def activation(self, x: Tensor, kind: Activation) -> Tensor:
        """Elementwise; ``gelu`` is the exact (erf) form."""
        ...

    def log1p_relu(self, x: Tensor) -> Tensor:
        """``log(1 + max(x, 0))``, elementwise: SPLADE's saturation."""
        ...

    def depth(self, num_layers: int) -> int:
        """How many layers of a stack to run: all of them, or fewer in a self-test."""
        ...

    # Sequences.

    def attention(  # noqa: PLR0913  (families differ in just these)
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        heads: int,
        kv_heads: int | None = None,
        causal: bool = False,
        window: int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        bias: ScoreBias | None = None,
        picked: bool = False,
    ) -> Tensor:
        """Scaled dot-product attention of each sequence with itself.

        Args:
            q: Tokens, or rows when ``picked``.
            k: Tokens.
            v: Tokens.
            heads: The width of ``q`` is split evenly between them.
            kv_heads: Heads of ``k`` and ``v``, each shared by ``heads / kv_heads`` neighbouring
                query heads; None for as many as ``heads``.
            causal: A token sees itself and what stands before it.
            window: Farthest distance at which a token is seen: with 2, the two before it, and the
                two after it unless ``causal``. None for no limit.
            scale: Factor on scores; None for ``head_width ** -0.5``.
            softcap: Scores become ``softcap * tanh(score / softcap)``.
            bias: Added to scores.
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
        """Tokens → one row per sequence, by the checkpoint's pooling.

        Gives the tokens back as they are when an output per token is wanted: what a model file does
        after it must be right for tokens and rows alike.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExpertNames:
    """Where a mixture of experts keeps its parameters.

    Attributes:
        router: Linear without bias, ``router.weight`` (experts, in).
        up: Parameter (experts * hidden, in), expert after expert.
        down: Parameter (experts * hidden, out), expert after expert: used untransposed.
    """

    router: str
    up: str
    down: str


@dataclass(frozen=True, slots=True)
class Adapters:
    """Low-rank adapters of one weight, one of which a batch may choose.

    Attributes:
        down: Parameter whose first axis counts adapters.
        up: The other factor, likewise.
        count: How many adapters config.json names; with fewer in the weights, the model is refused.
        scale: Factor on the update.
    """

    down: str
    up: str
    count: int
    scale: float


class TextOps(Ops, Protocol):
    """What a text tower may use beside `Ops`."""

    def token_ids(self) -> Tensor:
        """Ids of all tokens."""
        ...

    def segments(self) -> Tensor:
        """For each token, 0 in the first text of a pair and 1 in the second."""
        ...

    def rope(self, x: Tensor, rope: Rope, *, heads: int, picked: bool = False) -> Tensor:
        """Turn every head of ``x`` by its token's place.

        Args:
            x: Tokens, or rows when ``picked``.
            rope: Frequencies.
            heads: The width of ``x`` is split evenly between them.
            picked: ``x`` holds only the rows that pooling keeps.
        """
        ...

    def max_over_tokens(self, x: Tensor) -> Tensor:
        """Tokens → rows: the largest value of each column within each sequence."""
        ...

    def sum_over_tokens(self, x: Tensor) -> Tensor:
        """Tokens → rows: the sum of each column within each sequence."""
        ...

    def convolve_tokens(self, x: Tensor, name: str) -> Tensor:
        """Each column by itself is convolved along each text, with zeros beyond its ends.

        Args:
            x: Tokens.
            name: Of the kernels ``name.weight`` (D, K), K odd, and the bias (D,).
        """
        ...

    def experts(self, x: Tensor, names: ExpertNames, *, top_k: int, kind: Activation) -> Tensor:
        """Mixture of two-layer perceptrons: each token goes through its ``top_k`` best experts.

        Shares are the softmax over all experts' router scores, not rescaled to sum to 1.
        """
        ...

    def adapter(
        self, x: Tensor, adapters: Adapters, *, rows: tuple[int, int] | None = None
    ) -> Tensor:
        """Low-rank update of a linear layer: ``x @ down[a].T @ up[a].T * scale``.

        Zero when the batch names no adapter.

        Args:
            x: Tokens or rows.
            adapters: ``down`` is (count, rank, in) and ``up`` is (count, out, rank).
            rows: Use only these output rows, as in `linear`.
        """
        ...

    def adapter_embedding(self, ids: Tensor, adapters: Adapters, *, rows: int) -> Tensor:
        """Low-rank update of a table: ``up[a][ids] @ down[a] * scale``.

        Zero when the batch names no adapter.

        Args:
            ids: From 0 to ``rows - 1``.
            adapters: ``down`` is (count, rank, width) and ``up`` is (count, rows, rank).
            rows: How many the table has; fewer are refused when the model is loaded.
        """
        ...


class ImageOps(Ops, Protocol):
    """What an image tower may use beside `Ops`."""

    def pixels(self) -> Tensor:
        """Pictures, (B, 3, H, W)."""
        ...

    def patches(self) -> Tensor:
        """Pixels of every patch, where pictures keep their shape (`Tower.layout`), as tokens."""
        ...

    def places(self, name: str) -> Tensor:
        """For every patch of `patches`, what the table ``name.weight`` has for its place.

        The square table is stretched or shrunk to the picture's own number of rows and columns.
        """
        ...

    def conv2d(
        self,
        x: Tensor,
        name: str,
        *,
        stride: int,
        padding: int = 0,
        groups: int = 1,
        bias: bool = False,
    ) -> Tensor:
        """(B, C, H, W) → (B, C', H', W').

        Args:
            x: A feature map, or pictures.
            name: Of the kernels ``name.weight`` (C', C / groups, h, w) and the bias (C',).
            stride: Step in both directions.
            padding: Zeros put around the map on each side.
            groups: Parts of C that are convolved apart; C for one channel each.
            bias: Whether there is one.
        """
        ...

    def mean_over_map(self, x: Tensor) -> Tensor:
        """A feature map (B, C, H, W) → rows (B, C): each channel's mean."""
        ...

    def scale_channels(self, x: Tensor, factors: Tensor) -> Tensor:
        """Each channel of a feature map (B, C, H, W) times its number in the rows (B, C)."""
        ...

    def grid_tokens(self, x: Tensor) -> Tensor:
        """A feature map (B, C, H', W') → its H'·W' tokens of width C, row by row."""
        ...

    def token_grid(self, x: Tensor, *, height: int) -> Tensor:
        """Tokens row by row → a feature map (B, C, height, W'); undoes `grid_tokens`."""
        ...

    def prepend(self, x: Tensor, name: str) -> Tensor:
        """Put the learned vector ``name`` before the tokens of every sequence."""
        ...

    def learned_tokens(self, name: str) -> Tensor:
        """The learned vectors ``name`` (1, M, D) as the tokens of every picture.

        Queries that attend to a picture's own tokens: `attention` takes ``q`` of another length
        than ``k`` and ``v`` here.
        """
        ...
