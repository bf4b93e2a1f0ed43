import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from polyvec.errors import ConfigError
from polyvec.tools._endpoint import Endpoint, embeddings_url


@contextmanager
def answering(answer: Callable[[dict[str, Any]], Any], status: int = 200) -> Iterator[tuple]:
    """A server on a free port, and what it was sent."""
    seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, dict(self.headers), body))
            payload = json.dumps(answer(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def lengths(body: dict[str, Any]) -> dict[str, Any]:
    """Vectors (length, 1), in the opposite order."""
    data = [{"index": i, "embedding": [len(t), 1]} for i, t in enumerate(body["input"])]
    return {"data": data[::-1]}


@pytest.mark.parametrize(
    ("given", "ovms", "url"),
    [
        ("http://h:1", False, "http://h:1/v1/embeddings"),
        ("http://h:1/", True, "http://h:1/v3/embeddings"),
        ("http://h:1/v3", False, "http://h:1/v3/embeddings"),
        ("https://h/api/v1/", False, "https://h/api/v1/embeddings"),
        ("http://h:1/v3/embeddings", True, "http://h:1/v3/embeddings"),
        (
            "http://h/openai/embeddings?api-version=1",
            False,
            "http://h/openai/embeddings?api-version=1",
        ),
    ],
)
def test_the_address_may_stop_short(given: str, *, ovms: bool, url: str) -> None:
    assert embeddings_url(given, ovms=ovms) == url


@pytest.mark.parametrize("given", ["localhost:8000", "file:///etc/passwd", "http://"])
def test_only_http_is_asked(given: str) -> None:
    with pytest.raises(ConfigError, match="http or https"):
        embeddings_url(given)


def test_vectors_come_in_the_order_of_the_texts_and_in_small_requests() -> None:
    with answering(lengths) as (url, seen):
        rows = Endpoint(f"{url}/v1/embeddings", "m", "secret").embed(["x" * n for n in range(40)])
    assert rows.tolist() == [[n, 1] for n in range(40)]
    path, headers, body = seen[0]
    assert (path, body["model"], headers["Authorization"]) == (
        "/v1/embeddings",
        "m",
        "Bearer secret",
    )
    assert [len(body["input"]) for _, _, body in seen] == [32, 8]


def test_no_key_is_sent_when_none_is_given() -> None:
    with answering(lengths) as (url, seen):
        Endpoint(url, "m").embed(["a"])
    assert "Authorization" not in seen[0][1]


def test_base64_vectors_are_read() -> None:
    packed = base64.b64encode(np.array([1.5, -2], "<f4").tobytes()).decode()
    with answering(lambda _body: {"data": [{"index": 0, "embedding": packed}]}) as (url, _):
        assert Endpoint(url, "m").embed(["a"]).tolist() == [[1.5, -2]]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"detail": "no"}, "gave no list of embeddings: .*detail"),
        ({"data": []}, "gave 0 vectors|gave no list"),
        ({"data": [{"index": 0, "embedding": ["x"]}]}, "gave no list of embeddings"),
    ],
)
def test_an_answer_of_another_kind_is_shown(answer: Any, message: str) -> None:
    with answering(lambda _body: answer) as (url, _), pytest.raises(ConfigError, match=message):
        Endpoint(url, "m").embed(["a"])


def test_a_refusal_is_shown_with_its_status() -> None:
    refusal = answering(lambda _body: {"error": "wrong key"}, status=401)
    with refusal as (url, _), pytest.raises(ConfigError, match=r"answered 401: .*wrong key"):
        Endpoint(url, "m").embed(["a"])


def test_a_server_that_is_not_there_is_named() -> None:
    with answering(lengths) as (url, _):
        pass
    with pytest.raises(ConfigError, match=f"{url} cannot be reached"):
        Endpoint(url, "m").embed(["a"])
