"""Bodies of the Open Inference Protocol, version 2, as KServe and Triton speak it.

Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
and, for tensors behind the JSON, Triton's binary data extension:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

from typing import Any, NotRequired, TypedDict


class TensorParameters(TypedDict, total=False):
    """What goes with a tensor; null means the same as absence."""

    binary_data_size: int | None
    binary_data: bool | None


class InputTensor(TypedDict):
    """One tensor of a request; its elements are here or behind the JSON."""

    name: str
    shape: list[int]
    datatype: str
    parameters: NotRequired[TensorParameters | None]
    data: NotRequired[Any]


class WantedTensor(TypedDict):
    """One tensor that a request asks for."""

    name: str
    parameters: NotRequired[TensorParameters | None]


class InferParameters(TypedDict, total=False):
    """What goes with a request; the last three are ours."""

    binary_data_output: bool | None
    dimensions: int | None
    prompt_name: str | None
    task: str | None


class InferBody(TypedDict):
    """Body of ``POST /v2/models/{name}/infer``."""

    id: NotRequired[str | None]
    parameters: NotRequired[InferParameters | None]
    inputs: list[InputTensor]
    outputs: NotRequired[list[WantedTensor] | None]


class OutputTensor(TypedDict):
    """One tensor of an answer."""

    name: str
    datatype: str
    shape: list[int]
    parameters: NotRequired[TensorParameters]
    data: NotRequired[list[float]]


class InferAnswer(TypedDict):
    """Answer of ``POST /v2/models/{name}/infer``."""

    id: NotRequired[str]
    model_name: str
    model_version: str
    outputs: list[OutputTensor]


class TensorMetadata(TypedDict):
    """A tensor that a model takes or gives; -1 in its shape is any number."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(TypedDict):
    """Answer of ``GET /v2/models/{name}``."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class TensorConfig(TypedDict):
    """A tensor in Triton's words."""

    name: str
    data_type: str
    dims: list[int]
    optional: NotRequired[bool]


class ModelConfig(TypedDict):
    """Answer of ``GET /v2/models/{name}/config``."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[TensorConfig]
    output: list[TensorConfig]


class ServerMetadata(TypedDict):
    """Answer of ``GET /v2``."""

    name: str
    version: str
    extensions: list[str]


class ModelNames(TypedDict):
    """Answer of ``GET /v2/models``."""

    models: list[str]


class IndexedModel(TypedDict):
    """One entry of the answer of ``POST /v2/repository/index``."""

    name: str
    version: str
    state: str
    reason: str
