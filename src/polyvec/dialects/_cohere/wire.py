"""Bodies of Cohere's embedding and tokenising API.

Source: https://docs.cohere.com/reference/embed and the types of Cohere's Python client.
"""

from typing import Literal, NotRequired, Required, TypedDict

EmbeddingType = Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]
Truncation = Literal["NONE", "START", "END"]


class ImageUrl(TypedDict):
    """Where a picture is."""

    url: str


class TextContent(TypedDict):
    """A text in an input of several parts."""

    type: Literal["text"]
    text: str


class ImageContent(TypedDict):
    """A picture in an input of several parts."""

    type: Literal["image_url"]
    image_url: ImageUrl


class MixedInput(TypedDict):
    """An input of several parts that gets one vector."""

    content: list[TextContent | ImageContent]


class EmbedBody(TypedDict, total=False):
    """Body of ``POST /v2/embed`` and ``POST /v1/embed``; exactly one of the first three is sent."""

    texts: list[str] | None
    images: list[str] | None
    inputs: list[MixedInput] | None
    model: str | None
    input_type: str | None
    embedding_types: list[EmbeddingType] | None
    truncate: Truncation | None
    max_tokens: int | None
    output_dimension: int | None
    priority: int | None


class ApiVersion(TypedDict):
    """Of the API, not of the server."""

    version: str


class BilledUnits(TypedDict):
    """What was read; the number of images only where there were some."""

    input_tokens: int
    images: NotRequired[int]
    image_tokens: int


class Meta(TypedDict):
    """What an answer says about the call."""

    api_version: ApiVersion
    billed_units: NotRequired[BilledUnits]


class EmbeddingsByType(TypedDict, total=False):
    """Vectors of each type that was asked for, and of no other."""

    float: list[list[float]]
    int8: list[list[int]]
    uint8: list[list[int]]
    binary: list[list[int]]
    ubinary: list[list[int]]
    base64: list[str]


class EmbedByType(TypedDict):
    """Vectors of the types that were asked for."""

    id: str
    response_type: Literal["embeddings_by_type"]
    embeddings: EmbeddingsByType
    texts: list[str]
    meta: Meta


class EmbedFloats(TypedDict):
    """Answer of ``POST /v1/embed`` to a body without ``embedding_types``."""

    id: str
    response_type: Literal["embeddings_floats"]
    embeddings: list[list[float]]
    texts: list[str]
    meta: Meta


class TokenizeBody(TypedDict):
    """Body of ``POST /v1/tokenize``."""

    text: Required[str]
    model: NotRequired[str | None]


class TokenizeAnswer(TypedDict):
    """Answer of ``POST /v1/tokenize``."""

    tokens: list[int]
    token_strings: list[str]
    meta: Meta


class DetokenizeBody(TypedDict):
    """Body of ``POST /v1/detokenize``."""

    tokens: Required[list[int]]
    model: NotRequired[str | None]


class DetokenizeAnswer(TypedDict):
    """Answer of ``POST /v1/detokenize``."""

    text: str
    meta: Meta


class KeyAnswer(TypedDict):
    """Answer of ``POST /v1/check-api-key``."""

    valid: bool


class ErrorBody(TypedDict):
    """Body of an error."""

    id: str
    message: str
