import asyncio
import struct
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import orjson
import pytest

from polyvec import __version__
from polyvec.dialects._base import Call
from polyvec.dialects._kserve.infer import parse_infer
from polyvec.dialects._kserve.tensors import read_tensors
from polyvec.errors import InvalidInputError
from polyvec.types import Base64, Bytes, DataUri, Image, Text, Url, Video
from tests.dialects.stub import CARD, ROWS, TEXT_CARD, StubService, answer, get, post

INFER = f"/v2/models/{CARD.name}/infer"
PNG = b"\x89PNG\r\n\x1a\n"


def tensor(data, *, name="text", shape=None, **others):
    return {"name": name, "shape": shape or [len(data)], "datatype": "BYTES", "data": data} | others


def packed(*elements):
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def binary_call(head, raw, *, length=None):
    head = orjson.dumps(head)
    headers = {"inference-header-content-length": str(length or len(head))}
    return Call("POST", INFER, headers=headers, body=head + raw)


def binary_body(raw, **others):
    given = {"name": "text", "shape": [2, 1], "datatype": "BYTES"}
    return {"inputs": [given | {"parameters": {"binary_data_size": len(raw)}}], **others}


def parts_of(*inputs, raw=b""):
    request, _ = parse_infer({"inputs": list(inputs)}, raw, None)
    return [item.parts for item in request.inputs]


def test_server_says_what_it_is():
    _, body = get("/v2")
    assert (body["name"], body["version"]) == ("polyvec", __version__)


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_health_is_an_empty_200(path):
    reply = asyncio.run(answer(Call("GET", path), StubService()))
    assert (reply.status, reply.body) == (200, b"")


def test_a_server_that_is_not_ready_lives():
    service = StubService(is_up=False)
    assert asyncio.run(answer(Call("GET", "/v2/health/live"), service)).status == 200
    reply, body = get("/v2/health/ready", service)
    assert (reply.status, body) == (503, {"error": "Server is not ready"})


@pytest.mark.parametrize("name", [CARD.name, quote(CARD.name, safe="")])
@pytest.mark.parametrize("end", ["/ready", "/versions/1/ready"])
def test_a_model_with_a_slash_in_its_name_is_ready(end, name):
    # The server has decoded the path once; a name that was escaped twice is still escaped.
    reply = asyncio.run(answer(Call("GET", f"/v2/models/{name}{end}"), StubService()))
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(
    ("state", "status"), [("ready", 200), ("unloaded", 200), ("loading", 404), ("failed", 404)]
)
def test_a_model_is_ready_when_it_can_be_asked(state, status):
    service = StubService(cards=(replace(CARD, state=state),))
    call = Call("GET", f"/v2/models/{CARD.name}/ready")
    assert asyncio.run(answer(call, service)).status == status


def test_an_unknown_model_is_not_found_and_the_answer_says_why():
    for path in ("/v2/models/none/such", "/v2/models/none/ready", "/v2/models/none/config"):
        reply, body = get(path)
        assert (reply.status, body["error"]) == (404, "Model with requested name is not found")
    reply, body = post("/v2/models/none/infer", {"inputs": [tensor(["a"])]})
    assert (reply.status, "'none'" in body["detail"]) == (404, True)


def test_metadata_and_config_name_the_same_tensors():
    for card in (CARD, TEXT_CARD):
        service = StubService(cards=(card,))
        _, metadata = get(f"/v2/models/{card.name}", service)
        _, config = get(f"/v2/models/{card.name}/config", service)
        names = [one["name"] for one in metadata["inputs"]]
        assert names == [one["name"] for one in config["input"]]
        assert metadata["outputs"][0]["shape"] == config["output"][0]["dims"] == [-1, 3]
    assert names == ["text"]


def test_the_repository_is_the_list_of_models():
    service = StubService(cards=(CARD, replace(TEXT_CARD, state="failed")))
    _, body = post("/v2/repository/index", b"", service)
    assert [one["state"] for one in body] == ["READY", "UNAVAILABLE"]
    assert get("/v2/models", service)[1] == {"models": [CARD.name, "minilm"]}


@pytest.mark.parametrize("name", ["text", "input_text", "TEXT", "INPUT", "INPUT0", "prompt"])
@pytest.mark.parametrize("data", [["a", "b"], [["a"], ["b"]]])
def test_a_tensor_of_any_usual_name_and_shape_holds_texts(name, data):
    shape = [2, 1] if isinstance(data[0], list) else [2]
    assert parts_of(tensor(data, name=name, shape=shape)) == [(Text("a"),), (Text("b"),)]


def test_a_lone_string_is_one_text_whatever_its_shape():
    assert parts_of(tensor("hello", shape=[5])) == [(Text("hello"),)]


@pytest.mark.parametrize(
    ("element", "source"),
    [
        ("https://example.com/a.png", Url("https://example.com/a.png")),
        ("data:image/png;base64,AA==", DataUri("data:image/png;base64,AA==")),
        ("iVBORw0KGgo=", Base64("iVBORw0KGgo=")),
    ],
)
def test_pictures_are_whatever_a_string_points_at(element, source):
    assert parts_of(tensor([element], name="image")) == [(Image(source),)]
    assert parts_of(tensor([element], name="video")) == [(Video(source),)]


