"""SigLIP's towers give the vectors of transformers, and every text has its fixed length."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers.normalizers import Lowercase
from transformers import PreTrainedTokenizerFast, Siglip2Model, SiglipConfig, SiglipModel

from polyvec.backends._base import BackendOptions, ImageBatch
from polyvec.backends.openvino import BACKEND
from polyvec.checkpoints.text_cleaning import tokenizer_cleaning
from polyvec.engine.engine import Engine
from polyvec.engine.options import EngineOptions
from polyvec.engine.self_test import run_checks
from polyvec.errors import CheckpointError, ConfigError, InputTooLongError
from polyvec.media.patch_grid import patched_size
from polyvec.media.policy import MediaPolicy
from polyvec.models._model import Model
from polyvec.models._open_clip_siglip import TOWERS, TimmTower, as_siglip_config
from polyvec.models._patches import interpolation
from polyvec.models._resolve import ModelOptions, resolve
from polyvec.types import EmbedRequest, Input, Text, Tokens
from tests import tiny
from tests.engine.doubles import InProcess
from tests.parity import BACKENDS, TEXTS, assert_same, embed_texts, token_ids
from tests.zoo import siglip as zoo

PAD_TOKENS = {1: "</s>", 2: "<pad>"}


def read_ids(folder: Path, texts: list[str], *, version: int, length: int) -> torch.Tensor:
    """What transformers' own tokenizer makes of texts with padding="max_length"."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token=PAD_TOKENS[version]
    )
    read = tokenizer(
        texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )
    return read["input_ids"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("version", [1, 2])
def test_texts_equal_transformers_at_their_fixed_length(
    tmp_path: Path, backend, version: int
) -> None:
    folder = zoo.make_siglip(tmp_path, version=version)
    model = resolve(str(folder))
    assert model.text is not None
    ids = [model.text.filled(one) for one in token_ids(model)]
    expected_ids = read_ids(folder, TEXTS, version=version, length=16)
    assert np.stack(ids).tolist() == expected_ids.tolist()
    reference = SiglipModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = reference.get_text_features(expected_ids).pooler_output.numpy()
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("version", [1, 2])
def test_pictures_of_any_shape_equal_transformers(tmp_path: Path, backend, version: int) -> None:
    from transformers import SiglipImageProcessorPil

    folder = zoo.make_siglip(tmp_path, version=version)
    model = resolve(str(folder))
    assert model.image is not None
    pictures = [tiny.picture(*shape, 1) for shape in ((40, 60), (32, 32), (90, 7), (1, 50))]
    reference = SiglipModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = SiglipImageProcessorPil.from_pretrained(folder)
    pixels = processor([Image.fromarray(p) for p in pictures], return_tensors="pt")
    with torch.inference_mode():
        expected = reference.get_image_features(pixels["pixel_values"]).pooler_output.numpy()
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    ours = np.stack([model.image.transform(p) for p in pictures])
    np.testing.assert_allclose(ours, pixels["pixel_values"].numpy(), atol=1e-6)
    assert_same(session.run("image", ImageBatch(ours)), expected)
    assert_same(session.run("image", ImageBatch(ours[::-1].copy()))[::-1], expected)
    alone = np.concatenate([session.run("image", ImageBatch(one[None])) for one in ours])
    assert_same(alone, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("version", [1, 2])
def test_open_clip_checkpoints_equal_the_same_model_in_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend, version: int
) -> None:
    monkeypatch.setitem(TOWERS, "base", TimmTower(32, 2, 4))
    folder, twin = zoo.make_open_clip_siglip(tmp_path, version=version)
    model = resolve(str(folder))
    assert model.text is not None
    assert model.image is not None
    assert model.image.transform.resample == 3
    reference = SiglipModel(SiglipConfig(**twin["config"])).eval()
    reference.load_state_dict(twin["tensors"], strict=False)
    ids = [model.text.filled(one) for one in token_ids(model)]
    cleaned = ["".join(c for c in text if c not in "!,.").strip() for text in TEXTS]
    expected_ids = read_ids(folder, cleaned, version=version, length=12)
    assert np.stack(ids).tolist() == expected_ids.tolist()
    pixels = np.stack([model.image.transform(tiny.picture(20, 60, seed)) for seed in (1, 2)])
    with torch.inference_mode():
        texts = reference.get_text_features(expected_ids).pooler_output.numpy()
        pictures = reference.get_image_features(torch.from_numpy(pixels)).pooler_output.numpy()
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, texts)
    session = backend.load(resolve(str(folder)), BackendOptions(dtype="float32")).session()
    assert_same(session.run("image", ImageBatch(pixels)), pictures)


