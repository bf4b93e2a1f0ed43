"""Wire types of vLLM's endpoints, for the OpenAPI document. The ``_vllm_*`` files read them."""

from typing import Any, Literal, NotRequired, TypedDict

from polyvec.dialects._openai.schema import (
    ContentPart,
    Conversation,
    Conversations,
    EmbeddingBody,
    EmbeddingInput,
    EncodingFields,
    PoolingFields,
    SparseObject,
    TemplateFields,
    Usage,
    Vector,
)


class TextObject(TypedDict):
    """A document as Cohere and Jina write it."""

    text: str


class ContentObject(TypedDict):
    """A query or document of several parts."""

    content: str | list[ContentPart]


Scored = str | TextObject | ContentObject
OneOrMany = Scored | list[Scored]


class ScoringFields(PoolingFields):
    """What ``/score`` and ``/rerank`` share."""

    instruction: NotRequired[str | None]
    max_tokens_per_query: NotRequired[int | None]
    max_tokens_per_doc: NotRequired[int | None]
    chat_template_kwargs: NotRequired[dict[str, Any] | None]


class QueriesDocumentsBody(ScoringFields):
    """Queries and documents."""

    queries: OneOrMany
    documents: OneOrMany


class QueriesItemsBody(ScoringFields):
    """Queries and items."""

    queries: OneOrMany
    items: OneOrMany


class TextPairBody(ScoringFields):
    """First and second texts."""

    text_1: OneOrMany
    text_2: OneOrMany


class DataPairBody(ScoringFields):
    """First and second texts or pictures."""

    data_1: OneOrMany
    data_2: OneOrMany


ScoreBody = QueriesDocumentsBody | QueriesItemsBody | TextPairBody | DataPairBody


class ScoreObject(TypedDict):
    """The score of one pair."""

    index: int
    object: Literal["score"]
    score: float


class ScoreList(TypedDict):
    """Scores in the order of the documents."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[ScoreObject]
    usage: Usage


class RerankBody(ScoringFields):
    """A query and the documents to sort."""

    query: Scored
    documents: OneOrMany
    top_n: NotRequired[int | None]
    return_documents: NotRequired[bool | None]
    raw_scores: NotRequired[bool | None]


class RankedDocument(TypedDict):
    """The texts of a document; its pictures are not sent back."""

    text: str | None
    multi_modal: None


class Ranked(TypedDict):
    """One result."""

    index: int
    relevance_score: float
    document: NotRequired[RankedDocument]


class ApiVersion(TypedDict):
    """Cohere's version of the path."""

    version: str


class RerankMeta(TypedDict):
    """What Cohere's clients read."""

    api_version: ApiVersion
    billed_units: dict[str, int]
    tokens: dict[str, int]


class RerankAnswer(TypedDict):
    """Results, the best first."""

    id: str
    object: Literal["rerank"]
    created: int
    model: str
    results: list[Ranked]
    usage: Usage
    meta: RerankMeta


class PoolingBodyFields(PoolingFields, TemplateFields, EncodingFields):
    """All fields beside the input."""

    task: NotRequired[Literal["embed", "token_embed", "sparse_embed", "classify"] | None]
    prompt_name: NotRequired[str | None]
    input_type: NotRequired[str | None]


class PoolingInputBody(PoolingBodyFields):
    """Body with ``input``."""

    input: EmbeddingInput


class PoolingMessagesBody(PoolingBodyFields):
    """Body with ``messages``."""

    messages: Conversations


PoolingBody = PoolingInputBody | PoolingMessagesBody


class PoolingObject(TypedDict):
    """The output of one input."""

    index: int
    object: Literal["pooling"]
    data: Vector | list[list[float]] | SparseObject


class PoolingList(TypedDict):
    """Outputs in the order of the inputs."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[PoolingObject]
    usage: Usage


class ClassifyObject(TypedDict):
    """The classes of one input."""

    index: int
    label: str | None
    probs: list[float]
    num_classes: int


class ClassifyList(TypedDict):
    """Classes in the order of the inputs."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[ClassifyObject]
    usage: Usage


class TokenizePromptBody(TypedDict):
    """A text."""

    prompt: str
    model: NotRequired[str | None]
    add_special_tokens: NotRequired[bool | None]
    return_token_strs: NotRequired[bool | None]


class TokenizeMessagesBody(TemplateFields):
    """A conversation."""

    messages: Conversation
    model: NotRequired[str | None]
    return_token_strs: NotRequired[bool | None]


TokenizeBody = TokenizePromptBody | TokenizeMessagesBody


class TokenizeAnswer(TypedDict):
    """Token ids and how many there may be."""

    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: list[str] | None


class DetokenizeBody(TypedDict):
    """Token ids."""

    tokens: list[int]
    model: NotRequired[str | None]


class DetokenizeAnswer(TypedDict):
    """Their text."""

    prompt: str


InvocationBody = EmbeddingBody | RerankBody | ScoreBody
