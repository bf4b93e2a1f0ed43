import asyncio
import base64
import threading

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polyvec.dialects._encode import json_reply, rendered, wire_matrix, wire_vector
from polyvec.types import Embedding, EmbedResult, FrameVectors

FINITE = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=1, max_side=40),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def _bits(vector):
    return np.ascontiguousarray(vector, dtype=np.float32).view(np.uint32)


@given(FINITE)
def test_floats_come_back_bit_for_bit(vector):
    decoded = orjson.loads(json_reply({"v": wire_vector(vector, "float")}).body)["v"]
    np.testing.assert_array_equal(_bits(np.array(decoded, dtype=np.float32)), _bits(vector))


@given(FINITE)
def test_base64_comes_back_bit_for_bit(vector):
    decoded = np.frombuffer(base64.b64decode(wire_vector(vector, "base64"), validate=True), "<f4")
    np.testing.assert_array_equal(_bits(decoded), _bits(vector))


def test_floats_are_written_as_shortest_float32_text():
    vector = np.array([0.1, -0.034513988, 1.0], dtype=np.float32)
    assert json_reply(wire_vector(vector, "float")).body == b"[0.1,-0.034513988,1.0]"


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize(
    "view",
    [
        lambda matrix: matrix[1],
        lambda matrix: matrix[:, 1],
        lambda matrix: matrix[1, ::-1],
        lambda matrix: matrix[1, ::2],
        lambda matrix: matrix.astype(">f4")[1],
    ],
    ids=["row", "column", "reversed", "stepped", "big-endian"],
)
def test_views_and_byte_orders_are_written_as_their_values(view, encoding):
    vector = view(np.arange(12, dtype=np.float32).reshape(3, 4))
    wire = orjson.loads(json_reply(wire_vector(vector, encoding)).body)
    if encoding == "base64":
        wire = np.frombuffer(base64.b64decode(wire), "<f4")
    np.testing.assert_array_equal(np.array(wire, dtype=np.float32), vector)


def test_a_contiguous_row_is_not_copied():
    matrix = np.ones((2, 3), dtype=np.float32)
    assert np.shares_memory(wire_vector(matrix[1], "float"), matrix)


def test_many_vectors_become_an_array_of_arrays():
    rows = np.array([[1, 2], [3, 4]], dtype=np.float32)
    reply = json_reply(wire_matrix(tuple(Embedding(row, 1) for row in rows)))
    assert reply.body == b"[[1.0,2.0],[3.0,4.0]]"


def test_a_reply_has_status_and_headers():
    reply = json_reply([], status=418, headers={"a": "b"})
    assert (reply.status, reply.body, reply.headers) == (418, b"[]", {"a": "b"})
    assert reply.media_type == "application/json"


def _video(frames):
    vectors = np.arange(frames * 512, dtype=np.float32).reshape(frames, 512)
    places = np.arange(frames)
    return Embedding(vectors[0], 0, frames=FrameVectors(vectors, places, places / 10))


@pytest.mark.parametrize(("frames", "on_loop"), [(64, True), (512, False)])
async def test_long_answers_are_written_in_a_thread(frames, on_loop):
    result = EmbedResult("m", (_video(frames),))
    threads = []

    def render():
        threads.append(threading.current_thread())
        return json_reply({"embedding": result.embeddings[0].frames.vectors})

    reply = await rendered(render, result)
    assert (threads == [threading.current_thread()]) is on_loop
    assert np.array_equal(orjson.loads(reply.body)["embedding"], _video(frames).frames.vectors)


async def test_the_event_loop_runs_on_while_a_long_answer_is_written():
    result = EmbedResult("m", (_video(4096),))
    work = rendered(lambda: json_reply(result.embeddings[0].frames.vectors), result)
    writing = asyncio.ensure_future(work)
    turns = 0
    while not writing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3
    assert len(orjson.loads(writing.result().body)) == 4096


def test_arrays_are_written_as_numpy_writes_them_whatever_their_shape():
    cube = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    written = b'{"cube":[[[0.0,1.0],[2.0,3.0]],[[4.0,5.0],[6.0,7.0]]],"one":0.1}'
    assert json_reply({"cube": cube, "one": np.float32(0.1)}).body == written


def test_a_reply_refuses_what_json_has_not():
    with pytest.raises(TypeError):
        json_reply({"v": object()})
