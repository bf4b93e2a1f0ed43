"""The OpenAPI document of all dialects, made from the types that their routes declare.

``python -m polyvec.tools.openapi`` writes it, and the page that shows it, beside the server that
serves both.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from polyvec import __version__, errors
from polyvec.dialects._base import JSON_MEDIA_TYPE, Call, Dialect
from polyvec.dialects._registry import Owner, RouteTable, find_dialects
from polyvec.server import openapi_files
from polyvec.server.metrics import RequestMetrics
from polyvec.server.routes import server_dialect
from polyvec.tools._docs_page import docs_page
from polyvec.tools._json_schema import REFERENCE, Schema, SchemaBook, any_of, schema_like

_PARAM: Final = re.compile(r"\{([a-z_]+)\}")
# Every class of errors, so that each dialect shows what it makes of them.
_ERRORS: Final = (
    errors.PolyvecError("x"),
    errors.InvalidInputError("x", param="x"),
    errors.InvalidInputError("x", code="invalid_json"),
    errors.UnsupportedInputError("x", param="x"),
    errors.InputTooLongError("x", param="x", length=9, limit=8),
    errors.DimensionsError("x", dimensions=7, native=3),
    errors.PromptNotFoundError("x", param="x", name="x", known=("y",)),
    errors.TokenIdError("x", param="x", token=9),
    errors.TemplateError("x", param="x"),
    errors.MediaError("x", param="x"),
    errors.MediaError("x", param="x", code="media_not_found"),
    errors.UnprocessableInputError("x", param="x"),
    errors.PayloadTooLargeError("x"),
    errors.ModelNotFoundError("x", name="x", served=("y",)),
    errors.AuthenticationError("x"),
    errors.OverloadedError("x"),
    errors.NotReadyError("x"),
    errors.InferenceError("x"),
    errors.CheckpointError("x"),
    errors.ConfigError("x"),
)
_SERVER: Final = "server"
# Answered by the server itself, before a dialect is known.
_OF_THE_SERVER: Final = (401, 404, 413, 415)
_REASONS: Final[Mapping[int, str]] = {
    400: "The request is wrong.",
    401: "The API key is missing or wrong.",
    404: "There is no such model or path.",
    413: "The body is over the server's limit.",
    415: "The body's Content-Encoding is not supported.",
    422: "The input cannot be embedded, or the request is wrong.",
    429: "The server is full; Retry-After says when to come back.",
    500: "The server failed.",
    503: "The server is full, loading or stopping; Retry-After says when to come back.",
}
_BINARY: Final = "application/octet-stream"
_OTHER_MEDIA: Final[Mapping[str, str]] = {
    "/v1/embeddings": _BINARY,
    "/embeddings": _BINARY,
    "/pooling": _BINARY,
    "/invocations": _BINARY,
    "/openai/deployments/{model}/embeddings": _BINARY,
    "/openai/v1/embeddings": _BINARY,
    "/v2/models/{name}/infer": _BINARY,
    "/v2/models/{name}/versions/{version}/infer": _BINARY,
    "/flush_cache": "text/plain",
    "/metrics": "text/plain",
    "/docs": "text/html",
}
"""Paths with good answers that are not JSON, at least where the request asks for them."""
_EMPTY_ANSWERS: Final = ("/.well-known/live", "/.well-known/ready")


def build_document() -> dict[str, Any]:
    """Return the document of everything that is served."""
    own = server_dialect(RequestMetrics(), snapshots=dict, is_draining=lambda: False)
    dialects = (*find_dialects(), own)
    book = SchemaBook()
    failures = _Failures(dialects)
    paths: dict[str, Any] = {}
    for (method, path), owners in sorted(RouteTable(dialects).owners.items()):
        operation = _operation(method, path, owners, book, failures)
        paths.setdefault(path, {})[method.lower()] = operation
    schemas = dict(sorted(book.schemas.items()))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "polyvec",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Embeddings of texts, pictures and videos, in the APIs of many servers. "
            "Unknown fields are ignored, and null is as good as absent.",
        },
        "tags": [
            {"name": dialect.name, "description": f"Described at {dialect.source}"}
            for dialect in dialects
        ],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas | failures.schemas(),
            "responses": dict(sorted(failures.responses.items())),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    method: str,
    path: str,
    owners: Sequence[Owner],
    book: SchemaBook,
    failures: "_Failures",
) -> dict[str, Any]:
    names = list(dict.fromkeys(owner.dialect.name for owner in owners))
    operation: dict[str, Any] = {
        "tags": names,
        "operationId": f"{method}{path}".lower().translate(str.maketrans("/.-{}:", "______")),
        "responses": {
            **_good_answer(path, owners, book),
            **failures.answers(names),
        },
    }
    if len(names) > 1:
        operation["description"] = f"Shared by {', '.join(names)}: the body says whose it is."
    if params := _PARAM.findall(path):
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in params
        ]
    bodies = [owner.route.accepts for owner in owners if owner.route.accepts is not None]
    if bodies:
        schema = any_of([book.schema_of(body, nullable=True) for body in bodies])
        operation["requestBody"] = {
            "required": True,
            "content": {JSON_MEDIA_TYPE: {"schema": schema}},
        }
    return operation


def _good_answer(path: str, owners: Sequence[Owner], book: SchemaBook) -> dict[str, Any]:
    if path in _EMPTY_ANSWERS:
        return {"204": {"description": "Nothing more to say."}}
    found = [owner.route.returns for owner in owners]
    answers = [book.schema_of(one, nullable=False) for one in found if one is not None]
    content: dict[str, Any] = {}
    if answers:
        content[JSON_MEDIA_TYPE] = {"schema": any_of(answers)}
    if path in _OTHER_MEDIA:
        content[_OTHER_MEDIA[path]] = {}
    good = {"description": "A good answer."}
    return {"200": {**good, "content": content} if content else good}


class _Failures:
    """What each dialect says when something goes wrong.

    Attributes:
        responses: Name → response, for `answers` that were given.
    """

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        self._by_dialect = {dialect.name: _said_by(dialect) for dialect in dialects}
        self.responses: dict[str, Any] = {}

    def schemas(self) -> dict[str, Schema]:
        """Name → schema of all that a dialect says."""
        return {
            _failure_name(name): any_of(list(by_status.values()))
            for name, by_status in self._by_dialect.items()
        }

    def answers(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the bad answers of a path that some dialects share."""
        statuses = {status for name in names for status in self._by_dialect[name]}
        return {
            str(status): {"$ref": f"#/components/responses/{self._response(status, names)}"}
            for status in sorted(statuses | {*_OF_THE_SERVER})
        }

    def _response(self, status: int, names: Sequence[str]) -> str:
        speakers = [name for name in names if status in self._by_dialect[name]]
        if status in _OF_THE_SERVER:
            speakers.append(_SERVER)
        speakers = list(dict.fromkeys(speakers))
        key = f"{'-'.join(speakers)}.{status}"
        schema = any_of([{"$ref": REFERENCE + _failure_name(name)} for name in speakers])
        self.responses[key] = {
            "description": _REASONS.get(status, "The request cannot be answered."),
            "content": {JSON_MEDIA_TYPE: {"schema": schema}},
        }
        return key


def _failure_name(dialect: str) -> str:
    return f"{dialect}.Failure"


def _said_by(dialect: Dialect) -> dict[int, Schema]:
    """Status → schema of what a dialect says then."""
    said: dict[int, list[Any]] = {}
    for error in _ERRORS:
        reply = dialect.render_error(error, Call("POST", "/"))
        said.setdefault(reply.status, []).append(orjson.loads(reply.body))
    return {status: schema_like(bodies) for status, bodies in said.items()}


def write_files(folder: Path) -> None:
    """Write the document and its page."""
    document = build_document()
    (folder / openapi_files.DOCUMENT).write_bytes(orjson.dumps(document) + b"\n")
    (folder / openapi_files.PAGE).write_text(docs_page(document), encoding="utf-8")


if __name__ == "__main__":
    write_files(openapi_files.FOLDER)
