import json
import math
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.dialects._base import MAX_JSON_DEPTH, Call, json_type, retry_headers
from polyvec.errors import (
    InferenceError,
    InvalidInputError,
    NotReadyError,
    OverloadedError,
    UnprocessableInputError,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


def _nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"[" * (depth % 2) + b"]" * (depth % 2) + b"]}" * (depth // 2)


@given(JSON_VALUES)
def test_any_json_value_is_decoded(value):
    assert Call("POST", "/", body=json.dumps(value).encode()).json() == value


def test_json_is_decoded_once():
    call = Call("POST", "/", body=b'{"a": [1]}')
    assert call.json() is call.json()


def test_a_null_body_is_decoded_and_cached():
    call = Call("POST", "/", body=b"null")
    assert call.json() is None
    assert call.json() is None


def test_the_content_type_does_not_matter():
    headers = {"content-type": "text/plain"}
    assert Call("POST", "/", headers=headers, body=b"[1]").json() == [1]


def test_of_two_equal_keys_the_last_wins():
    assert Call("POST", "/", body=b'{"a": 1, "a": 2}').json() == {"a": 2}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,]",
        b"NaN",
        b'{"a": Infinity}',
        b"-Infinity",
        b"1e999",
        b'"\xff"',
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b"\xef\xbb\xbf{}",
        b'{"a": 1} {}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        _nested(MAX_JSON_DEPTH + 1),
        _nested(1000),
    ],
)
def test_what_is_not_strict_json_is_invalid_json(body):
    with pytest.raises(InvalidInputError) as caught:
        Call("POST", "/", body=body).json()
    assert caught.value.code == "invalid_json"
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("depth", [1, 2, MAX_JSON_DEPTH - 1, MAX_JSON_DEPTH])
def test_nesting_up_to_the_limit_is_accepted(depth):
    assert Call("POST", "/", body=_nested(depth)).json() == orjson.loads(_nested(depth))


def test_wide_is_not_deep():
    body = orjson.dumps({"input": [[1, 2]] * 5000})
    assert len(Call("POST", "/", body=body).json()["input"]) == 5000


@given(st.lists(st.sampled_from(['"', "\\", "[", "]", "{", "}", "a"]), max_size=300))
def test_brackets_and_quotes_in_strings_do_not_count_as_nesting(characters):
    value = ["".join(characters), "[" * 200]
    assert Call("POST", "/", body=orjson.dumps(value)).json() == value


@given(st.lists(st.sampled_from(['"', "\\", "[", "]", "{", "}"]), max_size=50))
def test_strings_do_not_hide_nesting(characters):
    text = orjson.dumps("".join(characters))
    body = b"[" * 70 + text + b"," + text + b"]" * 70
    with pytest.raises(InvalidInputError, match="deeper than 64"):
        Call("POST", "/", body=body).json()


def test_nesting_that_the_decoder_gives_up_on_is_refused_as_nesting():
    with pytest.raises(InvalidInputError, match="deeper than 64"):
        Call("POST", "/", body=_nested(5000)).json()


@given(st.binary(max_size=200))
def test_arbitrary_bytes_decode_or_are_invalid_json(body):
    with suppress(InvalidInputError):
        orjson.dumps(Call("POST", "/", body=body).json())


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"true"])
def test_a_body_that_is_no_object_is_named_by_its_type(body):
    with pytest.raises(InvalidInputError, match=json_type(orjson.loads(body))):
        Call("POST", "/", body=body).json_object()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "boolean"),
        (1, "integer"),
        (1.5, "number"),
        ("", "string"),
        ([], "array"),
        ({}, "object"),
    ],
)
def test_json_types_have_their_json_names(value, name):
    assert json_type(value) == name


@pytest.mark.parametrize(
    ("retry_after_s", "seconds", "milliseconds"),
    [
        (0.0, "1", "1"),
        (-3.0, "1", "1"),
        (0.25, "1", "250"),
        (1.0, "1", "1000"),
        (1.2, "2", "1200"),
        (9999.0, "120", "120000"),
        (math.inf, "1", "1000"),
        (math.nan, "1", "1000"),
    ],
)
def test_overload_says_when_to_come_back(retry_after_s, seconds, milliseconds):
    headers = retry_headers(OverloadedError("full", retry_after_s=retry_after_s))
    assert headers == {"Retry-After": seconds, "retry-after-ms": milliseconds}


def test_not_ready_says_when_to_come_back():
    assert retry_headers(NotReadyError("loading"))["Retry-After"] == "1"
    assert retry_headers(NotReadyError("failed", retry_after_s=9.5))["Retry-After"] == "10"


def test_a_deterministic_failure_asks_not_to_retry():
    assert retry_headers(UnprocessableInputError("nan")) == {"x-should-retry": "false"}


def test_other_errors_have_no_headers():
    assert retry_headers(InferenceError("x")) == {}
