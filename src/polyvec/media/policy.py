"""Limits on the pictures that callers send."""

from dataclasses import dataclass
from typing import Literal

ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]

IMAGE_FORMATS: tuple[ImageFormat, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Every format that can be decoded. EPS (runs Ghostscript), SVG (fetches references) and formats
that only some builds of the image library read are left out on purpose."""


@dataclass(frozen=True, slots=True)
class MediaPolicy:
    """What a picture may be.

    Attributes:
        limit_bytes: Largest encoded file, checked on the text's length before base64 is decoded.
        max_pixels: Largest width x height, checked on the header before pixels are decoded; times
            about 8 bytes it is the memory of one decode.
        max_side_px: Longest side; the default is the longest that JPEG has.
        max_jpeg_scans: Passes over a progressive JPEG. Encoders write about ten; each one costs a
            walk over all pixels, and a few bytes are enough to ask for it.
        formats: Formats that are accepted.
    """

    limit_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 40_000_000
    max_side_px: int = 65_535
    max_jpeg_scans: int = 100
    formats: tuple[ImageFormat, ...] = IMAGE_FORMATS
