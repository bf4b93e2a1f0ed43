"""Bodies of SGLang's API, as far as it is about embeddings.

Source: https://github.com/sgl-project/sglang/blob/main/docs/basic_usage/native_api.ipynb,
https://github.com/sgl-project/sglang/blob/main/docs/supported_models/retrieval_ranking/embedding_models.md
and the request types in ``python/sglang/srt/entrypoints/openai/protocol.py`` there.
"""

from typing import Any, Literal, NotRequired, TypedDict


class Item(TypedDict, total=False):
    """One thing that gets one vector: a text, a picture, a video, or several of them together."""

    text: str | None
    image: str | None
    video: str | None


class ContentItem(TypedDict):
    """OpenRouter's form of the same; parts are those of chat messages."""

    content: list[dict[str, Any]] | str


class EmbedBody(TypedDict):
    """Body of ``POST /v1/embeddings`` with objects in ``input``."""

    model: NotRequired[str | None]
    input: list[Item] | list[ContentItem]
    encoding_format: NotRequired[Literal["float", "base64"] | None]
    dimensions: NotRequired[int | None]
    user: NotRequired[Any]
    rid: NotRequired[Any]
    priority: NotRequired[int | None]


class EmbeddingObject(TypedDict):
    """One vector: numbers, or base64 of little-endian float32."""

    embedding: list[float] | str
    index: int
    object: Literal["embedding"]


class Usage(TypedDict):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int
    prompt_tokens_details: None
    reasoning_tokens: int


class EmbedAnswer(TypedDict):
    """Answer of ``POST /v1/embeddings``."""

    data: list[EmbeddingObject]
    model: str
    object: Literal["list"]
    usage: Usage


class EncodeBody(TypedDict, total=False):
    """Body of ``POST /encode``: one input, or as many as there are texts, ids or pictures."""

    model: str | None
    text: str | list[str] | None
    input_ids: list[int] | list[list[int]] | None
    image_data: str | list[str | list[str] | None] | None
    video_data: str | list[str | list[str] | None] | None
    dimensions: int | None
    rid: str | list[str] | None
    priority: int | None


class MetaInfo(TypedDict):
    """What goes with a vector; the time is in seconds."""

    id: str
    prompt_tokens: int
    e2e_latency: float


class Encoded(TypedDict):
    """A vector of ``POST /encode``."""

    embedding: list[float]
    meta_info: MetaInfo


EncodeAnswer = Encoded | list[Encoded]
"""Answer of ``POST /encode``: an array for several inputs."""


class RerankBody(TypedDict):
    """Body of ``POST /v1/rerank``; queries and documents may be arrays of content parts."""

    model: NotRequired[str | None]
    query: str | list[dict[str, Any]]
    documents: list[str] | list[list[dict[str, Any]]]
    instruct: NotRequired[str | None]
    top_n: NotRequired[int | None]
    return_documents: NotRequired[bool | None]


class Ranked(TypedDict):
    """A document by its place in the request."""

    score: float
    document: str | None
    index: int
    meta_info: dict[str, Any]


class ScoreBody(TypedDict):
    """Body of ``POST /v1/score``."""

    model: NotRequired[str | None]
    query: str
    items: str | list[str]
    item_first: NotRequired[bool | None]


class ScoreAnswer(TypedDict):
    """Answer of ``POST /v1/score``: one score for each item."""

    scores: list[list[float]]
    model: str
    usage: Usage
    object: Literal["scoring"]


class ClassifyBody(TypedDict):
    """Body of ``POST /v1/classify``."""

    model: NotRequired[str | None]
    input: str | list[str] | list[int] | list[list[int]]


class Classified(TypedDict):
    """What an input most likely is."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassifyAnswer(TypedDict):
    """Answer of ``POST /v1/classify``."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Classified]
    usage: Usage


class TokenizeBody(TypedDict):
    """Body of ``POST /v1/tokenize``."""

    model: NotRequired[str | None]
    prompt: str | list[str]
    add_special_tokens: NotRequired[bool | None]


class TokenizeAnswer(TypedDict):
    """Answer of ``POST /v1/tokenize``: arrays of arrays for an array of texts."""

    tokens: list[int] | list[list[int]]
    count: int | list[int]
    max_model_len: int


class DetokenizeBody(TypedDict):
    """Body of ``POST /v1/detokenize``."""

    model: NotRequired[str | None]
    tokens: list[int] | list[list[int]]
    skip_special_tokens: NotRequired[bool | None]


class DetokenizeAnswer(TypedDict):
    """Answer of ``POST /v1/detokenize``."""

    text: str | list[str]


class EmbeddingInfo(TypedDict):
    """What a model is as an embedder."""

    family: str
    task: str
    execution: str
    pooling: str | None
    normalize: bool | None
    dimensions: int
    supports_dimensions: bool
    matryoshka_dimensions: list[int]
    supports_token_embeddings: bool
    supports_multimodal: bool


class ModelInfo(TypedDict):
    """Answer of ``GET /model_info``."""

    model_path: str
    served_model_name: str
    tokenizer_path: str
    is_generation: bool
    preferred_sampling_params: None
    weight_version: str
    has_image_understanding: bool
    has_audio_understanding: bool
    model_type: str
    architectures: list[str]
    embedding: EmbeddingInfo


class ServerInfo(TypedDict):
    """Answer of ``GET /server_info``."""

    model_path: str
    served_model_name: str
    tokenizer_path: str
    is_embedding: bool
    device: str
    dtype: str
    context_length: int | None
    version: str
    status: Literal["ready", "starting"]
