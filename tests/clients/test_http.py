"""What clients do at the level of HTTP, whatever they ask for."""

import asyncio
import contextlib
import gzip
import json
import socket
from http.client import HTTPConnection

import httpx
import openai
import pytest

from tests.clients.serving import MINILM
from tests.clients.vectors import TEXTS, Reference, assert_same
from tests.e2e.process import ServerProcess

BODY = {"model": MINILM, "input": list(TEXTS)}


def rows_of(answer: httpx.Response) -> list[list[float]]:
    return [one["embedding"] for one in answer.raise_for_status().json()["data"]]


def test_c17_unknown_fields_are_ignored(http: httpx.Client, expected: Reference) -> None:
    answer = http.post("/v1/embeddings", json={**BODY, "future": {"a": [1, None]}, "x": "y"})
    assert_same(rows_of(answer), expected.rows(TEXTS))


def test_c18_a_missing_model_is_the_first(http: httpx.Client, expected: Reference) -> None:
    answer = http.post("/v1/embeddings", json={"input": list(TEXTS)})
    assert answer.json()["model"] == MINILM
    assert_same(rows_of(answer), expected.rows(TEXTS))


@pytest.mark.parametrize("kind", ["", "text/plain"])
def test_c19_c20_content_type_does_not_matter(
    http: httpx.Client, expected: Reference, kind: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = http.post("/v1/embeddings", content=json.dumps(BODY).encode(), headers=headers)
    assert ("content-type" in answer.request.headers) == bool(kind)
    assert_same(rows_of(answer), expected.rows(TEXTS))


def test_c21_chunked_upload(http: httpx.Client, expected: Reference) -> None:
    text = json.dumps(BODY).encode()
    parts = (text[i : i + 7] for i in range(0, len(text), 7))
    answer = http.post("/v1/embeddings", content=parts)
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert_same(rows_of(answer), expected.rows(TEXTS))


def test_c22_compressed_body(http: httpx.Client, expected: Reference) -> None:
    content = gzip.compress(json.dumps(BODY).encode())
    answer = http.post("/v1/embeddings", content=content, headers={"content-encoding": "gzip"})
    assert_same(rows_of(answer), expected.rows(TEXTS))


def test_c22_a_small_body_that_unpacks_to_100_mib_is_too_large(http: httpx.Client) -> None:
    content = gzip.compress(b'{"input": "' + b"a" * (100 << 20) + b'"}')
    assert len(content) < 1 << 20
    answer = http.post("/v1/embeddings", content=content, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413


def test_c23_expect_continue(server: ServerProcess) -> None:
    body = json.dumps({"model": MINILM, "input": "hello"}).encode()
    head = (
        "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")


def status_of(server: ServerProcess, authorization: str) -> int:
    """By the standard library: httpx refuses to send a header that ends in a space."""
    connection = HTTPConnection(*server.address, timeout=10)
    with contextlib.closing(connection):
        headers = {"Authorization": authorization}
        connection.request("POST", "/v1/embeddings", json.dumps(BODY), headers)
        return connection.getresponse().status


@pytest.mark.parametrize("value", ["", "Bearer ", "Bearer x", "Basic eDp5"])
def test_c24_an_open_server_takes_any_authorization(server: ServerProcess, value: str) -> None:
    assert status_of(server, value) == 200


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer pa-secret"}, {"api-key": "pa-secret"}, {"x-api-key": "pa-secret"}],
    ids=["bearer", "api-key", "x-api-key"],
)
def test_c24_a_key_opens_by_any_of_its_headers(guarded: ServerProcess, headers) -> None:
    answer = httpx.post(guarded.url + "/v1/embeddings", json=BODY, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer ", "Bearer other"])
def test_c24_a_guarded_server_refuses_other_keys(guarded: ServerProcess, value: str) -> None:
    assert status_of(guarded, value) == 401


def test_c25_the_model_list_is_open_where_the_flag_says_so(guarded: ServerProcess) -> None:
    answer = httpx.get(guarded.url + "/v1/models").raise_for_status()
    assert answer.json()["data"][0]["id"] == MINILM


@pytest.mark.parametrize("path", ["/invocations", "/v1/embeddings", "/embeddings"])
def test_c59_clouds_send_what_openais_clients_send(
    http: httpx.Client, expected: Reference, path: str
) -> None:
    assert_same(rows_of(http.post(path, json=BODY)), expected.rows(TEXTS))


def test_c59_sagemaker_sends_teis_body_too(http: httpx.Client, expected: Reference) -> None:
    answer = http.post("/invocations", json={"inputs": list(TEXTS)}).raise_for_status()
    assert_same(answer.json(), expected.rows(TEXTS))
    assert http.get("/ping").status_code == 200


def test_c59_vertex_wraps_inputs_into_instances(http: httpx.Client, expected: Reference) -> None:
    body = {"instances": [{"inputs": text} for text in TEXTS]}
    answer = http.post("/vertex", json=body).raise_for_status().json()
    rows = [one[0] for one in answer["predictions"]]
    assert_same(rows, expected.rows(TEXTS))


@pytest.mark.parametrize("version", ["2024-10-21", "2099-01-01-preview"])
def test_c60_azures_client(url: str, expected: Reference, version: str) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=url, api_key="none", api_version=version, max_retries=0
    ) as client:
        answer = client.embeddings.create(model="minilm", input=list(TEXTS))
    assert_same([one.embedding for one in answer.data], expected.rows(TEXTS))


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_c64_nan_is_never_written(http: httpx.Client, encoding: str) -> None:
    inputs = ["", " ", "\0", "\u200b", "a" * 1000]
    body = {"model": MINILM, "input": inputs, "encoding_format": encoding}
    text = http.post("/v1/embeddings", json=body).raise_for_status().text
    assert "NaN" not in text
    assert "Infinity" not in text
    assert "null" not in text.partition('"usage"')[0]


def test_slashes_at_the_end_do_not_redirect(http: httpx.Client) -> None:
    assert http.post("/v1/embeddings/", json=BODY).status_code == 200


def test_a_hundred_connections_at_once(url: str) -> None:
    async def ask() -> set[int]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            calls = [client.post("/v1/embeddings", json=BODY) for _ in range(100)]
            return {answer.status_code for answer in await asyncio.gather(*calls)}

    assert asyncio.run(ask()) == {200}
