"""What callers ask for, whatever the dialect."""

from dataclasses import dataclass

from polyvec.types.arrays import Output, Truncate
from polyvec.types.inputs import Input


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """What one caller asks for, whatever the dialect.

    Attributes:
        model: Served name, or None for the server's first model.
        inputs: In the caller's order; results keep it.
        dimensions: Wanted vector length (Matryoshka), or None for the model's own.
        any_dimensions: Whether ``dimensions`` may be any length up to the model's own. What a model
            was not trained for gives poor vectors.
        normalize: Force unit length on or off, or None for what the checkpoint says. False also
            leaves a cross-encoder's scores without their activation.
        truncate: Which tokens of an over-long text to drop, ``"none"`` to refuse it, or None for
            the server's default.
        max_tokens: Longest text in tokens, special ones included, below the model's own limit; None
            for that limit. What is longer is treated as ``truncate`` says.
        whole_positions: Whether texts are read as far as the model has positions, also where its
            files say that it was trained for less; an operator's own limit stays.
        add_special_tokens: Whether the model's special tokens are put around texts. Vectors without
            them are not what the model was trained for.
        prompt_name: One of the checkpoint's prompts, put before every text, or None for the
            checkpoint's default prompt.
        task: Name of an adapter (jina-embeddings-v3), or None for none; the checkpoint's prompt of
            the same name goes with it unless ``prompt_name`` says otherwise.
        outputs: What to give for each input, or None for the model's main output.
        priority: Lower runs earlier; 0 is normal.
        cache_salt: Results are shared only between requests of equal salt.
    """

    model: str | None
    inputs: tuple[Input, ...]
    dimensions: int | None = None
    normalize: bool | None = None
    truncate: Truncate | None = None
    max_tokens: int | None = None
    whole_positions: bool = False
    add_special_tokens: bool = True
    prompt_name: str | None = None
    task: str | None = None
    outputs: tuple[Output, ...] | None = None
    priority: int = 0
    cache_salt: str = ""
    any_dimensions: bool = False


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """How well each document answers its query.

    Attributes:
        model: Served name, or None for the server's first model.
        queries: One for all documents, or one for each. A string is a text; an Input may be a
            picture where the model compares vectors.
        documents: In the caller's order; scores keep it.
        instruction: As in `Pair`.
        activate: Whether a cross-encoder's scores go through its activation; else they are logits.
        truncate: As in `EmbedRequest`; of a pair, the longer text is cut.
        max_tokens: As in `EmbedRequest`; of a pair, both texts together.
        max_query_tokens: Tokens of a query that are read, the rest is cut; None for all.
        max_document_tokens: Tokens of a document that are read, the rest is cut; None for all.
        priority: As in `EmbedRequest`.
        cache_salt: As in `EmbedRequest`.
    """

    model: str | None
    queries: tuple[str | Input, ...]
    documents: tuple[str | Input, ...]
    instruction: str | None = None
    activate: bool = True
    truncate: Truncate | None = None
    max_tokens: int | None = None
    max_query_tokens: int | None = None
    max_document_tokens: int | None = None
    priority: int = 0
    cache_salt: str = ""


@dataclass(frozen=True, slots=True)
class TokenizeRequest:
    """Which tokens a model reads.

    Attributes:
        model: Served name, or None for the server's first model.
        inputs: Text, Chat or Pair, one part each.
        add_special_tokens: Whether the model's special tokens are put around texts; a Chat says so
            itself.
        prompt_name: As in `EmbedRequest`; None for no prompt, not for the checkpoint's default.
        truncate: As in `EmbedRequest`; None truncates nothing and refuses nothing.
        max_tokens: As in `EmbedRequest`.
    """

    model: str | None
    inputs: tuple[Input, ...]
    add_special_tokens: bool = True
    prompt_name: str | None = None
    truncate: Truncate | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class DetokenizeRequest:
    """Token ids back to text.

    Attributes:
        model: Served name, or None for the server's first model.
        ids: One tuple of token ids for each text.
        skip_special_tokens: Whether special tokens are left out.
    """

    model: str | None
    ids: tuple[tuple[int, ...], ...]
    skip_special_tokens: bool = False
