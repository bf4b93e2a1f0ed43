"""Bodies of Jina's embedding API.

Source: https://api.jina.ai/redoc.
"""

from typing import Literal, NotRequired, Required, TypedDict

EmbeddingType = Literal["float", "base64", "binary", "ubinary"]


class TextItem(TypedDict):
    """A text."""

    text: str


class ImageItem(TypedDict):
    """A picture: a URL, a data URI or bare base64."""

    image: str


class EmbedBody(TypedDict, total=False):
    """Body of ``POST /v1/embeddings`` in Jina's form."""

    input: Required[str | list[str | TextItem | ImageItem]]
    model: str | None
    task: str | None
    dimensions: int | None
    normalized: bool | None
    embedding_type: EmbeddingType | list[EmbeddingType] | None
    late_chunking: Literal[False] | None
    truncate: bool | None
    return_multivector: bool | None


class VectorByType(TypedDict, total=False):
    """One vector in every type that was asked for; only where the body has a list of types."""

    float: list[float]
    base64: str
    binary: list[int]
    ubinary: list[int]


Vector = list[float] | list[int] | str | VectorByType


class EmbeddingObject(TypedDict):
    """What one input became: one vector, or one for each token."""

    object: Literal["embedding"]
    index: int
    embedding: NotRequired[Vector]
    embeddings: NotRequired[list[Vector]]


class Usage(TypedDict):
    """Tokens read; both numbers are equal."""

    total_tokens: int
    prompt_tokens: int


class EmbedAnswer(TypedDict):
    """Answer of ``POST /v1/embeddings`` in Jina's form."""

    model: str
    object: Literal["list"]
    usage: Usage
    data: list[EmbeddingObject]
