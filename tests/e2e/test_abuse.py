"""Every bad request gets its dialect's own error, and its neighbours their right vectors."""

import asyncio
import base64
import gzip
import io
import json
import re
import socket
import struct
import threading
import zlib
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from tests import tiny
from tests.e2e.drawings import CAPTIONS, drawing, encoded
from tests.e2e.process import ServerProcess, running

pytestmark = pytest.mark.e2e

KEY = "open-sesame"
AUTH = {"Authorization": f"Bearer {KEY}"}
LIMIT_BODY_BYTES = 2 << 20
MAX_DIFFERENCE = 1e-5
LEAKS = ("0x", "BytesIO", "Traceback", "/site-packages", "/src/polyvec", "cannot identify")


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT whose embedding of the word "dog" is not a number."""
    folder = tiny.make_bert(tmp_path_factory.mktemp("poisoned"))
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"][vocabulary["dog"]] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def server(poisoned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves the bundled model and the poisoned one, behind a key and a small body limit."""
    file = tmp_path_factory.mktemp("config") / "polyvec.toml"
    file.write_text(
        f"""
        [server]
        api_keys = ["{KEY}"]
        [backend]
        dtype = "float32"
        num_sessions = 1
        [[model]]
        checkpoint = "polyvec-demo"
        [[model]]
        checkpoint = "{poisoned}"
        served_model_name = "poisoned"
        """
    )
    flags = ["--config", str(file), "--limit-body", str(LIMIT_BODY_BYTES)]
    with running(*flags) as server:
        yield server
        assert "Traceback" not in server.log.read_text()


def good_requests() -> list[tuple[str, dict[str, Any]]]:
    """Well-formed requests of both dialects, of one and of several texts and of pictures."""
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/v1/embeddings", {"model": "polyvec-demo", "input": caption}) for caption in CAPTIONS
    ]
    requests.append(("/v1/embeddings", {"model": "poisoned", "input": ["red cat", "a person"]}))
    requests.append(("/embeddings", mmes({"type": "text", "text": list(CAPTIONS)})))
    requests += [("/embeddings", mmes(picture(encoded(drawing(one))))) for one in CAPTIONS[:2]]
    return requests


def mmes(value: Any, model: Any = "polyvec-demo") -> dict[str, Any]:
    return {"model": model, "input": value, "encoding_format": "float"}


def picture(value: Any) -> dict[str, Any]:
    return {"type": "image_base64", "image_base64": value}


