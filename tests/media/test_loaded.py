"""Pictures in memory have the pixels that their files have."""

import io

import numpy as np
import PIL.Image
import pytest

from polyvec.errors import MediaError
from polyvec.media.image import decode_image
from polyvec.media.loaded import rgb_of
from polyvec.media.policy import MediaPolicy


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


def saved(image: PIL.Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def as_mode(mode: str) -> PIL.Image.Image:
    return PIL.Image.fromarray(noise(9, 7, 4)).convert("RGB" if mode == "P" else mode).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_an_image_of_any_mode_has_its_files_pixels(mode: str) -> None:
    if mode == "I;16":
        image = PIL.Image.fromarray(noise(9, 7).astype(np.uint16) * 200)
    else:
        image = as_mode(mode)
    expected = decode_image(saved(image, "PNG"), MediaPolicy())
    np.testing.assert_array_equal(rgb_of(image), expected)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "LAB", "F", "I"])
def test_modes_that_no_png_has_are_converted(mode: str) -> None:
    image = PIL.Image.new(mode, (7, 9))
    found = rgb_of(image)
    assert (found.shape, found.dtype) == ((9, 7, 3), np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_as_to_a_file(orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = saved(as_mode("RGB"), "PNG", exif=exif)
    with PIL.Image.open(io.BytesIO(data)) as image:
        found = rgb_of(image)
    np.testing.assert_array_equal(found, decode_image(data, MediaPolicy()))
    assert found.shape[:2] == ((9, 7) if orientation < 5 else (7, 9))


def test_arrays_are_pixels() -> None:
    colour, grey = noise(9, 7, 3), noise(9, 7)
    np.testing.assert_array_equal(rgb_of(colour), colour)
    np.testing.assert_array_equal(rgb_of(grey), np.dstack([grey] * 3))
    clear = np.dstack([colour, np.zeros((9, 7), np.uint8)])
    assert (rgb_of(clear) == 255).all()
    clear[:, :, 3] = 255
    np.testing.assert_array_equal(rgb_of(clear), colour)
    np.testing.assert_array_equal(rgb_of(colour[::2, ::-1]), colour[::2, ::-1])


@pytest.mark.parametrize("shape", [(7,), (9, 7, 1), (9, 7, 5), (2, 9, 7, 3), (0, 7), (9, 0, 4)])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MediaError, match=r"^images\[3\]: "):
        rgb_of(np.zeros(shape, np.uint8), param="images[3]")


@pytest.mark.parametrize("picture", ["cat.png", None, 3, [[1]], noise(9, 7, 3) / 255])
def test_what_is_no_picture_is_a_type_error(picture: object) -> None:
    with pytest.raises(TypeError, match=r"^image must be"):
        rgb_of(picture)


def test_a_file_that_is_cut_off_is_refused_when_its_pixels_are_read() -> None:
    data = saved(as_mode("RGB").resize((200, 200)), "JPEG")
    with (
        PIL.Image.open(io.BytesIO(data[: len(data) // 2])) as image,
        pytest.raises(MediaError, match="cut off"),
    ):
        rgb_of(image)
