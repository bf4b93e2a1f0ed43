"""The ASGI application with every dialect and a stub service."""

import asyncio
import logging
from typing import Any

import orjson
import pytest

from polyvec import __version__
from polyvec.errors import InferenceError, OverloadedError
from tests.server.driver import StubService, ask, make_app, scope

EMBED = b'{"input": "hello"}'


async def test_embeddings_are_answered() -> None:
    answer = await ask(make_app(), "POST", "/v1/embeddings", body=EMBED)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.json()["data"][0]["embedding"] == pytest.approx([0.6, 0.0, 0.8])


@pytest.mark.parametrize("kind", [None, "text/plain", "application/json; charset=utf-8", "???"])
async def test_content_type_does_not_matter(kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = await ask(make_app(), "POST", "/v1/embeddings", body=EMBED, headers=headers)
    assert answer.status == 200


async def test_chunked_bodies_are_joined() -> None:
    answer = await ask(make_app(), "POST", "/v1/embeddings", body=[EMBED[:5], EMBED[5:], b""])
    assert answer.status == 200


async def test_a_client_under_another_server_is_answered_too() -> None:
    answer = await ask(make_app(), "POST", "/v1/embeddings", body=EMBED, watched=False)
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/nope", "/v1/embeddings/x", "//x", "/v1", "/" + "x" * 5000])
async def test_unknown_paths_are_404_in_every_clients_words(path: str) -> None:
    answer = await ask(make_app(), "POST", path, body=EMBED)
    assert answer.status == 404
    assert answer.json()["detail"] == answer.json()["message"] == answer.json()["error"]["message"]
    assert answer.num_received == 0


async def test_unknown_path_body() -> None:
    assert (await ask(make_app(), "GET", "/nope")).json() == {
        "error": {
            "message": "Not Found",
            "type": "NotFoundError",
            "param": None,
            "code": 404,
            "reason": "not_found",
        },
        "object": "error",
        "message": "Not Found",
        "type": "NotFoundError",
        "param": None,
        "code": 404,
        "detail": "Not Found",
    }


async def test_wrong_method_is_405_with_allow() -> None:
    answer = await ask(make_app(), "PUT", "/v1/embeddings", body=EMBED)
    assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, POST")


async def test_options_lists_methods() -> None:
    answer = await ask(make_app(), "OPTIONS", "/v1/models")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "content-length" not in answer.headers


async def test_head_is_get_without_a_body() -> None:
    app = make_app()
    got, head = await ask(app, "GET", "/v1/models"), await ask(app, "HEAD", "/v1/models")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_trailing_slash_is_the_same_route() -> None:
    assert (await ask(make_app(), "POST", "/v1/embeddings/", body=EMBED)).status == 200


async def test_a_root_path_that_is_a_part_of_a_path_leaves_that_path_alone() -> None:
    app = make_app(root_path="/v1")
    plain, prefixed = await ask(app, "GET", "/v1/models"), await ask(app, "GET", "/v1/v1/models")
    assert plain.json() == prefixed.json()
    assert plain.json()["object"] == "list"
    assert (await ask(app, "GET", "/v1/live")).status == 200


async def test_root_path_may_be_there_or_not() -> None:
    app = make_app(root_path="/emb")
    for path in ("/emb/v1/models", "/v1/models", "/emb"):
        assert (await ask(app, "GET", path)).status == 200
    assert (await ask(app, "GET", "/embv1/models")).status == 404


async def test_declared_body_over_the_limit_is_refused_unread() -> None:
    app = make_app(limit_body_bytes=10)
    answer = await ask(app, "POST", "/v1/embeddings", body=EMBED)
    assert (answer.status, answer.num_received) == (413, 0)
    assert answer.json()["error"]["reason"] == "payload_too_large"


async def test_chunked_body_over_the_limit_is_refused_at_the_limit() -> None:
    app = make_app(limit_body_bytes=10)
    answer = await ask(app, "POST", "/v1/embeddings", body=[b"x" * 6] * 100)
    assert (answer.status, answer.num_received) == (413, 2)


async def test_refusal_before_an_expected_body_closes_the_connection() -> None:
    headers = {"expect": "100-continue", "content-length": "99"}
    app = make_app(limit_body_bytes=10)
    answer = await ask(app, "POST", "/v1/embeddings", headers=headers)
    assert (answer.status, answer.headers["connection"]) == (413, "close")


async def test_deep_json_is_a_400() -> None:
    deep = b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = await ask(make_app(), "POST", "/v1/embeddings", body=deep)
    assert (answer.status, answer.json()["error"]["reason"]) == (400, "invalid_json")


async def test_bug_is_a_500_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    service = StubService(error=RuntimeError("/srv/secret at 0x7f00"))
    answer = await ask(make_app(service), "POST", "/v1/embeddings", body=EMBED)
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert answer.json()["error"]["type"] == "InternalServerError"
    assert "/srv/secret at 0x7f00" in caplog.text


async def test_runtime_failure_is_a_500() -> None:
    service = StubService(error=InferenceError("the runtime failed"))
    assert (await ask(make_app(service), "POST", "/v1/embeddings", body=EMBED)).status == 500


async def test_overload_says_when_to_come_back() -> None:
    service = StubService(error=OverloadedError("full", retry_after_s=1.5))
    answer = await ask(make_app(service), "POST", "/v1/embeddings", body=EMBED)
    assert answer.status in (429, 503)
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["retry-after-ms"] == "1500"


@pytest.mark.parametrize("given", ["abc-123", "x" * 128, "!~"])
async def test_sane_request_id_is_echoed(given: str) -> None:
    answer = await ask(make_app(), "GET", "/live", headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\x1b[31m", "caf\xe9", "a\r\nb"])
async def test_odd_request_id_is_replaced(given: str) -> None:
    answer = await ask(make_app(), "GET", "/live", headers={"x-request-id": given})
    assert answer.headers["x-request-id"].isalnum()


async def test_request_ids_differ() -> None:
    app = make_app()
    ids = {(await ask(app, "GET", "/nope")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


async def test_access_line_escapes_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "polyvec.access")
    await ask(make_app(), "GET", "/a\r\nFAKE \x1b[31m\u202e" + "x" * 500)
    (record,) = caplog.records
    line = record.getMessage()
    assert line.isprintable()
    assert line.isascii()
    assert "/a\\r\\nFAKE%20\\x1b[31m\\u202e" in line
    assert len(line) < 400


async def test_access_log_can_be_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "polyvec.access")
    await ask(make_app(access_log=False), "GET", "/live")
    assert not caplog.records


async def test_probes_and_version() -> None:
    app = make_app()
    assert (await ask(app, "GET", "/live")).status == 200
    assert (await ask(app, "GET", "/ready")).status == 200
    assert (await ask(app, "GET", "/version")).json() == {"version": __version__}
    assert (await ask(app, "GET", "/")).json()["models"] == ["stub"]


async def test_draining_server_is_alive_but_not_ready() -> None:
    app = make_app()
    app.is_draining = True
    assert (await ask(app, "GET", "/live")).status == 200
    answer = await ask(app, "GET", "/ready")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_only_allowed_hosts_are_answered() -> None:
    app = make_app(allowed_hosts=("example.org", "[::1]"))
    for host, status in (
        ("example.org", 200),
        ("EXAMPLE.org:8000", 200),
        ("[::1]:80", 200),
        ("evil.org", 421),
        ("", 421),
    ):
        assert (await ask(app, "GET", "/live", headers={"host": host})).status == status


async def test_client_that_leaves_while_waiting_cancels_the_work() -> None:
    service = StubService(waits=True)
    app = make_app(service)
    messages = iter([{"type": "http.request", "body": EMBED}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope("POST", "/v1/embeddings", {}, watched=False), receive, send)
    await asyncio.wait_for(service.cancelled.wait(), 5)
    assert not sent
    assert app.metrics.in_flight == 0


async def test_client_that_leaves_while_sending_is_not_answered() -> None:
    messages = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    await make_app()(scope("POST", "/v1/embeddings", {}), receive, send)
    assert not sent


async def test_request_cancelled_by_the_server_is_told_so() -> None:
    service = StubService(waits=True)
    task = asyncio.create_task(ask(make_app(service), "POST", "/v1/embeddings", body=EMBED))
    await asyncio.wait_for(service.started.wait(), 5)
    task.cancel()
    answer = await task
    assert (answer.status, answer.json()["error"]["reason"]) == (503, "not_ready")


async def test_client_that_leaves_while_it_is_answered_is_no_error() -> None:
    sending = asyncio.Event()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": EMBED}

    async def send(message: Any) -> None:
        sent.append(message)
        sending.set()
        await asyncio.Event().wait()  # a full socket

    task = asyncio.create_task(make_app()(scope("POST", "/v1/embeddings", {}), receive, send))
    await asyncio.wait_for(sending.wait(), 5)
    task.cancel()
    await task
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_metrics_count_routes_and_not_callers_paths() -> None:
    app = make_app()
    await ask(app, "POST", "/v1/embeddings", body=EMBED)
    await ask(app, "GET", "/made-up-path")
    answer = await ask(app, "GET", "/metrics")
    lines = answer.body.decode().splitlines()
    assert 'polyvec_http_requests_total{route="/v1/embeddings",status="200"} 1' in lines
    assert 'polyvec_http_requests_total{route="other",status="404"} 1' in lines
    assert 'polyvec_http_request_duration_seconds_count{route="/v1/embeddings"} 1' in lines
    assert "polyvec_http_requests_in_flight 1" in lines
    assert "polyvec_ready 1" in lines
    assert "made-up-path" not in answer.body.decode()
    assert answer.headers["content-type"].startswith("text/plain")


async def test_other_scopes_are_left_alone() -> None:
    async def nothing(*_: Any) -> Any:
        pytest.fail("a scope that is not HTTP was served")

    await make_app()({"type": "lifespan"}, nothing, nothing)


async def test_every_error_of_a_declared_post_route_is_json() -> None:
    app = make_app()
    for (method, path), owners in app.routes.owners.items():
        takes_a_body = any(owner.route.accepts is not None for owner in owners)
        if method == "POST" and "{" not in path and takes_a_body:
            answer = await ask(app, method, path, body=b"\xff not json")
            assert 400 <= answer.status < 500, path
            assert orjson.loads(answer.body), path
