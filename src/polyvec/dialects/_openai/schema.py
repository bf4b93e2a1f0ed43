"""Wire types of the embeddings endpoints, for the OpenAPI document. `_openai.embed` reads them."""

from typing import Any, Literal, NotRequired, TypedDict

TokenIds = list[int]


class MediaUrl(TypedDict):
    """Where a picture or a video is."""

    url: str
    detail: NotRequired[str | None]


class TextPart(TypedDict):
    """A text of a message."""

    type: Literal["text"]
    text: str


class ImagePart(TypedDict):
    """A picture of a message."""

    type: Literal["image_url"]
    image_url: MediaUrl | str


class VideoPart(TypedDict):
    """A video of a message."""

    type: Literal["video_url"]
    video_url: MediaUrl | str


class InputImagePart(TypedDict):
    """A picture as OpenAI's newer API writes it."""

    type: Literal["input_image"]
    image_url: str


ContentPart = TextPart | ImagePart | InputImagePart | VideoPart


class ChatMessage(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str | list[ContentPart] | None


Conversation = list[ChatMessage]
Conversations = Conversation | list[Conversation]
EmbeddingInput = (
    str
    | list[str]
    | TokenIds
    | list[TokenIds]
    | ContentPart
    | list[str | ContentPart]
    | Conversation
    | list[Conversation]
)


class PoolingFields(TypedDict):
    """What vLLM's pooling endpoints share."""

    model: NotRequired[str | None]
    user: NotRequired[Any]
    truncate_prompt_tokens: NotRequired[int | None]
    truncation_side: NotRequired[Literal["left", "right"] | None]
    truncate: NotRequired[Literal["end", "start", "none"] | bool | None]
    padding: NotRequired[Literal["max_length", "do_not_pad"] | None]
    request_id: NotRequired[str | None]
    priority: NotRequired[int | None]
    cache_salt: NotRequired[str | None]
    use_activation: NotRequired[bool | None]
    mm_processor_kwargs: NotRequired[dict[str, Any] | None]
    media_io_kwargs: NotRequired[dict[str, Any] | None]


class TemplateFields(TypedDict):
    """How a conversation is put through the chat template."""

    add_special_tokens: NotRequired[bool | None]
    add_generation_prompt: NotRequired[bool | None]
    continue_final_message: NotRequired[bool | None]
    chat_template: NotRequired[str | None]
    chat_template_kwargs: NotRequired[dict[str, Any] | None]


class EncodingFields(TypedDict):
    """As what vectors are written."""

    encoding_format: NotRequired[Literal["float", "base64", "bytes", "bytes_only"] | None]
    embed_dtype: NotRequired[
        Literal["float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2"] | None
    ]
    endianness: NotRequired[Literal["native", "big", "little"] | None]


class EmbeddingFields(PoolingFields, TemplateFields, EncodingFields):
    """All fields beside the input."""

    dimensions: NotRequired[int | None]
    prompt_name: NotRequired[str | None]
    input_type: NotRequired[str | None]
    task: NotRequired[str | None]
    outputs: NotRequired[list[Literal["dense", "sparse", "tokens"]] | None]


class EmbeddingInputBody(EmbeddingFields):
    """Body with ``input``."""

    input: EmbeddingInput


class EmbeddingMessagesBody(EmbeddingFields):
    """Body with ``messages``, which win over ``input``."""

    messages: Conversations
    input: NotRequired[EmbeddingInput | None]


EmbeddingBody = EmbeddingInputBody | EmbeddingMessagesBody


class Usage(TypedDict):
    """Tokens read; vectors have no completion."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int
    prompt_tokens_details: None
    completion_tokens_details: None


class SparseObject(TypedDict):
    """Weights of a few vocabulary entries."""

    indices: list[int]
    values: list[float]


Vector = list[float] | str


class EmbeddingObject(TypedDict):
    """The vectors of one input."""

    object: Literal["embedding"]
    index: int
    embedding: NotRequired[Vector | list[list[float]]]
    sparse_embedding: NotRequired[SparseObject]
    token_embeddings: NotRequired[list[Vector]]


class EmbeddingList(TypedDict):
    """A good answer in JSON."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[EmbeddingObject]
    usage: Usage
