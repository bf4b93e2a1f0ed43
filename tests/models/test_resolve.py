"""Every setting comes from the flag, else the checkpoint, else the family, and says so."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from polyvec.checkpoints.locate import DEMO
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._model import Model
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny


def bert_with(tmp_path: Path, **files: Any) -> Path:
    folder = tiny.make_bert(tmp_path)
    tiny.sentence_transformers_files(folder, 32, **files)
    return folder


def origin(model: Model, name: str) -> str:
    return model.settings[name].origin


def test_pooling_comes_from_the_pooling_module(tmp_path: Path) -> None:
    model = resolve(str(bert_with(tmp_path, pooling="cls")))
    assert model.text is not None
    assert model.text.poolings == ("cls",)
    assert origin(model, "pooling") == "1_Pooling/config.json"


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, "max"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
    ],
)
def test_old_and_new_pooling_keys_are_read(tmp_path: Path, config: dict, pooling: str) -> None:
    folder = bert_with(tmp_path)
    tiny.write_json(folder / "1_Pooling/config.json", config)
    model = resolve(str(folder))
    assert model.text is not None
    assert model.text.poolings == (pooling,)


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False},
        {"pooling_mode": "attention"},
        {"pooling_mode": 3},
        {"pooling_mode": []},
        {"pooling_mode": ["mean", "attention"]},
    ],
)
def test_pooling_that_cannot_be_honoured_is_refused(tmp_path: Path, config: dict) -> None:
    folder = bert_with(tmp_path)
    tiny.write_json(folder / "1_Pooling/config.json", config)
    with pytest.raises(CheckpointError, match="pooling mode"):
        resolve(str(folder))


def test_a_pooling_module_that_names_no_mode_takes_the_mean(tmp_path: Path) -> None:
    folder = bert_with(tmp_path)
    tiny.write_json(folder / "1_Pooling/config.json", {"word_embedding_dimension": 32})
    model = resolve(str(folder))
    assert model.text is not None
    assert model.text.poolings == ("mean",)


def test_a_pooling_folder_that_no_modules_json_lists_is_read(tmp_path: Path) -> None:
    folder = bert_with(tmp_path, pooling="cls")
    (folder / "modules.json").unlink()
    model = resolve(str(folder))
    assert model.text is not None
    assert model.text.poolings == ("cls",)
    assert origin(model, "pooling") == "1_Pooling/config.json"


def test_a_flag_beats_the_checkpoint(tmp_path: Path) -> None:
    options = ModelOptions(pooling="max", normalize=False, max_input_tokens=10)
    model = resolve(str(bert_with(tmp_path, pooling="cls")), options)
    assert model.text is not None
    assert (model.text.poolings, model.normalize) == (("max",), False)
    assert model.text.max_input_tokens == 10
    assert origin(model, "pooling") == "--pooling"
    assert origin(model, "max_input_tokens") == "--max-input-tokens"


def test_open_pooling_takes_the_family_default_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = resolve(str(tiny.make_bert(tmp_path)))
    assert origin(model, "pooling") == "family default"
    assert "leaves pooling open" in caplog.text


@pytest.mark.parametrize(("present", "expected"), [(True, True), (False, False)])
def test_normalisation_follows_modules_json(
    tmp_path: Path, *, present: bool, expected: bool
) -> None:
    model = resolve(str(bert_with(tmp_path, normalize=present)))
    assert model.normalize is expected
    assert origin(model, "normalize") == "modules.json"


def test_the_smallest_of_all_length_limits_holds(tmp_path: Path) -> None:
    folder = bert_with(tmp_path)
    tiny.write_json(folder / "sentence_bert_config.json", {"max_seq_length": 30})
    tiny.write_json(folder / "tokenizer_config.json", {"model_max_length": 20})
    model = resolve(str(folder))
    assert model.text is not None
    assert model.text.max_input_tokens == 20
    assert origin(model, "max_input_tokens") == "tokenizer_config.json: model_max_length"


def test_the_positions_before_a_roberta_text_do_not_count(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, architecture="XLMRobertaModel", max_position_embeddings=34)
    tiny.write_json(folder / "tokenizer_config.json", {"model_max_length": 10**30})
    model = resolve(str(folder))
    assert model.text is not None
    assert model.text.max_input_tokens == 32


@pytest.mark.parametrize(
    ("architecture", "changes", "match"),
    [
        ("BertModel", {"max_position_embeddings": 0}, "leaves 0 positions for tokens"),
        ("XLMRobertaModel", {"max_position_embeddings": 1}, "leaves -1 positions for tokens"),
        ("BertModel", {"vocab_size": 0}, "vocab_size 0 leaves out token id"),
        ("BertModel", {"vocab_size": 3}, "vocab_size 3 leaves out token id"),
    ],
)
def test_a_config_without_room_for_any_text_is_refused(
    tmp_path: Path, architecture: str, changes: dict[str, int], match: str
) -> None:
    folder = tiny.make_bert(tmp_path, architecture=architecture)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    tiny.write_json(folder / "config.json", {**config, **changes})
    with pytest.raises(CheckpointError, match=match):
        resolve(str(folder))


def test_a_limit_beyond_the_positions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="from 1 to 64"):
        resolve(str(bert_with(tmp_path)), ModelOptions(max_input_tokens=65))


def test_prompts_and_their_default_are_read(tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "query: ", "passage": ""}, "default_prompt_name": "query"}
    folder = bert_with(tmp_path, config_sentence_transformers=prompts)
    text = resolve(str(folder)).text
    assert text is not None
    assert text.prompts == prompts["prompts"]
    assert text.default_prompt_name == "query"


def test_a_default_prompt_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    folder = bert_with(tmp_path, config_sentence_transformers={"default_prompt_name": "query"})
    with pytest.raises(ConfigError, match="query"):
        resolve(str(folder))


def test_matryoshka_lengths_come_from_config_or_flag(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, matryoshka_dimensions=[8, 16, 32, 999])
    assert resolve(str(folder)).matryoshka == (8, 16, 32)
    assert resolve(str(folder), ModelOptions(matryoshka=(4,))).matryoshka == (4,)


def test_without_a_declaration_there_are_no_shorter_lengths(tmp_path: Path) -> None:
    assert resolve(str(bert_with(tmp_path))).matryoshka == ()


def test_dense_modules_decide_the_dimensions(tmp_path: Path) -> None:
    model = resolve(str(bert_with(tmp_path, dense=12)))
    assert model.dimensions == 12
    assert origin(model, "dimensions") == "2_Dense/config.json: out_features"


def test_an_unknown_module_is_refused_rather_than_dropped(tmp_path: Path) -> None:
    folder = bert_with(tmp_path)
    entries = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "path": "2_Magic", "type": "custom.Magic"},
    ]
    tiny.write_json(folder / "modules.json", entries)
    with pytest.raises(CheckpointError, match="Magic"):
        resolve(str(folder))


def test_clip_has_both_towers_in_one_space(tmp_path: Path) -> None:
    model = resolve(str(tiny.make_clip(tmp_path)))
    assert model.modalities == ("text", "image")
    assert (model.dimensions, model.normalize) == (24, True)
    assert model.image is not None
    assert (model.image.transform.size, model.image.num_patches) == ((32, 32), 17)


def test_the_older_section_of_a_clip_config_wins(tmp_path: Path) -> None:
    folder = tiny.make_clip(tmp_path)
    config = {**tiny.clip.FAMILY.tiny, "text_config_dict": tiny.clip.FAMILY.tiny["text_config"]}
    tiny.write_json(folder / "config.json", {**config, "text_config": {"hidden_size": 8}})
    assert resolve(str(folder)).family.read_config(config).text.hidden_size == 32


def test_a_picture_size_that_contradicts_the_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_clip(tmp_path)
    tiny.write_json(
        folder / "preprocessor_config.json",
        {"feature_extractor_type": "CLIPFeatureExtractor", "size": 16, "crop_size": 16},
    )
    with pytest.raises(CheckpointError, match="16x16"):
        resolve(str(folder))


def test_a_clip_without_preprocessor_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_clip(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"architectures": ["MysteryModel"], "model_type": None},
            "MysteryModel.*supported: .*BertForMaskedLM",
        ),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"num_attention_heads": 5}, "does not split into 5 heads"),
        ({"num_attention_heads": 0}, "does not split"),
        ({"hidden_size": "32"}, "hidden_size"),
        ({"hidden_size": -32}, "hidden_size"),
    ],
)
def test_a_config_that_cannot_be_served_is_refused(
    tmp_path: Path, change: dict, match: str
) -> None:
    folder = tiny.make_bert(tmp_path)
    tiny.write_json(folder / "config.json", {**tiny.bert.FAMILY.tiny, **change})
    with pytest.raises(CheckpointError, match=match):
        resolve(str(folder))


def test_the_model_type_stands_in_for_an_architecture(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    config = {k: v for k, v in tiny.bert.FAMILY.tiny.items() if k != "architectures"}
    tiny.write_json(folder / "config.json", config)
    model = resolve(str(folder))
    assert model.architecture == "BertModel"
    assert origin(model, "family") == "config.json: model_type"


@pytest.mark.parametrize("model_type", [None, ["bert"]])
def test_a_config_that_names_neither_says_so(tmp_path: Path, model_type: object) -> None:
    folder = tiny.make_bert(tmp_path)
    tiny.write_json(folder / "config.json", {"model_type": model_type})
    with pytest.raises(CheckpointError, match="names no architecture"):
        resolve(str(folder))


def test_the_bundled_model_resolves_by_name() -> None:
    assert resolve(DEMO).modalities == ("text", "image")


@pytest.mark.parametrize(
    "order", ["Normalize Pooling", "Pooling Normalize Dense", "Pooling Pooling"]
)
def test_modules_in_an_order_that_is_not_computed_are_refused(tmp_path: Path, order: str) -> None:
    folder = bert_with(tmp_path, dense=12)
    paths = {"Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
    entries = [("Transformer", "")] + [(kind, paths[kind]) for kind in order.split()]
    tiny.write_json(
        folder / "modules.json",
        [{"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in entries],
    )
    with pytest.raises(CheckpointError, match="only one Pooling, then any Dense"):
        resolve(str(folder))


@pytest.mark.parametrize(
    "setting",
    [{"module_output_name": "other"}, {"module_input_name": "token_embeddings"}],
)
def test_a_dense_module_that_does_more_is_refused(tmp_path: Path, setting: dict) -> None:
    folder = bert_with(tmp_path, dense=32)
    config = {"in_features": 32, "out_features": 32, "bias": True, **setting}
    tiny.write_json(folder / "2_Dense/config.json", config)
    with pytest.raises(CheckpointError, match=next(iter(setting))):
        resolve(str(folder))


@pytest.mark.parametrize("length", [0, -1, True, "128"])
def test_a_length_limit_that_is_no_length_is_refused(tmp_path: Path, length: object) -> None:
    folder = bert_with(tmp_path, sentence_bert_config={"max_seq_length": length})
    with pytest.raises(CheckpointError, match="max_seq_length"):
        resolve(str(folder))


@pytest.mark.parametrize("lengths", [["a"], [8.5]])
def test_matryoshka_lengths_must_be_whole_numbers(tmp_path: Path, lengths: list) -> None:
    folder = tiny.make_bert(tmp_path, matryoshka_dimensions=lengths)
    with pytest.raises(CheckpointError, match="matryoshka_dimensions"):
        resolve(str(folder), ModelOptions(pooling="mean"))


def test_a_bert_that_is_a_decoder_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, is_decoder=True)
    with pytest.raises(CheckpointError, match="is_decoder"):
        resolve(str(folder))


def test_a_pooling_flag_for_a_model_with_its_own_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_clip(tmp_path)
    with pytest.raises(ConfigError, match="--pooling"):
        resolve(str(folder), ModelOptions(pooling="mean"))


def test_a_shorter_length_beyond_the_models_own_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    with pytest.raises(ConfigError, match="from 1 to 32"):
        resolve(str(folder), ModelOptions(pooling="mean", matryoshka=(16, 64)))


def test_a_length_that_the_authors_cut_to_may_be_asked_for(tmp_path: Path) -> None:
    folder = bert_with(tmp_path, config_sentence_transformers={"truncate_dim": 16})
    model = resolve(str(folder))
    assert (model.dimensions, model.matryoshka) == (32, (16,))
    assert origin(model, "matryoshka") == "config_sentence_transformers.json: truncate_dim"


def test_nomics_vectors_are_standardized_before_they_are_cut(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, auto_map={"AutoModel": "x.NomicBertModel"})
    options = ModelOptions(pooling="mean", matryoshka=(16,))
    model = resolve(str(folder), options)
    assert model.standardizes
    assert origin(model, "standardizes_before_cut") == "usage of nomic-embed-text"
    assert not resolve(str(folder), ModelOptions(pooling="mean")).standardizes
