"""Pairs scored through the whole engine are scored as the reference scores them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec.backends._base import BackendOptions
from polyvec.backends.openvino import BACKEND
from polyvec.engine.engine import Engine
from polyvec.engine.options import EngineOptions
from polyvec.engine.scoring import Scored, _cosine, score
from polyvec.errors import InputTooLongError, InvalidInputError, UnsupportedInputError
from polyvec.media.policy import MediaPolicy
from polyvec.models._resolve import ModelOptions, resolve
from polyvec.types import (
    Bytes,
    Chat,
    Embedding,
    EmbedRequest,
    Image,
    Input,
    Message,
    ScoreRequest,
    Text,
)
from tests import tiny
from tests.engine.doubles import InProcess, png
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


async def test_a_sparse_model_scores_by_the_cosine_of_its_sparse_vectors(tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder

    folder = zoo.splade(tmp_path, "bert", pooling={"pooling_strategy": "max"})
    reference = SparseEncoder(str(folder), device="cpu")
    texts = [QUERY, *DOCUMENTS]
    rows = reference.encode(texts, convert_to_sparse_tensor=False, show_progress_bar=False).numpy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = rows[1:] @ rows[0]
    found = await scored(folder, request())
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)


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


# A single text on a classifier.


@pytest.mark.parametrize(
    ("problem", "num_labels"),
    [
        ("single_label_classification", 3),
        ("multi_label_classification", 3),
        ("regression", 1),
        (None, 3),
        (None, 1),
    ],
)
async def test_a_text_is_classified_as_transformers_classifies_it(
    tmp_path: Path, problem: str | None, num_labels: int
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    said = {} if problem is None else {"problem_type": problem}
    folder = zoo.cross_encoder(tmp_path, "bert", num_labels=num_labels, **said)
    classifier = pipeline(
        "text-classification",
        model=AutoModelForSequenceClassification.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        device="cpu",
    )
    expected = np.zeros((len(DOCUMENTS), num_labels))
    for row, answers in zip(expected, classifier(list(DOCUMENTS), top_k=None), strict=True):
        for answer in answers:
            row[int(answer["label"].removeprefix("LABEL_"))] = answer["score"]
    inputs = tuple(Input((Text(text),)) for text in DOCUMENTS)

    async def ask(engine: Engine) -> Any:
        plain = EmbedRequest(model=None, inputs=inputs)
        return await engine.embed(plain), await engine.embed(replace(plain, normalize=False))

    found, logits = await with_engine(folder, ask)
    np.testing.assert_allclose([each.scores for each in found], expected, atol=1e-5)
    raw = np.array([each.scores for each in logits])
    squashed = 1 / (1 + np.exp(-raw))
    shares = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    of_kind = {"regression": raw, "multi_label_classification": squashed}
    usual = shares if num_labels > 1 else squashed
    np.testing.assert_allclose(of_kind.get(str(problem), usual), expected, atol=1e-5)


def test_labels_are_named_as_config_json_names_them(tmp_path: Path) -> None:
    names = {"0": "bad", "1": "so-so", "2": "good"}
    folder = zoo.cross_encoder(tmp_path / "a", "bert", num_labels=3, id2label=names)
    assert resolve(str(folder)).labels == ("bad", "so-so", "good")
    assert resolve(str(zoo.cross_encoder(tmp_path / "b", "bert"))).labels == ("LABEL_0",)
    assert resolve(str(tiny.make_bert(tmp_path / "c")), ModelOptions(pooling="mean")).labels == ()


# Inputs of other kinds than one string, and shorter texts.


async def test_a_cross_encoder_joins_the_texts_of_an_input(tmp_path: Path) -> None:
    folder = zoo.cross_encoder(tmp_path, "bert")
    whole = await scored(folder, request(documents=("a red\ndog",)))
    parts = Input((Text("a red"), Text(""), Text("dog")))
    turns = Chat((Message("user", (Text("a red"),)), Message("user", (Text("dog"),))))
    for given in (parts, Input((turns,))):
        found = await scored(folder, request(documents=(given,), queries=(Input((Text(QUERY),)),)))
        np.testing.assert_array_equal(found.scores, whole.scores)


async def test_a_cross_encoder_reads_no_pictures(tmp_path: Path) -> None:
    folder = zoo.cross_encoder(tmp_path, "bert")
    picture = Input((Image(Bytes(b"")),), "documents[0]")
    with pytest.raises(UnsupportedInputError, match="pairs of texts") as caught:
        await scored(folder, request(documents=(picture,)))
    assert caught.value.param == "documents[0]"


async def test_texts_of_a_pair_are_cut_before_they_are_put_together(tmp_path: Path) -> None:
    folder = zoo.cross_encoder(tmp_path, "bert")
    cut = await scored(
        folder, request(documents=(DOCUMENTS[2],), max_query_tokens=2, max_document_tokens=3)
    )
    short = await scored(folder, request(documents=("that is very",), queries=("the cat",)))
    np.testing.assert_array_equal(cut.scores, short.scores)
    assert cut.num_tokens == short.num_tokens
    whole = await scored(folder, request(max_query_tokens=99, max_document_tokens=99))
    np.testing.assert_array_equal(whole.scores, (await scored(folder, request())).scores)


async def test_a_pair_may_be_held_to_fewer_tokens(tmp_path: Path) -> None:
    folder = zoo.cross_encoder(tmp_path, "bert")
    cut = await scored(folder, request(max_tokens=8, truncate="end"))
    assert cut.num_tokens <= 8 * 3
    with pytest.raises(InputTooLongError) as caught:
        await scored(folder, request(max_tokens=8))
    assert caught.value.limit == 8


@pytest.mark.parametrize("kind", ["embedder", "late"])
async def test_each_side_of_a_comparison_may_be_shorter(tmp_path: Path, kind: str) -> None:
    late = kind == "late"
    folder = zoo.stanford_colbert(tmp_path) if late else tiny.make_bert(tmp_path)
    options = {} if late else {"pooling": "mean"}
    special = 3 if late else 2
    cut = await scored(
        folder,
        request(documents=(DOCUMENTS[2],), max_document_tokens=3 + special),
        **options,
    )
    short = await scored(folder, request(documents=("that is very",)), **options)
    np.testing.assert_allclose(cut.scores, short.scores, atol=1e-6)
    with pytest.raises(InputTooLongError):
        await scored(folder, request(max_tokens=3), **options)
    beyond = request(max_document_tokens=10**6, max_tokens=3)
    with pytest.raises(InputTooLongError):
        await scored(folder, beyond, **options)


async def test_pictures_are_compared_with_texts(tmp_path: Path) -> None:
    folder = tiny.make_clip(tmp_path)
    pictures = tuple(Input((Image(Bytes(png(value))),)) for value in (10, 200))
    found = await scored(folder, request(queries=(QUERY,), documents=(*pictures, QUERY)))
    inputs = (*pictures, Input((Text(QUERY),)))

    async def ask(engine: Engine) -> Any:
        return await engine.embed(EmbedRequest(model=None, inputs=inputs, normalize=True))

    rows = np.stack([each.vector for each in await with_engine(folder, ask)])
    np.testing.assert_allclose(found.scores, rows @ rows[2], atol=1e-5)
    turned = await scored(folder, request(queries=(pictures[0],), documents=(QUERY,)))
    np.testing.assert_allclose(turned.scores, found.scores[:1], atol=1e-5)


def test_no_cosine_is_beyond_one() -> None:
    generator = np.random.default_rng(3)
    for vector in generator.standard_normal((200, 128)).astype(np.float32):
        one, opposite = Embedding(vector, 1), Embedding(-vector, 1)
        assert 0.999 < _cosine(one, one) <= 1.0
        assert -1.0 <= _cosine(one, opposite) < -0.999