def vectors(answer: httpx2.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text[:500]
    body = answer.json()
    rows = body["embedding"] if "embedding" in body else [one["embedding"] for one in body["data"]]
    return np.atleast_2d(np.array(rows))


@pytest.fixture(scope="module")
def expected(server: ServerProcess) -> list[np.ndarray]:
    """The vectors of `good_requests`, each asked for on its own."""
    with httpx2.Client(base_url=server.url, headers=AUTH, trust_env=False, timeout=60) as http:
        return [vectors(http.post(path, json=body)) for path, body in good_requests()]


async def among_neighbours(
    server: ServerProcess, expected: list[np.ndarray], *bad: Awaitable[httpx2.Response]
) -> list[httpx2.Response]:
    """Answers to bad requests sent between good ones, whose vectors must be right."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(
        base_url=server.url, headers=AUTH, trust_env=False, verify=False, timeout=60, limits=limits
    ) as http:
        good = [http.post(path, json=body) for path, body in good_requests()]
        middle = len(good) // 2
        answers = await asyncio.gather(*good[:middle], *bad, *good[middle:])
        neighbours = [*answers[:middle], *answers[middle + len(bad) :]]
        for answer, rows in zip(neighbours, expected, strict=True):
            assert np.abs(vectors(answer) - rows).max() <= MAX_DIFFERENCE
        assert server.is_running()
        assert (await http.get("/ready")).status_code == 200
    return answers[middle : middle + len(bad)]


async def sent(
    server: ServerProcess, path: str, content: Any, headers: dict[str, str] = AUTH
) -> httpx2.Response:
    """The answer to one body, on a connection of its own."""
    is_raw = isinstance(content, bytes) or hasattr(content, "__aiter__")
    raw = content if is_raw else json.dumps(content).encode()
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=60) as http:
        return await http.post(server.url + path, content=raw, headers=headers)


OPENAI_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    413: "RequestEntityTooLarge",
    422: "UnprocessableEntityError",
}


def assert_openai_error(
    answer: httpx2.Response, status: int, code: str, param: str | None = None
) -> None:
    assert answer.status_code == status, answer.text[:500]
    body = answer.json()
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code", "reason"}
    assert (error["code"], error["reason"], error["param"]) == (status, code, param), error
    assert error["type"] == OPENAI_TYPES[status]
    assert body["detail"] == body["message"] == error["message"]
    assert_tells_no_secrets(answer)


def assert_mmes_error(answer: httpx2.Response, status: int, text: str) -> None:
    assert answer.status_code == status, answer.text[:500]
    assert list(answer.json()) == ["detail"]
    assert text in str(answer.json()["detail"])
    assert_tells_no_secrets(answer)


def assert_tells_no_secrets(answer: httpx2.Response) -> None:
    assert len(answer.content) < 2000
    assert [leak for leak in LEAKS if leak in answer.text] == []


DEMO = {"model": "polyvec-demo"}


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        pytest.param({"model": "x", "input": "a"}, 404, "model_not_found", "model", id="model"),
        pytest.param({**DEMO, "input": []}, 400, "invalid_value", "input", id="empty"),
        pytest.param(DEMO, 400, "invalid_value", "input", id="missing"),
        pytest.param({**DEMO, "input": "a " * 80}, 400, "context_length_exceeded", "input",
                     id="tokens"),
        pytest.param({**DEMO, "input": "a" * 1_000_001}, 400, "context_length_exceeded", "input",
                     id="characters"),
        pytest.param({**DEMO, "input": 5}, 400, "invalid_type", "input", id="number"),
        pytest.param({**DEMO, "input": {"a": 1}}, 400, "invalid_type", "input", id="object"),
        pytest.param({**DEMO, "input": ["a", 1]}, 400, "invalid_type", "input[1]", id="mixed"),
        pytest.param({**DEMO, "input": [None]}, 400, "invalid_type", "input[0]", id="null"),
        pytest.param({**DEMO, "input": [-1]}, 400, "invalid_token_id", "input[0]", id="token -1"),
        pytest.param({**DEMO, "input": [10**9]}, 400, "invalid_token_id", "input", id="token 1e9"),
        pytest.param({"model": 5, "input": "a"}, 400, "invalid_type", "model", id="model 5"),
        pytest.param({**DEMO, "input": "a", "dimensions": "x"}, 400, "invalid_type", "dimensions",
                     id="dimensions"),
        pytest.param([1, 2], 400, "invalid_type", None, id="array"),
        pytest.param(b'{"input": "a"', 400, "invalid_json", None, id="cut JSON"),
        pytest.param(b'{"input": "\xff\xfe"}', 400, "invalid_json", None, id="not UTF-8"),
        pytest.param(b"", 400, "invalid_json", None, id="no body"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, 400, "invalid_json", None, id="deep arrays"),
        pytest.param(b'{"input":' * 100_000 + b"1" + b"}" * 100_000, 400, "invalid_json", None,
                     id="deep objects"),
        pytest.param({**DEMO, "input": ["a"] * 10_000}, 400, "invalid_value", "input",
                     id="10,000 inputs"),
    ],
)  # fmt: skip
async def test_openai_errors(
    server: ServerProcess, expected: list[np.ndarray], body, status, code, param
) -> None:
    is_recognised = isinstance(body, dict) and isinstance(body.get("input"), str | list)
    paths = ("/v1/embeddings", "/embeddings") if is_recognised else ("/v1/embeddings",)
    bad = [sent(server, path, body) for path in paths]
    for answer in await among_neighbours(server, expected, *bad):
        assert_openai_error(answer, status, code, param)


def png_bomb(side: int = 30_000) -> str:
    """A PNG of a few kilobytes that says it has, and has, ``side`` squared pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
    return base64.b64encode(file + chunk(b"IEND", b"")).decode()


def truncated_jpeg() -> str:
    file = io.BytesIO()
    Image.fromarray(tiny.picture(200, 200)).save(file, "JPEG")
    return base64.b64encode(file.getvalue()[: len(file.getvalue()) // 2]).decode()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        pytest.param({"model": "polyvec-demo"}, 422, "missing", id="missing input"),
        pytest.param(mmes(5), 422, "dict_type", id="input 5"),
        pytest.param([1, 2], 422, "model_attributes_type", id="array"),
        pytest.param(b'{"input": {', 422, "json_invalid", id="cut JSON"),
        pytest.param(b"", 422, "json_invalid", id="no body"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, 422, "json_invalid", id="deep arrays"),
        pytest.param(b'{"input":' * 100_000 + b"1" + b"}" * 100_000, 422, "json_invalid",
                     id="deep objects"),
        pytest.param(mmes({"type": "text", "text": "a"}, model="x"), 400, "Model mismatch: "
                     "requested model 'x' does not match", id="model"),
        pytest.param(mmes({"type": "text", "text": "a"}, model=5), 422, "string_type",
                     id="model 5"),
        pytest.param(mmes({"type": "text"}), 422, "missing", id="missing text"),
        pytest.param(mmes({"type": "text", "text": 5}), 422, "string_type", id="text 5"),
        pytest.param(mmes({"type": "text", "text": ["a", None]}), 422, "string_type", id="null"),
        pytest.param(mmes({"type": "hologram", "text": "a"}), 400, "Invalid input type", id="type"),
        pytest.param(mmes({"type": "text", "text": "a" * 1_000_001}), 422, "characters",
                     id="characters"),
        pytest.param(mmes({"type": "text", "text": ["a"] * 10_000}), 422, "2048",
                     id="10,000 inputs"),
        pytest.param(mmes(picture("!!!")), 422, "Invalid input data: ", id="bad base64"),
        pytest.param(mmes(picture("abcde")), 422, "Invalid input data: ", id="cut base64"),
        pytest.param(mmes(picture("")), 422, "Invalid input data: ", id="nothing"),
        pytest.param(mmes(picture(5)), 422, "string_type", id="picture 5"),
        pytest.param(mmes(picture(base64.b64encode(b"no picture" * 50).decode())), 422,
                     "Invalid input data: ", id="not a picture"),
        pytest.param(mmes(picture(truncated_jpeg())), 422, "Invalid input data: ", id="truncated"),
        pytest.param(mmes(picture(png_bomb())), 422, "pixels", id="bomb"),
        pytest.param(mmes({"type": "video_frames", "video_frames": []}), 422,
                     "Invalid input data: ", id="no frames"),
        pytest.param(mmes({"type": "video_frames",
                           "video_frames": [picture(encoded(drawing("a red circle"))),
                                            picture("!!!")]}),
                     422, "video_frames[1]", id="bad second frame"),
    ],
)  # fmt: skip
async def test_mmes_errors(
    server: ServerProcess, expected: list[np.ndarray], body, status, text
) -> None:
    (answer,) = await among_neighbours(server, expected, sent(server, "/embeddings", body))
    assert_mmes_error(answer, status, text)


async def too_much():
    """A body in chunks that never says how long it will be."""
    for _ in range(LIMIT_BODY_BYTES // 65536 + 1):
        yield b" " * 65536


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
@pytest.mark.parametrize("form", ["declared", "chunked", "gzip"])
async def test_body_over_the_limit_is_refused_in_every_form(
    server: ServerProcess, expected: list[np.ndarray], path: str, form: str
) -> None:
    content: Any = b" " * (LIMIT_BODY_BYTES + 1)
    headers = AUTH
    if form == "gzip":
        content, headers = gzip.compress(content), {**AUTH, "Content-Encoding": "gzip"}
    elif form == "chunked":
        content = too_much()
    (answer,) = await among_neighbours(server, expected, sent(server, path, content, headers))
    # Whose call it is cannot be known without its body, so a shared path answers in both shapes.
    assert_openai_error(answer, 413, "payload_too_large")
    assert str(LIMIT_BODY_BYTES) in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}, {"api-key": "x"}],
)
async def test_wrong_keys_open_nothing(
    server: ServerProcess, expected: list[np.ndarray], headers: dict[str, str]
) -> None:
    good = {"model": "polyvec-demo", "input": "a red circle"}
    bad = [sent(server, path, good, headers) for path in ("/v1/embeddings", "/embeddings")]
    ours, theirs = await among_neighbours(server, expected, *bad)
    assert_openai_error(ours, 401, "invalid_api_key")
    assert_openai_error(theirs, 401, "invalid_api_key")
    assert ours.headers["www-authenticate"] == theirs.headers["www-authenticate"] == "Bearer"


