"""What the demo scripts of OpenVINO Model Server send, against a server process.

The scripts are benchmark_embeddings.py, compare_results.py and ovms_mteb.py of
https://github.com/openvinotoolkit/model_server/tree/main/demos/embeddings.
"""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import numpy as np
import openai
import pytest
import torch
from sentence_transformers import SentenceTransformer

from tests.e2e.process import ServerProcess, running

pytestmark = pytest.mark.e2e

NAME = "sentence-transformers/all-MiniLM-L6-v2"
MAX_DIFFERENCE = 1e-5
# compare_results.py compares this text by default, so many times.
TEXTS = ["Model Server hosts models.", "hello world", "", "hi " * 100]
IN_FLIGHT = 100


@pytest.fixture(scope="module")
def server(minilm: Path) -> Iterator[ServerProcess]:
    with running(str(minilm), "--served-model-name", NAME, "--dtype", "float32") as served:
        yield served
        assert served.stop() == 0
        assert "Traceback" not in served.log.read_text()


@pytest.fixture(scope="module")
def reference(minilm: Path) -> np.ndarray:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = SentenceTransformer(str(minilm), device="cpu")
    rows = [model.encode(text, normalize_embeddings=True) for text in TEXTS]
    torch.set_num_threads(threads)
    return np.stack(rows)


def client_of(server: ServerProcess, path: str = "/v3/embeddings") -> openai.OpenAI:
    """A client as the scripts make it: they take the whole URL of the service for its base."""
    return openai.OpenAI(base_url=server.url + path, api_key="unused", max_retries=0, timeout=60)


def rows_of(answer: openai.types.CreateEmbeddingResponse) -> np.ndarray:
    return np.array([one.embedding for one in answer.data], np.float32)


async def requests_at_once(server: ServerProcess, batches: list[list[str]]) -> list[dict]:
    """Each request in a session of its own and without a real key, at most 100 at a time."""
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def ask(texts: list[str]) -> dict:
        body = {"model": NAME, "input": texts, "encoding_format": "base64"}
        headers = {"Content-Type": "application/json", "Authorization": "Bearer None"}
        async with gate, httpx2.AsyncClient(timeout=60, trust_env=False) as session:
            answer = await session.post(server.url + "/v3/embeddings", json=body, headers=headers)
        # The script counts nothing else as a success.
        assert answer.status_code == 200, answer.text
        return answer.json()

    return await asyncio.gather(*(ask(texts) for texts in batches))


async def test_the_benchmark_gets_200_for_every_one_of_many_requests(
    server: ServerProcess, reference: np.ndarray
) -> None:
    answers = await requests_at_once(server, [TEXTS] * 150)
    assert all(len(answer["data"]) == len(TEXTS) for answer in answers)
    raw = base64.b64decode("".join(one["embedding"] for one in answers[-1]["data"]))
    vectors = np.frombuffer(raw, "<f4").reshape(len(TEXTS), -1)
    assert np.abs(vectors - reference).max() <= MAX_DIFFERENCE


async def test_synthetic_texts_of_510_words_are_no_error(server: ServerProcess) -> None:
    (answer,) = await requests_at_once(server, [["hi " * 510] * 4])
    assert len(answer["data"]) == 4
    assert answer["usage"]["prompt_tokens"] == 4 * 512


def test_the_benchmark_of_rankings_gets_200_for_long_documents(server: ServerProcess) -> None:
    body = {"model": NAME, "documents": ["hi " * 510] * 8 + ["Hello there"], "query": "Hello"}
    answer = httpx2.post(f"{server.url}/v3/rerank", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200
    assert answer.json()["results"][0]["index"] == 8


async def test_a_text_of_more_tokens_than_positions_is_refused_in_known_words(
    server: ServerProcess,
) -> None:
    async with httpx2.AsyncClient(trust_env=False) as session:
        body = {"model": NAME, "input": ["hi", "hi " * 600]}
        answer = await session.post(server.url + "/v3/embeddings", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith("Input length 602 longer than allowed 512")


def test_the_comparison_script_posts_one_path_too_deep_and_gets_the_reference(
    server: ServerProcess, reference: np.ndarray
) -> None:
    client = client_of(server)
    raw = client.embeddings.with_raw_response.create(input=TEXTS, model=NAME)
    assert raw.http_request.url.path == "/v3/embeddings/embeddings"
    vectors = rows_of(raw.parse())
    assert np.abs(vectors - reference).max() <= MAX_DIFFERENCE


def test_the_mteb_script_asks_for_one_dimension_and_gets_whole_vectors(
    server: ServerProcess, reference: np.ndarray
) -> None:
    answer = client_of(server).embeddings.create(
        input=TEXTS, model=NAME, encoding_format="float", dimensions=1
    )
    assert np.abs(rows_of(answer) - reference).max() <= MAX_DIFFERENCE


def test_mteb_names_the_model_by_its_last_part_and_sends_2048_texts_at_once(
    server: ServerProcess,
) -> None:
    answer = client_of(server, "/v3").embeddings.create(
        input=[f"text {index % 64}" for index in range(2048)],
        model=NAME.rpartition("/")[2],
        encoding_format="float",
        dimensions=384,
    )
    assert [one.index for one in answer.data] == list(range(2048))
    vectors = rows_of(answer)
    assert np.abs(vectors[:64] - vectors[-64:]).max() <= MAX_DIFFERENCE


@pytest.mark.parametrize("name", [quote(NAME, safe=""), NAME])
def test_readiness_is_asked_with_an_escaped_slash_or_a_plain_one(
    server: ServerProcess, name: str
) -> None:
    for path in ("ready", "versions/1/ready"):
        answer = httpx2.get(f"{server.url}/v2/models/{name}/{path}", trust_env=False)
        assert (answer.status_code, answer.content) == (200, b"")
    answer = httpx2.get(f"{server.url}/v2/models/none%2Fsuch/ready", trust_env=False)
    assert answer.status_code == 404


def test_the_configuration_says_that_the_model_is_available(server: ServerProcess) -> None:
    answer = httpx2.get(f"{server.url}/v1/config", trust_env=False)
    assert answer.text.startswith(f'{{\n"{NAME}" : \n{{\n "model_version_status": [\n')
    assert answer.json()[NAME]["model_version_status"][0]["state"] == "AVAILABLE"
    listed = httpx2.get(f"{server.url}/v3/models", trust_env=False).json()
    assert [one["id"] for one in listed["data"]] == [NAME]


def test_tokens_are_those_that_are_counted(server: ServerProcess) -> None:
    body = {"model": NAME, "text": ["hello world", "hi"], "pad_to_max_length": True}
    tokens = httpx2.post(f"{server.url}/v3/tokenize", json=body, trust_env=False).json()["tokens"]
    assert tokens == [[101, 7592, 2088, 102], [101, 7632, 102, 0]]
    answer = client_of(server).embeddings.create(input=body["text"], model=NAME)
    assert answer.usage.prompt_tokens == 7
