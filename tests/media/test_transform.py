"""Compared with the Pillow image processors of transformers, on the same arrays."""

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from polyvec.media import transform
from polyvec.media.transform import ImageTransform

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def reference(rgb, *, edge, crop, resample):
    """Cropped after a resize of the shorter side; before rescaling, uint8 (3, H, W)."""
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": edge},
        crop_size={"height": crop[0], "width": crop[1]},
        resample=resample,
        do_rescale=False,
        do_normalize=False,
    )
    return processor(PIL.Image.fromarray(rgb))["pixel_values"][0]


def squashed(rgb, *, size, resample):
    processor = ViTImageProcessorPil(
        size={"height": size[0], "width": size[1]},
        resample=resample,
        do_rescale=False,
        do_normalize=False,
    )
    return processor(PIL.Image.fromarray(rgb))["pixel_values"][0]


def raw(**options):
    return ImageTransform(rescale_factor=1.0, **options)


SHAPES = [
    (1, 1),
    (1, 2),
    (3, 1),
    (7, 500),
    (500, 7),
    (31, 33),
    (32, 32),
    (33, 47),
    (100, 151),
    (224, 224),
    (225, 333),
    (480, 640),
    (641, 479),
]


@pytest.mark.parametrize("resample", range(6))
@pytest.mark.parametrize("shape", SHAPES)
def test_resize_and_crop_equal_the_reference_bit_for_bit(shape, resample):
    rgb = noise(*shape)
    got = raw(resize=32, crop=(32, 32), resample=resample)(rgb)
    np.testing.assert_array_equal(got, reference(rgb, edge=32, crop=(32, 32), resample=resample))


@pytest.mark.parametrize("resample", range(6))
@pytest.mark.parametrize("shape", SHAPES)
def test_squash_equals_the_reference_bit_for_bit(shape, resample):
    rgb = noise(*shape)
    got = raw(resize=(32, 48), resample=resample)(rgb)
    np.testing.assert_array_equal(got, squashed(rgb, size=(32, 48), resample=resample))


@pytest.mark.parametrize("shape", [(480, 640), (768, 1024), (641, 479), (224, 224), (50, 61)])
def test_the_published_clip_recipe_equals_the_reference(shape):
    rgb = noise(*shape)
    want = CLIPImageProcessorPil()(PIL.Image.fromarray(rgb))["pixel_values"][0]
    got = ImageTransform(resize=224, crop=(224, 224), mean=MEAN, std=STD)(rgb)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    assert got.shape == (3, 224, 224)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(1, 40),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(0, 5),
)
def test_any_edge_and_crop_equal_the_reference(shape, edge, crop, resample):
    rgb = noise(*shape)
    got = raw(resize=edge, crop=crop, resample=resample)(rgb)
    np.testing.assert_array_equal(got, reference(rgb, edge=edge, crop=crop, resample=resample))


def test_padding_is_black_before_normalisation():
    got = ImageTransform(resize=None, crop=(3, 3), mean=(0.5,) * 3, std=(0.5,) * 3)(
        np.full((1, 1, 3), 255, np.uint8)
    )
    np.testing.assert_allclose(got[0], [[-1, -1, -1], [-1, 1, -1], [-1, -1, -1]], atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 1 / 255, 1 / 127.5])
def test_rescale_and_normalise_follow_their_definition(factor):
    rgb = noise(4, 4)
    got = ImageTransform(resize=(4, 4), rescale_factor=factor, mean=MEAN, std=STD)(rgb)
    want = (rgb.astype(np.float64) * factor - MEAN) / STD
    np.testing.assert_allclose(got, want.transpose(2, 0, 1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("resample", range(6))
@pytest.mark.parametrize("axis", [0, 1])
def test_a_strip_of_one_by_65535_gives_its_middle(axis, resample):
    strip = np.zeros((65535, 1, 3), np.uint8)
    strip[65535 // 2 :] = 200
    got = raw(resize=224, crop=(224, 224), resample=resample)(strip.swapaxes(0, axis))[0]
    # One pixel of the strip fills the crop: the edge between black and grey is next to its middle.
    assert got.shape == (224, 224)
    assert (got.swapaxes(0, axis)[112] >= 100).all()
    assert (got == got.take([0], axis=1 - axis)).all()


@pytest.mark.parametrize("shape", [(40, 30_000), (30_000, 40)])
def test_a_strip_too_long_to_resize_whole_is_within_rounding_of_the_reference(shape):
    rgb = np.repeat(np.repeat(noise(10, 10), shape[0] // 10, 0), shape[1] // 10, 1)
    got = raw(resize=224, crop=(224, 224))(rgb)
    want = reference(rgb, edge=224, crop=(224, 224), resample=3)
    assert np.abs(got - want).max() <= 1


@pytest.mark.parametrize("shape", [(1, 65535), (65535, 1), (1, 1)])
def test_squash_takes_any_shape(shape):
    got = raw(resize=(224, 224))(np.full((*shape, 3), 9, np.uint8))
    assert got.shape == (3, 224, 224)
    assert (got == 9).all()


def test_the_input_is_left_alone():
    rgb = noise(40, 50)
    rgb.setflags(write=False)
    kept = rgb.copy()
    ImageTransform(resize=None, crop=(20, 60))(rgb)
    np.testing.assert_array_equal(rgb, kept)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"resize": 32, "crop": (20, 24)}, (20, 24)),
        ({"resize": (16, 18)}, (16, 18)),
        ({"resize": (16, 18), "crop": (4, 40)}, (4, 40)),
        ({"resize": None, "crop": (5, 6)}, (5, 6)),
    ],
)
def test_size_is_the_shape_of_every_result(options, size):
    transform = ImageTransform(**options)
    assert transform.size == size
    for shape in ((3, 9), (50, 40)):
        assert transform(noise(*shape)).shape == (3, *size)


@pytest.mark.parametrize("resize", [None, 224])
def test_an_output_without_fixed_size_is_refused(resize):
    with pytest.raises(TypeError, match="crop"):
        ImageTransform(resize=resize)


@pytest.mark.parametrize(
    ("length", "down", "half_even"),
    [(8, 0, 0), (9, 0, 0), (10, 1, 1), (11, 1, 2), (13, 2, 2), (15, 3, 4), (7, 1, 0), (5, 2, 1)],
)
def test_a_crop_that_cannot_be_centred_goes_either_way(length, down, half_even):
    """Seven rows become eight with a black one: first as transformers pads, last as torchvision."""
    rgb = noise(length, 8)
    for rounding, start in (("down", down), ("half_even", half_even)):
        fitted = raw(resize=None, crop=(8, 8), crop_rounding=rounding).fitted(rgb)
        if length >= 8:
            np.testing.assert_array_equal(fitted, rgb[start : start + 8])
        else:
            np.testing.assert_array_equal(fitted[start : start + length], rgb)
            assert fitted.sum() == rgb.sum()


@pytest.mark.parametrize("resample", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", [(50, 70), (200, 90), (40, 300), (300, 17)])
def test_a_large_picture_is_resized_in_bands_to_the_same_pixels(shape, resample, monkeypatch):
    picture = np.random.default_rng(0).integers(0, 255, (150, 210, 3), np.uint8)
    resize = ImageTransform(resize=shape, resample=resample)
    for view in (picture, picture[::-1], picture.swapaxes(0, 1)):
        monkeypatch.setattr(transform, "_MAX_COPIED_PIXELS", 10**9)
        whole = resize.fitted(view)
        monkeypatch.setattr(transform, "_MAX_COPIED_PIXELS", 1000)
        np.testing.assert_array_equal(resize.fitted(view), whole)