async def test_a_vector_that_is_not_finite_costs_its_own_request_only(
    server: ServerProcess, expected: list[np.ndarray]
) -> None:
    dogs = ["dog", ["the cat", "a dog", "red"]]
    bad = [sent(server, "/v1/embeddings", {"model": "poisoned", "input": one}) for one in dogs]
    theirs = mmes({"type": "text", "text": "a dog"}, model="poisoned")
    first, second, third = await among_neighbours(
        server, expected, *bad, sent(server, "/embeddings", theirs)
    )
    assert_openai_error(first, 422, "non_finite_embedding", "input")
    assert_openai_error(second, 422, "non_finite_embedding", "input[1]")
    assert first.headers["x-should-retry"] == "false"
    assert_mmes_error(third, 422, "finite")


async def batches_of_poisoned(server: ServerProcess) -> int:
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        text = (await http.get(server.url + "/metrics", headers=AUTH)).text
    found = re.search(r'^polyvec_batches_total\{model="poisoned"\} (\d+)$', text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


async def test_texts_in_one_batch_with_a_poisoned_one_are_unharmed(server: ServerProcess) -> None:
    words = ("red", "blue", "green", "happy", "long", "very")
    cats = [{"model": "poisoned", "input": f"the {word} cat"} for word in words]
    dogs = [{"model": "poisoned", "input": f"the {word} dog"} for word in words]
    # While its 676 texts wait, what comes after them waits too, and shares batches.
    texts = [f"{one}{two} cat" for one, two in product(ascii_lowercase, repeat=2)]
    crowd = {"model": "poisoned", "input": texts}
    alone = [vectors(await sent(server, "/v1/embeddings", body)) for body in cats]
    before = await batches_of_poisoned(server)
    await sent(server, "/v1/embeddings", crowd)
    crowd_batches = await batches_of_poisoned(server) - before
    rounds = 5
    for _ in range(rounds):
        singles = [one for pair in zip(cats, dogs, strict=True) for one in pair]
        answers = await asyncio.gather(
            *(sent(server, "/v1/embeddings", one) for one in [crowd, *singles])
        )
        assert {answer.status_code for answer in answers[2::2]} == {422}
        together = [vectors(answer) for answer in answers[1::2]]
        assert np.abs(np.concatenate(together) - np.concatenate(alone)).max() <= MAX_DIFFERENCE
    batches = await batches_of_poisoned(server) - before
    assert batches < crowd_batches + rounds * (crowd_batches + len(singles)), "nothing was shared"


def raw(server: ServerProcess, data: bytes) -> bytes:
    """Everything the server says to these bytes until it hangs up."""
    with socket.create_connection(server.address, timeout=30) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        return _read_all(connection)


def _read_all(connection: socket.socket) -> bytes:
    said = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            said += part
    return said


def head(length: int, *extra: str) -> bytes:
    lines = [
        "POST /v1/embeddings HTTP/1.1", "Host: x", f"Authorization: Bearer {KEY}",
        f"Content-Length: {length}", *extra,
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, b"400", id="TLS"),
        pytest.param(b"\x00" * 4096, b"400", id="zeroes"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", b"400", id="version"),
        pytest.param(b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400",
                     id="negative length"),
        pytest.param(head(0, "X: " + "y" * 20_000, "Z: " + "y" * 20_000), b"431",
                     id="huge header"),
        pytest.param(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"431", id="huge path"),
    ],
)  # fmt: skip
async def test_what_is_not_http_is_refused_and_hung_up(
    server: ServerProcess, expected: list[np.ndarray], data: bytes, status: bytes
) -> None:
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(raw, server, data)
        await among_neighbours(server, expected)
    assert said.result().startswith(b"HTTP/1.1 " + status), said.result()[:200]


