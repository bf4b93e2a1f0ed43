"""The document that describes all dialects."""

import orjson
import pytest

from polyvec.dialects._registry import RouteTable, find_dialects
from polyvec.server import openapi_files
from polyvec.tools._docs_page import docs_page
from polyvec.tools.openapi import build_document

DOCUMENT = build_document()
TABLE = RouteTable(find_dialects())
MAX_BYTES = 300_000


def _operations():
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _references(value):
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)


def _content(operation, status):
    return operation["responses"][status].get("content", {})


def test_the_files_are_up_to_date():
    # `make docs` writes them.
    written = orjson.dumps(DOCUMENT) + b"\n"
    assert openapi_files.read_file(openapi_files.DOCUMENT) == written
    assert openapi_files.read_file(openapi_files.PAGE) == docs_page(DOCUMENT).encode()
    assert len(written) < MAX_BYTES


def test_every_route_is_in_it():
    described = {(method, path) for method, path, _ in _operations()}
    assert set(TABLE.owners) <= described
    assert ("GET", "/openapi.json") in described


def test_every_reference_leads_somewhere():
    for reference in _references(DOCUMENT):
        found = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        assert isinstance(found, dict)


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for _, _, operation in _operations()]
    assert len(set(names)) == len(names)


def test_a_shared_path_takes_the_bodies_of_all_its_dialects():
    operation = DOCUMENT["paths"]["/"]["post"]
    assert set(operation["tags"]) == {"tei", "qdrant"}
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    named = {reference.rpartition("/")[2].partition(".")[0] for reference in _references(schema)}
    assert named == {"tei", "qdrant"}


def test_an_error_is_that_of_the_dialect():
    name = DOCUMENT["paths"]["/api/embed"]["post"]["responses"]["400"]["$ref"].rpartition("/")[2]
    answer = DOCUMENT["components"]["responses"][name]
    assert answer["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/ollama.Failure"
    }
    failure = DOCUMENT["components"]["schemas"]["ollama.Failure"]
    assert failure["properties"] == {"error": {"type": "string"}}


@pytest.mark.parametrize(
    ("method", "path", "status", "media_types"),
    [
        ("get", "/metrics", "200", {"text/plain"}),
        ("get", "/.well-known/ready", "204", set()),
        ("get", "/ping", "200", set()),
        ("post", "/api/embed", "200", {"application/json"}),
        ("post", "/v1/embeddings", "200", {"application/json", "application/octet-stream"}),
    ],
)
def test_a_good_answer_has_its_media_types(method, path, status, media_types):
    assert set(_content(DOCUMENT["paths"][path][method], status)) == media_types


def test_every_route_with_a_body_says_what_it_takes():
    bodiless = {
        (method, path)
        for (method, path), owners in TABLE.owners.items()
        for owner in owners
        if method != "GET" and owner.route.accepts is None
    }
    assert bodiless == {
        ("POST", "/flush_cache"),
        ("POST", "/ping"),
        ("POST", "/v1/check-api-key"),
        ("POST", "/v1/config/reload"),
        ("POST", "/v2/repository/index"),
    }
