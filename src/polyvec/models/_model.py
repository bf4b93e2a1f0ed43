"""A checkpoint with every question about it answered: what backends load and engines serve."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from polyvec.checkpoints.chat_template import ChatTemplate
from polyvec.checkpoints.pair_encoding import PairEncoding
from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.checkpoints.weights import Weights
from polyvec.media.rgb import RgbArray
from polyvec.media.transform import ImageTransform
from polyvec.models._family import Family, Head, Pooling, Projection
from polyvec.models._late_interaction import LateInteractionRules
from polyvec.models._padding import Padding
from polyvec.models._patches import PatchLayout
from polyvec.types import Float32Array, IntArray, Modality, Output, Setting


@dataclass(frozen=True, slots=True)
class TextRules:
    """How texts become token ids.

    Attributes:
        tokenizer: Shared by all threads.
        max_input_tokens: Longest text in tokens, special tokens included.
        prompts: Prompt name → prefix put before the text.
        default_prompt_name: Used when a request names none; None for no prefix.
        vocab_size: Token ids are below it.
        poolings: Token states → one vector; the vectors of several are laid end to end.
        excludes_prompt: Whether pooling leaves the prompt's tokens out (``include_prompt: false``).
        pairs: How two texts are put together; None for a model that reads no pairs.
        late: How queries and documents are read; None where all texts are read alike.
        marked_prompts: Prompts in which control tokens of the tokenizer stand.
        max_positions: Longest text in tokens that it can read at all, when asked to go beyond
            ``max_input_tokens``; None where that is the limit.
        empty_is_zero: Whether a text without tokens has the zero vector (static models); otherwise
            it has none.
        padding: What texts are filled up with before the model reads them; None for nothing.
        chat_template: What makes one text of a conversation; None for a model without.
        template_tokens: Special tokens by their names in chat templates.
    """

    tokenizer: Tokenizer
    max_input_tokens: int
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    vocab_size: int
    poolings: tuple[Pooling, ...]
    excludes_prompt: bool = False
    pairs: PairEncoding | None = None
    late: LateInteractionRules | None = None
    marked_prompts: frozenset[str] = frozenset()
    max_positions: int | None = None
    empty_is_zero: bool = False
    padding: Padding | None = None
    chat_template: ChatTemplate | None = None
    template_tokens: Mapping[str, Any] = field(default_factory=dict)

    def filled(self, ids: IntArray) -> IntArray:
        """Token ids (L,) of a text that is no longer than allowed, as the model reads them."""
        return ids if self.padding is None else self.padding.filled(ids)


@dataclass(frozen=True, slots=True)
class ImageRules:
    """How pictures become pixels.

    Attributes:
        transform: RGB uint8 (H, W, 3) → float32 (3, H, W).
        num_patches: Tokens that the vision tower reads for one picture; its cost in a batch.
        layout: How pixels of any height and width become what the tower reads; None where it reads
            the pixels themselves, of one size.
    """

    transform: ImageTransform
    num_patches: int
    layout: PatchLayout | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the tower reads of one picture."""
        return (3, *self.transform.size) if self.layout is None else self.layout.shape

    def read(self, fitted: RgbArray) -> Float32Array:
        """A picture as ``transform.fitted`` gives it → float32 of `shape`."""
        pixels = self.transform.normalized(fitted)
        return pixels if self.layout is None else self.layout.arranged(pixels)


@dataclass(frozen=True, slots=True)
class Model:
    """One servable model.

    Attributes:
        checkpoint: Folder or hub id as the operator gave it.
        architecture: Class name in config.json.
        family: Declares the towers' forward functions.
        config: What the towers' forward functions take.
        weights: Named, memory-mapped.
        dimensions: Native vector length D.
        matryoshka: Shorter lengths that may be asked for; empty when none.
        normalize: Whether vectors have unit length unless a request says otherwise.
        text: None without a text tower.
        image: None without an image tower.
        dense: Steps after pooling, in order (Sentence-Transformers ``2_Dense`` …).
        heads: Outputs other than the plain pooled row, the main one first; see `Family.heads`.
        adapters: Names of adapters, in the order of the weights' first axis.
        labels: What a classifier's scores stand for; empty for any other model.
        settings: Every resolved setting with its origin.
        default_dtype: Precision that the alias asks for by which the model was named, or None.
        standardizes: Whether a vector is brought to zero mean and unit variance before it is cut.
        prebuilt: A converted graph that stands for the text tower's forward function, or None.
    """

    checkpoint: str
    architecture: str
    family: Family
    config: Any
    weights: Weights
    dimensions: int
    matryoshka: tuple[int, ...]
    normalize: bool
    text: TextRules | None
    image: ImageRules | None
    dense: tuple[Projection, ...] = ()
    heads: Mapping[Output, Head] = field(default_factory=dict)
    adapters: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    default_dtype: Literal["int8"] | None = None
    prebuilt: Path | None = None
    standardizes: bool = False

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it embeds, text first."""
        present: list[Modality] = []
        if self.text is not None:
            present.append("text")
        if self.image is not None:
            present.append("image")
        return tuple(present)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What it gives for a text, the main output first."""
        plain: tuple[Output, ...] = () if self.heads else ("dense",)
        names = (*self.heads, *plain)
        # The states themselves are worth asking for wherever nothing else is made of every token.
        return names if "tokens" in names or "score" in names else (*names, "tokens")

    @property
    def image_outputs(self) -> tuple[Output, ...]:
        """What it gives for a picture; see `Tower.num_vectors`."""
        tower = self.family.towers.get("image")
        several = tower is not None and tower.num_vectors(self.config) > 0
        return ("dense", "tokens") if several else ("dense",)
