"""OpenAI's embeddings and models endpoints, with the extensions of servers that speak its API."""

from collections.abc import Callable
from typing import Any, Final

from polyvec.dialects._base import Call, Dialect, Endpoint, Reply, Route
from polyvec.dialects._openai.embed import deployment_embeddings, embeddings
from polyvec.dialects._openai.errors import error_reply
from polyvec.dialects._openai.models import ModelList, ModelObject, get_model, list_models
from polyvec.dialects._openai.schema import EmbeddingBody, EmbeddingList
from polyvec.dialects._recognise import is_openai
from polyvec.errors import PolyvecError


def render_error(error: PolyvecError, _call: Call) -> Reply:
    """Return an error as OpenAI's clients expect it."""
    return error_reply(error)


def _vectors(path: str, endpoint: Endpoint, owns: Callable[[Any], bool] | None = None) -> Route:
    return Route("POST", path, endpoint, owns, accepts=EmbeddingBody, returns=EmbeddingList)


DIALECT: Final = Dialect(
    name="openai",
    routes=(
        _vectors("/v1/embeddings", embeddings),
        _vectors("/embeddings", embeddings, is_openai),
        # Azure's two forms. The version that its clients send in the query changes nothing.
        _vectors("/openai/deployments/{model}/embeddings", deployment_embeddings),
        _vectors("/openai/v1/embeddings", embeddings),
        Route("GET", "/v1/models", list_models, returns=ModelList),
        Route("GET", "/v1/models/{model}", get_model, returns=ModelObject),
        Route("GET", "/openai/v1/models", list_models, returns=ModelList),
    ),
    render_error=render_error,
    source="https://platform.openai.com/docs/api-reference/embeddings",
)
