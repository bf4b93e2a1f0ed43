"""Chinese-CLIP gives the vectors of transformers, from safetensors and from what is published."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertTokenizerFast, ChineseCLIPImageProcessorPil, ChineseCLIPModel

from polyvec.backends._base import BackendOptions, ImageBatch
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._registry import aliases
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.parity import BACKENDS, assert_same, embed_texts
from tests.zoo import vision_clip as zoo

TEXTS = ["杰尼龟", "", "一只猫和一只狗的照片。", "the red cat!", "皮卡丘和妙蛙种子 小火龙"]
PICTURES = [tiny.picture(*shape) for shape in ((40, 60), (32, 32), (90, 33), (35, 32), (31, 67))]


def reference(folder: Path) -> ChineseCLIPModel:
    return ChineseCLIPModel.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pytorch_model.bin"])
def test_texts_equal_transformers(tmp_path: Path, backend, *, pickled: bool) -> None:
    folder = zoo.make_chinese_clip(tmp_path / "own", pickled=pickled)
    theirs = reference(zoo.make_chinese_clip(tmp_path / "theirs"))
    model = resolve(str(folder))
    assert model.text is not None
    ids = model.text.tokenizer.encode(TEXTS)
    with torch.inference_mode():
        expected = torch.cat(
            [theirs.get_text_features(torch.from_numpy(one)[None]).pooler_output for one in ids]
        ).numpy()
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("width", "heads"), [(48, 4), (40, 5)], ids=["b-16", "other heads"])
def test_images_equal_transformers(tmp_path: Path, backend, width: int, heads: int) -> None:
    vision = {"hidden_size": width, "num_attention_heads": heads}
    folder = zoo.make_chinese_clip(tmp_path, vision_config=vision)
    model = resolve(str(folder))
    assert model.image is not None
    processor = ChineseCLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor([Image.fromarray(p) for p in PICTURES], return_tensors="pt")["pixel_values"]
    ours = np.stack([model.image.transform(p) for p in PICTURES])
    assert np.abs(ours - pixels.numpy()).max() < 1e-5
    with torch.inference_mode():
        expected = reference(folder).get_image_features(pixels).pooler_output.numpy()
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    assert_same(session.run("image", ImageBatch(ours)), expected)
    alone = np.concatenate([session.run("image", ImageBatch(one[None])) for one in ours])
    assert_same(alone, expected)


def test_token_ids_are_those_of_transformers(tmp_path: Path) -> None:
    folder = zoo.make_chinese_clip(tmp_path)
    model = resolve(str(folder))
    assert model.text is not None
    theirs = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True)
    for text, ids in zip(TEXTS, model.text.tokenizer.encode(TEXTS), strict=True):
        assert ids.tolist() == theirs(text)["input_ids"]


def test_texts_are_cut_at_the_52_tokens_of_the_training(tmp_path: Path) -> None:
    folder = str(zoo.make_chinese_clip(tmp_path))
    model = resolve(folder)
    assert model.text is not None
    assert model.text.max_input_tokens == 52
    assert model.settings["max_input_tokens"].origin == "family: as trained"
    longer = resolve(folder, ModelOptions(max_input_tokens=64))
    assert longer.text is not None
    assert longer.text.max_input_tokens == 64
    with pytest.raises(ConfigError, match="from 1 to 64"):
        resolve(folder, ModelOptions(max_input_tokens=65))


def test_legacy_sections_win_as_in_transformers(tmp_path: Path) -> None:
    text = zoo.chinese_clip.FAMILY.tiny["text_config"]
    folder = zoo.make_chinese_clip(tmp_path, text_config_dict={**text, "hidden_act": "relu"})
    assert resolve(str(folder)).config.text.hidden_act == "relu"


def test_what_the_text_tower_cannot_compute_is_refused(tmp_path: Path) -> None:
    folder = zoo.make_chinese_clip(tmp_path, text_config={"position_embedding_type": "relative"})
    with pytest.raises(CheckpointError, match="position_embedding_type"):
        resolve(str(folder))


def test_a_pickle_beside_safetensors_is_not_opened(tmp_path: Path) -> None:
    folder = zoo.make_chinese_clip(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"no archive")
    assert resolve(str(folder)).dimensions == 24


class Runs:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_pickle_that_asks_for_more_than_tensors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = zoo.make_chinese_clip(tmp_path / "own", pickled=True)
    torch.save({"a": Runs()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="system"):
        resolve(str(folder))
    assert not (tmp_path / "ran").exists()


def test_pickles_of_other_families_stay_refused(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="are a pickle"):
        resolve(str(folder))


def test_the_names_of_other_servers_lead_to_the_published_repositories() -> None:
    assert {name: repo for name, repo in aliases().items() if name.startswith("CN-CLIP/")} == {
        "CN-CLIP/cn-clip-vit-b-16": "OFA-Sys/chinese-clip-vit-base-patch16",
        "CN-CLIP/cn-clip-vit-l-14": "OFA-Sys/chinese-clip-vit-large-patch14",
        "CN-CLIP/cn-clip-vit-h-14": "OFA-Sys/chinese-clip-vit-huge-patch14",
    }
