"""The server's own routes, as a dialect of their own: probes, metrics, version, front page."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from polyvec import __version__
from polyvec.dialects._base import Call, Dialect, Reply, Route, retry_headers
from polyvec.dialects._openai.errors import error_body
from polyvec.errors import (
    AuthenticationError,
    InvalidInputError,
    ModelNotFoundError,
    NotReadyError,
    OverloadedError,
    PayloadTooLargeError,
    PolyvecError,
)
from polyvec.server.metrics import MEDIA_TYPE, RequestMetrics, engine_lines, ready_lines
from polyvec.server.openapi_files import DOCUMENT, PAGE, read_file
from polyvec.service import Service

Snapshots = Callable[[], Mapping[str, Mapping[str, Any]]]

_STATUSES: tuple[tuple[type[PolyvecError], int], ...] = (
    (AuthenticationError, 401),
    (ModelNotFoundError, 404),
    (PayloadTooLargeError, 413),
    (InvalidInputError, 400),
    (OverloadedError, 503),
    (NotReadyError, 503),
)


_KINDS = {
    401: "AuthenticationError",
    404: "NotFoundError",
    405: "MethodNotAllowed",
    413: "RequestEntityTooLarge",
}


def problem(
    status: int, message: str, *, code: str, headers: Mapping[str, str] | None = None
) -> Reply:
    """An error body that every client finds its own key in.

    OpenAI's read ``error``, pymilvus ``message``, Jina's and FastAPI's users ``detail``. It is the
    body of the dialects of OpenAI's shape.
    """
    body = error_body(status, message, kind=_kind(status), param=None, reason=code)
    return Reply(status, orjson.dumps(body), headers or {})


def _kind(status: int) -> str:
    """The ``type`` of an error, as the dialects of OpenAI's shape name it."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        is_busy = status == HTTPStatus.SERVICE_UNAVAILABLE
        return "ServiceUnavailableError" if is_busy else "InternalServerError"
    return _KINDS.get(status, "BadRequestError")


def render_error(error: PolyvecError, call: Call) -> Reply:
    """The reply for an error outside of every vendor's API."""
    del call
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    return problem(status, error.message, code=error.code, headers=retry_headers(error))


def server_dialect(
    metrics: RequestMetrics, *, snapshots: Snapshots, is_draining: Callable[[], bool]
) -> Dialect:
    """The routes that no vendor's API owns. ``/health`` is not among them: the mmes dialect has it.

    Args:
        metrics: Of the HTTP side.
        snapshots: The engines' metrics by served name.
        is_draining: Whether the process is about to stop.
    """

    async def ready(call: Call, service: Service) -> Reply:
        del call
        if service.is_ready() and not is_draining():
            return _json({"status": "ready"})
        return _json({"status": "not ready"}, 503, {"Retry-After": "1"})

    async def show_metrics(call: Call, service: Service) -> Reply:
        del call
        is_ready = service.is_ready() and not is_draining()
        lines = [*metrics.lines(), *ready_lines(is_ready), *engine_lines(snapshots())]
        return Reply(200, ("\n".join(lines) + "\n").encode(), media_type=MEDIA_TYPE)

    async def load(call: Call, service: Service) -> Reply:
        del call, service
        # This very request is in flight too.
        return _json({"server_load": max(metrics.in_flight - 1, 0)})

    return Dialect(
        name="server",
        routes=(
            Route("GET", "/", _front_page),
            Route("GET", "/live", _live),
            Route("GET", "/ready", ready),
            Route("GET", "/version", _version),
            Route("GET", "/load", load),
            Route("GET", "/metrics", show_metrics),
            Route("GET", "/openapi.json", _openapi),
            Route("GET", "/docs", _docs),
        ),
        render_error=render_error,
        source="ARCHITECTURE.md",
    )


def _json(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps(payload), headers or {})


async def _live(call: Call, service: Service) -> Reply:
    del call, service
    return _json({"status": "ok"})


async def _version(call: Call, service: Service) -> Reply:
    del call, service
    return _json({"version": __version__})


async def _openapi(call: Call, service: Service) -> Reply:
    del call, service
    return Reply(200, read_file(DOCUMENT))


async def _docs(call: Call, service: Service) -> Reply:
    del call, service
    return Reply(200, read_file(PAGE), media_type="text/html; charset=utf-8")


async def _front_page(call: Call, service: Service) -> Reply:
    del call
    return _json(
        {
            "name": "polyvec",
            "version": __version__,
            "models": [card.name for card in service.models()],
            "try": {
                "embed": "POST /v1/embeddings",
                "models": "GET /v1/models",
                "ready": "GET /ready",
                "metrics": "GET /metrics",
                "docs": "GET /docs",
            },
        }
    )
