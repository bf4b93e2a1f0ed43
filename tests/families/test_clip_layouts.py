"""CLIP in open_clip's layout gives the vectors of open_clip's own arithmetic."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import MetaClip2Model

from polyvec.backends._base import BackendOptions, ImageBatch
from polyvec.errors import CheckpointError
from polyvec.models._model import Model
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.parity import BACKENDS, assert_same, embed_texts, token_ids
from tests.zoo import vision_clip as zoo

Tensors = dict[str, torch.Tensor]
PICTURES = [tiny.picture(*shape) for shape in ((40, 60), (32, 32), (90, 33), (35, 32), (31, 67))]


# An oracle, written from open_clip's published description alone.


def activated(x: torch.Tensor, *, quick: bool) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x) if quick else F.gelu(x)


def normed(x: torch.Tensor, w: Tensors, name: str) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)


def resblocks(
    x: torch.Tensor, w: Tensors, name: str, heads: int, *, quick: bool, causal: bool
) -> torch.Tensor:
    """(L, D), pre-norm, with fused projections."""
    length = len(x)
    mask = torch.full((length, length), -torch.inf).triu(1) if causal else 0
    for at in (f"{name}.resblocks.{index}" for index in range(2)):
        y = normed(x, w, f"{at}.ln_1")
        qkv = F.linear(y, w[f"{at}.attn.in_proj_weight"], w[f"{at}.attn.in_proj_bias"])
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(0, 1) for part in qkv.chunk(3, -1))
        shares = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5 + mask, -1)
        mixed = (shares @ v).transpose(0, 1).flatten(1)
        x = x + F.linear(mixed, w[f"{at}.attn.out_proj.weight"], w[f"{at}.attn.out_proj.bias"])
        y = normed(x, w, f"{at}.ln_2")
        y = F.linear(y, w[f"{at}.mlp.c_fc.weight"], w[f"{at}.mlp.c_fc.bias"])
        y = activated(y, quick=quick)
        x = x + F.linear(y, w[f"{at}.mlp.c_proj.weight"], w[f"{at}.mlp.c_proj.bias"])
    return x


def text_vector(
    ids: np.ndarray,
    w: Tensors,
    at: str,
    *,
    quick: bool,
    causal: bool = True,
    eos: int | None = None,
) -> torch.Tensor:
    """Every text is filled up to the context with zeros, as open_clip's tokenizer does."""
    padded = torch.zeros(zoo.CONTEXT, dtype=torch.long)
    padded[: len(ids)] = torch.from_numpy(ids)
    x = w[f"{at}token_embedding.weight"][padded] + w[f"{at}positional_embedding"]
    x = resblocks(x, w, f"{at}transformer", 4, quick=quick, causal=causal)
    x = normed(x, w, f"{at}ln_final")
    end = padded.argmax() if eos is None else (padded == eos).int().argmax()
    return x[end] @ w[f"{at}text_projection"]


def image_vector(pixels: np.ndarray, w: Tensors, *, quick: bool) -> torch.Tensor:
    patches = F.conv2d(torch.from_numpy(pixels)[None], w["visual.conv1.weight"], stride=8)
    x = torch.cat([w["visual.class_embedding"][None], patches[0].flatten(1).T])
    x = normed(x + w["visual.positional_embedding"], w, "visual.ln_pre")
    x = resblocks(x, w, "visual.transformer", 4, quick=quick, causal=False)
    return normed(x[0], w, "visual.ln_post") @ w["visual.proj"]


def open_clip_pixels(rgb: np.ndarray, side: int, *, squash: bool = False) -> np.ndarray:
    """torchvision's Resize, CenterCrop, ToTensor and Normalize, as open_clip chains them."""
    image = Image.fromarray(rgb)
    short = min(image.size)
    width, height = (int(side * length / short) for length in image.size)
    size = (side, side) if squash else (width, height)
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (round((length - side) / 2.0) for length in image.size)
    image = image.crop((left, top, left + side, top + side))
    tensor = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
    mean, std = (np.float32(one)[:, None, None] for one in (zoo.CLIP_MEAN, zoo.CLIP_STD))
    return (tensor - mean) / std


