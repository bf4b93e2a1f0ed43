"""Pictures that a caller of the same process has in memory → RGB pixels."""

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Image as PillowImage

from polyvec.errors import MediaError
from polyvec.media.image import upright
from polyvec.media.rgb import RgbArray, to_rgb

__all__ = ["PillowImage", "rgb_of"]

_GREY = 2
_COLOUR = 3
_NUM_RGB = 3
_NUM_RGBA = 4


def rgb_of(picture: object, *, param: str = "image") -> RgbArray:
    """RGB uint8 (H, W, 3) of a picture, as `decode_image` gives it for a file.

    Args:
        picture: A Pillow image in any mode, or uint8 of shape (H, W), (H, W, 3) or (H, W, 4), the
            fourth channel being opacity.
        param: Where the caller wrote it, for messages.

    Raises:
        TypeError: It is neither, or an array of another type.
        MediaError: An array of another shape, no pixels, or a file that Pillow cannot read on.
    """
    if isinstance(picture, PillowImage):
        rgb = _of_image(picture, param)
    elif isinstance(picture, np.ndarray):
        rgb = _of_array(picture, param)
    else:
        raise TypeError(
            f"{param} must be an encoded file (bytes), a Pillow image or a uint8 array, not "
            f"{type(picture).__name__}"
        )
    if not rgb.size:
        raise MediaError(f"{param}: the picture has no pixels", param=param)
    return rgb


def _of_image(image: PillowImage, param: str) -> RgbArray:
    try:
        image.load()
        return to_rgb(upright(image))
    except (OSError, ValueError, SyntaxError) as error:
        raise MediaError(
            f"{param}: the picture's file is damaged, cut off or closed", param=param
        ) from error


def _of_array(array: NDArray[np.generic], param: str) -> RgbArray:
    if array.dtype != np.uint8:
        raise TypeError(f"{param} must be an array of uint8, 0 to 255, not of {array.dtype}")
    pixels = array.astype(np.uint8, copy=False)
    if pixels.ndim == _GREY:
        return np.repeat(pixels[:, :, np.newaxis], _NUM_RGB, axis=2)
    if pixels.ndim == _COLOUR and pixels.shape[2] == _NUM_RGB:
        return pixels
    if pixels.ndim == _COLOUR and pixels.shape[2] == _NUM_RGBA:
        return to_rgb(PIL.Image.fromarray(pixels)) if pixels.size else pixels[:, :, :_NUM_RGB]
    raise MediaError(
        f"{param}: an array must have the shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}",
        param=param,
    )
