"""Formats x modes x orientations, and what hostile files do."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.errors import MediaError
from polyvec.media.image import _OPENERS, decode_image
from polyvec.media.jpeg import count_scans
from polyvec.media.policy import MediaPolicy
from polyvec.media.transform import ImageTransform

POLICY = MediaPolicy()
WHITE = [255, 255, 255]


def smooth(height=24, width=40):
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 // (width - 1), y * 255 // (height - 1)
    return np.stack([red, green, 255 - red], axis=-1).astype(np.uint8)


PICTURE = smooth()


def encode(image, kind, **options):
    buffer = io.BytesIO()
    (PIL.Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, depth, colour, rows, *extra):
    """A PNG by hand, for what the library cannot write; ``rows`` are the raw scan lines."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\x00" + row for row in rows), 9)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def decode(data, policy=POLICY):
    return decode_image(data, policy, param="input[1]")


def refusal(data, policy=POLICY):
    with pytest.raises(MediaError) as caught:
        decode(data, policy)
    error = caught.value
    assert error.param == "input[1]"
    assert error.message.startswith("input[1]: ")
    assert "0x" not in error.message
    assert "BytesIO" not in error.message
    return error


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_files_give_their_own_pixels(kind):
    pixels = decode(encode(PICTURE, kind))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, PICTURE)


def test_lossless_webp_gives_its_own_pixels():
    np.testing.assert_array_equal(decode(encode(PICTURE, "WEBP", lossless=True)), PICTURE)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_gives_nearly_its_own_pixels(options):
    pixels = decode(encode(PICTURE, "JPEG", quality=95, subsampling=0, **options))
    assert np.abs(pixels.astype(int) - PICTURE).max() <= 6


def test_a_cmyk_jpeg_agrees_with_an_rgb_one():
    image = PIL.Image.fromarray(PICTURE)
    rgb = decode(encode(image, "JPEG", quality=95, subsampling=0))
    cmyk = decode(encode(image.convert("CMYK"), "JPEG", quality=95, subsampling=0))
    assert np.abs(rgb.astype(int) - cmyk).max() <= 8


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F"])
def test_tiff_of_every_mode_shows_the_picture(mode):
    grey = PIL.Image.fromarray(PICTURE).convert("L")
    source = {
        "I;16": lambda: PIL.Image.fromarray(np.asarray(grey).astype(np.uint16) * 257),
        "F": lambda: PIL.Image.fromarray(np.asarray(grey).astype(np.float32)),
        "LAB": lambda: lab(PIL.Image.fromarray(PICTURE)),
        "P": lambda: PIL.Image.fromarray(PICTURE).quantize(256),
    }.get(mode, lambda: PIL.Image.fromarray(PICTURE).convert(mode))()
    assert source.mode == mode
    colourless = mode in ("1", "L", "LA", "I;16", "F")
    want = np.asarray((source if mode == "1" else grey).convert("RGB")) if colourless else PICTURE
    # Eight bits of LAB are coarse at the most saturated blues.
    tolerance = {"P": 20, "YCbCr": 3, "LAB": 35}.get(mode, 1)
    pixels = decode(encode(source, "TIFF"))
    assert pixels.shape == PICTURE.shape
    assert np.abs(pixels.astype(int) - want).max() <= tolerance


def lab(image):
    from PIL import ImageCms

    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    return ImageCms.applyTransform(image, transform)


def test_a_one_bit_png_is_black_and_white():
    bits = PIL.Image.fromarray(PICTURE).convert("1")
    np.testing.assert_array_equal(decode(encode(bits, "PNG")), np.asarray(bits.convert("RGB")))


