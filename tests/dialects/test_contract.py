"""What holds for every dialect: documented examples, every error class, any body at all."""

import asyncio
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec import errors
from polyvec.dialects._base import Call
from polyvec.dialects._registry import RouteTable
from tests.dialects.stub import CARD, StubService, answer, dialect_named

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*/*.json"))
SECRET = "/srv/secret/weights.bin at 0x7f00deadbeef"
NAMES = ["openai", "mmes", "vllm"]

# A body that each dialect accepts, on a path where it takes bodies.
VALID = {
    "openai": ("/v1/embeddings", {"input": "a"}),
    "vllm": ("/score", {"queries": "a", "documents": ["b"]}),
    "mmes": ("/embeddings", {"model": CARD.name, "input": {"type": "text", "text": "a"}}),
}

# Error → status of openai and vllm, status of mmes.
STATUSES = [
    (errors.InvalidInputError("bad", param="input"), 400, 422),
    (errors.InvalidInputError("bad", code="invalid_json"), 400, 422),
    (errors.UnsupportedInputError("no images", param="input"), 400, 400),
    (errors.InputTooLongError("too long", param="input[1]"), 400, 422),
    (errors.MediaError("not an image", param="input"), 400, 422),
    (errors.UnprocessableInputError("not finite", param="input"), 422, 422),
    (errors.PayloadTooLargeError("over the limit"), 413, 413),
    (errors.ModelNotFoundError("no such model", param="model"), 404, 400),
    (errors.AuthenticationError("no key"), 401, 401),
    (errors.OverloadedError("full", retry_after_s=2.5), 503, 503),
    (errors.NotReadyError("loading"), 503, 503),
    (errors.InferenceError(SECRET), 500, 500),
    (errors.CheckpointError(SECRET), 500, 500),
    (errors.ConfigError(SECRET), 500, 500),
    (errors.PolyvecError(SECRET), 500, 500),
]

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
    call = Call("POST", VALID[name][0], body=body)
    return asyncio.run(answer(call, service or StubService(), table))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_a_documented_request_gets_its_documented_response(path):
    golden = orjson.loads(path.read_bytes())
    request = golden["request"]
    body = orjson.dumps(request["body"]) if "body" in request else b""
    call = Call(request["method"], request["path"], headers=request.get("headers", {}), body=body)
    reply = await answer(call, StubService())
    response = orjson.loads(reply.body)
    if "usage" in golden["response"]:
        assert isinstance(response["created"], int)
        response["created"] = golden["response"]["created"]
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
    assert {type(error) for error, *_ in STATUSES} == ours


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("error", "openai_status", "mmes_status"),
    STATUSES,
    ids=[f"{type(error).__name__}-{error.code}" for error, *_ in STATUSES],
)
def test_an_error_has_a_json_body_and_its_status(name, error, openai_status, mmes_status):
    service = StubService(error=error)
    reply = _send(name, orjson.dumps(VALID[name][1]), service)
    body = orjson.loads(reply.body)
    assert reply.status == mmes_status if name == "mmes" else openai_status
    assert reply.media_type == "application/json"
    assert body["detail"]
    assert b"/srv" not in reply.body
    assert b"0x7f" not in reply.body
    assert ("Retry-After" in reply.headers) == (reply.status == 503)
    assert service.requests or service.scored, "the service was never asked"


@pytest.mark.parametrize("name", NAMES)
def test_no_error_echoes_the_data_of_the_input(name):
    for body in (
        {"model": CARD.name, "input": {"type": "image_base64", "image_base64": ["SECRETDATA"]}},
        {"model": CARD.name, "input": {"type": "text", "text": {"SECRETDATA": "SECRETDATA"}}},
        {"model": CARD.name, "input": ["a", {"SECRETDATA": 1}]},
    ):
        reply = _send(name, orjson.dumps(body))
        assert reply.status in (400, 422)
        assert b"SECRETDATA" not in reply.body
        assert len(reply.body) < 1000


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=300, deadline=None)
@given(body=JSON_VALUES)
def test_any_json_gets_an_answer(name, body):
    # orjson.dumps would refuse integers beyond 64 bits, which callers can send.
    reply = _send(name, json.dumps(body).encode())
    assert reply.status in (200, 400, 422)
    orjson.loads(reply.body)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=200, deadline=None)
@given(fields=st.dictionaries(FIELD_NAMES, JSON_VALUES, max_size=6))
def test_any_fields_beside_a_valid_body_get_an_answer(name, fields):
    reply = _send(name, json.dumps(fields | VALID[name][1]).encode())
    assert reply.status in (200, 400, 422)
    orjson.loads(reply.body)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=100))
def test_any_bytes_get_an_answer(name, body):
    reply = _send(name, body)
    assert reply.status in (200, 400, 422)
    orjson.loads(reply.body)
