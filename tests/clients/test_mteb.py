"""MTEB's own wrappers for OpenAI's interface, through whole evaluations of its toy tasks."""

import httpx
import mteb
import numpy as np
import pytest
from mteb.mocks import mock_tasks
from mteb.models.openai_wrappers import (
    OpenAIAPIEncodeWrapper,
    OpenAIAPIRerankWrapper,
    OpenAIAPITokenEmbedWrapper,
)

from tests.clients.intel import clip_base64
from tests.clients.serving import COLBERT, DEMO, MINILM
from tests.clients.vectors import TEXTS, Reference, assert_same
from tests.e2e.process import ServerProcess


def evaluated(model, *names: str) -> dict[str, float]:
    """The main score of each of MTEB's toy tasks."""
    tasks = [getattr(mock_tasks, name)() for name in names]
    found = mteb.evaluate(model, tasks, cache=None, show_progress_bar=False, co2_tracker=False)
    return {one.task_name: one.get_score() for one in found.task_results}


def test_c49_texts_are_sent_as_chats_and_searched(url: str) -> None:
    model = OpenAIAPIEncodeWrapper(endpoint_url=url, model_name=MINILM, modalities=["text"])
    scores = evaluated(model, "MockRetrievalTask", "MockSTSTask", "MockRerankingTask")
    assert len(scores) == 3
    assert np.isfinite(list(scores.values())).all()


def test_c49_pictures_are_sent_as_chats_and_searched(url: str) -> None:
    model = OpenAIAPIEncodeWrapper(endpoint_url=url, model_name=DEMO, modalities=["text", "image"])
    scores = evaluated(model, "MockAny2AnyRetrievalT2ITask", "MockAny2AnyRetrievalI2TTask")
    assert len(scores) == 2
    assert np.isfinite(list(scores.values())).all()


def test_c49_vectors_of_its_chats(url: str, expected: Reference) -> None:
    model = OpenAIAPIEncodeWrapper(endpoint_url=url, model_name=MINILM, modalities=["text"])
    items = [(text, None, None, None) for text in TEXTS]
    assert_same(model._get_multimodal_embeddings(items, ""), expected.rows(TEXTS))
    assert_same(model._get_embeddings(list(TEXTS)), expected.rows(TEXTS))


def test_c49_a_video_in_a_chat(http: httpx.Client) -> None:
    # MTEB writes MP4 files with a package that wants FFmpeg's libraries; the body is the same.
    url = "data:video/mp4;base64," + clip_base64()
    part = {"type": "video_url", "video_url": {"url": url}}
    body = {
        "model": DEMO,
        "messages": [[{"role": "user", "content": [part]}]],
        "encoding_format": "float",
    }
    answer = http.post("/v1/embeddings", json=body).raise_for_status().json()
    assert np.linalg.norm(answer["data"][0]["embedding"]) == pytest.approx(1, abs=1e-4)


def test_c49_reranker(url: str) -> None:
    model = OpenAIAPIRerankWrapper(endpoint_url=url, model_name=MINILM)
    scores = model._rerank(TEXTS[0], list(TEXTS))
    assert scores.argmax() == 0
    assert scores.shape == (3,)


def test_c49_token_vectors_by_pooling(url: str) -> None:
    model = OpenAIAPITokenEmbedWrapper(
        endpoint_url=url, model_name=COLBERT, modalities=["text"], use_chat_template=False
    )
    long, short = model._encode_texts(["one two three four", "one"])
    assert long.shape[1] == short.shape[1]
    assert len(long) > len(short)
    chat = model._encode_item("one", None, None, None)
    assert_same(chat, short)


def test_c25_mteb_reads_the_model_list_without_a_key(
    guarded: ServerProcess, expected: Reference
) -> None:
    model = OpenAIAPIEncodeWrapper(
        endpoint_url=guarded.url, model_name=MINILM, api_key="pa-secret", modalities=["text"]
    )
    assert_same(model._get_embeddings(list(TEXTS)), expected.rows(TEXTS))
