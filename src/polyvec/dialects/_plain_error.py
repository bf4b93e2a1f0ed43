"""Errors as one text under ``error``, which is how Ollama, Weaviate and Qdrant write them."""

from typing import TypedDict

from polyvec.dialects._base import Reply, retry_headers
from polyvec.dialects._encode import json_reply
from polyvec.dialects._openai.errors import SERVER_ERROR, SERVER_FAULT, error_status
from polyvec.errors import PolyvecError


class PlainError(TypedDict):
    """Body of an error."""

    error: str


def plain_error_reply(
    error: PolyvecError, *, status: int | None = None, message: str | None = None
) -> Reply:
    """Return an error as ``{"error": "…"}``.

    Args:
        error: What went wrong.
        status: In place of the usual one.
        message: In place of the error's own; never for faults of the server.
    """
    usual, _ = error_status(error)
    said = SERVER_FAULT if usual == SERVER_ERROR else message or error.message
    return json_reply(PlainError(error=said), status=status or usual, headers=retry_headers(error))
