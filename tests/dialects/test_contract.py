"""What holds for every dialect: documented examples, every error class, any body at all."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec import errors
from polyvec.dialects._base import Call
from polyvec.dialects._registry import RouteTable, find_dialects
from tests.dialects.samples import SAMPLES, USUAL
from tests.dialects.stub import CARD, StubService, answer, dialect_named

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*/*.json"))
NAMES = sorted(SAMPLES)
# Times in answers, which no two answers share.
VOLATILE = {"created", "total_duration"}
# What a caller's fault may be answered with.
CALLER_STATUSES = {400, 404, 412, 413, 415, 422}

JSON_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["text", "image_base64", "video_frames", "video_url", CARD.name, "base64"])
)
FIELD_NAMES = st.sampled_from(
    [
        "input", "model", "encoding_format", "dimensions", "truncate", "truncation_side",
        "truncate_prompt_tokens", "priority", "cache_salt", "prompt_name", "type", "text",
        "queries", "documents", "query", "top_n", "outputs", "task",
        "image_base64", "image_url", "image_path", "video_frames", "video_url", "segment_config",
    ]
)  # fmt: skip
JSON_VALUES = st.recursive(
    JSON_SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELD_NAMES, inner, max_size=5),
    max_leaves=25,
)


def _send(name, body, service=None):
    table = RouteTable([dialect_named(name)])
    call = Call("POST", SAMPLES[name].path, body=body)
    return asyncio.run(answer(call, service or StubService(), table))


def _served(golden):
    """The usual model and, for a good answer, one of the name that the documents use."""
    body = golden["request"].get("body")
    name = body.get("model") if isinstance(body, dict) and golden["status"] == 200 else None
    usual = StubService().cards
    return (*usual, replace(usual[0], name=name, aliases=())) if name else usual


def test_every_dialect_has_a_sample():
    assert {dialect.name for dialect in find_dialects()} == set(SAMPLES)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_a_documented_request_gets_its_documented_response(path):
    golden = orjson.loads(path.read_bytes())
    request = golden["request"]
    body = orjson.dumps(request["body"]) if "body" in request else b""
    call = Call(request["method"], request["path"], headers=request.get("headers", {}), body=body)
    reply = await answer(call, StubService(cards=_served(golden)))
    response = orjson.loads(reply.body)
    for name in VOLATILE & set(golden["response"] if isinstance(response, dict) else ()):
        assert isinstance(response[name], int)
        response[name] = golden["response"][name]
    assert reply.status == golden["status"]
    assert response == golden["response"]
    assert golden["source"]


@pytest.mark.parametrize("name", NAMES)
def test_every_dialect_has_documented_examples(name):
    assert any(path.parent.name == name for path in GOLDEN)


def test_the_table_of_statuses_knows_every_error_class():
    classes = {errors.PolyvecError}
    while missing := {sub for cls in classes for sub in cls.__subclasses__()} - classes:
        classes |= missing
    ours = {cls for cls in classes if cls.__module__ == "polyvec.errors"}
    assert {type(error) for error, _ in USUAL} == ours


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("error", "usual"), USUAL, ids=[f"{type(error).__name__}-{error.code}" for error, _ in USUAL]
)
def test_an_error_has_a_json_body_and_its_status(name, error, usual):
    sample = SAMPLES[name]
    service = StubService(error=error)
    reply = _send(name, orjson.dumps(sample.body), service)
    assert reply.status == sample.status_of(error, usual)
    assert reply.media_type == "application/json"
    assert sample.message(orjson.loads(reply.body))
    assert b"/srv" not in reply.body
    assert b"0x7f" not in reply.body
    assert ("Retry-After" in reply.headers) == (reply.status in (429, 503))
    assert service.requests or service.scored, "the service was never asked"


@pytest.mark.parametrize("name", NAMES)
def test_no_error_echoes_the_data_of_the_input(name):
    for body in (
        {"model": CARD.name, "input": {"type": "image_base64", "image_base64": ["SECRETDATA"]}},
        {"model": CARD.name, "input": {"type": "text", "text": {"SECRETDATA": "SECRETDATA"}}},
        {"model": CARD.name, "input": ["a", {"SECRETDATA": 1}]},
    ):
        reply = _send(name, orjson.dumps(body))
        assert reply.status in CALLER_STATUSES
        assert b"SECRETDATA" not in reply.body
        assert len(reply.body) < 1000


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None)
@given(body=JSON_VALUES)
def test_any_json_gets_an_answer(name, body):
    # orjson.dumps would refuse integers beyond 64 bits, which callers can send.
    reply = _send(name, json.dumps(body).encode())
    assert reply.status == 200 or reply.status in CALLER_STATUSES
    orjson.loads(reply.body)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=80, deadline=None)
@given(fields=st.dictionaries(FIELD_NAMES, JSON_VALUES, max_size=6))
def test_any_fields_beside_a_valid_body_get_an_answer(name, fields):
    reply = _send(name, json.dumps(fields | SAMPLES[name].body).encode())
    assert reply.status == 200 or reply.status in CALLER_STATUSES
    orjson.loads(reply.body)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=100))
def test_any_bytes_get_an_answer(name, body):
    reply = _send(name, body)
    assert reply.status == 200 or reply.status in CALLER_STATUSES
    orjson.loads(reply.body)
