"""Bodies of Ollama's API, as its documentation and its Python client's types have them.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from typing import Any, NotRequired, TypedDict


class EmbedBody(TypedDict):
    """Body of ``POST /api/embed``."""

    model: NotRequired[str]
    input: NotRequired[str | list[str]]
    truncate: NotRequired[bool]
    dimensions: NotRequired[int]
    keep_alive: NotRequired[Any]
    options: NotRequired[dict[str, Any]]


class EmbedAnswer(TypedDict):
    """Answer of ``POST /api/embed``; times are in nanoseconds."""

    model: str
    embeddings: list[list[float]]
    total_duration: NotRequired[int]
    load_duration: NotRequired[int]
    prompt_eval_count: NotRequired[int]


class EmbeddingsBody(TypedDict):
    """Body of ``POST /api/embeddings``."""

    model: NotRequired[str]
    prompt: NotRequired[str]
    keep_alive: NotRequired[Any]
    options: NotRequired[dict[str, Any]]


class EmbeddingsAnswer(TypedDict):
    """Answer of ``POST /api/embeddings``."""

    embedding: list[float]


class Details(TypedDict):
    """What a list says of a model's kind."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class TaggedModel(TypedDict):
    """One model of ``GET /api/tags``."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details


class TagsAnswer(TypedDict):
    """Answer of ``GET /api/tags``."""

    models: list[TaggedModel]


class RunningModel(TypedDict):
    """One model of ``GET /api/ps``."""

    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: str
    size_vram: int
    context_length: int


class RunningAnswer(TypedDict):
    """Answer of ``GET /api/ps``."""

    models: list[RunningModel]


class VersionAnswer(TypedDict):
    """Answer of ``GET /api/version``."""

    version: str


class ShowBody(TypedDict):
    """Body of ``POST /api/show``; older clients call the model ``name``."""

    model: NotRequired[str]
    name: NotRequired[str]
    verbose: NotRequired[Any]


class ShowAnswer(TypedDict):
    """Answer of ``POST /api/show``."""

    modelfile: str
    parameters: str
    template: str
    details: Details
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str