@pytest.mark.parametrize("sent_share", [0.0, 0.5, 1.0], ids=["no body", "half a body", "all"])
async def test_clients_that_hang_up_harm_nobody(
    server: ServerProcess, expected: list[np.ndarray], sent_share: float
) -> None:
    body = json.dumps({"model": "polyvec-demo", "input": [f"{i}" for i in range(500)]}).encode()
    part = head(len(body)) + body[: round(len(body) * sent_share)]
    go = threading.Barrier(9)

    def hang_up() -> None:
        with socket.create_connection(server.address, timeout=30) as connection:
            connection.sendall(part)
            # Reset, as the kernel does for a process that dies.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            go.wait(30)

    with ThreadPoolExecutor(8) as pool:
        gone = [pool.submit(hang_up) for _ in range(8)]
        go.wait(30)
        await among_neighbours(server, expected)
    assert [one.exception() for one in gone] == [None] * 8


async def test_a_connection_survives_a_refused_body(server: ServerProcess) -> None:
    bad, good = b'{"input": []}', b'{"input": "a red circle"}'
    with ThreadPoolExecutor(1) as pool:
        data = head(len(bad)) + bad + head(len(good), "Connection: close") + good
        said = await asyncio.wrap_future(pool.submit(raw, server, data))
    assert said.startswith(b"HTTP/1.1 400")
    assert said.count(b"HTTP/1.1 200") == 1
