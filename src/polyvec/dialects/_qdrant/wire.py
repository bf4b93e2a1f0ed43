"""Bodies of the inference service that Qdrant calls, and what it reads.

Source: ``InferenceRequest`` and ``InferenceResponse`` of
https://github.com/qdrant/qdrant/blob/master/src/common/inference/service.rs.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

_Length = Annotated[int, {"minimum": 1}]


class InputOptions(TypedDict):
    """Options of an input; Qdrant passes on what its caller wrote. Others are ignored."""

    dimensions: NotRequired[_Length]
    output_dimension: NotRequired[_Length]
    mrl: NotRequired[_Length]
    normalize: NotRequired[bool]
    output: NotRequired[Literal["dense", "sparse", "multivector"]]
    prompt_name: NotRequired[str]
    task: NotRequired[str]
    truncate: NotRequired[bool]


class InferenceInput(TypedDict):
    """One thing to embed."""

    data: str | dict[str, Any] | list[Any]
    data_type: NotRequired[Literal["text", "image", "object"]]
    model: NotRequired[str]
    options: NotRequired[InputOptions]


class InferenceBody(TypedDict):
    """Body of a call."""

    inputs: list[InferenceInput]
    inference: NotRequired[Literal["update", "search"]]
    token: NotRequired[Any]


class SparseWire(TypedDict):
    """A sparse vector."""

    indices: list[int]
    values: list[float]


class ModelUsage(TypedDict):
    """What one model read."""

    tokens: int


class InferenceUsage(TypedDict):
    """What each model read."""

    models: dict[str, ModelUsage]


class InferenceAnswer(TypedDict):
    """One vector for each input, in their order."""

    embeddings: list[list[float] | list[list[float]] | SparseWire]
    usage: InferenceUsage