def test_a_palette_png_shows_its_colours():
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert decode(encode(image, "PNG")).tolist() == [[[10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize("value", [0, 255, 256, 40000, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(value, kind):
    pixels = decode(encode(np.full((2, 3), value, np.uint16), kind))
    assert abs(int(pixels[0, 0, 0]) - value / 257) <= 1
    assert pixels.shape == (2, 3, 3)
    assert len(np.unique(pixels)) == 1


def test_big_endian_sixteen_bit_tiff_is_scaled():
    # One strip of two pixels, 40000 and 0, after an IFD of the eight tags that grey needs.
    tags = [(256, 2), (257, 1), (258, 16), (259, 1), (262, 1), (273, 110), (278, 1), (279, 4)]
    body = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    data = (
        b"MM\x00*"
        + struct.pack(">IH", 8, len(tags))
        + body
        + b"\x00" * 4
        + struct.pack(">HH", 40000, 0)
    )
    assert data[110:] == struct.pack(">HH", 40000, 0)
    assert decode(data)[0, :, 0].tolist() == [156, 0]


def test_sixteen_bit_colour_and_grey_agree():
    colour = png(1, 1, 16, 2, [struct.pack(">HHH", 40000, 40000, 40000)])
    grey = png(1, 1, 16, 0, [struct.pack(">H", 40000)])
    assert decode(colour).tolist() == decode(grey).tolist() == [[[156, 156, 156]]]


def test_signed_and_wide_integers_are_clipped_to_sixteen_bits():
    samples = np.array([[-5, 0, 40000, 2**31 - 1]], np.int32)
    assert decode(encode(samples, "TIFF"))[0, :, 0].tolist() == [0, 0, 156, 255]


@pytest.mark.parametrize(
    ("samples", "want"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-3.0, 127.6, 900.0], [0, 128, 255]),
        ([np.nan, np.inf, -np.inf], [0, 255, 0]),
    ],
)
def test_float_samples_are_fractions_or_clipped(samples, want):
    pixels = decode(encode(np.array([samples], np.float32), "TIFF"))
    assert pixels[0, :, 0].tolist() == want


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_transparent_colour_shows_white(kind):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [[255, 0, 0, 0], [255, 0, 0, 255], [0, 0, 0, 128]]
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels = decode(encode(PIL.Image.fromarray(rgba), kind, **options))
    assert pixels[0].tolist()[:2] == [WHITE, [255, 0, 0]]
    assert abs(int(pixels[0, 2, 0]) - 127) <= 1


def test_transparent_grey_shows_white():
    image = PIL.Image.fromarray(np.array([[[0, 0], [7, 255]]], np.uint8), "LA")
    assert decode(encode(image, "PNG"))[0].tolist() == [WHITE, [7, 7, 7]]


def test_sixteen_bit_grey_with_alpha_shows_white():
    assert decode(png(1, 1, 16, 4, [struct.pack(">HH", 0, 0)])).tolist() == [[WHITE]]


def test_a_palette_with_one_transparent_entry_shows_white():
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([9, 9, 9, 1, 2, 3])
    image.putdata([0, 1])
    data = encode(image, "PNG", transparency=0)
    assert decode(data)[0].tolist() == [WHITE, [1, 2, 3]]
    assert decode(encode(image, "GIF", transparency=0))[0].tolist() == [WHITE, [1, 2, 3]]


def test_a_palette_with_an_alpha_for_each_entry_is_blended():
    image = PIL.Image.new("P", (3, 1))
    image.putpalette([0, 0, 0, 0, 0, 0, 0, 0, 0])
    image.putdata([0, 1, 2])
    pixels = decode(encode(image, "PNG", transparency=bytes([0, 128, 255])))
    assert pixels[0, :, 0].tolist() == [255, 127, 0]


def test_a_colour_key_shows_white():
    image = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)
    data = encode(image, "PNG", transparency=(1, 2, 3))
    assert decode(data)[0].tolist() == [WHITE, [1, 2, 4]]


def test_a_sixteen_bit_colour_key_shows_white():
    row = struct.pack(">6H", 40000, 1, 2, 0x4040, 1, 2)
    data = png(2, 1, 16, 2, [row], chunk(b"tRNS", struct.pack(">HHH", 40000, 1, 2)))
    assert decode(data)[0].tolist() == [WHITE, [64, 0, 0]]


@pytest.mark.parametrize(
    ("depth", "row", "want"),
    [
        (1, b"\x40", [0, 255]),
        (2, b"\x10", [0, 85]),
        (4, b"\x01", [0, 17]),
        (8, b"\x00\x01", [0, 1]),
        (16, b"\x00\x00\x01\x00", [0, 1]),
    ],
)
def test_a_grey_key_of_any_depth_shows_white(depth, row, want):
    assert decode(png(2, 1, depth, 0, [row]))[0, :, 0].tolist() == want
    data = png(2, 1, depth, 0, [row], chunk(b"tRNS", b"\x00\x00"))
    assert decode(data)[0, :, 0].tolist() == [255, want[1]]
    other = {16: b"\x01\x00"}.get(depth, b"\x00\x01")
    data = png(2, 1, depth, 0, [row], chunk(b"tRNS", other))
    assert decode(data)[0, :, 0].tolist() == [0, 255]


def orient(pixels, orientation):
    """How a camera held that way stores the picture; EXIF 2.32, tag 0x0112."""
    return {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: pixels.transpose(1, 0, 2)[::-1],
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: pixels.transpose(1, 0, 2)[:, ::-1],
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "mode"),
    [(k, m) for k in ("PNG", "TIFF", "WEBP") for m in ("RGB", "RGBA")]
    + [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "I;16"), ("TIFF", "I;16")],
)
def test_every_orientation_shows_the_same_picture(kind, mode, orientation):
    quantised = PICTURE if kind != "JPEG" else np.repeat(np.repeat(PICTURE[::8, ::8], 8, 0), 8, 1)

    def file(pixels, orientation):
        image = PIL.Image.fromarray(np.ascontiguousarray(pixels))
        if mode == "I;16":
            image = PIL.Image.fromarray(
                np.ascontiguousarray(pixels[:, :, 0]).astype(np.uint16) * 256
            )
        elif mode == "P":
            image = image.convert("P", dither=PIL.Image.Dither.NONE)
        elif mode != "RGB":
            image = image.convert(mode)
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(
            kind, {}
        )
        return encode(image, kind, exif=exif, **options)

    upright = decode(file(quantised, 1))
    turned = decode(file(orient(quantised, orientation), orientation))
    assert turned.shape == upright.shape
    assert np.abs(turned.astype(int) - upright).max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize(
    "block",
    [b"", b"Exif\x00\x00", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00" + b"\xff" * 40],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_a_corrupt_exif_block_does_not_fail_a_fine_picture(block, kind, action):
    data = encode(PICTURE, kind, exif=block)
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        assert decode(data).shape == PICTURE.shape


@pytest.mark.parametrize("cut", range(0, 26, 2))
def test_an_exif_block_cut_anywhere_does_not_fail_a_fine_picture(cut):
    exif = PIL.Image.Exif()
    exif[0x0112] = 1
    block = exif.tobytes()
    data = encode(PICTURE, "JPEG", exif=block[: 6 + cut])
    assert decode(data).shape == PICTURE.shape


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_upright(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encode(PICTURE, "PNG", exif=exif)), PICTURE)


@pytest.mark.parametrize(
    ("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})]
)
def test_an_animation_gives_its_first_frame(kind, options):
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert decode(data)[4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 65535), (65535, 1), (2, 3)])
def test_tiny_and_thin_pictures_decode(shape):
    assert decode(encode(np.zeros((*shape, 3), np.uint8), "PNG")).shape == (*shape, 3)


