"""Pixels of any mode → RGB, transparency on white."""

from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

RgbArray = NDArray[np.uint8]

_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_WHITE = 255


def to_rgb(image: PIL.Image.Image, *, png_bit_depth: int | None = None) -> RgbArray:
    """RGB uint8 (H, W, 3) of a loaded picture; may be read-only.

    Transparent pixels show white, whatever colour hides under them. Source: transformers
    image_transforms.convert_to_rgb. Deep grey is scaled where the reference clips it to white.

    Args:
        image: A picture in any mode.
        png_bit_depth: Bits per sample in a PNG's header, the unit of its transparent colour.
    """
    key = image.info.get("transparency")
    if image.mode in _DEEP_GREY:
        return _from_deep_grey(np.asarray(image), key)
    if key is not None and image.mode in ("L", "RGB"):
        return _from_colour_key(image, _key_in_8_bits(key, png_bit_depth or 8))
    if image.has_transparency_data:
        return _on_white(image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _on_white(image: PIL.Image.Image) -> RgbArray:
    if image.mode == "La":  # has no way to RGBA of its own
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    background = PIL.Image.new("RGBA", rgba.size, (_WHITE, _WHITE, _WHITE, _WHITE))
    return np.asarray(PIL.Image.alpha_composite(background, rgba).convert("RGB"))


def _from_colour_key(image: PIL.Image.Image, key: NDArray[np.int64]) -> RgbArray:
    pixels = np.array(image.convert("RGB"))
    is_key = np.ones(pixels.shape[:2], np.bool_)
    for channel, value in enumerate(np.broadcast_to(key, 3).tolist()):
        is_key &= pixels[:, :, channel] == value
    # White has every bit set; writing through a mask takes ten times as long.
    pixels |= (is_key.view(np.uint8) * np.uint8(_WHITE))[:, :, np.newaxis]
    return pixels


def _key_in_8_bits(key: Any, bit_depth: int) -> NDArray[np.int64]:
    """A PNG gives its transparent colour in file samples, while its pixels are scaled to 8 bits."""
    samples: NDArray[np.int64] = np.atleast_1d(np.array(key, dtype=np.int64))
    if bit_depth > 8:  # noqa: PLR2004 - bits of the result
        samples >>= bit_depth - 8
    else:
        samples *= 255 // (2**bit_depth - 1)
    return samples


def _from_deep_grey(samples: NDArray[Any], key: Any) -> RgbArray:
    grey = _float_to_8_bits(samples) if samples.dtype.kind == "f" else _integer_to_8_bits(samples)
    if isinstance(key, int):
        grey[samples == key] = _WHITE
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _integer_to_8_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit samples lose their low byte, as 16-bit colour does; wider ones are clipped first."""
    grey: NDArray[np.uint8] = (np.clip(samples, 0, 65535) >> 8).astype(np.uint8)
    return grey


def _float_to_8_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Samples up to 1 are fractions of white, others are on the scale of 8 bits; NaN is black."""
    finite = np.nan_to_num(samples, nan=0.0, posinf=255.0, neginf=0.0)
    scale = 255.0 if finite.max() <= 1.0 else 1.0
    grey: NDArray[np.uint8] = np.clip(np.rint(finite * scale), 0, 255).astype(np.uint8)
    return grey
