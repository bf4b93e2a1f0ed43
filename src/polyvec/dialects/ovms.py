"""OpenVINO Model Server's API: whatever is below ``/v3``, and the state of its configuration."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, cast

from polyvec.dialects._base import Call, Dialect, Reply, Route, retry_headers
from polyvec.dialects._encode import EncodingFormat, json_reply, rendered, wire_vector
from polyvec.dialects._openai.errors import SERVER_ERROR, SERVER_FAULT
from polyvec.dialects._openai.wire import token_vocabulary
from polyvec.dialects._ovms.requests import (
    INVALID_JSON,
    Fill,
    Ranking,
    parse_embed,
    parse_rerank,
    parse_tokenize,
    read_body,
    task_of,
)
from polyvec.dialects._ovms.wire import (
    FAILED,
    NO_KEY,
    NOT_LOADED,
    RELOAD_FAILED,
    UNKNOWN_MODEL,
    UNKNOWN_NAME,
    ConfigAnswer,
    EmbedAnswer,
    EmbedBody,
    ModelList,
    ModelObject,
    OvmsError,
    RerankAnswer,
    RerankBody,
    TokenizeAnswer,
    TokenizeBody,
)
from polyvec.dialects._scores import best_first
from polyvec.errors import (
    AuthenticationError,
    ConfigError,
    InputTooLongError,
    InvalidInputError,
    ModelNotFoundError,
    NotReadyError,
    OverloadedError,
    PayloadTooLargeError,
    PolyvecError,
)
from polyvec.service import Service
from polyvec.types import (
    DetokenizeRequest,
    EmbedResult,
    IntArray,
    ModelCard,
    ModelState,
    ScoreRequest,
    ScoreResult,
    TokenizeRequest,
    TokenizeResult,
)

_RELOADED: Final = 201
_NOT_RELOADED: Final = 200
# One long text beside many short ones would come back as many long ones.
_MAX_FILLED_TOKENS: Final = 2**22
# How checkpoints spell their padding token.
_PADS: Final = ("[PAD]", "<pad>", "<|pad|>")
_NUM_FIRST: Final = 4
# A model that is not loaded is loaded by its first request, so for callers it is there.
_STATES: Final[dict[ModelState, tuple[str, str]]] = {
    "ready": ("AVAILABLE", "OK"),
    "unloaded": ("AVAILABLE", "OK"),
    "loading": ("LOADING", "OK"),
    "failed": ("LOADING", "FAILED_PRECONDITION"),
}


def render_embeddings(result: EmbedResult, encoding: EncodingFormat) -> Reply:
    """Return vectors as OVMS lists them, with the name of the model besides."""
    data = [
        {
            "object": "embedding",
            "embedding": wire_vector(embedding.vector, encoding),
            "index": index,
        }
        for index, embedding in enumerate(result.embeddings)
    ]
    usage = {"prompt_tokens": result.num_tokens, "total_tokens": result.num_tokens}
    return json_reply({"object": "list", "data": data, "usage": usage, "model": result.model})


def render_ranking(request: ScoreRequest, result: ScoreResult, ranking: Ranking) -> Reply:
    """Return the best documents first; of equal ones the first."""
    results = []
    for index in best_first(result.scores, ranking.top_n):
        ranked: dict[str, Any] = {"index": index, "relevance_score": float(result.scores[index])}
        if ranking.with_documents:
            ranked["document"] = {"text": request.documents[index]}
        results.append(ranked)
    return json_reply({"results": results})


def render_tokens(ids: Sequence[Sequence[int]]) -> Reply:
    """Return token ids: of one text as one array, of several as an array of arrays."""
    return json_reply({"tokens": ids[0] if len(ids) == 1 else ids})


def render_config(cards: Iterable[ModelCard]) -> bytes:
    """Return the state of every model, byte for byte as OVMS lays it out.

    Source: the expected texts of ``src/test/http_rest_api_handler_test.cpp`` in
    https://github.com/openvinotoolkit/model_server.
    """
    states = sorted((card.name, card.state) for card in cards)
    if not states:
        return b"{}"
    written = [f"{json.dumps(name)} : \n{_status(state)}" for name, state in states]
    return ("{\n" + ",\n".join(written) + "\n}").encode()


def render_error(error: PolyvecError, call: Call) -> Reply:
    """Return an error in OVMS's words where it has some, and in ours under ``detail``."""
    status, message = _status_and_message(error, call)
    detail = SERVER_FAULT if status == SERVER_ERROR else error.message
    body = OvmsError(error=message, detail=detail)
    return json_reply(body, status=status, headers=retry_headers(error))


def _status_and_message(error: PolyvecError, call: Call) -> tuple[int, str]:
    if isinstance(error, InvalidInputError):
        if error.code == INVALID_JSON:
            return 412, error.message
        return 400, FAILED.format(node=_node_of(call), message=_words_for(error))
    for kind, status, message in (
        (ModelNotFoundError, 404, UNKNOWN_MODEL),
        (NotReadyError, 503, NOT_LOADED),
        (AuthenticationError, 401, NO_KEY),
        (OverloadedError, 503, error.message),
        (PayloadTooLargeError, 413, error.message),
    ):
        if isinstance(error, kind):
            return status, message
    return SERVER_ERROR, SERVER_FAULT


def _words_for(error: InvalidInputError) -> str:
    if isinstance(error, InputTooLongError) and error.unit == "tokens" and error.limit:
        return f"Input length {error.length} longer than allowed {error.limit}"
    return error.message


