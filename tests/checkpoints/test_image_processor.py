"""Compared with what transformers makes of the same preprocessor_config.json."""

import json

import numpy as np
import PIL.Image
import pytest
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import (
    ChineseCLIPImageProcessorPil,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from polyvec.checkpoints.image_processor import read_image_transform
from polyvec.errors import CheckpointError

REFERENCES = {
    "CLIPImageProcessor": CLIPImageProcessorPil,
    "ChineseCLIPImageProcessor": ChineseCLIPImageProcessorPil,
    "SiglipImageProcessor": SiglipImageProcessorPil,
    "ViTImageProcessor": ViTImageProcessorPil,
    "BlipImageProcessor": BlipImageProcessorPil,
}
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]

# As published, by repository.
PUBLISHED = {
    "openai/clip-vit-base-patch32": {
        "crop_size": 224,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "resample": 3,
        "size": 224,
    },
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": {
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": CLIP_MEAN,
        "image_processor_type": "CLIPImageProcessor",
        "image_std": CLIP_STD,
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 224},
    },
    "google/siglip-base-patch16-224": {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "SiglipProcessor",
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"height": 224, "width": 224},
    },
    "OFA-Sys/chinese-clip-vit-base-patch16": {
        "do_center_crop": False,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "ChineseCLIPFeatureExtractor",
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "resample": 3,
        "size": {"height": 224, "width": 224},
    },
    "saved by a processor with a Fast class": {
        "image_processor_type": "CLIPImageProcessorFast",
        "crop_size": {"height": 64, "width": 64},
        "data_format": "channels_first",
        "default_to_square": False,
        "device": None,
        "disable_grouping": None,
        "do_pad": None,
        "input_data_format": None,
        "pad_size": None,
        "return_tensors": None,
        "size": {"shortest_edge": 64},
    },
    "saved with a list of keys": {
        "_valid_processor_keys": ["images", "do_resize"],
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 40},
        "crop_size": 32,
    },
}


def picture(height, width):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(config):
    return read_image_transform(config, origin="preprocessor_config.json")


def assert_same(config, processor):
    transform = read(config)
    for shape in ((50, 71), (130, 90), (300, 301)):
        rgb = picture(*shape)
        want = processor(PIL.Image.fromarray(rgb))["pixel_values"][0]
        got = transform(rgb)
        assert got.shape == want.shape == (3, *transform.size)
        # float32 rounding of values up to 255.
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=3e-6)


@pytest.mark.parametrize("repository", PUBLISHED)
def test_published_configs_mean_what_transformers_reads(repository, tmp_path):
    config = PUBLISHED[repository]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    assert_same(config, AutoImageProcessor.from_pretrained(tmp_path, backend="pil"))


@pytest.mark.parametrize("name", REFERENCES)
def test_a_class_name_alone_gives_its_defaults(name):
    assert_same({"image_processor_type": name}, REFERENCES[name]())


@pytest.mark.parametrize("name", REFERENCES)
def test_what_transformers_saves_is_read_back(name, tmp_path):
    processor = REFERENCES[name](size={"height": 30, "width": 32}, resample=0)
    processor.save_pretrained(tmp_path)
    assert_same(json.loads((tmp_path / "preprocessor_config.json").read_text()), processor)


@pytest.mark.parametrize(
    "change",
    [
        {"do_rescale": False},
        {"do_normalize": False},
        {"do_rescale": False, "do_normalize": False},
        {"do_resize": False},
        {"do_center_crop": False, "size": {"height": 40, "width": 60}},
        {"do_center_crop": False, "size": [40, 60]},
        {"size": 48, "crop_size": 40},
        {"size": 48, "default_to_square": True, "crop_size": [30, 50]},
        {"size": {"shortest_edge": 20}, "crop_size": {"height": 31, "width": 64}},
        {"rescale_factor": 0.01},
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.9, 0.8, 0.7]},
        {"image_mean": 0.5, "image_std": 0.25},
        {"do_convert_rgb": None, "do_normalize": None, "do_rescale": None},
        {"size": 40, "default_to_square": None},
        *({"resample": code} for code in range(6)),
    ],
)
def test_each_key_means_what_transformers_reads(change):
    config = {"image_processor_type": "CLIPImageProcessor", **change}
    assert_same(config, CLIPImageProcessorPil(**change))


