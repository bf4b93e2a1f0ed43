"""Bodies of Infinity's API.

Source: ``libs/infinity_emb/infinity_emb/fastapi_schemas/pymodels.py`` of
https://github.com/michaelfeil/infinity.
"""

from typing import Literal, NotRequired, Required, TypedDict

Encoding = Literal["float", "base64"]


class EmbedBody(TypedDict, total=False):
    """Body of ``POST /embeddings`` with a modality; 0 dimensions are the model's own."""

    input: Required[str | list[str]]
    modality: Required[Literal["text", "image", "audio"]]
    model: str | None
    encoding_format: Encoding | None
    dimensions: int | None


class ImageBody(TypedDict, total=False):
    """Body of ``POST /embeddings_image``."""

    input: Required[str | list[str]]
    model: str | None
    encoding_format: Encoding | None
    dimensions: int | None


class EmbeddingObject(TypedDict):
    """What one input became; one vector for each token where the model gives that."""

    object: Literal["embedding"]
    embedding: list[float] | str | list[list[float]] | list[str]
    index: int


class Usage(TypedDict):
    """Tokens read; both numbers are equal."""

    prompt_tokens: int
    total_tokens: int


class EmbedAnswer(TypedDict):
    """Answer of ``POST /embeddings``."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: Usage
    id: str
    created: int


class ClassifyBody(TypedDict, total=False):
    """Body of ``POST /classify`` with a switch for raw scores."""

    input: Required[list[str]]
    raw_scores: Required[bool | None]
    model: str | None


class ScoredLabel(TypedDict):
    """One label's score."""

    score: float
    label: str


class ClassifyAnswer(TypedDict):
    """Answer of ``POST /classify``: for each input all labels, the likeliest first."""

    object: Literal["classify"]
    data: list[list[ScoredLabel]]
    model: str
    usage: Usage
    id: str
    created: int


class RerankBody(TypedDict, total=False):
    """Body of ``POST /rerank`` with a switch for raw scores."""

    query: Required[str]
    documents: Required[list[str]]
    raw_scores: Required[bool | None]
    return_documents: bool | None
    top_n: int | None
    model: str | None


class RankedObject(TypedDict):
    """One document and its score."""

    relevance_score: float
    index: int
    document: NotRequired[str]


class RerankAnswer(TypedDict):
    """Answer of ``POST /rerank`` in Infinity's form, the best document first."""

    object: Literal["rerank"]
    results: list[RankedObject]
    model: str
    usage: Usage
    id: str
    created: int


class ErrorObject(TypedDict):
    """What is wrong; ``code`` is the HTTP status."""

    message: str
    type: str | None
    param: str | None
    code: int


class ErrorBody(TypedDict):
    """Body of an error."""

    error: ErrorObject
    detail: str
