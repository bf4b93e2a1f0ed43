"""Prepared inputs → one batch of a backend."""

from collections.abc import Sequence

import numpy as np

from polyvec.backends._base import Batch, ImageBatch, TokenBatch
from polyvec.engine.prepare import Prepared


def assemble(inputs: Sequence[Prepared]) -> Batch:
    """Lay inputs of one modality end to end (texts) or on top of each other (pictures).

    Args:
        inputs: At least one, all of the same modality.
    """
    arrays = [prepared.array for prepared in inputs]
    if inputs[0].modality == "image":
        return ImageBatch(pixels=np.stack(arrays).astype(np.float32, copy=False))
    return TokenBatch(
        ids=np.concatenate(arrays).astype(np.int64, copy=False),
        lengths=np.array([len(ids) for ids in arrays], np.int64),
    )
