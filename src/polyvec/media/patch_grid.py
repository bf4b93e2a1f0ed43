"""Pictures that keep their shape: each is cut into as many patches as it may have, not more."""

import math

_MAX_SCALE = 100.0
_TOLERANCE = 1e-5


def patched_size(height: int, width: int, *, patch_size: int, max_patches: int) -> tuple[int, int]:
    """The size in whole patches, nearest to a picture's own shape, that a picture is brought to.

    The largest scale is searched for whose sides, rounded up to whole patches, make no more patches
    than allowed; the search stops where the reference's does, so that sizes are equal.

    Source: transformers 5.23, siglip2 get_image_size_for_max_num_patches.

    Args:
        height: Of the picture.
        width: Of the picture.
        patch_size: Side of a patch.
        max_patches: At least 1.

    Returns:
        (height, width), multiples of ``patch_size``.
    """

    def grid(scale: float) -> tuple[int, int]:
        rows, columns = (
            max(1, math.ceil(length * scale / patch_size)) for length in (height, width)
        )
        return rows, columns

    least, most = _TOLERANCE / 10, _MAX_SCALE
    while most - least >= _TOLERANCE:
        scale = (least + most) / 2
        rows, columns = grid(scale)
        if rows * columns <= max_patches:
            least = scale
        else:
            most = scale
    rows, columns = grid(least)
    return rows * patch_size, columns * patch_size