@pytest.mark.parametrize("size", ["base", "large", "so400m", "giantopt"])
def test_timm_names_say_which_gelu_the_picture_tower_has(size: str) -> None:
    def act(name: str) -> str:
        vision = {"timm_model_name": name, "timm_pool": "map", "timm_proj": "none"}
        raw = {"model_type": "open_clip", "vision_cfg": {**vision, "image_size": 384}}
        text = {"pool_type": "last", "no_causal_mask": True, "proj_bias": True}
        return as_siglip_config({**raw, "text_cfg": text})["vision_config"]["hidden_act"]

    # Source: timm 1.0, vision_transformer.py.
    exact = {
        "base": {"16_siglip_224", "16_siglip_384", "16_siglip_512"},
        "large": {"16_siglip_256", "16_siglip_384"},
        "so400m": {"14_siglip_224", "14_siglip_378"},
        "giantopt": set(),
    }[size]
    tanh = {
        "base": {"32_siglip_256"},
        "large": {"16_siglip_512"},
        "so400m": {"16_siglip_256", "16_siglip_384"},
        "giantopt": {"16_siglip_256", "16_siglip_384"},
    }[size]
    assert {act(f"vit_{size}_patch{name}") for name in exact} <= {"gelu"}
    assert {act(f"vit_{size}_patch{name}") for name in tanh} == {"gelu_pytorch_tanh"}


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("A Photo of a CAT.", "a photo of a cat"),
        ("  state-of-the-art,\tgreat!  ", "stateoftheart great"),
        ("snake_case", "snakecase"),
        ("ÉTÉ «ici»", "été «ici»"),
        ("ΟΔΟΣ", "οδος"),
        ("...", ""),
    ],
)
def test_first_version_cleans_texts_as_its_tokenizer_class_does(text: str, cleaned: str) -> None:
    # Golden values of transformers 5.23, SiglipTokenizer.canonicalize_text.
    found = tokenizer_cleaning({"tokenizer_class": "SiglipTokenizer"})
    assert found is not None
    assert found[1](text) == cleaned
    assert found[1](cleaned) == cleaned


def test_texts_are_cleaned_as_each_layout_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOWERS, "base", TimmTower(32, 2, 4))
    first = resolve(str(zoo.make_siglip(tmp_path / "1", version=1)))
    second = resolve(str(zoo.make_siglip(tmp_path / "2", version=2)))
    open_clip = resolve(str(zoo.make_open_clip_siglip(tmp_path / "3")[0]))

    def same(model: Model, one: str, other: str) -> bool:
        assert model.text is not None
        a, b = model.text.tokenizer.encode([one, other])
        return a.tolist() == b.tolist()

    assert same(first, "The_CAT!", "thecat")
    assert not same(second, "The cat", "the cat")
    assert not same(second, "the cat!", "the cat")
    assert same(open_clip, "The_CAT!", "the cat")


