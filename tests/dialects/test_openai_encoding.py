"""Encodings of vectors, held to torch's own conversions."""

import base64

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polyvec.dialects._number_formats import number_bytes
from polyvec.dialects._openai.encoding import (
    MAX_METADATA_BYTES,
    PLAIN,
    Encoding,
    encoded,
    parse_encoding,
    raw_reply,
)
from polyvec.errors import InvalidInputError

TORCH = {
    "float32": (torch.float32, torch.int32),
    "float16": (torch.float16, torch.int16),
    "bfloat16": (torch.bfloat16, torch.int16),
    "fp8_e4m3": (torch.float8_e4m3fn, torch.uint8),
    "fp8_e5m2": (torch.float8_e5m2, torch.uint8),
}
ANY_FINITE = hnp.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
# Where vectors are, with many ties and subnormal numbers of the narrow formats.
NEAR_ONE = hnp.arrays(
    np.float32, st.integers(1, 60), elements=st.integers(-4096, 4096).map(lambda n: n / 1024)
)
HEAD = {"id": "embd-1", "created": 1, "model": "m", "usage": {"prompt_tokens": 1}}
ROWS = np.array([[0.5, -2.0], [1.0, 0.25]], np.float32)


def _by_torch(values, kind):
    wide, view = TORCH[kind]
    return torch.from_numpy(values).to(wide).view(view).numpy().tobytes()


@pytest.mark.parametrize("kind", TORCH)
@given(values=ANY_FINITE | NEAR_ONE)
def test_numbers_are_rounded_as_torch_rounds_them(kind, values):
    assert number_bytes(values, kind, "little") == _by_torch(values, kind)


@pytest.mark.parametrize("kind", ["fp8_e4m3", "fp8_e5m2"])
def test_every_8_bit_number_and_every_border_between_two_is_right(kind):
    wide, _ = TORCH[kind]
    every = torch.arange(256, dtype=torch.uint8).view(wide).to(torch.float32).numpy()
    finite = np.sort(every[np.isfinite(every)])
    middles = (finite[1:] + finite[:-1]) / 2
    around = np.concatenate([np.nextafter(middles, np.float32(s)) for s in (-np.inf, np.inf)])
    values = np.concatenate([finite, middles, around]).astype(np.float32)
    assert number_bytes(values, kind, "little") == _by_torch(values, kind)


@pytest.mark.parametrize(("endianness", "order"), [("big", ">"), ("little", "<"), ("native", "=")])
@pytest.mark.parametrize(("kind", "code"), [("float32", "f4"), ("float16", "f2")])
def test_bytes_have_the_order_that_was_asked_for(endianness, order, kind, code):
    raw = number_bytes(ROWS, kind, endianness)
    np.testing.assert_array_equal(np.frombuffer(raw, order + code).reshape(2, 2), ROWS)


def test_a_matrix_in_base64_is_its_rows_end_to_end():
    text = encoded(ROWS, Encoding("base64"))
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(text), "<f4"), ROWS.ravel())


def test_number_formats_do_not_change_plain_numbers():
    body = {"embed_dtype": "fp8_e5m2", "endianness": "big"}
    assert encoded(ROWS[0], parse_encoding(body)).tolist() == ROWS[0].tolist()
    assert parse_encoding({}) == PLAIN


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("encoding_format", "'float', 'base64', 'bytes' or 'bytes_only'"),
        ("embed_dtype", "'float32', 'float16', 'bfloat16', 'fp8_e4m3' or 'fp8_e5m2'"),
        ("endianness", "'native', 'big' or 'little'"),
    ],
)
@pytest.mark.parametrize("value", ["x", "", 5, [], True])
def test_an_unknown_word_is_refused_with_the_known_ones(field, words, value):
    with pytest.raises(InvalidInputError) as caught:
        parse_encoding({field: value})
    assert caught.value.param == field
    assert caught.value.message == f"{field}: Input should be {words}"


def test_bytes_come_with_a_header_that_says_what_is_where():
    reply = raw_reply(list(ROWS), Encoding("bytes", "float16"), HEAD)
    assert reply.media_type == "application/octet-stream"
    metadata = orjson.loads(reply.headers["metadata"])
    assert {key: metadata[key] for key in HEAD} == HEAD
    assert metadata["data"][1] == {
        "index": 1,
        "embed_dtype": "float16",
        "endianness": "native",
        "start": 4,
        "end": 8,
        "shape": [2],
    }
    np.testing.assert_array_equal(np.frombuffer(reply.body[4:8], "=f2"), ROWS[1])


def test_bytes_only_come_without_a_header():
    reply = raw_reply(list(ROWS), Encoding("bytes_only"), HEAD)
    assert (reply.headers, reply.body) == ({}, ROWS.tobytes())


def test_many_vectors_of_one_shape_are_described_once():
    rows = np.zeros((600, 2), np.float32)
    reply = raw_reply(list(rows), Encoding("bytes"), HEAD)
    header = reply.headers["metadata"]
    assert len(header) < 500
    assert orjson.loads(header)["uniform"] == {
        "count": 600,
        "num_bytes": 8,
        "embed_dtype": "float32",
        "endianness": "native",
        "shape": [2],
    }
    assert reply.body == rows.tobytes()


def test_many_matrices_of_several_shapes_are_described_at_the_end_of_the_body():
    arrays = [np.ones((1 + index % 3, 2), np.float32) for index in range(300)]
    reply = raw_reply(arrays, Encoding("bytes"), HEAD)
    assert len(reply.headers["metadata"]) < MAX_METADATA_BYTES
    num_bytes = orjson.loads(reply.headers["metadata"])["tail"]["num_bytes"]
    metadata = orjson.loads(reply.body[-num_bytes:])
    for array, place in zip(arrays, metadata["data"], strict=True):
        raw = reply.body[place["start"] : place["end"]]
        np.testing.assert_array_equal(np.frombuffer(raw, "=f4").reshape(place["shape"]), array)
    assert len(reply.body) == metadata["data"][-1]["end"] + num_bytes


def test_a_header_is_ascii_whatever_the_model_is_called():
    reply = raw_reply(list(ROWS), Encoding("bytes"), {**HEAD, "model": "mödel\n"})
    assert reply.headers["metadata"].isascii()
    assert "\n" not in reply.headers["metadata"]
    assert orjson.loads(reply.headers["metadata"])["model"] == "mödel\n"
