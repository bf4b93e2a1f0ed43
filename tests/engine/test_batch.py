import numpy as np

from polyvec.backends._base import ImageBatch, TokenBatch
from polyvec.engine.batch import assemble
from polyvec.engine.prepare import Prepared, Route


def test_texts_are_laid_end_to_end() -> None:
    inputs = [Prepared(Route("text"), np.arange(n), n, n, b"") for n in (2, 3)]
    batch = assemble(inputs)
    assert isinstance(batch, TokenBatch)
    assert batch.ids.tolist() == [0, 1, 0, 1, 2]
    assert batch.lengths.tolist() == [2, 3]
    assert batch.ids.dtype == batch.lengths.dtype == np.int64


def test_pictures_are_stacked() -> None:
    inputs = [
        Prepared(Route("image"), np.full((3, 2, 2), n, np.float32), 9, 0, b"") for n in (1, 2)
    ]
    batch = assemble(inputs)
    assert isinstance(batch, ImageBatch)
    assert batch.pixels.shape == (2, 3, 2, 2)
    assert batch.pixels.dtype == np.float32
    assert batch.pixels[:, 0, 0, 0].tolist() == [1, 2]


def test_segments_and_left_out_prompts_travel_with_their_texts() -> None:
    route = Route("text", adapter=2)
    inputs = [
        Prepared(route, np.arange(2), 2, 2, b"", segments=np.array([0, 1])),
        Prepared(route, np.arange(3), 3, 3, b"", skipped=1),
    ]
    batch = assemble(inputs)
    assert isinstance(batch, TokenBatch)
    assert batch.segments is not None
    assert batch.segments.tolist() == [0, 1, 0, 0, 0]
    assert batch.skipped is not None
    assert batch.skipped.tolist() == [0, 1]
    assert batch.adapter == 2