def test_raw_bytes_of_pictures_and_base64_come_in_one_binary_tensor():
    raw = packed(PNG, b"iVBORw0KGgo=")
    size = {"binary_data_size": len(raw)}
    given = {"name": "IMAGE", "shape": [2], "datatype": "BYTES", "parameters": size}
    assert parts_of(given, raw=raw) == [(Image(Bytes(PNG)),), (Image(Base64("iVBORw0KGgo=")),)]


def test_two_tensors_make_rows_and_an_empty_element_stands_for_nothing():
    rows = parts_of(tensor(["a", "", "c"]), tensor(["AA==", "AA==", ""], name="image"))
    picture = Image(Base64("AA=="))
    assert rows == [(Text("a"), picture), (picture,), (Text("c"),)]


def test_parameters_can_ask_for_length_and_prompt():
    parameters = {"dimensions": 2, "prompt_name": "query", "task": None}
    request, _ = parse_infer({"inputs": [tensor(["a"])], "parameters": parameters}, b"", "m")
    assert (request.dimensions, request.prompt_name, request.task) == (2, "query", None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": ["a"]},
        {"inputs": [tensor(["a"], shape=[2])]},
        {"inputs": [tensor([1])]},
        {"inputs": [tensor([])]},
        {"inputs": [tensor(["a"], shape=[-1])]},
        {"inputs": [tensor(["a"], shape=[True])]},
        {"inputs": [tensor(["a"], shape=[1] * 9)]},
        {"inputs": [tensor(["a"], datatype="FP32")]},
        {"inputs": [tensor(["a"], name="")]},
        {"inputs": [tensor(["a"], parameters={"binary_data_size": 4})]},
        {"inputs": [tensor(["a"], parameters={"binary_data_size": -4})]},
        {"inputs": [tensor(["a"], parameters=[])]},
        {"inputs": [tensor(["a"]), tensor(["b"], name="other")]},
        {"inputs": [tensor(["a"]), tensor(["b", "c"], name="image")]},
        {"inputs": [tensor(["a"])], "outputs": [{"name": "a"}, {"name": "b"}]},
        {"inputs": [tensor(["a"])], "outputs": "embedding"},
        {"inputs": [tensor(["a"])], "parameters": {"dimensions": 0}},
        {"inputs": [tensor(["a"])], "parameters": {"binary_data_output": 1}},
    ],
)
def test_a_request_that_cannot_be_read_is_refused(body):
    with pytest.raises(InvalidInputError):
        parse_infer(body, b"", None)


@pytest.mark.parametrize("raw", [b"\x05", b"\x05\0\0\0ab", packed(b"a", b"b") + b"x"])
def test_binary_data_that_is_cut_short_or_too_long_is_refused(raw):
    body = binary_body(raw)
    body["inputs"][0]["parameters"]["binary_data_size"] = min(len(raw), 10)
    with pytest.raises(InvalidInputError):
        read_tensors(body, raw)


@pytest.mark.parametrize("length", ["x", "99999", "-1", "1e3", "3"])
def test_a_wrong_length_of_the_json_is_a_bad_request(length):
    call = binary_call(binary_body(packed(b"a", b"b")), packed(b"a", b"b"), length=length)
    assert asyncio.run(answer(call, StubService())).status == 400


def test_texts_that_are_no_utf8_are_a_bad_request():
    call = binary_call(binary_body(packed(b"a", b"\xff")), packed(b"a", b"\xff"))
    reply = asyncio.run(answer(call, StubService()))
    assert reply.status == 400
    assert b"UTF-8" in reply.body


@pytest.mark.parametrize(
    "asked",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "embedding", "parameters": {"binary_data": True}}]},
    ],
)
def test_binary_texts_give_binary_vectors_where_they_are_asked_for(asked):
    raw = packed("grün".encode(), b"")
    service = StubService()
    reply = asyncio.run(answer(binary_call(binary_body(raw, **asked), raw), service))
    length = int(reply.headers["inference-header-content-length"])
    (output,) = orjson.loads(reply.body[:length])["outputs"]
    vectors = np.frombuffer(reply.body[length:], "<f4").reshape(output["shape"])
    assert output["parameters"] == {"binary_data_size": vectors.nbytes}
    assert vectors.tobytes() == ROWS[:2].tobytes()
    assert [item.parts for item in service.requests[0].inputs] == [(Text("grün"),), (Text(""),)]


def test_an_output_is_called_what_the_request_calls_it():
    _, body = post(INFER, {"inputs": [tensor(["a"])], "outputs": [{"name": "OUTPUT0"}]})
    assert body["outputs"][0]["name"] == "OUTPUT0"
    assert body["outputs"][0]["data"] == pytest.approx(ROWS[0].tolist())
