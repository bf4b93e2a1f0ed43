import numpy as np

from polyvec.backends._base import ImageBatch, TokenBatch
from polyvec.engine.batch import assemble
from polyvec.engine.prepare import Prepared


def test_texts_are_laid_end_to_end() -> None:
    inputs = [Prepared("text", np.arange(n), n, n, b"") for n in (2, 3)]
    batch = assemble(inputs)
    assert isinstance(batch, TokenBatch)
    assert batch.ids.tolist() == [0, 1, 0, 1, 2]
    assert batch.lengths.tolist() == [2, 3]
    assert batch.ids.dtype == batch.lengths.dtype == np.int64


def test_pictures_are_stacked() -> None:
    inputs = [Prepared("image", np.full((3, 2, 2), n, np.float32), 9, 0, b"") for n in (1, 2)]
    batch = assemble(inputs)
    assert isinstance(batch, ImageBatch)
    assert batch.pixels.shape == (2, 3, 2, 2)
    assert batch.pixels.dtype == np.float32
    assert batch.pixels[:, 0, 0, 0].tolist() == [1, 2]
