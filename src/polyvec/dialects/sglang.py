"""SGLang's API, as far as it is about embeddings."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from polyvec import __version__
from polyvec.dialects._base import Call, Dialect, Reply, Route, retry_headers
from polyvec.dialects._encode import EncodingFormat, json_reply, rendered, wire_vector
from polyvec.dialects._openai.errors import error_body, error_reply, error_status
from polyvec.dialects._openai.wire import optional_str, request_id
from polyvec.dialects._recognise import (
    is_sglang,
    is_sglang_detokenize,
    is_sglang_rerank,
    is_sglang_score,
    is_sglang_tokenize,
)
from polyvec.dialects._sglang.encode import parse_encode
from polyvec.dialects._sglang.encode import render as render_encoded
from polyvec.dialects._sglang.info import model_info, server_info
from polyvec.dialects._sglang.input import DEFAULT_MODEL, parse_embed
from polyvec.dialects._sglang.tasks import (
    parse_classify,
    parse_detokenize,
    parse_rerank,
    parse_score,
    parse_tokenize,
    render_classes,
    render_ranking,
    render_scores,
    render_texts,
    render_tokens,
    usage,
)
from polyvec.dialects._sglang.wire import (
    ClassifyAnswer,
    ClassifyBody,
    DetokenizeAnswer,
    DetokenizeBody,
    EmbedAnswer,
    EmbedBody,
    EncodeAnswer,
    EncodeBody,
    ModelInfo,
    Ranked,
    RerankBody,
    ScoreAnswer,
    ScoreBody,
    ServerInfo,
    TokenizeAnswer,
    TokenizeBody,
)
from polyvec.errors import InputTooLongError, ModelNotFoundError, NotReadyError, PolyvecError
from polyvec.service import Service
from polyvec.types import EmbedRequest, EmbedResult, Input, ModelCard, Pair, Text

# SGLang gives its model as long to answer.
_MAX_PROBE_S: Final = 20.0
_PROBE: Final = "health"


def render(result: EmbedResult, encoding: EncodingFormat) -> Reply:
    """Return a result as SGLang lists vectors: without an id or a time."""
    data = [
        {
            "embedding": wire_vector(embedding.vector, encoding),
            "index": index,
            "object": "embedding",
        }
        for index, embedding in enumerate(result.embeddings)
    ]
    payload = {
        "data": data,
        "model": result.model,
        "object": "list",
        "usage": usage(result.num_tokens),
    }
    return json_reply(payload)


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error with SGLang's keys at the top and OpenAI's under ``error``.

    Source: ``create_error_response`` in ``python/sglang/srt/entrypoints/openai/serving_base.py`` of
    https://github.com/sgl-project/sglang.
    """
    if not isinstance(error, InputTooLongError) or error.unit != "tokens" or not error.limit:
        return error_reply(error)
    message = (
        f"The input ({error.length} tokens) is longer than the model's context length "
        f"({error.limit} tokens)."
    )
    status, kind = error_status(error)
    body = error_body(status, message, kind=kind, param=error.param, reason=error.code)
    return json_reply(body, status=status, headers=retry_headers(error))


def _card_of(body: Mapping[str, Any], service: Service) -> ModelCard:
    """The model that a body names; ``default`` is the first one, unless one is called so."""
    name = optional_str(body, "model")
    try:
        return service.find(name)
    except ModelNotFoundError:
        if name != DEFAULT_MODEL:
            raise
        return service.find(None)


async def _embed(call: Call, service: Service) -> Reply:
    body = call.json_object()
    request, encoding = parse_embed(body, _card_of(body, service))
    result = await service.embed(request)
    return await rendered(partial(render, result, encoding), result)


async def _encode(call: Call, service: Service) -> Reply:
    started_s = time.perf_counter()
    body = call.json_object()
    request, asked = parse_encode(body, _card_of(body, service))
    result = await service.embed(request)
    duration_s = time.perf_counter() - started_s
    written = partial(
        render_encoded, result, asked, request_id=request_id(call), duration_s=duration_s
    )
    return await rendered(written, result)


async def _rerank(call: Call, service: Service) -> Reply:
    body = call.json_object()
    request, ranking = parse_rerank(body, _card_of(body, service))
    return render_ranking(await service.score(request), ranking, request_id(call))


async def _score(call: Call, service: Service) -> Reply:
    body = call.json_object()
    return render_scores(await service.score(parse_score(body, _card_of(body, service))))


