"""Text Embeddings Inference's routes, and Hugging Face's tasks, which go to ``POST /``."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from polyvec.dialects._base import Call, Dialect, Endpoint, Reply, Route
from polyvec.dialects._encode import json_reply, rendered
from polyvec.dialects._openai.wire import optional_str, wrong_type
from polyvec.dialects._recognise import is_tei, is_tei_rerank
from polyvec.dialects._tei.errors import render_error
from polyvec.dialects._tei.replies import (
    cost_headers,
    info,
    predictions_reply,
    ranks_reply,
    similarities_reply,
    tokens_reply,
    vectors_reply,
)
from polyvec.dialects._tei.requests import (
    Ask,
    parse_decode,
    parse_embed,
    parse_predict,
    parse_rerank,
    parse_similarity,
    parse_tokenize,
)
from polyvec.dialects._tei.wire import (
    DecodeBody,
    EmbedBody,
    Info,
    PredictBody,
    Predictions,
    Ranks,
    RawBody,
    RerankBody,
    Similarities,
    SimilarityBody,
    SimpleToken,
    SparseVectors,
    TaskAnswer,
    TaskBody,
    TokenizeBody,
    TokenVectors,
    Vectors,
    VertexAnswer,
    VertexBody,
)
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.service import Service
from polyvec.types import (
    DetokenizeRequest,
    EmbedRequest,
    EmbedResult,
    ModelCard,
    Output,
    Text,
    Tokens,
)

Body = Mapping[str, Any]
_Task = Callable[[Body, Service], Awaitable[Reply]]

# Word for word what TEI says of a model of another kind.
_LACKS: Final[dict[Output, str]] = {
    "dense": "Model is not an embedding model",
    "tokens": "Model is not an embedding model",
    "sparse": "Model is not an embedding model with SPLADE pooling",
    "score": "Model is not a classifier model",
}


def task_of(body: Body, card: ModelCard) -> str:
    """Return which route answers a body of ``POST /``: its shape says it, and else the model.

    Source: router/src/http/server.rs, which mounts one of the routes at ``/``.
    """
    inputs = body.get("inputs")
    if "query" in body and "texts" in body:
        return "rerank"
    if isinstance(inputs, Mapping):
        return "similarity"
    main = card.outputs[0] if card.outputs else "dense"
    if main == "score" or (card.state != "ready" and _holds_texts(inputs)):
        return "predict"
    return {"sparse": "embed_sparse", "tokens": "embed_all"}.get(main, "embed")


def _holds_texts(inputs: Any) -> bool:
    """Whether they are arrays of texts, which only a cross-encoder reads."""
    first = inputs[0] if isinstance(inputs, list) and inputs else None
    return isinstance(first, list) and bool(first) and isinstance(first[0], str)


def _card(body: Body, service: Service, output: Output | None = None) -> ModelCard:
    """The card of the model that a body names.

    Raises:
        ModelNotFoundError: No served model has the name.
        UnsupportedInputError: It does not give what is asked for.
    """
    card = service.find(optional_str(body, "model") or None)
    if output is not None and card.state == "ready" and output not in card.outputs:
        raise UnsupportedInputError(_LACKS[output], param="model")
    return card


# Vectors.


async def _vectors(body: Body, service: Service, output: Output) -> Reply:
    started_s = time.perf_counter()
    card = _card(body, service, output)
    ask = parse_embed(body, card, output)
    result = await service.embed(await _read_ids(ask.request, service))
    headers = _headers(card, ask, result, started_s)
    return await rendered(partial(vectors_reply, result, output, headers), result)


async def _read_ids(request: EmbedRequest, service: Service) -> EmbedRequest:
    """A request whose token ids have become texts where a prompt is to stand before them."""
    ids = [each.parts[0].ids for each in request.inputs if isinstance(each.parts[0], Tokens)]
    if not ids or request.prompt_name is None:
        return request
    asked = DetokenizeRequest(request.model, tuple(ids), skip_special_tokens=True)
    texts = iter((await service.detokenize(asked)).texts)
    inputs = tuple(
        replace(each, parts=(Text(next(texts)),)) if isinstance(each.parts[0], Tokens) else each
        for each in request.inputs
    )
    return replace(request, inputs=inputs)


async def _similarity(body: Body, service: Service) -> Reply:
    started_s = time.perf_counter()
    card = _card(body, service, "dense")
    ask = parse_similarity(body, card)
    result = await service.embed(ask.request)
    return similarities_reply(result, _headers(card, ask, result, started_s))


# Scores.


async def _predict(body: Body, service: Service) -> Reply:
    started_s = time.perf_counter()
    card = _card(body, service, "score")
    ask = parse_predict(body, card)
    result = await service.embed(ask.request)
    headers = _headers(card, ask, result, started_s)
    labelled = _card(body, service)  # its first request has loaded it
    return predictions_reply(result, ask, labelled, headers)


async def _rerank(body: Body, service: Service) -> Reply:
    started_s = time.perf_counter()
    card = _card(body, service)
    ask = parse_rerank(body, card)
    if len(card.labels) > 1:
        raise UnsupportedInputError("model is not a re-ranker model", param="model")
    result = await service.score(ask.request)
    card = _card(body, service)  # its first request has loaded it
    query, texts = str(ask.request.queries[0]), list(map(str, ask.request.documents))
    headers = cost_headers(
        card,
        num_chars=len(query) * len(texts) + sum(map(len, texts)),
        num_tokens=result.num_tokens,
        took_s=time.perf_counter() - started_s,
    )
    return ranks_reply(result, ask, card, headers)


def _headers(card: ModelCard, ask: Ask, result: EmbedResult, started_s: float) -> Mapping[str, str]:
    return cost_headers(
        card,
        num_chars=ask.num_chars,
        num_tokens=result.num_tokens,
        took_s=time.perf_counter() - started_s,
    )


# Tokens.


async def _tokenize(body: Body, service: Service) -> Reply:
    return tokens_reply(await service.tokenize(parse_tokenize(body, _card(body, service))))


async def _decode(body: Body, service: Service) -> Reply:
    result = await service.detokenize(parse_decode(body, _card(body, service)))
    return json_reply(list(result.texts))


# Whatever the body asks for.

_TASKS: Final[Mapping[str, _Task]] = {
    "embed": partial(_vectors, output="dense"),
    "embed_all": partial(_vectors, output="tokens"),
    "embed_sparse": partial(_vectors, output="sparse"),
    "similarity": _similarity,
    "predict": _predict,
    "rerank": _rerank,
}


async def _task(body: Body, service: Service) -> Reply:
    task = task_of(body, _card(body, service))
    try:
        return await _TASKS[task](body, service)
    except UnsupportedInputError:
        # What a model is for may be known only once its first request has loaded it.
        other = task_of(body, _card(body, service))
        if other == task:
            raise
    return await _TASKS[other](body, service)


async def _named_task(call: Call, service: Service) -> Reply:
    """A body at one of Hugging Face's own paths, which name the model."""
    return await _task({**call.json_object(), "model": call.path_params["model"]}, service)