SHAPES = ((40, 60), (32, 32), (90, 17), (20, 200), (1, 3), (500, 300), (4, 9))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("max_num_patches", [20, 70])
def test_pictures_that_keep_their_shape_equal_transformers(
    tmp_path: Path, backend, max_num_patches: int
) -> None:
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    folder = zoo.make_naflex(tmp_path, max_num_patches=max_num_patches)
    model = resolve(str(folder))
    rules = model.image
    assert rules is not None
    pictures = [tiny.picture(*shape, 1) for shape in SHAPES]
    processor = Siglip2ImageProcessorPil.from_pretrained(folder)
    read = processor([Image.fromarray(p) for p in pictures], return_tensors="pt")
    reference = Siglip2Model.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = reference.get_image_features(**read).pooler_output.numpy()
    ours = np.stack([rules.read(rules.transform.fitted(p)) for p in pictures])
    assert ours.shape[1:] == rules.shape == (max_num_patches, 3 * 8 * 8 + 16 + 1)
    np.testing.assert_allclose(ours[..., :192], read["pixel_values"].numpy(), atol=1e-6)
    assert ours[..., -1].tolist() == read["pixel_attention_mask"].tolist()
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    assert_same(session.run("image", ImageBatch(ours)), expected)
    assert_same(session.run("image", ImageBatch(ours[::-1].copy()))[::-1], expected)
    alone = np.concatenate([session.run("image", ImageBatch(one[None])) for one in ours])
    assert_same(alone, expected)


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (1, 40), (2, 128), (12, 21), (7, 5)])
def test_places_are_stretched_as_torch_does(rows: int, columns: int) -> None:
    table = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(
        table, size=(rows, columns), mode="bilinear", align_corners=False, antialias=True
    )
    found = np.einsum(
        "ra,cb,dab->drc", interpolation(rows, 16), interpolation(columns, 16), table[0].numpy()
    )
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-6)


@settings(deadline=None)
@given(
    height=st.integers(1, 65535),
    width=st.integers(1, 65535),
    patch_size=st.sampled_from([8, 14, 16]),
    max_patches=st.sampled_from([1, 64, 256, 1024]),
)
def test_pictures_get_the_size_that_transformers_gives_them(
    height: int, width: int, patch_size: int, max_patches: int
) -> None:
    from transformers.models.siglip2 import image_processing_pil_siglip2 as reference

    found = patched_size(height, width, patch_size=patch_size, max_patches=max_patches)
    assert found == reference.get_image_size_for_max_num_patches(
        height, width, patch_size, max_patches
    )


def test_naflex_texts_are_lower_cased_letter_by_letter(tmp_path: Path) -> None:
    model = resolve(str(zoo.make_naflex(tmp_path)))
    assert model.text is not None
    encode = model.text.tokenizer.encode
    assert encode(["That CAT!"])[0].tolist() == encode(["that cat!"])[0].tolist()
    assert model.settings["text_cleaning"].origin == "config.json: model_type"
    # Golden value of tokenizers' Lowercase, which transformers' Siglip2Tokenizer puts first.
    found = tokenizer_cleaning({"tokenizer_class": "GemmaTokenizer"}, "siglip2")
    assert found is not None
    assert found[1]("ΟΔΟΣ İ") == Lowercase().normalize_str("ΟΔΟΣ İ")


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        ("preprocessor_config.json", {"patch_size": 16}, "patches of 8 pixels"),
        ("preprocessor_config.json", {"max_num_patches": 0}, "max_num_patches is 0"),
        ("preprocessor_config.json", {"max_num_patches": 10**9}, "number from 1 to 16384"),
        ("preprocessor_config.json", {"do_resize": False}, "do_resize is False"),
        ("config.json", {"num_patches": 17}, "num_patches 17 must be the square"),
    ],
)
def test_patches_that_do_not_fit_are_refused(
    tmp_path: Path, file: str, change: dict[str, object], named: str
) -> None:
    folder = zoo.make_naflex(tmp_path)
    value = json.loads((folder / file).read_text())
    (value["vision_config"] if file == "config.json" else value).update(change)
    tiny.write_json(folder / file, value)
    with pytest.raises(CheckpointError, match=named):
        resolve(str(folder))


