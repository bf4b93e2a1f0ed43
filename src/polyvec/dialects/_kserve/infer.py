"""What an infer request asks for, and its answer: texts or pictures in, vectors out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from polyvec.dialects._base import Reply, json_type
from polyvec.dialects._content import source_of
from polyvec.dialects._encode import json_reply
from polyvec.dialects._kserve.tensors import HEADER_LENGTH, Tensor, pack, read_tensors, text_of
from polyvec.dialects._openai.wire import optional_int, optional_str, wrong_type
from polyvec.errors import InvalidInputError
from polyvec.types import Bytes, EmbedRequest, EmbedResult, Image, Input, MediaPart, Text, Video

OUTPUT_NAME: Final = "embedding"
"""What the vectors are called where a request does not call them otherwise."""

VERSION: Final = "1"
"""Of every model; a version in a path is not looked at."""

_Kind = Literal["text", "image", "video"]

_LITTLE_FLOAT32: Final = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an answer is to be written.

    Attributes:
        request_id: Repeated in the answer; None for none.
        name: Of the tensor of vectors.
        is_binary: Whether the vectors follow the JSON as bytes.
    """

    request_id: str | None
    name: str
    is_binary: bool


def parse_infer(
    body: Mapping[str, Any], raw: bytes, model: str | None
) -> tuple[EmbedRequest, Wanted]:
    """Return what a body of ``POST /v2/models/{name}/infer`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.

    Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md;
    ``dimensions``, ``prompt_name`` and ``task`` among the parameters are polyvec's.
    """
    parameters = _parameters(body, "parameters")
    dimensions = optional_int(parameters, "dimensions")
    if dimensions is not None and dimensions < 1:
        raise InvalidInputError("dimensions must be a positive integer", param="dimensions")
    request = EmbedRequest(
        model,
        _inputs(read_tensors(body, raw)),
        dimensions=dimensions,
        prompt_name=optional_str(parameters, "prompt_name"),
        task=optional_str(parameters, "task"),
        outputs=("dense",),
    )
    return request, _wanted(body, parameters)


def render(result: EmbedResult, wanted: Wanted) -> Reply:
    """Return the vectors as one FP32 tensor, shape [n, D]."""
    vectors = np.stack([embedding.vector for embedding in result.embeddings])
    tensor: dict[str, Any] = {
        "name": wanted.name,
        "datatype": "FP32",
        "shape": list(vectors.shape),
    }
    header = {"model_name": result.model, "model_version": VERSION, "outputs": [tensor]}
    if wanted.request_id is not None:
        header["id"] = wanted.request_id
    if not wanted.is_binary:
        tensor["data"] = np.ascontiguousarray(vectors, np.float32).reshape(-1)
        return json_reply(header)
    raw = np.ascontiguousarray(vectors, _LITTLE_FLOAT32).tobytes()
    tensor["parameters"] = {"binary_data_size": len(raw)}
    content, num_header_bytes = pack(header, raw)
    headers = {HEADER_LENGTH: str(num_header_bytes)}
    return Reply(200, content, headers, media_type="application/octet-stream")


def _inputs(tensors: Sequence[Tensor]) -> tuple[Input, ...]:
    """One input for each row: its text, its picture or video, or both."""
    by_kind: dict[_Kind, Tensor] = {}
    for tensor in tensors:
        kind = _kind_of(tensor.name)
        if kind in by_kind:
            raise InvalidInputError(
                f"{tensor.param}: there is a tensor of {kind}s already; give one of texts, one of "
                "images or one of each",
                param=tensor.param,
            )
        by_kind[kind] = tensor
    sizes = {len(tensor.elements) for tensor in tensors}
    if len(sizes) > 1 or sizes == {0}:
        raise InvalidInputError("inputs must have the same number of elements, 1 or more")
    return tuple(_row(by_kind, index) for index in range(sizes.pop()))


def _kind_of(name: str) -> _Kind:
    lowered = name.lower()
    if "video" in lowered:
        return "video"
    return "image" if "image" in lowered or "pixel" in lowered else "text"


def _row(tensors: Mapping[_Kind, Tensor], index: int) -> Input:
    parts = tuple(_parts(tensors, index))
    param = next(iter(tensors.values())).param
    return Input(parts or (Text(""),), param=f"{param}.data[{index}]")


def _parts(tensors: Mapping[_Kind, Tensor], index: int) -> Iterator[MediaPart]:
    """What a row is made of; beside other tensors an empty element stands for nothing."""
    for kind, tensor in tensors.items():
        element = tensor.elements[index]
        if not element and len(tensors) > 1:
            continue
        param = f"{tensor.param}.data[{index}]"
        if kind == "text":
            yield Text(text_of(element, param))
        else:
            source = _source(element, param)
            yield Image(source) if kind == "image" else Video(source)


def _source(element: str | bytes, param: str) -> Any:
    """A URL, a path or base64 is ASCII; an encoded picture is not."""
    if isinstance(element, bytes) and not element.isascii():
        return Bytes(element)
    return source_of(text_of(element, param), param)


def _wanted(body: Mapping[str, Any], parameters: Mapping[str, Any]) -> Wanted:
    outputs = body.get("outputs")
    request_id = optional_str(body, "id")
    is_binary = _flag(parameters, "binary_data_output") or False
    if outputs is None or outputs == []:
        return Wanted(request_id, OUTPUT_NAME, is_binary)
    if not isinstance(outputs, list) or len(outputs) != 1 or not isinstance(outputs[0], Mapping):
        raise InvalidInputError("outputs must hold one object: there is one output, the vectors")
    name = optional_str(outputs[0], "name")
    asked = _flag(_parameters(outputs[0], "outputs[0].parameters"), "binary_data")
    return Wanted(request_id, name or OUTPUT_NAME, is_binary if asked is None else asked)


def _parameters(holder: Mapping[str, Any], param: str) -> Mapping[str, Any]:
    value = holder.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong_type(param, "an object", value)
    return value


def _flag(holder: Mapping[str, Any], name: str) -> bool | None:
    value = holder.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidInputError(f"{name} must be a boolean, got {json_type(value)}", param=name)