def embed_pictures(backend, model: Model, pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
    assert model.image is not None
    ours = np.stack([model.image.transform(one) for one in pictures])
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    return {
        "alone": np.concatenate([session.run("image", ImageBatch(one[None])) for one in ours]),
        "batch": session.run("image", ImageBatch(ours)),
        "reversed": session.run("image", ImageBatch(ours[::-1].copy()))[::-1],
    }


def check_texts(backend, model: Model, w: Tensors, at: str = "", **how: Any) -> None:
    assert model.text is not None
    ids = token_ids(model)
    expected = torch.stack([text_vector(one, w, at, **how) for one in ids]).numpy()
    filled = [model.text.filled(one) for one in ids]
    for vectors in embed_texts(backend, model, filled).values():
        assert_same(vectors, expected)


def check_images(backend, model: Model, w: Tensors, *, quick: bool, squash: bool = False) -> None:
    pixels = [open_clip_pixels(one, 32, squash=squash) for one in PICTURES]
    expected = torch.stack([image_vector(one, w, quick=quick) for one in pixels]).numpy()
    for vectors in embed_pictures(backend, model, PICTURES).values():
        assert_same(vectors, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("custom_text", [False, True], ids=["CLIP", "CustomTextCLIP"])
@pytest.mark.parametrize("quick", [False, True], ids=["gelu", "quick_gelu"])
def test_both_towers_equal_open_clip(
    tmp_path: Path, backend, *, custom_text: bool, quick: bool
) -> None:
    folder = zoo.make_open_clip(tmp_path, custom_text=custom_text, quick_gelu=quick)
    model = resolve(str(folder))
    assert (model.family.name, model.architecture) == ("clip", "OpenClipVit")
    assert model.dimensions == 24
    w = load_file(folder / "open_clip_model.safetensors")
    check_texts(backend, model, w, "text." if custom_text else "", quick=quick)
    check_images(backend, model, w, quick=quick)


@pytest.mark.parametrize("backend", BACKENDS)
def test_texts_without_a_causal_mask_see_what_they_are_filled_up_with(
    tmp_path: Path, backend
) -> None:
    folder = zoo.make_open_clip(
        tmp_path, custom_text=True, text_cfg={"no_causal_mask": True}, quick_gelu=False
    )
    model = resolve(str(folder))
    w = load_file(folder / "open_clip_model.safetensors")
    check_texts(backend, model, w, "text.", quick=False, causal=False)


@pytest.mark.parametrize("backend", BACKENDS)
def test_texts_may_end_in_a_token_that_is_not_the_highest(tmp_path: Path, backend) -> None:
    text = {"pool_type": "eos", "eos_id": 2, "hf_tokenizer_name": "facebook/xlm-v-base"}
    folder = zoo.make_open_clip(tmp_path, text_cfg=text, quick_gelu=True)
    zoo.save_roberta_tokenizer(folder)
    model = resolve(str(folder))
    w = load_file(folder / "open_clip_model.safetensors")
    check_texts(backend, model, w, quick=True, eos=2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_metaclip_2_equals_transformers(tmp_path: Path, backend) -> None:
    folder = zoo.make_metaclip_2(tmp_path)
    model = resolve(str(folder))
    theirs = MetaClip2Model.from_pretrained(folder, dtype=torch.float32).eval()
    ids = token_ids(model)
    with torch.inference_mode():
        rows = [theirs.get_text_features(torch.from_numpy(one)[None]).pooler_output for one in ids]
        pixels = torch.from_numpy(np.stack([model.image.transform(one) for one in PICTURES]))
        pictures = theirs.get_image_features(pixels).pooler_output.numpy()
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, torch.cat(rows).numpy())
    for vectors in embed_pictures(backend, model, PICTURES).values():
        assert_same(vectors, pictures)


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_files_and_squashed_pictures_equal_open_clip(
    tmp_path: Path, backend
) -> None:
    folder = zoo.make_open_clip(tmp_path, dtype=torch.float16, preprocess={"resize_mode": "squash"})
    model = resolve(str(folder))
    stored = load_file(folder / "open_clip_model.safetensors")
    w = {name: one.float() for name, one in stored.items()}
    check_texts(backend, model, w, quick=False)
    check_images(backend, model, w, quick=False, squash=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_folder_with_both_layouts_is_read_as_transformers_and_gives_the_same(
    tmp_path: Path, backend
) -> None:
    both, alone = (resolve(str(one)) for one in zoo.make_both(tmp_path))
    assert (both.architecture, alone.architecture) == ("CLIPModel", "OpenClipVit")
    ids = token_ids(both)
    assert all(map(np.array_equal, ids, token_ids(alone)))
    expected = embed_texts(backend, both, ids)["batch"]
    assert_same(embed_texts(backend, alone, ids)["batch"], expected)
    pictures = [tiny.picture(40, 60, 1), tiny.picture(64, 48, 2)]
    expected = embed_pictures(backend, both, pictures)["batch"]
    assert_same(embed_pictures(backend, alone, pictures)["batch"], expected)


def test_a_folder_whose_transformers_weights_are_pickled_is_read_as_open_clip(
    tmp_path: Path,
) -> None:
    both, _ = zoo.make_both(tmp_path)
    (both / "model.safetensors").unlink()
    assert resolve(str(both)).architecture == "OpenClipVit"
    (both / "open_clip_model.safetensors").unlink()
    (both / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is damaged"):
        resolve(str(both))


def test_pickled_weights_of_clip_are_the_same_tensors(tmp_path: Path) -> None:
    folder = tiny.make_clip(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    weights = resolve(str(folder)).weights
    assert sorted(weights) == sorted(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(weights.float32(name), tensor.numpy())


# Which activation.


@pytest.mark.parametrize(
    ("said", "timm", "options", "activation", "origin"),
    [
        (True, None, {}, "quick_gelu", "open_clip_config.json: quick_gelu"),
        (False, zoo.TIMM_CONFIG, {}, "gelu", "open_clip_config.json: quick_gelu"),
        (None, None, {}, "gelu", "default without open_clip_config.json: quick_gelu"),
        (None, zoo.TIMM_CONFIG, {}, "quick_gelu", "config.json: pretrained_cfg.tag"),
        (
            None,
            {**zoo.TIMM_CONFIG, "pretrained_cfg": {"tag": "laion2b"}},
            {},
            "gelu",
            "default without open_clip_config.json: quick_gelu",
        ),
        (
            None,
            zoo.TIMM_CONFIG,
            {"quick_gelu": False},
            "gelu",
            "--hf-overrides: quick_gelu",
        ),
    ],
)
def test_the_activation_is_that_of_the_weights_and_says_where_it_comes_from(
    tmp_path: Path, said: Any, timm: Any, options: dict, activation: str, origin: str
) -> None:
    changes = {} if said is None else {"quick_gelu": said}
    folder = zoo.make_open_clip(tmp_path, timm=timm, **changes)
    model = resolve(str(folder), ModelOptions(hf_overrides=options))
    assert model.config.text.hidden_act == model.config.vision.hidden_act == activation
    setting = model.settings["activation"]
    assert (setting.value, setting.origin) == (activation, origin)


def test_the_activation_of_transformers_configs_is_shown_as_well(tmp_path: Path) -> None:
    setting = resolve(str(tiny.make_clip(tmp_path))).settings["activation"]
    assert (setting.value, setting.origin) == (
        "quick_gelu",
        "config.json: text_config.hidden_act",
    )


def test_the_tanh_form_and_other_epsilons_are_read(tmp_path: Path) -> None:
    folder = zoo.make_open_clip(
        tmp_path,
        text_cfg={"act_kwargs": {"approximate": "tanh"}, "norm_kwargs": {"eps": 1e-6}},
        vision_cfg={"norm_kwargs": {"eps": 1e-3}},
    )
    config = resolve(str(folder)).config
    assert (config.text.hidden_act, config.text.layer_norm_eps) == ("gelu_pytorch_tanh", 1e-6)
    assert (config.vision.hidden_act, config.vision.layer_norm_eps) == ("gelu", 1e-3)


# Texts and pictures.


@pytest.mark.parametrize(
    ("kwargs", "name", "text", "same_as"),
    [
        ({"clean": "canonicalize"}, None, " A red_cat,  isn't it?\n", "a red cat isnt it"),
        ({}, "timm/ViT-B-16-SigLIP2", "  a \t red cat \n", "a red cat"),
        ({"clean": "lower"}, None, " A RED\ncat ", "a red cat"),
    ],
)
def test_texts_are_cleaned_as_the_file_says(
    tmp_path: Path, kwargs: dict, name: str | None, text: str, same_as: str
) -> None:
    folder = zoo.make_open_clip(
        tmp_path, text_cfg={"tokenizer_kwargs": kwargs, "hf_tokenizer_name": name}
    )
    # A tokenizer that keeps case and spaces would tell the two apart.
    saved = json.loads((folder / "tokenizer.json").read_text())
    saved["normalizer"] = None
    saved["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    tiny.write_json(folder / "tokenizer.json", saved)
    model = resolve(str(folder))
    assert model.text is not None
    one, other = model.text.tokenizer.encode([text, same_as])
    assert one.tolist() == other.tolist()
    assert model.text.tokenizer.encode([text])[0].tolist() == other.tolist()
    bare = model.text.tokenizer.encode_bare([text, same_as])
    assert bare[0].tolist() == bare[1].tolist() == other[1:-1].tolist()


@pytest.mark.parametrize("shape", [(35, 32), (32, 39), (33, 32), (100, 41), (640, 482), (7, 95)])
@pytest.mark.parametrize("squash", [False, True], ids=["shortest", "squash"])
def test_pictures_are_prepared_as_torchvision_does(
    tmp_path: Path, shape: tuple[int, int], *, squash: bool
) -> None:
    mode = "squash" if squash else "shortest"
    model = resolve(str(zoo.make_open_clip(tmp_path, preprocess={"resize_mode": mode})))
    assert model.image is not None
    rgb = tiny.picture(*shape, seed=4)
    expected = open_clip_pixels(rgb, 32, squash=squash)
    assert np.abs(model.image.transform(rgb) - expected).max() < 1e-5


def test_missing_preprocess_keys_take_open_clips_defaults(tmp_path: Path) -> None:
    folder = zoo.make_open_clip(tmp_path)
    said = json.loads((folder / "open_clip_config.json").read_text())
    said["model_cfg"]["vision_cfg"]["image_size"] = [32, 32]
    for empty in ({"mean": None, "std": None}, {}):
        said["preprocess_cfg"] = empty
        tiny.write_json(folder / "open_clip_config.json", said)
        model = resolve(str(folder))
        assert model.image is not None
        transform = model.image.transform
        assert transform.mean == tuple(zoo.CLIP_MEAN)
        assert transform.std == tuple(zoo.CLIP_STD)
        assert (transform.resize, transform.resample, transform.crop) == (32, 3, (32, 32))
    assert model.settings["image_size"].origin.startswith("open_clip_config.json")


def test_bilinear_pictures_without_normalisation_are_read(tmp_path: Path) -> None:
    preprocess = {"interpolation": "bilinear", "mean": [0, 0, 0], "std": [1, 1, 1]}
    model = resolve(str(zoo.make_open_clip(tmp_path, preprocess=preprocess)))
    assert model.image is not None
    transform = model.image.transform
    assert (transform.resample, transform.mean, transform.std) == (2, (0, 0, 0), (1, 1, 1))


# What is refused.


@pytest.mark.parametrize(
    ("changes", "preprocess", "message"),
    [
        ({"vision_cfg": {"image_size": [32, 48]}}, {}, "image_size"),
        ({"vision_cfg": {"image_size": "32"}}, {}, "image_size"),
        ({"vision_cfg": {"head_width": 13}}, {}, "head_width"),
        ({"vision_cfg": {"pool_type": "avg"}}, {}, "pool_type"),
        ({"vision_cfg": {"no_ln_pre": True}}, {}, "no_ln_pre"),
        ({"vision_cfg": {"ls_init_value": 0.1}}, {}, "ls_init_value"),
        ({"vision_cfg": {"layers": [3, 4, 6, 3]}}, {}, "OpenClipResNet"),
        ({"vision_cfg": {"timm_model_name": "convnext_base"}}, {}, "convnext_base"),
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, {}, "OpenClipHfText"),
        ({"multimodal_cfg": {"width": 2}}, {}, "OpenClipCoCa"),
        ({"text_cfg": {"embed_cls": True}}, {}, "embed_cls"),
        ({"text_cfg": {"pool_type": "mean"}}, {}, "pool_type"),
        ({"text_cfg": {"pool_type": "last"}}, {}, "pool_type"),
        ({"text_cfg": {"proj_bias": True}}, {}, "proj_bias"),
        ({"text_cfg": {"new_switch": 1}}, {}, "new_switch is not known"),
        ({"text_cfg": {"width": "wide"}}, {}, "width must be a whole number"),
        ({"text_cfg": {"act_kwargs": {"approximate": "cubic"}}}, {}, "act_kwargs"),
        ({"text_cfg": {"tokenizer_kwargs": {"strip_sep_token": True}}}, {}, "strip_sep_token"),
        ({"text_cfg": {"tokenizer_kwargs": {"clean": "soap"}}}, {}, "'soap' is not known"),
        ({"quick_gelu": "yes"}, {}, "quick_gelu"),
        ({}, {"resize_mode": "longest"}, "resize_mode 'longest'"),
        ({}, {"interpolation": "nearest"}, "interpolation 'nearest'"),
        ({}, {"mode": "L"}, "mode 'L'"),
        ({}, {"mean": [0.5]}, "image_mean"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(
    tmp_path: Path, changes: dict, preprocess: dict, message: str
) -> None:
    folder = zoo.make_open_clip(tmp_path)
    said = json.loads((folder / "open_clip_config.json").read_text())
    said["model_cfg"] = zoo.merged(said["model_cfg"], changes)
    said["preprocess_cfg"] |= preprocess
    tiny.write_json(folder / "open_clip_config.json", said)
    with pytest.raises(CheckpointError, match=message):
        resolve(str(folder))


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"model_cfg": 3}',
        '{"model_cfg": {"embed_dim": 2, "vision_cfg": {}}}',
        '{"model_cfg": {"embed_dim": 2, "vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": 1}',
    ],
)
def test_damaged_configs_are_refused(tmp_path: Path, content: str) -> None:
    folder = zoo.make_open_clip(tmp_path)
    (folder / "open_clip_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"open_clip_config\.json"):
        resolve(str(folder))


def test_weights_of_another_shape_or_name_are_refused(tmp_path: Path) -> None:
    folder = zoo.make_open_clip(tmp_path)
    file = folder / "open_clip_model.safetensors"
    tensors = load_file(file)
    fused = "transformer.resblocks.0.attn.in_proj_weight"
    save_file({**tensors, fused: tensors[fused][:-1].contiguous()}, file)
    with pytest.raises(CheckpointError, match="does not split into 3"):
        resolve(str(folder))
    save_file({**tensors, f"text.{fused}": tensors[fused].clone()}, file)
    with pytest.raises(CheckpointError, match="twice"):
        resolve(str(folder))
    file.unlink()
    with pytest.raises(CheckpointError, match=r"open_clip_model\.safetensors is not in"):
        resolve(str(folder))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_table_of_places_of_another_picture_size_is_refused(
    tmp_path: Path, backend, change: int
) -> None:
    folder = tiny.make_clip(tmp_path / "clip")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = "vision_model.embeddings.position_embedding.weight"
    rows, width = tensors[name].shape
    save_file(tensors | {name: torch.ones(rows + change, width)}, file)
    with pytest.raises(CheckpointError, match=f"has {rows + change} rows and should have {rows}"):
        backend.load(resolve(str(folder)), BackendOptions(dtype="float32", num_sessions=1))
