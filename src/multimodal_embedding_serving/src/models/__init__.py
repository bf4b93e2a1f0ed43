"""The same names under the path that they have in the original's source tree."""

from multimodal_embedding_serving._factory import (
    ModelFactory,
    get_model_handler,
    list_available_models,
)

__all__ = ["ModelFactory", "get_model_handler", "list_available_models"]
