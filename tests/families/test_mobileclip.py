"""MobileCLIP in both layouts gives the vectors of its towers as they are trained, unfolded.

The reference folds nothing: every batch normalisation, skip and scale is computed by itself.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from polyvec.backends._base import BackendOptions, ImageBatch
from polyvec.backends._packing import tokens_of
from polyvec.engine.self_test import run_checks
from polyvec.errors import CheckpointError
from polyvec.models import _text_rules, mobileclip
from polyvec.models._model import Model
from polyvec.models._registry import aliases
from polyvec.models._resolve import resolve
from tests import tiny
from tests.parity import BACKENDS, assert_same, embed_texts, token_ids
from tests.zoo import mobileclip as zoo

GOLDEN = Path(__file__).parents[1] / "golden/mobileclip.json"


@pytest.fixture(autouse=True)
def _small_towers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, tower in zoo.TOWERS.items():
        monkeypatch.setitem(mobileclip.IMAGE_TOWERS, name, tower)
    for name, tower in zoo.APPLE_TOWERS.items():
        monkeypatch.setitem(mobileclip.APPLE_IMAGE_TOWERS, name, tower)


def padded_ids(model: Model) -> list[np.ndarray]:
    assert model.text is not None
    return [model.text.filled(ids) for ids in token_ids(model)]


def check_both_towers(backend, folder: Path, reference: zoo.Reference) -> None:
    """Hold a folder's vectors to the reference: alone, as one batch, and in the opposite order."""
    model = resolve(str(folder))
    texts, expected = padded_ids(model), reference.texts(token_ids(model))
    pixels = zoo.pixels()
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    alone = [session.run("image", ImageBatch(one[None])) for one in pixels]
    assert_same(np.concatenate(alone), reference.images(pixels))
    assert_same(session.run("image", ImageBatch(pixels)), reference.images(pixels))
    turned = session.run("image", ImageBatch(pixels[::-1].copy()))[::-1]
    assert_same(turned, reference.images(pixels))
    alone = [session.run("text", tokens_of([one])) for one in texts]
    assert_same(np.concatenate(alone), expected)
    assert_same(session.run("text", tokens_of(texts)), expected)
    assert_same(session.run("text", tokens_of(texts[::-1]))[::-1], expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", zoo.KINDS.values(), ids=zoo.KINDS)
def test_open_clip_folders_equal_the_unfolded_towers(tmp_path: Path, backend, kind) -> None:
    check_both_towers(backend, zoo.make(tmp_path, kind), zoo.Reference(kind))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", zoo.APPLE_KINDS.values(), ids=zoo.APPLE_KINDS)
def test_apples_pickles_equal_the_unfolded_towers(tmp_path: Path, backend, kind) -> None:
    check_both_towers(backend, *zoo.make_apple(tmp_path, kind))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", json.loads(GOLDEN.read_text()))
def test_vectors_equal_those_of_the_genuine_libraries(tmp_path: Path, backend, name: str) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    model = resolve(str(zoo.make(tmp_path, zoo.KINDS[name])))
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    images = session.run("image", ImageBatch(zoo.pixels()))
    assert_same(images, np.array(golden["images"], np.float32))
    texts = session.run("text", tokens_of(padded_ids(model)))
    assert_same(texts, np.array(golden["texts"], np.float32))


def test_every_convolution_of_a_text_ends_where_the_text_ends(tmp_path: Path) -> None:
    folder, _ = zoo.make_apple(tmp_path, zoo.S0)
    short = [np.array([198, 5, 199]), np.arange(1, 18), np.array([198, 199])]
    vectors = [embed_texts(one.values[0], resolve(str(folder)), short) for one in BACKENDS]
    for made in vectors:
        assert_same(made["batch"], made["alone"])
    assert_same(vectors[0]["batch"], vectors[1]["batch"])


def test_texts_are_filled_up_with_id_0_whatever_the_tokenizer_pads_with(tmp_path: Path) -> None:
    model = resolve(str(zoo.make(tmp_path, zoo.KINDS["S1, S2"])))
    assert model.text is not None
    assert model.text.filled(np.array([198, 7, 199])).tolist() == [198, 7, 199, *[0] * 17]


def test_a_long_text_is_cut_and_keeps_its_end(tmp_path: Path) -> None:
    model = resolve(str(zoo.make_apple(tmp_path, zoo.S0)[0]))
    assert model.text is not None
    (ids,) = model.text.tokenizer.encode(["a b c d e f g h i j k l m n o p q r s t u v w"])
    cut = model.text.filled(model.text.tokenizer.truncate(ids, model.text.max_input_tokens, "end"))
    assert len(ids) == 25
    assert (len(cut), cut[0], cut[-1]) == (20, 198, 199)


@pytest.mark.parametrize("kind", [zoo.S0, zoo.KINDS["B"]], ids=["S0", "B"])
def test_the_load_time_self_test_passes(tmp_path: Path, kind) -> None:
    model = resolve(str(zoo.make_apple(tmp_path, kind)[0]))
    backend = BACKENDS[0].values[0]
    found = run_checks(model, backend.load(model, BackendOptions(dtype="float32", num_sessions=1)))
    assert found["check: attention"].value == ("causal" if kind.causal else "bidirectional")


def test_apples_folders_without_a_tokenizer_take_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = zoo.make_apple(tmp_path / "apple", zoo.S0)
    (tmp_path / "clip").mkdir()
    (folder / "tokenizer.json").rename(tmp_path / "clip/tokenizer.json")
    (folder / "tokenizer_config.json").unlink()
    monkeypatch.setattr(_text_rules, "locate_clip_tokenizer", lambda: tmp_path / "clip")
    model = resolve(str(folder))
    assert model.text is not None
    assert model.text.tokenizer.encode([""])[0].tolist() == [198, 199]


def test_causal_texts_are_not_filled_up(tmp_path: Path) -> None:
    model = resolve(str(zoo.make(tmp_path, zoo.KINDS["B"])))
    assert model.text is not None
    assert model.text.filled(np.array([198, 7, 199])).tolist() == [198, 7, 199]


@pytest.mark.parametrize("make", [zoo.make, zoo.make_apple])
def test_pictures_are_resized_bilinearly_cropped_and_not_normalised(tmp_path: Path, make) -> None:
    make(tmp_path, zoo.KINDS["S1, S2"])
    model = resolve(str(tmp_path))
    assert model.image is not None
    transform = model.image.transform
    assert (transform.resize, transform.resample, transform.crop) == (64, 2, (64, 64))
    picture = tiny.picture(64, 64)
    np.testing.assert_allclose(transform(picture), picture.transpose(2, 0, 1) / 255, atol=1e-7)


def test_a_picture_costs_as_many_tokens_as_its_busiest_map_has_places() -> None:
    towers = mobileclip.IMAGE_TOWERS
    cost = {name: towers[name].num_tokens(256) for name in towers if name.startswith("fastvit_m")}
    assert cost == dict.fromkeys((f"fastvit_mci{index}" for index in range(5)), 16 * 16)
    assert towers["vit_base_mci_224"].num_tokens(224) == 14 * 14 + 1


def test_b_and_b_lt_are_different_checkpoints() -> None:
    assert aliases()["MobileCLIP/mobileclip_b"] == "apple/MobileCLIP-B-OpenCLIP"
    assert aliases()["MobileCLIP/mobileclip_blt"] == "apple/MobileCLIP-B-LT-OpenCLIP"


def test_an_unknown_tower_is_refused_by_name(tmp_path: Path) -> None:
    folder = zoo.make(tmp_path, zoo.KINDS["S1, S2"])
    raw = json.loads((folder / "open_clip_config.json").read_text())
    raw["model_cfg"]["vision_cfg"]["timm_model_name"] = "fastvit_t8"
    tiny.write_json(folder / "open_clip_config.json", raw)
    with pytest.raises(CheckpointError, match="timm_model_name 'fastvit_t8' is not supported"):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("text_cfg", {"model_name": "rnn"}, "text_cfg: model_name 'rnn' is not supported"),
        ("text_cfg", {"n_heads_per_layer": [4, 2]}, "must be the same for all layers"),
        ("image_cfg", {"model_name": "mci9"}, "image_cfg: model_name 'mci9' is not supported"),
        ("image_cfg", {"image_size": "64"}, "image_size must be a number of pixels"),
    ],
)
def test_apples_config_is_held_to_what_is_known(
    tmp_path: Path, section: str, change: dict[str, object], message: str
) -> None:
    folder, _ = zoo.make_apple(tmp_path, zoo.S0)
    raw = json.loads((folder / "config.json").read_text())
    raw[section] |= change
    tiny.write_json(folder / "config.json", raw)
    with pytest.raises(CheckpointError, match=message):
        resolve(str(folder))


def test_a_branch_that_is_left_over_is_refused(tmp_path: Path) -> None:
    folder = zoo.make(tmp_path, zoo.KINDS["S1, S2"])
    extra = {"visual.trunk.stem.0.conv_dilated.weight": np.zeros(3, np.float32)}
    zoo.add_tensors(folder, extra)
    with pytest.raises(CheckpointError, match="conv_dilated"):
        BACKENDS[0].values[0].load(resolve(str(folder)), BackendOptions(dtype="float32"))