def _node_of(call: Call) -> str:
    """What OVMS's own graphs call the node that refused the body."""
    return "RerankExecutor" if call.path.rstrip("/").endswith("rerank") else "EmbeddingsExecutor"


def _status(state: ModelState) -> str:
    name, code = _STATES[state]
    loading = {"error_code": code, "error_message": code}
    version = {"version": "1", "state": name, "status": loading}
    return json.dumps({"model_version_status": [version]}, indent=1)


async def _answer(call: Call, service: Service) -> Reply:
    """Answer any call below ``/v3``: its body says which model, and what of it."""
    body = read_body(call)
    rest = call.path.rstrip("/")[len("/v3/") :]
    model = body.get("model") or _model_in(rest, service)
    task = task_of(rest, body)
    if task == "tokenize":
        return await _tokenize(*parse_tokenize(body, model), service)
    if task == "rerank":
        return await _rerank(*parse_rerank(body, model), service)
    request, encoding = parse_embed(body, model, token_vocabulary(call))
    result = await service.embed(request)
    return await rendered(partial(render_embeddings, result, encoding), result)


def _model_in(rest: str, service: Service) -> str | None:
    """The model that the end of the path names, for bodies that name none."""
    try:
        return service.find(rest).name if rest else None
    except ModelNotFoundError:
        return None


async def _rerank(request: ScoreRequest, ranking: Ranking, service: Service) -> Reply:
    return render_ranking(request, await service.score(request), ranking)


async def _tokenize(request: TokenizeRequest, fill: Fill | None, service: Service) -> Reply:
    result = await service.tokenize(request)
    ids = [one.ids for one in result.inputs]
    if fill is None:
        return render_tokens([one.tolist() for one in ids])
    pad = await _pad_of(result, service)
    return render_tokens(_filled(ids, fill, pad))


async def _pad_of(result: TokenizeResult, service: Service) -> int:
    """The id that a model's texts are filled up with.

    Vocabularies that have a token for it have it among their first. Others use the last token of
    every text.
    """
    firsts = tuple((token,) for token in range(_NUM_FIRST))
    spelled = await service.detokenize(DetokenizeRequest(result.model, firsts))
    for token, text in enumerate(spelled.texts):
        if text.strip() in _PADS:
            return token
    one = result.inputs[0]
    is_closed = bool(len(one.ids)) and bool(one.is_special[-1])
    return int(one.ids[-1]) if is_closed else 0


def _filled(ids: Sequence[IntArray], fill: Fill, pad: int) -> list[list[int]]:
    length = fill.length or max(map(len, ids))
    if length * len(ids) > _MAX_FILLED_TOKENS:
        raise InvalidInputError(
            f"{len(ids)} texts of {length} tokens are too many to pad", param="pad_to_max_length"
        )
    filled = []
    for one in ids:
        padding = [pad] * (length - len(one))
        filled.append(padding + one.tolist() if fill.on_left else one.tolist() + padding)
    return filled


async def _list_models(_call: Call, service: Service) -> Reply:
    return json_reply({"data": [_model(card) for card in service.models()], "object": "list"})


async def _get_model(call: Call, service: Service) -> Reply:
    try:
        return json_reply(_model(service.find(call.path_params["model"])))
    except ModelNotFoundError as error:
        # OVMS answers 500, which clients would try again.
        return json_reply(OvmsError(error=UNKNOWN_NAME, detail=error.message), status=404)


def _model(card: ModelCard) -> ModelObject:
    return {"id": card.name, "object": "model", "created": card.created, "owned_by": "OVMS"}


async def _config(_call: Call, service: Service) -> Reply:
    return Reply(200, render_config(service.models()))


async def _reload(_call: Call, service: Service) -> Reply:
    try:
        status = _RELOADED if await service.reload() else _NOT_RELOADED
    except ConfigError:
        return Reply(412, f'{{\n\t"error": "{RELOAD_FAILED}"\n}}'.encode())
    return Reply(status, render_config(service.models()))


_ACCEPTS: Final = cast("Any", EmbedBody | RerankBody | TokenizeBody)
_RETURNS: Final = cast("Any", EmbedAnswer | RerankAnswer | TokenizeAnswer)

DIALECT: Final = Dialect(
    name="ovms",
    routes=(
        Route("POST", "/v3", _answer, accepts=_ACCEPTS, returns=_RETURNS),
        Route("POST", "/v3/{rest}", _answer, accepts=_ACCEPTS, returns=_RETURNS),
        Route("POST", "/v3/embeddings", _answer, accepts=EmbedBody, returns=EmbedAnswer),
        Route("POST", "/v3/rerank", _answer, accepts=RerankBody, returns=RerankAnswer),
        Route("POST", "/v3/tokenize", _answer, accepts=TokenizeBody, returns=TokenizeAnswer),
        Route("GET", "/v3/models", _list_models, returns=ModelList),
        Route("GET", "/v3/v1/models", _list_models, returns=ModelList),
        Route("GET", "/v3/models/{model}", _get_model, returns=ModelObject),
        Route("GET", "/v3/v1/models/{model}", _get_model, returns=ModelObject),
        Route("GET", "/v1/config", _config, returns=ConfigAnswer),
        Route("POST", "/v1/config/reload", _reload, returns=ConfigAnswer),
    ),
    render_error=render_error,
    source="https://github.com/openvinotoolkit/model_server/blob/main/docs/model_server_rest_api_embeddings.md",
)
