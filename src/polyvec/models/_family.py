"""The declarative vocabulary of a model file: Family, Tower, Head, Pooling."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from polyvec.checkpoints.weights import Weights
from polyvec.models._ops import Activation, Tensor
from polyvec.models._padding import Padding
from polyvec.models._patches import PatchLayout
from polyvec.types import Modality, Output, Setting

Pooling = Literal["cls", "mean", "last", "max", "mean_sqrt_len", "weightedmean", "eos"]

ONE_TOKEN: frozenset[Pooling] = frozenset(("cls", "last", "eos"))
"""Poolings that keep one token of a sequence as it is."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A projection after pooling, as in a Sentence-Transformers ``2_Dense`` folder.

    Attributes:
        name: Prefix of its weights, such as ``2_Dense.linear``.
        bias: Whether it adds one.
        activation: Applied to the projected vector; None for none.
        dimensions: Length of the projected vector.
        residual: Prefix of a projection of the input that is added in the end, ``""`` to add the
            input as it is, None to add nothing.
    """

    name: str
    bias: bool
    activation: Activation | None
    dimensions: int
    residual: str | None = None


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """A normalisation after pooling, as Sentence-Transformers' module of that name.

    Attributes:
        name: Prefix of its weights, such as ``2_LayerNorm.norm``.
        dimensions: Length of the vector.
        eps: Added to the variance.
    """

    name: str
    dimensions: int
    eps: float = 1e-5  # torch.nn.LayerNorm's, which the module never changes


Projection = Dense | LayerNorm
"""A step between pooling and normalising."""


@dataclass(frozen=True, slots=True)
class Head:
    """What turns a text tower's states into one of its outputs.

    A model without heads gives its pooled rows as ``dense`` and its states as ``tokens``.

    Attributes:
        forward: ``(ops, config, x)`` → the output; ``x`` is what `reads` says.
        reads: ``rows`` (B, D), pooled and through the checkpoint's Dense modules, or ``tokens``
            (T, D), which never went through pooling.
        gives: ``rows`` (B, N) or ``tokens`` (T, N).
        dimensions: N.
        normalize: Whether each vector of ``tokens`` is brought to unit length afterwards.
        drops_first: Whether the vector of a text's first token is left out (bge-m3's ``tokens``).
        activation: What the ``score`` of a pair goes through; None for raw.
        text_activation: What the ``score`` of a single text goes through; None for raw.
        pooling: How the rows it reads are pooled where the head decides, not the checkpoint.
    """

    forward: Callable[[Any, Any, Tensor], Tensor]
    reads: Literal["rows", "tokens"]
    gives: Literal["rows", "tokens"]
    dimensions: int
    normalize: bool = False
    drops_first: bool = False
    activation: Literal["sigmoid", "softmax"] | None = None
    text_activation: Literal["sigmoid", "softmax"] | None = None
    pooling: Pooling | None = None


@dataclass(frozen=True, slots=True)
class Tower:
    """The part of a family that encodes one modality.

    Every function takes the family's typed config.

    Attributes:
        forward: ``(ops, config)`` → rows (B, D): embeds, runs the layers, pools and projects.
        dimensions: D of what ``forward`` returns.
        max_positions: Tokens that the position table holds (texts), or tokens of one picture,
            class token included (images).
        trained_tokens: Longest text that the model was trained on, where that is less than it has
            places for and no file says so; None otherwise. The operator may ask for more.
        pooling: Used when the checkpoint says nothing.
        fixed_pooling: Whether it is part of the architecture, not a checkpoint's choice.
        eos_token_id: For ``eos`` pooling: the id whose first place is kept, or None for the place
            of the highest id (CLIP's first configs).
        image_size: Side of the square picture the tower reads; 0 for texts.
        image_processor: Class whose defaults hold when preprocessor_config.json names none.
        layout: How pictures are read that keep their shape; None for pictures of ``image_size``.
        num_vectors: How many vectors ``forward`` gives of one picture, (B, M, D) in all: its
            ``tokens``, whose mean is its dense row. 0 where it gives rows.
        causal: Whether a token sees only what stands before it; the load-time self-test holds the
            graph to it.
        mixes_tokens: Whether tokens see one another at all.
        padding: What texts are filled up with, and how far; None for models that read a text as it
            is.
        special_tokens: Whether texts get the special tokens that the tokenizer's file puts around
            them; static models want none.
    """

    forward: Callable[[Any, Any], Tensor]
    dimensions: Callable[[Any], int]
    max_positions: Callable[[Any], int]
    pooling: Pooling
    eos_token_id: Callable[[Any], int | None] = lambda _config: None
    image_size: Callable[[Any], int] = lambda _config: 0
    image_processor: str | None = None
    num_vectors: Callable[[Any], int] = lambda _config: 0
    layout: Callable[[Any], PatchLayout | None] = lambda _config: None
    causal: Callable[[Any], bool] = lambda _config: False
    mixes_tokens: bool = True
    special_tokens: bool = True
    fixed_pooling: bool = False
    trained_tokens: int | None = None
    padding: Callable[[Any], Padding | None] = lambda _config: None


@dataclass(frozen=True, slots=True)
class Family:
    """What a model file declares as ``FAMILY``.

    Attributes:
        name: The file's name.
        architectures: ``architectures[0]`` values of config.json it answers to.
        model_types: ``model_type`` of config.json → architecture, for files that name no class.
        claims: config.json → whether this family computes it although ``architectures`` names
            another one: repositories with code of their own keep a common class name and say in
            ``auto_map`` what they really are. It decides by such facts, never by a repository's
            name, and comes before ``architectures``. None claims nothing.
        read_config: config.json → the typed config that its towers read.
        vocab_size: Token ids are below it.
        towers: By modality.
        key_prefixes: Prefixes that published files put before the names used in ``forward``.
        key_endings: Last parts of names in old files → what ``forward`` calls them.
        ignored_keys: Regular expressions of tensors that a file may hold and nobody needs (heads,
            poolers, buffers), matched in full after the prefix is taken off.
        normalize: Whether vectors have unit length when the checkpoint says nothing.
        aliases: Names that callers of other servers use → hub id.
        alias_dtypes: Those of the aliases that stand for a precision as well → that precision,
            which holds where the operator asks for none.
        adapters: Names of the low-rank adapters that a request may choose by its ``task``.
        heads: Outputs beside, or instead of, the pooled row, the main one first; given config and
            the names of all tensors. Empty for a plain embedder.
        logits: ``(ops, config, tokens)`` → (T, V), what the masked language model's head says of
            every vocabulary entry; SPLADE pools it. None without such a head.
        extra_files: Files beside config.json, without their ending, that belong to the model where
            they are there → prefix put before the names of their tensors.
        fold: The file's tensors → those that ``forward`` reads, where that takes arithmetic. None
            where names are all that differs.
        facts: ``(config.json, origin of one of its keys)`` → settings of this family alone that an
            operator may want to look at.
        tiny: A config.json in published form with a tiny geometry, for tests.
        source: Paper or reference implementation.
    """

    name: str
    architectures: tuple[str, ...]
    read_config: Callable[[Mapping[str, Any]], Any]
    vocab_size: Callable[[Any], int]
    towers: Mapping[Modality, Tower]
    key_prefixes: tuple[str, ...]
    ignored_keys: tuple[str, ...]
    normalize: bool
    source: str
    key_endings: Mapping[str, str] = field(default_factory=dict)
    model_types: Mapping[str, str] = field(default_factory=dict)
    claims: Callable[[Mapping[str, Any]], bool] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    alias_dtypes: Mapping[str, Literal["int8"]] = field(default_factory=dict)
    adapters: Callable[[Any], tuple[str, ...]] = lambda _config: ()
    heads: Callable[[Any, Collection[str]], Mapping[Output, Head]] = lambda _config, _names: {}
    logits: Callable[[Any, Any, Tensor], Tensor] | None = None
    extra_files: Mapping[str, str] = field(default_factory=dict)
    fold: Callable[[Weights], Weights] | None = None
    facts: Callable[[Mapping[str, Any], Callable[[str], str]], Mapping[str, Setting]] = (
        lambda _config, _origin_of: {}
    )
    tiny: Mapping[str, Any] = field(default_factory=dict)
