"""vLLM's endpoints beside embeddings: scores, pooling, classes, tokens, and SageMaker's door."""

from typing import Final

from polyvec.dialects._base import Call, Dialect, Endpoint, Reply, Route
from polyvec.dialects._openai.embed import embeddings
from polyvec.dialects._openai.errors import error_reply
from polyvec.dialects._openai.schema import EmbeddingList
from polyvec.dialects._openai.wire import optional_str
from polyvec.dialects._vllm.pooling import classify, pooling
from polyvec.dialects._vllm.schema import (
    ClassifyList,
    DetokenizeAnswer,
    DetokenizeBody,
    InvocationBody,
    PoolingBody,
    PoolingList,
    RerankAnswer,
    RerankBody,
    ScoreBody,
    ScoreList,
    TokenizeAnswer,
    TokenizeBody,
)
from polyvec.dialects._vllm.score import rerank, score
from polyvec.dialects._vllm.tokenize import detokenize, tokenize
from polyvec.errors import InvalidInputError, NotReadyError, PolyvecError
from polyvec.service import Service

_NO_ENDPOINT: Final = (
    "Cannot find suitable handler for request. Expected one of: input, messages, query with "
    "documents, queries with documents (or items), text_1 with text_2, data_1 with data_2"
)


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as OpenAI's clients expect it."""
    return error_reply(error)


async def _invocations(call: Call, service: Service) -> Reply:
    """Answer SageMaker's one path as the endpoint that takes such a body.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html.
    """
    body = call.json_object()
    named = {name for name, value in body.items() if value is not None}
    if named & {"input", "messages"}:
        endpoint = await _for_inputs(call, service)
    elif {"query", "documents"} <= named:
        endpoint = rerank
    elif named & {"queries", "text_1", "data_1"}:
        endpoint = score
    else:
        raise InvalidInputError(_NO_ENDPOINT)
    return await endpoint(call, service)


async def _for_inputs(call: Call, service: Service) -> Endpoint:
    """What this model makes of inputs."""
    card = service.find(optional_str(call.json_object(), "model") or None)
    if "dense" in card.outputs or card.outputs[0] == "tokens":
        return embeddings
    return classify if card.outputs[0] == "score" else pooling


async def _ping(_call: Call, service: Service) -> Reply:
    """Answer SageMaker's probe with an empty body."""
    if not service.is_ready():
        raise NotReadyError("the model is not ready")
    return Reply(200, b"")


DIALECT: Final = Dialect(
    name="vllm",
    routes=(
        Route("POST", "/score", score, accepts=ScoreBody, returns=ScoreList),
        Route("POST", "/v1/score", score, accepts=ScoreBody, returns=ScoreList),
        Route("POST", "/rerank", rerank, accepts=RerankBody, returns=RerankAnswer),
        Route("POST", "/v1/rerank", rerank, accepts=RerankBody, returns=RerankAnswer),
        Route("POST", "/v2/rerank", rerank, accepts=RerankBody, returns=RerankAnswer),
        Route("POST", "/pooling", pooling, accepts=PoolingBody, returns=PoolingList),
        Route("POST", "/classify", classify, accepts=PoolingBody, returns=ClassifyList),
        Route("POST", "/tokenize", tokenize, accepts=TokenizeBody, returns=TokenizeAnswer),
        Route("POST", "/detokenize", detokenize, accepts=DetokenizeBody, returns=DetokenizeAnswer),
        Route(
            "POST",
            "/invocations",
            _invocations,
            accepts=InvocationBody,
            returns=EmbeddingList | PoolingList | ClassifyList | ScoreList | RerankAnswer,
        ),
        Route("GET", "/ping", _ping),
        Route("POST", "/ping", _ping),
    ),
    render_error=render_error,
    source="https://docs.vllm.ai/en/stable/models/pooling_models/",
)
