"""The bytes of an image file → RGB pixels."""

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import PIL.Image
from PIL import ExifTags, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from polyvec.errors import MediaError
from polyvec.media.jpeg import count_scans
from polyvec.media.policy import ImageFormat, MediaPolicy
from polyvec.media.rgb import RgbArray, to_rgb
from polyvec.media.signatures import format_of

# The files' classes are called directly: Image.open checks pixels against a limit of the whole
# process, by a warning, and cannot tell a broken PNG from something that is no picture.
_OPENERS: dict[ImageFormat, Callable[[BytesIO], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}
if features.check("avif"):
    _OPENERS["AVIF"] = AvifImageFile
_TRANSPOSES = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_PNG_BIT_DEPTH_AT = 24
_SIDEWAYS = (5, 6, 7, 8)
_DRAFT_SCALES = (8, 4, 2)
# A draft this many times the wanted size differs by 0.5 of 255 in the mean; a sharper one by more.
_DRAFT_MARGIN = 3
_warning_filters = threading.Lock()


SizeOf = Callable[[int, int], tuple[int, int]]
"""(height, width) of a picture → (height, width) that it will be resized to."""


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    format: ImageFormat
    policy: MediaPolicy
    param: str
    resized: SizeOf | None

    def too_large(self, what: str) -> MediaError:
        return MediaError(f"{self.param}: {what}", param=self.param, code="image_too_large")

    def invalid(self) -> MediaError:
        return MediaError(
            f"{self.param}: the {self.format} file is damaged, cut off or not decodable",
            param=self.param,
        )


def decode_image(
    data: bytes, policy: MediaPolicy, *, param: str = "input", resized: SizeOf | None = None
) -> RgbArray:
    """RGB uint8 (H, W, 3) of a picture as a viewer shows it; may be read-only.

    The EXIF orientation is applied, transparency is put on white, an animation gives its first
    frame, deep samples are scaled to 8 bits. Colour profiles are ignored, as the reference image
    processors do. Safe to call from several threads.

    Args:
        data: The encoded file.
        policy: Limits and formats.
        param: Where the caller wrote it, for messages.
        resized: What becomes of the picture. Where the policy allows drafts, a JPEG that shrinks
            much is given at a half, a quarter or an eighth of its size, of equal aspect ratio.

    Raises:
        MediaError: ``unsupported_image_format``, ``image_too_large`` or ``invalid_image``.
    """
    file = _File(data, _sniff(data, policy, param), policy, param, resized)
    try:
        try:
            return _decode(file)
        except Warning:
            # Only where the process turns warnings into errors; a remark on metadata is no reason
            # to refuse a picture. Filters are shared by all threads, so one thread at a time.
            with _warning_filters, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _decode(file)
    except MediaError:
        raise
    except MemoryError as error:
        raise file.too_large("decoding the picture takes too much memory") from error
    except Exception as error:  # hostile bytes can raise anything in the decoders
        raise file.invalid() from error


def upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """A loaded picture as its EXIF orientation means it to be seen."""
    transpose = _TRANSPOSES.get(_orientation(image))
    return image if transpose is None else image.transpose(transpose)


def _sniff(data: bytes, policy: MediaPolicy, param: str) -> ImageFormat:
    found = format_of(data)
    accepted = [name for name in policy.formats if name in _OPENERS]
    for name in accepted:
        if name == found:
            return name
    what = f"the file is {found}" if found else "not an image of a known format"
    raise MediaError(
        f"{param}: {what}; accepted formats: {', '.join(accepted)}",
        param=param,
        code="unsupported_image_format",
    )


def _decode(file: _File) -> RgbArray:
    with _OPENERS[file.format](BytesIO(file.data)) as image:
        _check_size(image, file)
        bit_depth = file.data[_PNG_BIT_DEPTH_AT] if file.format == "PNG" else None
        if file.format == "JPEG":
            _check_scans(file)
            _draft(image, file)
        image.load()
        return to_rgb(upright(image), png_bit_depth=bit_depth)


def _check_size(image: ImageFile, file: _File) -> None:
    width, height = image.size
    policy = file.policy
    if min(width, height) < 1:
        raise file.invalid()
    if max(width, height) > policy.max_side_px:
        raise file.too_large(
            f"the picture is {width} x {height}; no side may be over {policy.max_side_px} pixels"
        )
    if width * height > policy.max_pixels:
        raise file.too_large(
            f"the picture is {width} x {height}; at most {policy.max_pixels} pixels are accepted"
        )


def _check_scans(file: _File) -> None:
    limit = file.policy.max_jpeg_scans
    if count_scans(file.data, limit=limit + 1) > limit:
        raise file.too_large(f"the JPEG has more than {limit} scans")


def _draft(image: ImageFile, file: _File) -> None:
    """Ask for the coarsest decode that is still much finer than what is wanted.

    Only scales that divide both sides are used: others would cut a part of a pixel off the edge,
    and move all others by it.
    """
    if file.resized is None or not file.policy.draft_jpeg:
        return
    width, height = image.size
    is_sideways = _orientation(image) in _SIDEWAYS
    wanted = file.resized(*((width, height) if is_sideways else (height, width)))
    rows, columns = reversed(wanted) if is_sideways else wanted
    scale = min(height // (rows * _DRAFT_MARGIN), width // (columns * _DRAFT_MARGIN))
    for denominator in _DRAFT_SCALES:
        if scale >= denominator and width % denominator == height % denominator == 0:
            image.draft(None, (width // denominator, height // denominator))
            return


def _orientation(image: PIL.Image.Image) -> int:
    """EXIF orientation, 1 where the block is missing or cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Warning:
        raise
    except Exception:  # noqa: BLE001 - the pixels are fine; broken metadata raises anything
        return 1
    return value if isinstance(value, int) else 1
