"""Voyage's API: embeddings, multimodal and contextualized embeddings, reranking."""

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any, Final

from polyvec.dialects._base import Call, Dialect, Reply, Route, retry_headers
from polyvec.dialects._encode import json_reply, rendered
from polyvec.dialects._openai.errors import SERVER_ERROR, SERVER_FAULT, error_status
from polyvec.dialects._openai.wire import optional_str
from polyvec.dialects._purposes import VOYAGE_PURPOSES, embed_for
from polyvec.dialects._quantize import wire_quantized
from polyvec.dialects._recognise import is_voyage, is_voyage_rerank
from polyvec.dialects._scores import best_first, short_numbers
from polyvec.dialects._voyage.input import (
    Asked,
    Documents,
    parse_contextualized,
    parse_embed,
    parse_multimodal,
    parse_rerank,
)
from polyvec.dialects._voyage.wire import (
    ContextualizedAnswer,
    ContextualizedBody,
    EmbedAnswer,
    EmbedBody,
    MultimodalAnswer,
    MultimodalBody,
    RerankAnswer,
    RerankBody,
)
from polyvec.errors import PolyvecError
from polyvec.service import Service
from polyvec.types import Embedding, EmbedResult


def render(asked: Asked, result: EmbedResult, usage: dict[str, int]) -> Reply:
    """Return a result as one list of vectors.

    Raises:
        InvalidInputError: Bits are asked for, and the vectors' length is not a multiple of 8.
    """
    data = _objects(asked, result.embeddings)
    return json_reply({"object": "list", "data": data, "model": result.model, "usage": usage})


def render_documents(documents: Documents, result: EmbedResult) -> Reply:
    """Return a result as a list of documents, each a list of its chunks' vectors.

    Raises:
        InvalidInputError: As `render`.
    """
    ends = tuple(accumulate(documents.lengths))
    data = []
    for index, (end, length) in enumerate(zip(ends, documents.lengths, strict=True)):
        chunks = slice(end - length, end)
        objects = _objects(documents.asked, result.embeddings[chunks])
        if documents.texts is not None:
            for item, text in zip(objects, documents.texts[chunks], strict=True):
                item["text"] = text
        data.append({"object": "list", "data": objects, "index": index})
    usage = {"total_tokens": result.num_tokens}
    return json_reply({"object": "list", "data": data, "model": result.model, "usage": usage})


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as ``{"detail": …}``, which Voyage's client reads.

    Source: https://docs.voyageai.com/docs/error-codes.
    """
    status, _ = error_status(error)
    message = SERVER_FAULT if status == SERVER_ERROR else error.message
    return json_reply({"detail": message}, status=status, headers=retry_headers(error))


def _objects(asked: Asked, embeddings: Sequence[Embedding]) -> list[dict[str, Any]]:
    return [
        {
            "object": "embedding",
            "embedding": wire_quantized(
                embedding.vector, asked.dtype, asked.encoding, "output_dtype"
            ),
            "index": index,
        }
        for index, embedding in enumerate(embeddings)
    ]


async def _embed_asked(asked: Asked, service: Service) -> EmbedResult:
    return await embed_for(
        asked.input_type, VOYAGE_PURPOSES, asked.request, service, param="input_type"
    )


async def _embed(call: Call, service: Service) -> Reply:
    asked = parse_embed(call.json_object())
    result = await _embed_asked(asked, service)
    usage = {"total_tokens": result.num_tokens}
    return await rendered(partial(render, asked, result, usage), result)


async def _embed_multimodal(call: Call, service: Service) -> Reply:
    asked = parse_multimodal(call.json_object())
    result = await _embed_asked(asked, service)
    usage = {
        "text_tokens": result.num_tokens,
        "image_pixels": 0,
        "video_pixels": 0,
        "total_tokens": result.num_tokens,
    }
    return await rendered(partial(render, asked, result, usage), result)


async def _embed_contextualized(call: Call, service: Service) -> Reply:
    body = call.json_object()
    card = service.find(optional_str(body, "model") or None)
    documents = parse_contextualized(body, card.max_input_tokens)
    result = await _embed_asked(documents.asked, service)
    return await rendered(partial(render_documents, documents, result), result)


async def _rerank(call: Call, service: Service) -> Reply:
    request, top_k, with_texts = parse_rerank(call.json_object())
    result = await service.score(request)
    numbers = short_numbers(result.scores)
    data: list[dict[str, Any]] = [
        {"index": index, "relevance_score": numbers[index]}
        for index in best_first(result.scores, top_k)
    ]
    if with_texts:
        for item in data:
            item["document"] = request.documents[item["index"]]
    usage = {"total_tokens": result.num_tokens}
    return json_reply({"object": "list", "data": data, "model": result.model, "usage": usage})


def _both(path: str, *rest: Any) -> tuple[Route, Route]:
    """A route with and without the version, which callers leave out of the base URL."""
    return Route("POST", f"/v1{path}", *rest), Route("POST", path, *rest)


DIALECT: Final = Dialect(
    name="voyage",
    routes=(
        *_both("/embeddings", _embed, is_voyage, EmbedBody, EmbedAnswer),
        *_both("/multimodalembeddings", _embed_multimodal, None, MultimodalBody, MultimodalAnswer),
        *_both(
            "/contextualizedembeddings",
            _embed_contextualized,
            None,
            ContextualizedBody,
            ContextualizedAnswer,
        ),
        *_both("/rerank", _rerank, is_voyage_rerank, RerankBody, RerankAnswer),
    ),
    render_error=render_error,
    source="https://docs.voyageai.com/reference/embeddings-api",
)
