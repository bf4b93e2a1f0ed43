"""Bodies of Voyage's API.

Source: https://docs.voyageai.com/reference/embeddings-api,
https://docs.voyageai.com/reference/multimodal-embeddings-api,
https://docs.voyageai.com/reference/contextualized-embeddings-api,
https://docs.voyageai.com/reference/reranker-api and the types of Voyage's Python client.
"""

from typing import Literal, NotRequired, Required, TypedDict

OutputDtype = Literal["float", "int8", "uint8", "binary", "ubinary"]
Encoding = Literal["float", "base64"]
Vector = list[float] | list[int] | str
"""Numbers of the type that was asked for, or base64 of their bytes."""


class EmbedBody(TypedDict, total=False):
    """Body of ``POST /v1/embeddings`` in Voyage's form."""

    input: Required[str | list[str]]
    model: str | None
    input_type: str | None
    truncation: bool | None
    output_dimension: int | None
    output_dtype: OutputDtype | None
    encoding_format: Encoding | None


class TextContent(TypedDict):
    """A text in an input of several parts."""

    type: Literal["text"]
    text: str


class ImageUrlContent(TypedDict):
    """A picture by its URL."""

    type: Literal["image_url"]
    image_url: str


class ImageContent(TypedDict):
    """A picture as a data URI."""

    type: Literal["image_base64"]
    image_base64: str


class VideoUrlContent(TypedDict):
    """A video by its URL."""

    type: Literal["video_url"]
    video_url: str


class VideoContent(TypedDict):
    """A video as a data URI."""

    type: Literal["video_base64"]
    video_base64: str


class MixedInput(TypedDict):
    """An input of several parts that gets one vector."""

    content: list[TextContent | ImageUrlContent | ImageContent | VideoUrlContent | VideoContent]


class MultimodalBody(TypedDict, total=False):
    """Body of ``POST /v1/multimodalembeddings``."""

    inputs: Required[list[MixedInput]]
    model: str | None
    input_type: str | None
    truncation: bool | None
    output_dimension: int | None
    output_dtype: OutputDtype | None
    output_encoding: Literal["base64"] | None
    encoding_format: Encoding | None


class ContextualizedBody(TypedDict, total=False):
    """Body of ``POST /v1/contextualizedembeddings``: documents, each an array of its chunks."""

    inputs: Required[list[list[str]] | list[str]]
    model: str | None
    input_type: str | None
    output_dimension: int | None
    output_dtype: OutputDtype | None
    encoding_format: Encoding | None
    enable_auto_chunking: bool | None
    chunk_size: int | None


class EmbeddingObject(TypedDict):
    """One vector; ``text`` only where the server says what the chunks are."""

    object: Literal["embedding"]
    embedding: Vector
    index: int
    text: NotRequired[str]


class Usage(TypedDict):
    """Tokens read."""

    total_tokens: int


class EmbedAnswer(TypedDict):
    """Answer of ``POST /v1/embeddings`` in Voyage's form."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: Usage


class MultimodalUsage(TypedDict):
    """What was read; pixels are not counted and always 0."""

    text_tokens: int
    image_pixels: int
    video_pixels: int
    total_tokens: int


class MultimodalAnswer(TypedDict):
    """Answer of ``POST /v1/multimodalembeddings``."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: MultimodalUsage


class DocumentObject(TypedDict):
    """The vectors of one document's chunks."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    index: int


class ContextualizedAnswer(TypedDict):
    """Answer of ``POST /v1/contextualizedembeddings``."""

    object: Literal["list"]
    data: list[DocumentObject]
    model: str
    usage: Usage


class RerankBody(TypedDict, total=False):
    """Body of ``POST /v1/rerank`` in Voyage's form."""

    query: Required[str]
    documents: Required[list[str]]
    top_k: Required[int | None]
    model: str | None
    return_documents: bool | None
    truncation: bool | None


class RankedObject(TypedDict):
    """One document and its score."""

    index: int
    relevance_score: float
    document: NotRequired[str]


class RerankAnswer(TypedDict):
    """Answer of ``POST /v1/rerank`` in Voyage's form, the best document first."""

    object: Literal["list"]
    data: list[RankedObject]
    model: str
    usage: Usage


class ErrorBody(TypedDict):
    """Body of an error."""

    detail: str