async def test_every_way_of_asking_gives_the_padded_texts_vector(tmp_path: Path) -> None:
    model = resolve(str(zoo.make_siglip(tmp_path, version=2)))
    runner = BACKEND.load(model, BackendOptions(dtype="float32", num_sessions=1))
    checks = run_checks(model, runner)
    assert checks["check: alone = in a batch"].value == "cosine 1.0000000"
    engine = Engine(model, runner, EngineOptions(), MediaPolicy(), InProcess())
    await engine.start()
    assert model.text is not None
    (ids,) = model.text.tokenizer.encode(["that cat"])
    padded = model.text.filled(ids)
    parts = (Text("that cat"), Tokens(tuple(ids.tolist())), Tokens(tuple(padded.tolist())))
    try:
        request = EmbedRequest(None, tuple(Input((part,)) for part in parts))
        found = await engine.embed(request)
        (lone,) = await engine.embed(EmbedRequest(None, (Input((Text("that cat"),)),)))
        words = Input((Text("that " * 40),))
        (long,) = await engine.embed(EmbedRequest(None, (words,), truncate="end"))
        tokens = EmbedRequest(None, (Input((Text("that cat"),)),), outputs=("tokens",))
        (states,) = await engine.embed(tokens)
        too_long = EmbedRequest(None, (Input((Tokens((5,) * 17),)),), truncate="none")
        with pytest.raises(InputTooLongError, match="17 tokens; the model reads at most 16"):
            await engine.embed(too_long)
    finally:
        await engine.close()
    reference = SiglipModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = reference.get_text_features(torch.from_numpy(padded)[None]).pooler_output
    for each in (*found, lone):
        assert_same(each.vector, expected[0].numpy())
    assert [each.num_tokens for each in found] == [len(ids), len(ids), 16]
    assert lone.num_tokens == len(ids)
    assert long.num_tokens == 16
    assert states.token_vectors is not None
    assert states.token_vectors.shape == (len(ids), 48)


def test_first_version_fills_up_with_the_end_token_and_the_second_with_padding(
    tmp_path: Path,
) -> None:
    for version, end, padding in ((1, 1, 1), (2, 1, 0)):
        model = resolve(str(zoo.make_siglip(tmp_path / str(version), version=version)))
        assert model.text is not None
        assert model.text.padding is not None
        assert model.text.padding.token_id == padding
        (ids,) = model.text.tokenizer.encode(["the cat"])
        filled = model.text.filled(ids)
        assert ids[-1] == end
        assert filled[: len(ids)].tolist() == ids.tolist()
        assert filled[len(ids) :].tolist() == [padding] * (16 - len(ids))


def test_a_long_text_keeps_its_end_token(tmp_path: Path) -> None:
    model = resolve(str(zoo.make_siglip(tmp_path, version=2)))
    assert model.text is not None
    (ids,) = model.text.tokenizer.encode(["that cat " * 9])
    assert len(ids) > 16
    assert model.text.tokenizer.truncate(ids, 16, "end")[-1] == 1


def test_pooling_is_not_a_choice(tmp_path: Path) -> None:
    folder = str(zoo.make_siglip(tmp_path))
    assert resolve(folder).settings["pooling"].value == "last"
    with pytest.raises(ConfigError, match="pools in its own way"):
        resolve(folder, ModelOptions(pooling="mean"))


@pytest.mark.parametrize(
    ("part", "change", "named"),
    [
        ("vision_config", {"vision_use_head": False}, "vision_use_head"),
        ("text_config", {"projection_size": 24}, "24 numbers, those of pictures 48"),
        ("vision_config", {"patch_size": 64}, "patch_size 64 must be from 1 to image_size, 32"),
        ("vision_config", {"patch_size": 0}, "patch_size 0 must be from 1 to image_size, 32"),
    ],
)
def test_configs_that_make_no_shared_space_are_refused(
    tmp_path: Path, part: str, change: dict[str, object], named: str
) -> None:
    folder = zoo.make_siglip(tmp_path)
    config = zoo.siglip.FAMILY.tiny
    tiny.write_json(folder / "config.json", {**config, part: config[part] | change})
    with pytest.raises(CheckpointError, match=named):
        resolve(str(folder))


def test_a_pad_token_beyond_the_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = zoo.make_siglip(tmp_path)
    tiny.write_json(folder / "tokenizer_config.json", {"pad_token": "<fill>"})
    with pytest.raises(CheckpointError, match="pad_token '<fill>' is not in the vocabulary"):
        resolve(str(folder))
