"""Pictures as patches of which each one has its own number, with where each of them stands."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from polyvec.types import Float32Array

_HALF = np.float32(0.5)


@dataclass(frozen=True, slots=True)
class PatchLayout:
    """How a picture of any shape becomes an array of one shape.

    Every row is a patch: its pixels, how much of each place of the model's square table of places
    it takes, and 1. Rows beyond the picture's patches are 0.

    Attributes:
        patch_size: Side of a patch in pixels.
        max_patches: Rows.
        table_side: Side of the table of places.
    """

    patch_size: int
    max_patches: int
    table_side: int

    @property
    def num_pixels(self) -> int:
        """Numbers of one patch."""
        return 3 * self.patch_size**2

    @property
    def num_places(self) -> int:
        """Rows of the table of places."""
        return self.table_side**2

    @property
    def shape(self) -> tuple[int, int]:
        """Of every result."""
        return self.max_patches, self.num_pixels + self.num_places + 1

    def arranged(self, pixels: Float32Array) -> Float32Array:
        """Pixels (3, H, W), of whole patches, as float32 of `shape`.

        Source: transformers 5.23, siglip2 convert_image_to_patches.
        """
        side = self.patch_size
        rows, columns = pixels.shape[1] // side, pixels.shape[2] // side
        count = rows * columns
        out = np.zeros(self.shape, np.float32)
        cut = pixels.reshape(3, rows, side, columns, side).transpose(1, 3, 2, 4, 0)
        out[:count, : self.num_pixels] = cut.reshape(count, -1)
        places = np.einsum(
            "ra,cb->rcab",
            interpolation(rows, self.table_side),
            interpolation(columns, self.table_side),
        )
        out[:count, self.num_pixels : -1] = places.reshape(count, self.num_places)
        out[:count, -1] = 1
        return out


@cache
def interpolation(length: int, table_length: int) -> Float32Array:
    """Weights (length, table_length) that stretch or shrink a table, bilinear with antialiasing.

    In float32 and from where the reference counts, so that both round alike.

    Source: torch.nn.functional.interpolate, which follows Pillow's resampling. For one column of
    many rows, torch 2.13 gives something else on a CPU; the transposed picture shows that it errs.
    """
    scale = np.float32(table_length) / np.float32(length)
    reach = max(np.float32(1), scale)
    centres = scale * (np.arange(length, dtype=np.float32)[:, None] + _HALF)
    first = np.maximum((centres - reach + _HALF).astype(np.int64), 0)
    past_first = (np.arange(table_length) - first).astype(np.float32)
    distances = (past_first + (first.astype(np.float32) - centres) + _HALF) / reach
    weights = np.clip(np.float32(1) - np.abs(distances), 0, None)
    found: Float32Array = weights / weights.sum(axis=1, keepdims=True)
    return found
