"""Pairs scored through the whole engine are scored as the reference scores them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec.backends._base import BackendOptions
from polyvec.backends.openvino import BACKEND
from polyvec.engine.engine import Engine
from polyvec.engine.options import EngineOptions
from polyvec.engine.scoring import Scored, score
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.media.policy import MediaPolicy
from polyvec.models._resolve import ModelOptions, resolve
from polyvec.types import EmbedRequest, Input, ScoreRequest, Text
from tests import tiny
from tests.engine.doubles import InProcess
from tests.zoo import heads as zoo

QUERY = "the cat sat"
DOCUMENTS = ("a red dog", "the cat sat on the mat!", "that is very long text " * 3)


async def with_engine(folder: Path, ask: Callable[[Engine], Any], **options: Any) -> Any:
    model = resolve(str(folder), ModelOptions(**options))
    runner = BACKEND.load(model, BackendOptions(dtype="float32", num_sessions=1))
    engine = Engine(model, runner, EngineOptions(), MediaPolicy(), InProcess())
    await engine.start()
    try:
        return await ask(engine)
    finally:
        await engine.close()


async def scored(folder: Path, request: ScoreRequest, **options: Any) -> Scored:
    return await with_engine(
        folder, lambda engine: score(request, engine.model, engine.embed), **options
    )


def request(**changes: Any) -> ScoreRequest:
    return ScoreRequest(**{"model": None, "queries": (QUERY,), "documents": DOCUMENTS, **changes})


async def test_a_cross_encoder_scores_like_sentence_transformers(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = zoo.cross_encoder(tmp_path, "bert")
    reference = CrossEncoder(str(folder), device="cpu")
    expected = reference.predict([(QUERY, document) for document in DOCUMENTS])
    found = await scored(folder, request())
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)
    logits = await scored(folder, request(activate=False))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits.scores)), expected, atol=1e-5)


async def test_late_interaction_sums_the_nearest_tokens(tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    folder = zoo.stanford_colbert(tmp_path)
    reference = MultiVectorEncoder(str(folder), device="cpu")
    query = reference.encode_query([QUERY], show_progress_bar=False)[0].numpy()
    documents = reference.encode_document(list(DOCUMENTS), show_progress_bar=False)
    expected = [(query @ one.numpy().T).max(1).sum() for one in documents]
    found = await scored(folder, request())
    np.testing.assert_allclose(found.scores, expected, atol=1e-4)


async def test_an_embedder_scores_by_cosine_with_one_query_or_one_for_each(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    once = await scored(folder, request(), pooling="mean")
    each = await scored(folder, request(queries=(QUERY,) * 3), pooling="mean")
    np.testing.assert_allclose(once.scores, each.scores, atol=1e-6)
    same = await scored(folder, request(documents=(QUERY,)), pooling="mean")
    assert same.scores[0] == pytest.approx(1, abs=1e-6)
    assert same.num_tokens == 2 * 5


@pytest.mark.parametrize("queries", [(), ("a", "b")])
async def test_queries_and_documents_must_pair_up(tmp_path: Path, queries: Any) -> None:
    with pytest.raises(InvalidInputError, match="do not pair up"):
        await scored(tiny.make_bert(tmp_path), request(queries=queries), pooling="mean")


async def test_several_labels_are_no_score(tmp_path: Path) -> None:
    folder = zoo.cross_encoder(tmp_path, "bert", num_labels=3)
    with pytest.raises(UnsupportedInputError, match="3 labels"):
        await scored(folder, request())


async def test_an_instruction_reaches_the_judge_and_nobody_else(tmp_path: Path) -> None:
    judge = zoo.qwen3_reranker(tmp_path / "judge", "converted")
    plain = await scored(judge, request())
    told = await scored(judge, request(instruction="Look for cats"))
    assert np.abs(plain.scores - told.scores).max() > 1e-6
    for folder in (zoo.cross_encoder(tmp_path / "b", "bert"), tiny.make_bert(tmp_path / "c")):
        with pytest.raises(UnsupportedInputError, match="takes no instruction"):
            await scored(folder, request(instruction="Look for cats"))


async def test_an_empty_text_of_a_static_model_is_the_zero_vector(tmp_path: Path) -> None:
    folder = zoo.static(tmp_path, "0_StaticEmbedding")
    inputs = (Input((Text(""),)), Input((Text("the cat"),)))
    found = await with_engine(
        folder, lambda engine: engine.embed(EmbedRequest(model=None, inputs=inputs))
    )
    assert not found[0].vector.any()
    assert found[0].num_tokens == 0
    assert np.linalg.norm(found[1].vector) == pytest.approx(1, abs=1e-6)
