"""The bytes of an image file → RGB pixels."""

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import PIL.Image
from PIL import ExifTags
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
_SIGNATURES: tuple[tuple[bytes, ImageFormat], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
)
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
_warning_filters = threading.Lock()


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    format: ImageFormat
    policy: MediaPolicy
    param: str

    def too_large(self, what: str) -> MediaError:
        return MediaError(f"{self.param}: {what}", param=self.param, code="image_too_large")

    def invalid(self) -> MediaError:
        return MediaError(
            f"{self.param}: the {self.format} file is damaged, cut off or not decodable",
            param=self.param,
        )


def decode_image(data: bytes, policy: MediaPolicy, *, param: str = "input") -> RgbArray:
    """RGB uint8 (H, W, 3) of a picture as a viewer shows it; may be read-only.

    The EXIF orientation is applied, transparency is put on white, an animation gives its first
    frame, deep samples are scaled to 8 bits. Colour profiles are ignored, as the reference image
    processors do. Safe to call from several threads.

    Raises:
        MediaError: ``unsupported_image_format``, ``image_too_large`` or ``invalid_image``.
    """
    file = _File(data, _sniff(data, policy, param), policy, param)
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
    except Exception as error:  # hostile bytes can raise anything in the decoders
        raise file.invalid() from error


def _sniff(data: bytes, policy: MediaPolicy, param: str) -> ImageFormat:
    found: ImageFormat | None = next(
        (name for signature, name in _SIGNATURES if data.startswith(signature)), None
    )
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        found = "WEBP"
    if found is None or found not in policy.formats:
        what = f"a {found} file" if found else "not an image of a known format"
        raise MediaError(
            f"{param}: {what}; accepted formats: {', '.join(policy.formats)}",
            param=param,
            code="unsupported_image_format",
        )
    return found


def _decode(file: _File) -> RgbArray:
    with _OPENERS[file.format](BytesIO(file.data)) as image:
        _check_size(image, file)
        bit_depth = file.data[_PNG_BIT_DEPTH_AT] if file.format == "PNG" else None
        if file.format == "JPEG":
            _check_scans(file)
        image.load()
        transpose = _TRANSPOSES.get(_orientation(image))
        upright = image if transpose is None else image.transpose(transpose)
        return to_rgb(upright, png_bit_depth=bit_depth)


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


def _orientation(image: ImageFile) -> int:
    """EXIF orientation, 1 where the block is missing or cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Warning:
        raise
    except Exception:  # noqa: BLE001 - the pixels are fine; broken metadata raises anything
        return 1
    return value if isinstance(value, int) else 1
