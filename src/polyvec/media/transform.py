"""RGB pixels → the float array that a vision tower reads."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from polyvec.media.patch_grid import patched_size
from polyvec.media.rgb import RgbArray
from polyvec.types import Float32Array

# Beyond it the resized picture is not made whole: a strip of 1 x 65535 would need gigabytes.
_MAX_RESIZED_PIXELS = 16_777_216
_MAX_COPIED_PIXELS = 4_194_304


@dataclass(frozen=True, slots=True)
class ImageTransform:
    """Resize, centre crop and normalise, as transformers' Pillow image processors do.

    The result equals theirs bit for bit before normalisation; a picture of extreme aspect ratio,
    which they cannot hold in memory, may differ by rounding.

    Source: transformers 5.23, image_processing_backends.PilBackend and image_transforms.

    Attributes:
        resize: Length in pixels that the shorter side gets, exact ``(height, width)`` that the
            picture is squashed to, or None to keep its size.
        resample: Pillow's code: 0 nearest, 1 lanczos, 2 bilinear, 3 bicubic, 4 box, 5 hamming.
        crop: ``(height, width)`` cut from the centre, black around a picture that is smaller; None
            only with an exact resize, so that all results have one shape.
        crop_rounding: Which way the crop goes that cannot be centred: ``down`` as transformers
            cuts, or ``half_even`` as torchvision does.
        rescale_factor: Multiplies pixels before normalisation; 1 to leave them 0 … 255.
        mean: Subtracted per channel after rescaling.
        std: Divides per channel.
        max_patches: Instead of ``resize`` and ``crop``: pictures nearly keep their shape and are
            brought to at most so many patches; results have no one size. 0 for none of this.
        patch_size: Side of those patches.

    Raises:
        TypeError: The output would have no fixed size.
    """

    resize: int | tuple[int, int] | None
    resample: int = 3
    crop: tuple[int, int] | None = None
    crop_rounding: Literal["down", "half_even"] = "down"
    rescale_factor: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    max_patches: int = 0
    patch_size: int = 0

    def __post_init__(self) -> None:
        _ = self.max_patches or self.size

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` of every result; there is none with ``max_patches``."""
        size = self.crop or self.resize
        if not isinstance(size, tuple):
            raise TypeError("without a crop, resize must be an exact (height, width)")
        return size

    def __call__(self, rgb: RgbArray) -> Float32Array:
        """Turn uint8 (H, W, 3) into contiguous float32 (3, *size)."""
        return self.normalized(self.fitted(rgb))

    def fitted(self, rgb: RgbArray) -> RgbArray:
        """Resize and crop: uint8 (H, W, 3) into contiguous uint8 (*size, 3), or (h, w, 3)."""
        full = self.resized(rgb.shape[0], rgb.shape[1])
        wanted = full if self.max_patches else self.size
        rows, columns = (
            _Window.centred(length, size, self.crop_rounding)
            for length, size in zip(full, wanted, strict=True)
        )
        kept = _resample(rgb, full, (rows, columns), self.resample)
        if kept.shape[:2] == wanted:
            return np.ascontiguousarray(kept)
        out = np.zeros((*wanted, 3), dtype=np.uint8)
        out[rows.place, columns.place] = kept
        return out

    def normalized(self, fitted: RgbArray) -> Float32Array:
        """Rescale and normalise: uint8 (h, w, 3) into contiguous float32 (3, h, w)."""
        out = np.ascontiguousarray(fitted.transpose(2, 0, 1), dtype=np.float32)
        std = np.asarray(self.std)
        out *= _per_channel(self.rescale_factor / std)
        out += _per_channel(-np.asarray(self.mean) / std)
        return out

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that a picture gets before it is cropped."""
        if self.max_patches:
            return patched_size(
                height, width, patch_size=self.patch_size, max_patches=self.max_patches
            )
        if self.resize is None:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        # Source: transformers get_resize_output_image_size: the long side is cut, not rounded.
        if width <= height:
            return int(self.resize * height / width), self.resize
        return self.resize, int(self.resize * width / height)


@dataclass(frozen=True, slots=True)
class _Window:
    """The part of one axis that a centre crop keeps.

    Attributes:
        start: First kept pixel of the resized picture.
        stop: One past the last.
        offset: Where it lands in the result, which is longer when the picture is smaller.
    """

    start: int
    stop: int
    offset: int

    @classmethod
    def centred(cls, length: int, crop: int, rounding: str) -> "_Window":
        # Source: transformers image_transforms.center_crop, whose odd pixel of padding comes first;
        # torchvision functional.center_crop, which rounds what is left, and whose does not.
        first = (length - crop) // 2
        if rounding == "half_even" and length > crop:
            first = round((length - crop) / 2)
        elif rounding == "half_even":
            first = -((crop - length) // 2)
        return cls(max(first, 0), min(first + crop, length), max(-first, 0))

    @property
    def kept(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def place(self) -> slice:
        return slice(self.offset, self.offset + self.stop - self.start)


def _resample(
    rgb: RgbArray, full: tuple[int, int], windows: tuple[_Window, _Window], resample: int
) -> RgbArray:
    """The windows of the picture resized to ``full``, uint8."""
    rows, columns = windows
    height, width = rgb.shape[:2]
    if full == (height, width):
        return rgb[rows.kept, columns.kept]
    kernel = PIL.Image.Resampling(resample)
    if height * width > _MAX_COPIED_PIXELS and full[1] < width:
        rgb, width = _narrowed(rgb, full[1], kernel), full[1]
    image = PIL.Image.fromarray(rgb)
    if full[0] * full[1] <= _MAX_RESIZED_PIXELS:
        resized = image.resize((full[1], full[0]), kernel)
        return np.asarray(resized)[rows.kept, columns.kept]
    # Columns first, as the resize of the whole picture would: each pass rounds to 8 bits.
    x, y = width / full[1], height / full[0]
    num_rows, num_columns = rows.stop - rows.start, columns.stop - columns.start
    box = (columns.start * x, 0.0, columns.stop * x, height)
    strip = image.resize((num_columns, height), kernel, box=box)
    box = (0.0, rows.start * y, num_columns, rows.stop * y)
    return np.asarray(strip.resize((num_columns, num_rows), kernel, box=box))


def _narrowed(rgb: RgbArray, columns: int, kernel: PIL.Image.Resampling) -> RgbArray:
    """Resized in width alone, some rows at a time; a resize of the whole does that first as well.

    Pillow copies what it resizes, at four bytes a pixel.
    """
    rows = max(_MAX_COPIED_PIXELS // rgb.shape[1], 1)
    bands = (PIL.Image.fromarray(rgb[at : at + rows]) for at in range(0, rgb.shape[0], rows))
    resized = (np.asarray(band.resize((columns, band.height), kernel)) for band in bands)
    return np.concatenate(list(resized))


def _per_channel(values: NDArray[np.float64]) -> Float32Array:
    return values.astype(np.float32)[:, np.newaxis, np.newaxis]
