"""Bodies of Text Embeddings Inference, and of the Hugging Face tasks it stands in for.

Source: https://github.com/huggingface/text-embeddings-inference/blob/main/docs/openapi.json and
https://huggingface.co/docs/inference-providers/tasks/feature-extraction.
"""

from typing import Any, Literal, NotRequired, Required, TypedDict

Direction = Literal["left", "right", "Left", "Right"]
TokenIds = list[int]


class Shared(TypedDict, total=False):
    """Fields of most bodies.

    Attributes:
        model: Ours: which model, where several are served.
        truncate: Whether an over-long text is cut; the server's default where it is absent.
        truncation_direction: The side that is cut. Hugging Face's clients write it in lower case.
    """

    model: str | None
    truncate: bool | None
    truncation_direction: Direction | None


class EmbedParameters(Shared, total=False):
    """How a body of ``POST /embed`` wants its vectors; Hugging Face's older clients nest them."""

    normalize: bool | None
    prompt_name: str | None
    dimensions: int | None


class EmbedBody(EmbedParameters, total=False):
    """Body of ``POST /embed``."""

    inputs: Required[str | TokenIds | list[str | TokenIds]]
    parameters: EmbedParameters | None


class RawParameters(Shared, total=False):
    """How a body of ``POST /embed_all`` or ``POST /embed_sparse`` is read."""

    prompt_name: str | None


class RawBody(RawParameters, total=False):
    """Body of ``POST /embed_all`` and ``POST /embed_sparse``."""

    inputs: Required[str | TokenIds | list[str | TokenIds]]
    parameters: RawParameters | None


class SparseValue(TypedDict):
    """An entry of a sparse vector that is not zero."""

    index: int
    value: float


class PredictParameters(Shared, total=False):
    """How a body of ``POST /predict`` is read."""

    raw_scores: bool | None


class PredictBody(PredictParameters, total=False):
    """Body of ``POST /predict``: a text, a pair of texts, or a batch of either in arrays."""

    inputs: Required[str | list[str] | list[list[str]]]
    parameters: PredictParameters | None


class Prediction(TypedDict):
    """A label and its score."""

    score: float
    label: str


class RerankBody(Shared, total=False):
    """Body of ``POST /rerank``."""

    query: Required[str]
    texts: Required[list[str]]
    raw_scores: bool | None
    return_text: bool | None


class Rank(TypedDict):
    """The place of a text in the order of scores."""

    index: int
    text: NotRequired[str]
    score: float


class SimilarityInputs(TypedDict):
    """A sentence and those it is compared with."""

    source_sentence: str
    sentences: list[str]


class SimilarityBody(RawParameters, total=False):
    """Body of ``POST /similarity``."""

    inputs: Required[SimilarityInputs]
    parameters: RawParameters | None


class TokenizeBody(TypedDict, total=False):
    """Body of ``POST /tokenize``."""

    inputs: Required[str | list[str]]
    model: str | None
    add_special_tokens: bool | None
    prompt_name: str | None


class SimpleToken(TypedDict):
    """A token; ``start`` and ``stop`` count characters, and are null for what no text has."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class DecodeBody(TypedDict, total=False):
    """Body of ``POST /decode``."""

    ids: Required[TokenIds | list[TokenIds]]
    model: str | None
    skip_special_tokens: bool | None


class VertexBody(TypedDict, total=False):
    """Body of ``POST /vertex``: bodies of `TaskBody`."""

    instances: Required[list[dict[str, Any]]]


class ModelTypes(TypedDict, total=False):
    """What a model is: one of the three keys."""

    embedding: dict[str, str]
    classifier: dict[str, dict[str, Any]]
    reranker: dict[str, dict[str, Any]]


class Info(TypedDict):
    """Answer of ``GET /info``."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    served_model_name: str
    model_type: ModelTypes
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None


class ErrorBody(TypedDict):
    """Body of an error."""

    error: str
    error_type: str


TaskBody = EmbedBody | SimilarityBody | RerankBody | PredictBody
"""What ``POST /`` takes: which one it is depends on its shape and on what the model does."""

Vectors = list[list[float]]
TokenVectors = list[list[list[float]]]
SparseVectors = list[list[SparseValue]]
Predictions = list[Prediction] | list[list[Prediction]]
Ranks = list[Rank]
Similarities = list[float]
TaskAnswer = Vectors | TokenVectors | SparseVectors | Predictions | Ranks | Similarities


class VertexAnswer(TypedDict):
    """Answer of ``POST /vertex``: an answer for each instance."""

    predictions: list[TaskAnswer]