def test_an_avif_gives_nearly_its_own_pixels():
    pixels = decode(encode(PICTURE, "AVIF", quality=95, subsampling="4:4:4"))
    assert np.abs(pixels.astype(int) - PICTURE).max() <= 8


def test_a_transparent_avif_shows_white():
    data = encode(PIL.Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "AVIF")
    assert decode(data)[4, 4].tolist() == WHITE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_of_every_orientation_shows_the_same_picture(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = PIL.Image.fromarray(np.ascontiguousarray(orient(PICTURE, orientation)))
    pixels = decode(encode(stored, "AVIF", quality=95, subsampling="4:4:4", exif=exif))
    assert pixels.shape == PICTURE.shape
    assert np.abs(pixels.astype(int) - PICTURE).max() <= 10


def test_without_avif_in_the_image_library_it_is_refused_like_any_format(monkeypatch):
    monkeypatch.delitem(_OPENERS, "AVIF")
    error = refusal(encode(PICTURE, "AVIF"))
    assert error.code == "unsupported_image_format"
    assert error.message.endswith("JPEG, PNG, WEBP, GIF, BMP, TIFF")


def test_out_of_memory_is_not_called_damage(monkeypatch):
    def load(_image):
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    error = refusal(encode(PICTURE, "PNG"))
    assert error.code == "image_too_large"
    assert "memory" in error.message


# JPEG drafts.

DRAFTS = MediaPolicy(draft_jpeg=True)


def natural(height, width, seed=0):
    """Noise whose power falls with frequency as that of photographs does."""
    rng = np.random.default_rng(seed)
    power = np.fft.rfftfreq(width)[None, :] ** 2 + np.fft.fftfreq(height)[:, None] ** 2
    power[0, 0] = 1
    planes = []
    for _ in range(3):
        spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / np.sqrt(power)
        plane = np.fft.irfft2(spectrum, s=(height, width))
        planes.append((plane - plane.mean()) / plane.std() * 40 + 128)
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)


