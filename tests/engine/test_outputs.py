"""Outputs beside the dense vector: what the engine makes of them, and who shares what."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from polyvec.backends._base import TokenBatch
from polyvec.engine.engine import Engine
from polyvec.engine.options import EngineOptions
from polyvec.engine.outputs import activated, piece_of
from polyvec.engine.prepare import Prepared, Route
from polyvec.errors import UnprocessableInputError, UnsupportedInputError
from polyvec.media.policy import MediaPolicy
from polyvec.models._family import Head
from tests.engine import doubles
from tests.engine.doubles import CLS, SEP, D, FakeRunner, InProcess, ask, make_model


def head(gives: str, **changes: Any) -> Head:
    return Head(forward=lambda _o, _c, x: x, reads="tokens", gives=gives, dimensions=1, **changes)


HEADS = {
    "dense": Head(forward=lambda _o, _c, x: x, reads="rows", gives="rows", dimensions=D),
    "sparse": head("tokens"),
    "tokens": head("tokens", normalize=True, drops_first=True),
}


class OutputsRunner(FakeRunner):
    """Per token: a weight equal to a hundredth of its id, and the vector (id, 1)."""

    def run_outputs(
        self, batch: TokenBatch, outputs: tuple[str, ...], *, alone: bool = False
    ) -> Mapping[str, np.ndarray]:
        ids = batch.ids.astype(np.float32)
        made = {
            "dense": self.run("text", batch, alone=alone),
            "sparse": ids[:, None] / 100,
            "tokens": np.stack([ids, np.ones_like(ids)], 1),
        }
        return {name: made[name] for name in outputs}


async def started(**changes: Any) -> Engine:
    model = make_model(heads=HEADS, **changes)
    model.text.tokenizer.special_ids = frozenset((CLS, SEP))  # type: ignore[union-attr]
    engine = Engine(model, OutputsRunner(), EngineOptions(), MediaPolicy(), InProcess())
    await engine.start()
    return engine


async def test_one_request_gets_dense_sparse_and_token_vectors_of_each_text() -> None:
    engine = await started()
    try:
        results = await engine.embed(ask("w7 w9 w7", "w30", outputs=("dense", "sparse", "tokens")))
        first, second = results
        np.testing.assert_array_equal(first.vector, doubles.expected_row(doubles.ids(7, 9, 7)))
        assert first.sparse is not None
        assert second.sparse is not None
        assert first.sparse.indexes.tolist() == [7, 9]
        np.testing.assert_allclose(first.sparse.values, [0.07, 0.09])
        assert second.sparse.indexes.tolist() == [30]
        assert first.token_vectors is not None
        assert first.token_vectors.shape == (4, 2)
        np.testing.assert_allclose(np.linalg.norm(first.token_vectors, axis=1), 1, atol=1e-6)
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("has_module", "asked", "is_unit"),
    [
        (True, None, True),
        (True, False, False),
        (False, None, False),
        (False, True, True),
    ],
)
async def test_the_states_of_tokens_are_normalised_as_the_vector_is(
    *, has_module: bool, asked: bool | None, is_unit: bool
) -> None:
    model = make_model(normalize=has_module)
    engine = Engine(model, OutputsRunner(), EngineOptions(), MediaPolicy(), InProcess())
    await engine.start()
    try:
        (result,) = await engine.embed(ask("w7", outputs=("tokens",), normalize=asked))
    finally:
        await engine.close()
    assert result.token_vectors is not None
    norms = np.linalg.norm(result.token_vectors, axis=1)
    assert bool(np.allclose(norms, 1, atol=1e-6)) is is_unit


async def test_a_request_for_sparse_alone_has_no_dense_vector() -> None:
    engine = await started()
    try:
        (result,) = await engine.embed(ask("w7", outputs=("sparse",)))
        assert result.vector.shape == (0,)
        assert result.token_vectors is None
    finally:
        await engine.close()


async def test_an_output_that_the_model_does_not_give_is_refused_by_name() -> None:
    engine = await started()
    try:
        with pytest.raises(UnsupportedInputError, match=r"no score output; it gives dense, sparse"):
            await engine.embed(ask("w7", outputs=("score",)))
    finally:
        await engine.close()


async def test_requests_for_other_outputs_do_not_share_a_flight() -> None:
    engine = await started()
    try:
        (dense,) = await engine.embed(ask("w7"))
        (sparse,) = await engine.embed(ask("w7", outputs=("sparse",)))
        assert dense.sparse is None
        assert sparse.sparse is not None
    finally:
        await engine.close()


async def test_an_output_that_is_not_finite_fails_its_own_input_only() -> None:
    engine = await started()
    runner: Any = engine._runner
    runner.on_content = lambda content: "nan" if 666 in content else None
    try:
        with pytest.raises(UnprocessableInputError):
            await engine.embed(ask("w666", outputs=("dense", "sparse")))
        (good,) = await engine.embed(ask("w7", outputs=("dense", "sparse")))
        assert np.isfinite(good.vector).all()
    finally:
        await engine.close()


def test_a_vocabulary_row_becomes_its_entries_other_than_zero() -> None:
    model = make_model(heads={"sparse": head("rows")})
    row = np.array([0, 1.5, 0, 0.25], np.float32)
    prepared = Prepared(Route("text", ("sparse",)), np.array([1, 3]), 2, 2, b"")
    piece: Any = piece_of(model, "sparse", row, prepared)
    assert piece.indexes.tolist() == [1, 3]
    assert piece.values.tolist() == [1.5, 0.25]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [(None, [0.0, 1.0]), ("sigmoid", [0.5, 0.731059]), ("softmax", [0.268941, 0.731059])],
)
def test_scores_go_through_the_heads_activation(
    activation: str | None, expected: list[float]
) -> None:
    model = make_model(heads={"score": head("rows", activation=activation)})
    scores = activated(model, np.array([0, 1], np.float32))
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
