from typing import Any

import numpy as np

from polyvec.backends._base import BackendOptions, ImageBatch, TokenBatch
from polyvec.backends.fake import BACKEND
from tests.engine.doubles import make_model


def load(**options: Any) -> Any:
    return BACKEND.load(make_model(dimensions=8), BackendOptions(**options))


def texts(*contents: list[int]) -> TokenBatch:
    return TokenBatch(
        ids=np.array([token for ids in contents for token in ids], np.int64),
        lengths=np.array([len(ids) for ids in contents], np.int64),
    )


def test_rows_depend_on_the_content_and_not_on_batch_mates() -> None:
    session = load().session()
    together = session.run("text", texts([1, 2, 3], [4], [1, 2, 3], [3, 2, 1]))
    np.testing.assert_array_equal(together[0], together[2])
    assert len({row.tobytes() for row in together}) == 3
    np.testing.assert_array_equal(session.run("text", texts([4]))[0], together[1])


def test_rows_are_the_same_in_every_process() -> None:
    (row,) = load().session().run("text", texts([1, 2, 3]))
    expected = [11537, 18029, 28598, 18699, 26696, -16277, -7394, 24088]
    assert (row * 32768).tolist() == expected


def test_rows_are_finite_float32_of_the_models_length() -> None:
    rows = load().session().run("text", texts(*[[n] for n in range(1, 50)]))
    assert rows.shape == (49, 8)
    assert rows.dtype == np.float32
    assert (np.abs(rows) <= 1).all()


def test_pictures_have_rows_too() -> None:
    pixels = np.zeros((3, 3, 2, 2), np.float32)
    pixels[1] = 1
    rows = load().session().run("image", ImageBatch(pixels))
    np.testing.assert_array_equal(rows[0], rows[2])
    assert not np.array_equal(rows[0], rows[1])


def test_sessions_are_as_many_as_asked_for() -> None:
    assert load(num_sessions=3).num_sessions == 3
    assert load().num_sessions >= 1