def shape_of_draft(data, resize, policy=DRAFTS):
    transform = ImageTransform(resize=resize, crop=(8, 8))
    return decode_image(data, policy, resized=transform.resized).shape[:2]


@pytest.mark.parametrize(
    ("resize", "want"),
    [(200, (480, 640)), (81, (480, 640)), (80, (240, 320)), (40, (120, 160)), (20, (60, 80))],
)
def test_a_draft_is_at_least_three_times_the_wanted_size(resize, want):
    assert shape_of_draft(encode(natural(480, 640), "JPEG"), resize) == want


def test_drafts_are_off_unless_asked_for():
    assert shape_of_draft(encode(natural(480, 640), "JPEG"), 20, POLICY) == (480, 640)


@pytest.mark.parametrize(
    ("size", "want"), [((484, 644), (121, 161)), ((482, 640), (241, 320)), ((481, 640), (481, 640))]
)
def test_a_draft_never_cuts_a_pixel_in_two(size, want):
    assert shape_of_draft(encode(natural(*size), "JPEG"), 20) == want


def test_drafts_are_of_jpeg_only():
    assert shape_of_draft(encode(natural(480, 640), "PNG"), 20) == (480, 640)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_draft_shows_the_same_picture(mode, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    image = PIL.Image.fromarray(orient(natural(480, 960), orientation)).convert(mode)
    data = encode(image, "JPEG", quality=90, exif=exif)
    transform = ImageTransform(resize=(80, 60))
    draft = decode_image(data, DRAFTS, resized=transform.resized)
    assert draft.shape == (240, 480, 3)
    exact = transform.fitted(decode_image(data, POLICY))
    difference = np.abs(transform.fitted(draft).astype(int) - exact)
    assert difference.mean() <= 0.6
    assert (difference <= 2).mean() >= 0.98


# Refusals.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"hello world",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
        b"%PDF-1.7",
        b"P6 1 1 255\n\x00\x00\x00",
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
        b"\x00\x00\x00\x0cJXL \r\n\x87\n",
        b"RIFF\x00\x00\x00\x00WAVE",
    ],
)
def test_other_files_are_refused_with_the_accepted_formats(data):
    error = refusal(data)
    assert error.code == "unsupported_image_format"
    assert "JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF" in error.message


