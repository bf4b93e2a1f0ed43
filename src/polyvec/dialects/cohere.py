"""Cohere's embedding and tokenising API, versions 1 and 2.

Its ``/rerank`` has the paths and the bodies of vLLM's, which answers it.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from polyvec.dialects._base import Call, Dialect, Reply, Route, retry_headers
from polyvec.dialects._cohere.input import Asked, parse
from polyvec.dialects._cohere.wire import (
    DetokenizeAnswer,
    DetokenizeBody,
    EmbedBody,
    EmbedByType,
    EmbeddingType,
    EmbedFloats,
    KeyAnswer,
    TokenizeAnswer,
    TokenizeBody,
)
from polyvec.dialects._encode import json_reply, rendered, wire_matrix, wire_vector
from polyvec.dialects._openai.errors import SERVER_ERROR, SERVER_FAULT, error_status
from polyvec.dialects._openai.wire import (
    INT64_MAX,
    optional_str,
    request_id,
    wrong_type,
)
from polyvec.dialects._purposes import COHERE_PURPOSES, embed_for
from polyvec.dialects._quantize import wire_quantized
from polyvec.errors import InvalidInputError, PolyvecError
from polyvec.service import Service
from polyvec.types import (
    DetokenizeRequest,
    EmbedRequest,
    EmbedResult,
    Image,
    Input,
    Text,
    TokenizeRequest,
    Video,
)


def render(asked: Asked, result: EmbedResult, *, answer_id: str, version: str) -> Reply:
    """Return the vectors by type; one array of floats in version 1 where no type was named.

    Raises:
        InvalidInputError: Bits are asked for, and the vectors' length is not a multiple of 8.
    """
    answer: dict[str, Any] = {"id": answer_id}
    if version == "1" and asked.embedding_types is None:
        answer |= {
            "response_type": "embeddings_floats",
            "embeddings": wire_matrix(result.embeddings),
        }
    else:
        types = asked.embedding_types or ("float",)
        answer |= {
            "response_type": "embeddings_by_type",
            "embeddings": {name: _vectors(result, name) for name in types},
        }
    meta = {**_meta(version), "billed_units": _billed_units(asked.request, result)}
    return json_reply({**answer, "texts": asked.texts, "meta": meta})


def render_error(error: PolyvecError, call: Call) -> Reply:
    """Return an error as ``{"id": …, "message": …}``.

    Source: https://docs.cohere.com/reference/errors.
    """
    status, _ = error_status(error)
    message = SERVER_FAULT if status == SERVER_ERROR else error.message
    body = {"id": request_id(call), "message": message}
    return json_reply(body, status=status, headers=retry_headers(error))


def _vectors(result: EmbedResult, name: EmbeddingType) -> list[Any]:
    vectors = [embedding.vector for embedding in result.embeddings]
    if name == "base64":
        return [wire_vector(vector, "base64") for vector in vectors]
    return [wire_quantized(vector, name, "float", "embedding_types") for vector in vectors]


def _meta(version: str) -> dict[str, Any]:
    return {"api_version": {"version": version}}


def _billed_units(request: EmbedRequest, result: EmbedResult) -> dict[str, int]:
    """Tokens, all of them under ``image_tokens`` as soon as there is one picture.

    A picture that its model reads without tokens counts as one.

    Source: ``/v2/embed`` of https://github.com/vllm-project/vllm.
    """
    parts = [part for item in request.inputs for part in item.parts]
    num_images = sum(isinstance(part, Image | Video) for part in parts)
    if not num_images:
        return {"input_tokens": result.num_tokens, "image_tokens": 0}
    num_tokens = sum(max(embedding.num_tokens, 1) for embedding in result.embeddings)
    return {"input_tokens": 0, "images": num_images, "image_tokens": num_tokens}


async def _embed(call: Call, service: Service, *, version: str) -> Reply:
    asked = parse(call.json_object())
    result = await embed_for(
        asked.input_type, COHERE_PURPOSES, asked.request, service, param="input_type"
    )
    answer_id = f"embd-{request_id(call)}"
    written = partial(render, asked, result, answer_id=answer_id, version=version)
    return await rendered(written, result)


async def _tokenize(call: Call, service: Service) -> Reply:
    body = call.json_object()
    text = body.get("text")
    if not isinstance(text, str):
        raise wrong_type("text", "a string", text)
    request = TokenizeRequest(
        optional_str(body, "model") or None,
        (Input((Text(text),), param="text"),),
        add_special_tokens=False,
    )
    found = (await service.tokenize(request)).inputs[0]
    return json_reply({"tokens": found.ids, "token_strings": found.tokens, "meta": _meta("1")})


async def _detokenize(call: Call, service: Service) -> Reply:
    body = call.json_object()
    request = DetokenizeRequest(optional_str(body, "model") or None, (_token_ids(body),))
    result = await service.detokenize(request)
    return json_reply({"text": result.texts[0], "meta": _meta("1")})


def _token_ids(body: Mapping[str, Any]) -> tuple[int, ...]:
    ids = body.get("tokens")
    if not isinstance(ids, list):
        raise wrong_type("tokens", "an array of token ids", ids)
    for index, token in enumerate(ids):
        if type(token) is not int or not 0 <= token <= INT64_MAX:
            where = f"tokens[{index}]"
            raise InvalidInputError(f"{where} must be a token id: an integer from 0", param=where)
    return tuple(ids)


async def _check_key(_call: Call, _service: Service) -> Reply:
    """A call with a wrong key does not come this far."""
    return json_reply({"valid": True})


DIALECT: Final = Dialect(
    name="cohere",
    routes=(
        Route("POST", "/v2/embed", partial(_embed, version="2"), None, EmbedBody, EmbedByType),
        Route(
            "POST", "/v1/embed", partial(_embed, version="1"),
            accepts=EmbedBody, returns=EmbedFloats | EmbedByType,
        ),
        Route("POST", "/v1/tokenize", _tokenize, accepts=TokenizeBody, returns=TokenizeAnswer),
        Route(
            "POST", "/v1/detokenize", _detokenize,
            accepts=DetokenizeBody, returns=DetokenizeAnswer,
        ),
        Route("POST", "/v1/check-api-key", _check_key, returns=KeyAnswer),
    ),
    render_error=render_error,
    source="https://docs.cohere.com/reference/embed",
)  # fmt: skip