def test_a_bare_size_is_a_square_for_classes_that_say_so():
    config = {"image_processor_type": "ViTImageProcessor", "size": 40}
    assert read(config).size == (40, 40)
    assert_same(config, ViTImageProcessorPil(size=40))


def test_a_config_without_class_is_read_when_it_spells_out_everything():
    full = dict(PUBLISHED["laion/CLIP-ViT-B-32-laion2B-s34B-b79K"])
    del full["image_processor_type"], full["feature_extractor_type"]
    assert read(full) == read({"image_processor_type": "CLIPImageProcessor"})


@pytest.mark.parametrize("key", ["do_resize", "resample", "size", "crop_size", "image_mean"])
def test_a_config_without_class_must_spell_out_everything(key):
    full = dict(PUBLISHED["laion/CLIP-ViT-B-32-laion2B-s34B-b79K"])
    del full["image_processor_type"], full["feature_extractor_type"], full[key]
    with pytest.raises(CheckpointError, match=key) as caught:
        read(full)
    assert caught.value.param == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_processor_type", "PerceiverImageProcessor"),
        ("image_processor_type", "Qwen2VLImageProcessor"),
        ("resample", 6),
        ("resample", None),
        ("resample", "bicubic"),
        ("resample", True),
        ("size", {"longest_edge": 224}),
        ("size", {"shortest_edge": 224, "longest_edge": 300}),
        ("size", {"max_height": 224, "max_width": 300}),
        ("size", {"height": 224}),
        ("size", {"height": 224, "width": 0}),
        ("size", {"shortest_edge": 0}),
        ("size", {"shortest_edge": "224"}),
        ("size", [224, 224, 3]),
        ("size", 224.0),
        ("size", -1),
        ("size", None),
        ("rescale_factor", None),
        ("crop_size", {"shortest_edge": 224}),
        ("crop_size", "224"),
        ("image_mean", [0.5]),
        ("image_mean", [0.5, 0.5, "0.5"]),
        ("image_std", [0.5, 0.0, 0.5]),
        ("rescale_factor", "1/255"),
        ("do_resize", "yes"),
        ("do_normalize", 1),
        ("do_pad", True),
        ("data_format", "channels_last"),
        ("do_flip_channel_order", True),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(key, value):
    with pytest.raises(CheckpointError) as caught:
        read({"image_processor_type": "CLIPImageProcessor", key: value})
    assert caught.value.param == key
    assert caught.value.message.startswith(f"preprocessor_config.json: {key} is ")


def test_pictures_of_varying_size_are_refused():
    with pytest.raises(CheckpointError, match="no fixed size"):
        read({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False})


def test_a_key_that_no_class_reads_is_left_out_with_a_warning(caplog):
    assert read({"image_processor_type": "CLIPImageProcessor", "patch_size": 14}).size == (224, 224)
    assert "patch_size is not known" in caplog.text


def test_a_class_that_makes_patches_reads_how_many_and_how_large():
    plain = read({"image_processor_type": "Siglip2ImageProcessor"})
    assert (plain.max_patches, plain.patch_size, plain.resample) == (256, 16, 2)
    few = read({"image_processor_type": "Siglip2ImageProcessorFast", "max_num_patches": 6})
    assert few.fitted(np.zeros((40, 90, 3), np.uint8)).shape == (32, 48, 3)
    with pytest.raises(CheckpointError, match="patch_size is 0: it must be a whole number"):
        read({"image_processor_type": "Siglip2ImageProcessor", "patch_size": 0})


def test_a_config_that_names_no_class_takes_the_family_default():
    transform = read_image_transform({"size": 30}, origin="x", default_type="CLIPImageProcessor")
    assert transform.size == (224, 224)
    assert transform.resize == 30


def test_an_unknown_switch_that_is_off_is_accepted():
    config = {"image_processor_type": "CLIPImageProcessor", "do_flip_channel_order": False}
    assert read(config).size == (224, 224)
