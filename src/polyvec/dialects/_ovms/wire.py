"""Bodies of OpenVINO Model Server's API, and its words for what can go wrong.

Source: https://github.com/openvinotoolkit/model_server/blob/main/docs/model_server_rest_api_embeddings.md
and the pages beside it about rerank and the status of the configuration.
"""

from typing import Any, Final, Literal, NotRequired, TypedDict

NOT_JSON: Final = "The file is not valid json - "
"""Begins what the server says of a body that it cannot route."""

FAILED: Final = (
    "Mediapipe execution failed. MP status - INVALID_ARGUMENT: CalculatorGraph::Run() failed: \n"
    'Calculator::Process() for node "{node}" failed: {message}'
)
"""What the server says of a body that the model's graph refuses."""

UNKNOWN_MODEL: Final = "Mediapipe graph definition with requested name is not found"
NOT_LOADED: Final = "Mediapipe is not loaded yet"
NO_KEY: Final = "Unauthorized request due to invalid or missing api-key"
UNKNOWN_NAME: Final = "Model not found"
RELOAD_FAILED: Final = "Reloading config file failed. Check server logs for more info."

MAX_JSON_INT: Final = 2**31 - 1
MIN_JSON_INT: Final = -(2**31)
MAX_PADDED_TOKENS: Final = 32_768
"""Longest ``max_length``; padding fills every text up to it."""


class OvmsError(TypedDict):
    """Body of an error; ``detail`` is ours."""

    error: str
    detail: str


class EmbedBody(TypedDict):
    """Body of ``POST /v3/embeddings``; OVMS ignores ``dimensions`` and ``user``."""

    model: NotRequired[str | None]
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: NotRequired[Literal["float", "base64"] | None]
    dimensions: NotRequired[Any]
    user: NotRequired[Any]


class EmbeddingObject(TypedDict):
    """One vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    embedding: list[float] | str
    index: int


class Usage(TypedDict):
    """Tokens read; both numbers are equal."""

    prompt_tokens: int
    total_tokens: int


class EmbedAnswer(TypedDict):
    """Answer of ``POST /v3/embeddings``; ``model`` is ours."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    usage: Usage
    model: str


class TitledText(TypedDict):
    """A document as an object."""

    text: str
    title: NotRequired[str | None]


class RerankBody(TypedDict):
    """Body of ``POST /v3/rerank``."""

    model: NotRequired[str | None]
    query: str
    documents: list[str] | list[TitledText]
    top_n: NotRequired[int | None]
    return_documents: NotRequired[bool | None]
    rank_fields: NotRequired[Any]
    max_chunks_per_doc: NotRequired[Any]


class RankedText(TypedDict):
    """The text of a document."""

    text: str


class Ranked(TypedDict):
    """A document by its place in the request."""

    index: int
    relevance_score: float
    document: NotRequired[RankedText]


class RerankAnswer(TypedDict):
    """Answer of ``POST /v3/rerank``, the best document first."""

    results: list[Ranked]


class TokenizeBody(TypedDict):
    """Body of ``POST /v3/tokenize``."""

    model: NotRequired[str | None]
    text: str | list[str]
    max_length: NotRequired[int | None]
    pad_to_max_length: NotRequired[bool | None]
    padding_side: NotRequired[Literal["left", "right"] | None]
    add_special_tokens: NotRequired[bool | None]


class TokenizeAnswer(TypedDict):
    """Answer of ``POST /v3/tokenize``: flat for one text, also when it came in an array."""

    tokens: list[int] | list[list[int]]


class ModelObject(TypedDict):
    """A served model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(TypedDict):
    """Answer of ``GET /v3/models``."""

    data: list[ModelObject]
    object: Literal["list"]


class LoadStatus(TypedDict):
    """How loading a model went."""

    error_code: str
    error_message: str


class VersionStatus(TypedDict):
    """One version of a model."""

    version: str
    state: Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
    status: LoadStatus


class ModelStatus(TypedDict):
    """All versions of a model."""

    model_version_status: list[VersionStatus]


ConfigAnswer = dict[str, ModelStatus]
"""Answer of ``GET /v1/config`` and ``POST /v1/config/reload``."""
