"""Clients that storm, clients that retry and clients that go away."""

import asyncio
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import httpx
import openai
import pytest

from tests.clients.serving import MINILM
from tests.clients.vectors import Reference, assert_same
from tests.e2e.process import ServerProcess

STORM = 4000
LIMIT_S = 60.0
KEY = {"Authorization": "Bearer pa-secret"}


def count(url: str, name: str) -> float:
    """Sum of a metric over models."""
    text = httpx.get(url + "/metrics", headers=KEY).raise_for_status().text
    return sum(map(float, re.findall(rf"^polyvec_{name}{{.*?}} (\S+)$", text, re.MULTILINE)))


async def storm(url: str) -> tuple[list[int], dict[str, list[float]]]:
    """As Open WebUI does: a request for each chunk, all at once, none of them tried again."""

    async def ask(number: int) -> tuple[int, list[float]]:
        body = {"input": [f"chunk {number}"], "model": MINILM}
        async with client.post(url + "/v1/embeddings", json=body) as answer:
            found = await answer.json()
            return answer.status, found["data"][0]["embedding"]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        answers = await asyncio.gather(*map(ask, range(STORM)))
    rows = {f"chunk {number}": answers[number][1] for number in (0, 1999, STORM - 1)}
    return [status for status, _ in answers], rows


@pytest.mark.timeout(300)
def test_c47_4000_requests_at_once_are_all_answered(url: str, expected: Reference) -> None:
    statuses, rows = asyncio.run(storm(url))
    assert set(statuses) == {200}
    assert_same(list(rows.values()), expected.rows(list(rows)))


@pytest.mark.parametrize("threads", [12])
def test_c62_refused_requests_are_tried_again_and_succeed(
    guarded: ServerProcess, threads: int
) -> None:
    before = count(guarded.url, "rejected_total")
    with openai.OpenAI(base_url=guarded.url + "/v1", api_key="pa-secret", max_retries=30) as client:

        def ask(number: int) -> int:
            texts = [f"{number} " + "word " * 200, f"{number} " + "other " * 200]
            return len(client.embeddings.create(model=MINILM, input=texts).data)

        with ThreadPoolExecutor(threads) as pool:
            assert set(pool.map(ask, range(threads))) == {2}
    assert count(guarded.url, "rejected_total") > before


def test_c62_a_refusal_says_when_to_come_back(guarded: ServerProcess) -> None:
    body = {"model": MINILM, "input": ["word " * 250] * 3}
    with ThreadPoolExecutor(8) as pool:
        url = guarded.url + "/v1/embeddings"
        calls = [pool.submit(httpx.post, url, json=body, headers=KEY) for _ in range(8)]
        answers = [call.result() for call in calls]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert {answer.status_code for answer in refused} <= {429, 503}
    assert all(0 < float(answer.headers["retry-after"]) <= 120 for answer in refused)


def test_c63_a_client_that_times_out_takes_its_work_with_it(url: str) -> None:
    cancelled = count(url, "cancelled_total")
    inputs = [f"{number} " + "word " * 250 for number in range(2000)]
    with (
        openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=0.5) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.embeddings.create(model=MINILM, input=inputs)
    give_up_at_s = time.monotonic() + LIMIT_S
    waiting = threading.Event()
    while count(url, "cancelled_total") == cancelled and time.monotonic() < give_up_at_s:
        waiting.wait(0.05)
    assert count(url, "cancelled_total") == cancelled + 1
    # 2,000 long texts take minutes; what they left behind must be gone.
    answer = httpx.post(url + "/v1/embeddings", json={"input": "hello"}, timeout=30)
    assert answer.status_code == 200
    assert count(url, "queue_depth") == 0
