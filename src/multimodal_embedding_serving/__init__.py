"""The Python SDK of Intel's Multimodal Embedding Serving, on polyvec.

Applications that import the original's package find its names here. See ``docs/mmes-sdk.md``.
Nothing is loaded before one of the names is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from polyvec import __version__

if TYPE_CHECKING:
    from multimodal_embedding_serving._embedding_model import EmbeddingModel
    from multimodal_embedding_serving._factory import (
        ModelFactory,
        get_model_handler,
        list_available_models,
    )

__all__ = [
    "EmbeddingModel",
    "ModelFactory",
    "__version__",
    "get_model_handler",
    "list_available_models",
]

_HOMES = {
    "EmbeddingModel": "_embedding_model",
    "ModelFactory": "_factory",
    "get_model_handler": "_factory",
    "list_available_models": "_factory",
}


def __getattr__(name: str) -> Any:
    """Load the module of a name when it is first asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
