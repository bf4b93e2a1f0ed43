"""Words and arrays that every layer uses.

Shape letters used in every docstring: B batch, L tokens of one text, T packed tokens of a batch,
F frames, H W pixels, C channels, D vector length.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Modality = Literal["text", "image"]
Truncate = Literal["end", "start", "none"]
Output = Literal["dense", "sparse", "tokens", "score"]
"""What a model makes of an input: one vector; weights of a few vocabulary entries; one vector per
token; or a cross-encoder's scores of a pair."""
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
