"""Clients send null for what they do not set, in any field that may be absent."""

import asyncio
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import orjson
import pytest

from polyvec.dialects._base import Call
from polyvec.tools._json_schema import REFERENCE, SchemaBook
from polyvec.types import Embedding, EmbedResult, ModelCard, SparseVector
from tests.dialects.client_bodies import RANKINGS, VECTORS
from tests.dialects.samples import SAMPLES
from tests.dialects.stub import CARD, ROWS, TABLE, StubService, answer

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*/*.json"))
ROUTES = [
    (owner.dialect.name, path)
    for (method, path), owners in sorted(TABLE.owners.items())
    for owner in owners
    if method == "POST" and owner.route.accepts is not None
]
# Of models that the examples have none of.
OTHERS = [
    ("/predict", {"inputs": "a"}),
    ("/embed_all", {"inputs": "a"}),
    ("/embed_sparse", {"inputs": "a"}),
    ("/classify", {"input": "a"}),
    ("/classify", {"input": ["a"], "raw_scores": False}),
]


def _resolved(method, path, body):
    found = TABLE.resolve(Call(method, path, body=orjson.dumps(body)))
    return found and (found[0].name, found[1].path)


@dataclass
class Classifier(StubService):
    """Gives whatever is asked for, and is a model of everything."""

    cards: tuple[ModelCard, ...] = (
        replace(CARD, outputs=("score", "sparse", "tokens"), labels=("yes", "no")),
    )

    async def embed(self, request):
        wanted = request.outputs or self.cards[0].outputs
        given = Embedding(
            np.empty(0, np.float32),
            5,
            sparse=SparseVector(np.array([3]), ROWS[0, :1]) if "sparse" in wanted else None,
            token_vectors=ROWS if "tokens" in wanted else None,
            scores=ROWS[0, :2] if "score" in wanted else None,
        )
        return EmbedResult(CARD.name, (given,) * len(request.inputs))


def _status(path, body):
    """200 if a model of any kind takes the body."""
    call = Call("POST", path, body=orjson.dumps(body))
    status = asyncio.run(answer(call, StubService())).status
    return status if status == 200 else asyncio.run(answer(call, Classifier())).status


def _bodies():
    """Every body that some test calls good, with the path it is sent to."""
    for path in GOLDEN:
        golden = orjson.loads(path.read_bytes())
        request = golden["request"]
        if golden["status"] == 200 and request["method"] == "POST":
            yield request["path"], request.get("body", {})
    for sent in (*VECTORS, *RANKINGS):
        yield sent.path, sent.body
    for sample in SAMPLES.values():
        yield sample.path, sample.body
    yield from OTHERS


@cache
def _good():
    """Route → its good bodies, as (path, body)."""
    found = {}
    for path, body in _bodies():
        named = {**body, "model": CARD.name} if isinstance(body, dict) and "model" in body else body
        route = _resolved("POST", path, named)
        if _status(path, named) == 200:
            found.setdefault(route, []).append((path, named))
    return found


def _objects(schema, schemas):
    if "$ref" in schema:
        yield from _objects(schemas[schema["$ref"].removeprefix(REFERENCE)], schemas)
    for each in schema.get("anyOf", ()):
        yield from _objects(each, schemas)
    if "properties" in schema:
        yield schema


def _optional_fields(accepts, body):
    """Names of the fields that may be absent from a body of a type."""
    book = SchemaBook()
    fits = [
        schema
        for schema in _objects(book.schema_of(accepts, nullable=True), book.schemas)
        if set(schema.get("required", ())) <= set(body)
    ]
    return {
        name
        for schema in fits
        for name in schema["properties"]
        if not any(name in other.get("required", ()) for other in fits)
    }


def _similar(name, path):
    """Good bodies of this route, or else of another one of the dialect that takes the same."""
    accepts = _accepts(name, path)
    for route, bodies in _good().items():
        if route == (name, path):
            return bodies
    for (other, other_path), bodies in _good().items():
        if other == name and _accepts(other, other_path) == accepts:
            return [(path.replace("{model}", CARD.name), body) for _, body in bodies]
    return []


@cache
def _accepts(name, path):
    return next(
        owner.route.accepts
        for (method, declared), owners in TABLE.owners.items()
        for owner in owners
        if (method, declared) == ("POST", path) and owner.dialect.name == name
    )


@pytest.mark.parametrize(("name", "path"), ROUTES)
def test_null_is_as_good_as_absent(name, path):
    bodies = _similar(name, path)
    assert bodies, "no test has a good body for this route"
    for called, body in bodies:
        for field in sorted(_optional_fields(_accepts(name, path), body)):
            if body.get(field) is not None:
                continue  # what makes the body good may have to be there
            assert _status(called, {**body, field: None}) == 200, field