async def _classify(call: Call, service: Service) -> Reply:
    body = call.json_object()
    card = _card_of(body, service)
    result = await service.embed(parse_classify(body, card))
    # A model that was loaded for this request had no labels before.
    card = service.find(card.name)
    return render_classes(result, card, request_id(call), int(time.time()))


async def _tokenize(call: Call, service: Service) -> Reply:
    body = call.json_object()
    card = _card_of(body, service)
    result = await service.tokenize(parse_tokenize(body, card))
    return render_tokens(result, card, is_single=isinstance(body["prompt"], str))


async def _detokenize(call: Call, service: Service) -> Reply:
    body = call.json_object()
    request = parse_detokenize(body, _card_of(body, service))
    is_single = not any(isinstance(one, list) for one in body["tokens"])
    return render_texts(await service.detokenize(request), is_single=is_single)


async def _model_info(call: Call, service: Service) -> Reply:
    return json_reply(model_info(service.find(call.query.get("model"))))


async def _server_info(_call: Call, service: Service) -> Reply:
    card = service.find(None)
    return json_reply(server_info(card, version=__version__, is_ready=service.is_ready()))


async def _health_generate(_call: Call, service: Service) -> Reply:
    try:
        if service.is_ready():
            async with asyncio.timeout(_MAX_PROBE_S):
                await _ask_first_model(service)
            return Reply(200, b"")
    except (PolyvecError, TimeoutError):
        pass
    return error_reply(NotReadyError("the model does not answer"))


async def _ask_first_model(service: Service) -> None:
    """Embed something short; a model that is not loaded stays so."""
    card = service.find(None)
    if card.state != "ready" or not ("text" in card.modalities or card.is_pair_model):
        return
    part = Pair(_PROBE, _PROBE) if card.is_pair_model else Text(_PROBE)
    # Nobody else has this salt, so the answer does not come from the cache.
    await service.embed(EmbedRequest(card.name, (Input((part,)),), cache_salt=uuid.uuid4().hex))


async def _flush_cache(_call: Call, _service: Service) -> Reply:
    said = b"Nothing to flush: every vector in the cache is what the model would give again.\n"
    return Reply(200, said, media_type="text/plain; charset=utf-8")


def _sglang_only() -> tuple[Route, ...]:
    """Routes that no other dialect has."""
    rerank = {"accepts": RerankBody, "returns": list[Ranked]}
    return (
        Route("POST", "/encode", _encode, accepts=EncodeBody, returns=EncodeAnswer),
        Route("PUT", "/encode", _encode, accepts=EncodeBody, returns=EncodeAnswer),
        Route("PUT", "/v1/rerank", _rerank, **rerank),
        Route("POST", "/v1/classify", _classify, accepts=ClassifyBody, returns=ClassifyAnswer),
        Route("GET", "/model_info", _model_info, returns=ModelInfo),
        Route("GET", "/get_model_info", _model_info, returns=ModelInfo),
        Route("GET", "/server_info", _server_info, returns=ServerInfo),
        Route("GET", "/get_server_info", _server_info, returns=ServerInfo),
        Route("GET", "/health_generate", _health_generate),
        Route("GET", "/flush_cache", _flush_cache),
        Route("POST", "/flush_cache", _flush_cache),
    )


def _embeddings(path: str) -> Route:
    return Route("POST", path, _embed, is_sglang, accepts=EmbedBody, returns=EmbedAnswer)


DIALECT: Final = Dialect(
    name="sglang",
    routes=(
        _embeddings("/v1/embeddings"),
        _embeddings("/embeddings"),
        Route(
            "POST",
            "/v1/rerank",
            _rerank,
            is_sglang_rerank,
            accepts=RerankBody,
            returns=list[Ranked],
        ),
        Route(
            "POST",
            "/v1/score",
            _score,
            is_sglang_score,
            accepts=ScoreBody,
            returns=ScoreAnswer,
        ),
        Route(
            "POST",
            "/v1/tokenize",
            _tokenize,
            is_sglang_tokenize,
            accepts=TokenizeBody,
            returns=TokenizeAnswer,
        ),
        Route(
            "POST",
            "/v1/detokenize",
            _detokenize,
            is_sglang_detokenize,
            accepts=DetokenizeBody,
            returns=DetokenizeAnswer,
        ),
        *_sglang_only(),
    ),
    render_error=render_error,
    source="https://github.com/sgl-project/sglang/blob/main/docs/supported_models/retrieval_ranking/embedding_models.md",
)