async def _vertex(body: Body, service: Service) -> Reply:
    """Every instance by itself, and their answers under one key."""
    instances = body.get("instances")
    if not isinstance(instances, list):
        raise wrong_type("instances", "an array of objects", instances)
    for index, instance in enumerate(instances):
        if not isinstance(instance, Mapping):
            raise wrong_type(f"instances[{index}]", "an object", instance)
    limit = _card(body, service).max_inputs
    if len(instances) > limit:
        raise InvalidInputError(
            f"batch size {len(instances)} > maximum allowed batch size {limit}", param="instances"
        )
    replies = await asyncio.gather(*(_task(instance, service) for instance in instances))
    return json_reply({"predictions": [orjson.Fragment(reply.body) for reply in replies]})


async def _info(call: Call, service: Service) -> Reply:
    return json_reply(info(service.find(call.query.get("model"))))


def _endpoint(answer: _Task) -> Endpoint:
    async def endpoint(call: Call, service: Service) -> Reply:
        return await answer(call.json_object(), service)

    return endpoint


def _is_invocation(body: Any) -> bool:
    return is_tei(body) or is_tei_rerank(body)


def _task_route(path: str, *, owns: Callable[[Any], bool] | None = None) -> Route:
    answer = _named_task if "{model}" in path else _endpoint(_task)
    return Route("POST", path, answer, owns, accepts=TaskBody, returns=TaskAnswer)


def _route(
    path: str,
    answer: _Task,
    types: tuple[Any, Any],
    *,
    owns: Callable[[Any], bool] | None = None,
) -> Route:
    return Route("POST", path, _endpoint(answer), owns, accepts=types[0], returns=types[1])


DIALECT: Final = Dialect(
    name="tei",
    routes=(
        _route("/embed", _TASKS["embed"], (EmbedBody, Vectors)),
        _route("/embed_all", _TASKS["embed_all"], (RawBody, TokenVectors)),
        _route("/embed_sparse", _TASKS["embed_sparse"], (RawBody, SparseVectors)),
        _route("/similarity", _similarity, (SimilarityBody, Similarities)),
        _route("/predict", _predict, (PredictBody, Predictions)),
        _route("/rerank", _rerank, (RerankBody, Ranks), owns=is_tei_rerank),
        _route("/tokenize", _tokenize, (TokenizeBody, list[list[SimpleToken]]), owns=is_tei),
        _route("/decode", _decode, (DecodeBody, list[str])),
        _route("/vertex", _vertex, (VertexBody, VertexAnswer)),
        _task_route("/"),
        _task_route("/invocations", owns=_is_invocation),
        _task_route("/models/{model}"),
        _task_route("/models/{model}/pipeline/feature-extraction"),
        _task_route("/models/{model}/pipeline/sentence-similarity"),
        _task_route("/pipeline/feature-extraction/{model}"),
        _task_route("/pipeline/sentence-similarity/{model}"),
        Route("GET", "/info", _info, returns=Info),
    ),
    render_error=render_error,
    source="https://github.com/huggingface/text-embeddings-inference",
)