def test_a_format_outside_the_policy_is_refused_by_name():
    error = refusal(encode(PICTURE, "GIF"), MediaPolicy(formats=("PNG", "JPEG")))
    assert error.code == "unsupported_image_format"
    assert "the file is GIF; accepted formats: PNG, JPEG" in error.message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused(kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(noise, kind)
    assert refusal(data[: int(len(data) * share)]).code == "invalid_image"


def test_a_png_of_13000_by_13000_is_refused_by_its_header():
    data = encode(PIL.Image.new("1", (13000, 13000)), "PNG")
    assert len(data) < 30_000
    error = refusal(data)
    assert error.code == "image_too_large"
    assert "13000 x 13000" in error.message
    assert "40000000 pixels" in error.message


@pytest.mark.parametrize("side", [13000, 65535])
def test_a_gif_of_huge_canvas_is_refused(side):
    data = bytearray(encode(np.zeros((2, 2, 3), np.uint8), "GIF"))
    data[6:10] = struct.pack("<HH", side, side)
    assert refusal(bytes(data)).code == "image_too_large"


def test_a_gif_frame_beyond_its_small_canvas_is_refused():
    data = bytearray(encode(np.zeros((2, 2, 3), np.uint8), "GIF"))
    frame = data.index(b",", 13)
    data[frame + 5 : frame + 9] = struct.pack("<HH", 60000, 60000)
    assert refusal(bytes(data)).code in ("image_too_large", "invalid_image")


def test_too_long_a_side_is_refused():
    error = refusal(png(70_000, 1, 1, 0, [b"\x00" * 8750]))
    assert error.code == "image_too_large"
    assert "65535" in error.message


def test_the_pixel_limit_is_inclusive():
    data = encode(PICTURE, "PNG")
    assert decode(data, MediaPolicy(max_pixels=24 * 40)).shape == PICTURE.shape
    assert refusal(data, MediaPolicy(max_pixels=24 * 40 - 1)).code == "image_too_large"


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_png_with_a_text_bomb_is_refused_or_stays_small(kind):
    bomb = zlib.compress(b"A" * 80_000_000, 9)
    body = {
        b"zTXt": b"k\x00\x00" + bomb,
        b"iTXt": b"k\x00\x01\x00\x00\x00" + bomb,
        b"iCCP": b"k\x00\x00" + bomb,
    }[kind]
    data = png(1, 1, 8, 0, [b"\x00"], chunk(kind, body))
    assert refusal(data).code == "invalid_image"


def test_a_jpeg_of_many_scans_is_refused():
    data = encode(PICTURE, "JPEG", progressive=True)
    scans = count_scans(data, limit=1000)
    assert 3 <= scans <= 12
    last = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[last:-2] * 200 + b"\xff\xd9"
    assert count_scans(bomb, limit=1000) == scans + 200
    error = refusal(bomb)
    assert error.code == "image_too_large"
    assert "scans" in error.message


def test_scans_of_a_thumbnail_and_after_the_end_are_not_counted():
    thumbnail = encode(PICTURE[:8, :8], "JPEG")
    plain = encode(PICTURE, "JPEG")
    assert count_scans(plain, limit=9) == 1
    assert count_scans(encode(PICTURE, "JPEG", exif=b"Exif\x00\x00" + thumbnail), limit=9) == 1
    assert count_scans(plain + thumbnail, limit=9) == 1


def test_zero_sides_are_refused():
    assert refusal(png(0, 0, 8, 0, [])).code == "invalid_image"


def _samples():
    small = smooth(12, 16)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    palette = PIL.Image.fromarray(small).quantize(8)
    return [
        encode(small, "JPEG", exif=exif),
        encode(small, "JPEG", progressive=True),
        encode(small, "PNG", exif=exif),
        encode(palette, "PNG", transparency=bytes([0, 9])),
        encode(small[:, :, 0].astype(np.uint16) * 256, "PNG"),
        encode(small, "WEBP", exif=exif),
        encode(palette, "GIF", save_all=True, append_images=[palette.rotate(90)]),
        encode(small, "BMP"),
        encode(small, "TIFF", exif=exif),
        encode(small, "TIFF", compression="tiff_lzw"),
    ]


SAMPLES = _samples()
FUZZ_POLICY = MediaPolicy(max_pixels=1_000_000)


def decodes_or_refuses(data):
    try:
        pixels = decode(data, FUZZ_POLICY)
    except MediaError:
        return
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.dtype == np.uint8


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    st.booleans(),
)
def test_flipped_bytes_decode_or_are_refused(data, flips, early):
    damaged = bytearray(data)
    for place, value in flips:
        damaged[place % (min(len(data), 120) if early else len(data))] = value
    decodes_or_refuses(bytes(damaged))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 10**6), st.binary(max_size=20))
def test_cut_files_decode_or_are_refused(data, place, tail):
    decodes_or_refuses(data[: place % len(data)] + tail)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([data[:12] for data in SAMPLES]), st.binary(max_size=200))
def test_noise_behind_a_signature_decodes_or_is_refused(head, tail):
    decodes_or_refuses(head + tail)


@pytest.mark.parametrize(
    "raised",
    [
        OSError("0x7f"),
        ValueError("0x7f"),
        SyntaxError("0x7f"),
        struct.error("0x7f"),
        OverflowError("0x7f"),
        KeyError("0x7f"),
        RecursionError("0x7f"),
        zlib.error("0x7f"),
        PIL.Image.DecompressionBombError("0x7f"),
    ],
)
def test_whatever_a_decoder_raises_becomes_a_media_error(monkeypatch, raised):
    def load(_image):
        raise raised

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert refusal(encode(PICTURE, "PNG")).code == "invalid_image"


def test_threads_decode_at_once():
    wanted = [decode(data) for data in SAMPLES]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for got, want in zip(pool.map(decode, SAMPLES), wanted, strict=True):
                np.testing.assert_array_equal(got, want)


def test_threads_leave_the_warning_filters_as_they_were():
    corrupt = encode(PICTURE, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert all(p.shape == PICTURE.shape for p in pool.map(decode, [corrupt] * 40))
    assert warnings.filters == before
