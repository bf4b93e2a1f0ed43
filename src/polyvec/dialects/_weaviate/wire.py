"""Bodies that Weaviate's vectorizer modules send to inference containers, and what they read.

Source: https://github.com/weaviate/weaviate, usecases/modulecomponents/clients/transformers and
modules/multi2vec-clip/clients.
"""

from typing import Annotated, Any, NotRequired, TypedDict

_Nothing = Annotated[list[Any], {"maxItems": 0}]


class VectorConfig(TypedDict):
    """How the texts of a request are embedded."""

    pooling_strategy: NotRequired[str]
    task_type: NotRequired[str]
    dimensions: NotRequired[Annotated[int, {"minimum": 0}]]


class TextBody(TypedDict):
    """Body of ``POST /vectors`` for one text; the client sends its whole answer, empty."""

    text: str
    texts: NotRequired[None]
    config: NotRequired[VectorConfig]
    model: NotRequired[str]
    dims: NotRequired[Any]
    vector: NotRequired[Any]
    error: NotRequired[Any]


class TextsBody(TypedDict):
    """Body of ``POST /vectors`` for several texts."""

    texts: list[str]
    text: NotRequired[Any]
    config: NotRequired[VectorConfig]
    model: NotRequired[str]


VectorsBody = TextBody | TextsBody


class VectorAnswer(TypedDict):
    """Answer for one text; containers say ``dim``, and Weaviate reads ``dims``."""

    text: str
    vector: list[float]
    dim: int
    dims: int


class VectorsAnswer(TypedDict):
    """Answer for several texts."""

    vectors: list[list[float]]
    dims: int


class VectorizeBody(TypedDict):
    """Body of ``POST /vectorize``; pictures and videos are base64 or URLs."""

    texts: NotRequired[list[str]]
    images: NotRequired[list[str]]
    video: NotRequired[list[str]]
    audio: NotRequired[_Nothing]
    imu: NotRequired[_Nothing]
    thermal: NotRequired[_Nothing]
    depth: NotRequired[_Nothing]
    model: NotRequired[str]


class VectorizeAnswer(TypedDict):
    """Answer of ``POST /vectorize``; ``videoVectors`` only where videos were sent."""

    textVectors: list[list[float]]
    imageVectors: list[list[float]]
    videoVectors: NotRequired[list[list[float]]]


class MetaAnswer(TypedDict):
    """Answer of ``GET /meta``; Weaviate shows it as it is."""

    model: str
    architectures: list[str]
    dimensions: int
    max_input_tokens: int | None
    modalities: list[str]
    prompts: dict[str, Any]
