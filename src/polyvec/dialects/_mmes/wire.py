"""Bodies of Multimodal Embedding Serving, for the OpenAPI document; `_mmes.input` reads them."""

from typing import Literal, NotRequired, TypedDict

from polyvec.dialects._infinity.models import InfinityModel


class SegmentConfig(TypedDict):
    """Which frames of a video are embedded; times are in seconds."""

    startOffsetSec: NotRequired[float]
    clip_duration: NotRequired[float]
    num_frames: NotRequired[int]
    extraction_fps: NotRequired[float]
    fps: NotRequired[float]
    frame_indexes: NotRequired[list[int]]
    frame_interval: NotRequired[int]
    segment_seconds: NotRequired[float]


class TextInput(TypedDict):
    """One text, or several."""

    type: Literal["text"]
    text: str | list[str]


class ImageUrlInput(TypedDict):
    """A picture to fetch."""

    type: Literal["image_url"]
    image_url: str


class ImageBase64Input(TypedDict):
    """A picture."""

    type: Literal["image_base64"]
    image_base64: str


class ImageFileInput(TypedDict):
    """A picture on the server."""

    type: Literal["image_file"]
    image_path: str


class VideoFramesInput(TypedDict):
    """Pictures that are a video's frames."""

    type: Literal["video_frames"]
    video_frames: list[ImageUrlInput | ImageBase64Input]


class VideoUrlInput(TypedDict):
    """A video to fetch."""

    type: Literal["video_url"]
    video_url: str
    segment_config: SegmentConfig


class VideoBase64Input(TypedDict):
    """A video."""

    type: Literal["video_base64"]
    video_base64: str
    segment_config: SegmentConfig


class VideoFileInput(TypedDict):
    """A video on the server."""

    type: Literal["video_file"]
    video_path: str
    segment_config: SegmentConfig


class FramesBatchInput(TypedDict):
    """A list of frames on the server."""

    type: Literal["frames_batch"]
    frames_manifest_path: str


class EmbedBody(TypedDict):
    """Body of ``POST /embeddings``."""

    model: str
    input: (
        TextInput
        | ImageUrlInput
        | ImageBase64Input
        | ImageFileInput
        | VideoFramesInput
        | VideoUrlInput
        | VideoBase64Input
        | VideoFileInput
        | FramesBatchInput
    )
    encoding_format: NotRequired[str]
    include: NotRequired[list[Literal["frames", "video", "tokens"]]]


class Frame(TypedDict):
    """Where in its video a vector's frame is."""

    index: int
    timestamp: float


class Segment(TypedDict):
    """The vector of a part of a video."""

    start: float
    end: float
    embedding: list[float]


class Skipped(TypedDict):
    """A picture of a list that could not be read."""

    entry: int
    reason: str


class EmbedAnswer(TypedDict):
    """Answer of ``POST /embeddings``: one vector, or an array of them."""

    embedding: list[float] | list[list[float]]
    token_embeddings: NotRequired[list[list[float]] | list[list[list[float]]]]
    video_embedding: NotRequired[list[float]]
    frames: NotRequired[list[Frame]]
    segments: NotRequired[list[Segment]]
    skipped: NotRequired[list[Skipped]]


class ModelList(TypedDict):
    """Answer of ``GET /model/list``."""

    current_model: str
    available_models: dict[str, list[str]]
    total_models: int


class ModelListForAll(ModelList):
    """Answer of ``GET /models``, which Infinity's and OpenAI's clients read as well."""

    object: Literal["list"]
    data: list[InfinityModel]


class CurrentModel(TypedDict):
    """Answer of ``GET /model/current``."""

    model: str
    device: str
    use_openvino: bool
    dimensions: int
    dtype: str


class Capabilities(TypedDict):
    """Answer of ``GET /model/capabilities``."""

    model: str
    modalities: list[str]
    supports_text: bool
    supports_image: bool
    supports_video: bool


class Health(TypedDict):
    """Answer of ``GET /health``."""

    status: str
    detail: NotRequired[str]
