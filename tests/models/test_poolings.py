"""Which poolings are used, and what they leave out, is what the files or the operator say."""

import logging
from pathlib import Path
from typing import Any

import pytest

from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._model import Model, TextRules
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny


def bert_with_pooling(tmp_path: Path, **config: Any) -> Path:
    folder = tiny.make_bert(tmp_path)
    tiny.sentence_transformers_files(folder, 32)
    tiny.write_json(folder / "1_Pooling/config.json", {"word_embedding_dimension": 32, **config})
    return folder


def text_of(model: Model) -> TextRules:
    assert model.text is not None
    return model.text


@pytest.mark.parametrize(
    ("config", "poolings"),
    [
        # The booleans' order is fixed, whatever the order in the file.
        (
            {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": True},
            ("mean", "last"),
        ),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
            ("max", "mean"),
        ),
        ({"pooling_mode": ["weightedmean", "cls"]}, ("weightedmean", "cls")),
        ({"pooling_mode": "mean_sqrt_len_tokens"}, ("mean_sqrt_len",)),
        # The new key wins over the old ones.
        ({"pooling_mode": "cls", "pooling_mode_mean_tokens": True}, ("cls",)),
    ],
)
def test_several_poolings_are_laid_end_to_end(
    tmp_path: Path, config: dict, poolings: tuple[str, ...]
) -> None:
    model = resolve(str(bert_with_pooling(tmp_path, **config)))
    assert text_of(model).poolings == poolings
    assert model.dimensions == 32 * len(poolings)
    assert model.settings["pooling"].value == "+".join(poolings)


def test_a_prompt_may_be_left_out_of_pooling(tmp_path: Path) -> None:
    model = resolve(str(bert_with_pooling(tmp_path, include_prompt=False)))
    assert text_of(model).excludes_prompt
    assert model.settings["excludes_prompt"].origin == "1_Pooling/config.json: include_prompt"


def test_a_prompt_takes_part_in_pooling_otherwise(tmp_path: Path) -> None:
    assert not text_of(resolve(str(bert_with_pooling(tmp_path)))).excludes_prompt


@pytest.mark.parametrize("key", ["pooling", "emb_pooler"])
def test_a_repository_without_modules_may_name_its_pooling_in_config(
    tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny.make_bert(tmp_path, **{key: "cls"})
    with caplog.at_level(logging.WARNING):
        model = resolve(str(folder))
    assert text_of(model).poolings == ("cls",)
    assert model.settings["pooling"].origin == f"config.json: {key}"
    assert not caplog.text


def test_a_pooling_of_config_that_is_not_known_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, pooling="attention")
    with pytest.raises(CheckpointError, match=r"'attention' is not known.*avg, mean, cls, last"):
        resolve(str(folder))
    assert text_of(resolve(str(folder), ModelOptions(pooling="mean"))).poolings == ("mean",)


def test_vllms_pooler_config_beats_the_checkpoint(tmp_path: Path) -> None:
    folder = bert_with_pooling(tmp_path, pooling_mode="cls")
    said = {"pooling_type": "MEAN", "use_activation": False}
    model = resolve(str(folder), ModelOptions(pooler_config=said))
    assert text_of(model).poolings == ("mean",)
    assert model.settings["pooling"].origin == "--pooler-config"
    assert model.normalize is False
    assert model.settings["normalize"].origin == "--pooler-config"


def test_a_pooler_config_for_a_model_with_its_own_pooling_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_clip(tmp_path)
    with pytest.raises(ConfigError, match="--pooler-config mean cannot be used"):
        resolve(str(folder), ModelOptions(pooler_config={"pooling_type": "MEAN"}))


def test_gritlm_takes_the_mean_without_its_instruction(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    auto_map = {"AutoModel": "modeling_gritlm7b.MistralModel"}
    with caplog.at_level(logging.WARNING):
        model = resolve(str(tiny.make_bert(tmp_path, auto_map=auto_map)))
    text = text_of(model)
    assert (text.poolings, text.excludes_prompt) == (("mean",), True)
    assert model.settings["excludes_prompt"].origin == "GritLM's format"
    assert not caplog.text


def test_a_pooling_module_without_config_takes_the_mean_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = bert_with_pooling(tmp_path)
    (folder / "1_Pooling/config.json").unlink()
    with caplog.at_level(logging.WARNING):
        model = resolve(str(folder))
    assert text_of(model).poolings == ("mean",)
    assert "without config.json" in model.settings["pooling"].origin
    assert f"{folder} leaves pooling open" in caplog.text
