"""vLLM's flags mean here what they mean there, and what cannot be honoured is refused."""

import json
from pathlib import Path

import pytest

from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._options import ModelOptions
from polyvec.models._overrides import overridden, said_by
from polyvec.models._resolve import resolve
from polyvec.types import Setting
from tests import tiny
from tests.zoo import decoders


@pytest.mark.parametrize("key", ["pooling_type", "seq_pooling_type"])
@pytest.mark.parametrize(("named", "pooling"), [("MEAN", "mean"), ("last", "last"), ("CLS", "cls")])
def test_a_pooling_type_may_be_written_in_any_case(key: str, named: str, pooling: str) -> None:
    said = said_by(ModelOptions(pooler_config={key: named}))
    assert said.pooling == Setting(pooling, "--pooler-config")


@pytest.mark.parametrize("key", ["use_activation", "normalize"])
def test_the_activation_of_an_embedder_is_its_normalisation(key: str) -> None:
    said = said_by(ModelOptions(pooler_config={key: True}))
    assert said.normalize == Setting(value=True, origin="--pooler-config")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"pooling_type": "STEP"}, "must be one of CLS, MEAN, LAST"),
        ({"pooling_type": 3}, "pooling_type must be"),
        ({"use_activation": "yes"}, "use_activation must be true or false"),
        ({"pool_type": "MEAN"}, "no key 'pool_type'; known: .*pooling_type"),
        ({"enable_chunked_processing": True}, "enable_chunked_processing True is not supported"),
        ({"step_tag_id": 3}, "step_tag_id"),
        ({"pooling_type": "MEAN", "seq_pooling_type": "LAST"}, "twice and differently"),
    ],
)
def test_a_pooler_config_that_cannot_be_honoured_is_refused(config: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        said_by(ModelOptions(pooler_config=config))


def test_keys_that_change_nothing_are_accepted() -> None:
    neutral = {"task": "embed", "tok_pooling_type": "ALL", "enable_chunked_processing": False}
    assert said_by(ModelOptions(pooler_config=neutral)).pooling is None


def test_two_flags_that_disagree_are_refused() -> None:
    options = ModelOptions(pooling="cls", pooler_config={"pooling_type": "MEAN"})
    with pytest.raises(ConfigError, match="cls and mean"):
        said_by(options)


def test_objects_are_merged_and_everything_else_is_replaced() -> None:
    config = {"a": 1, "b": {"c": 2, "d": [1, 2]}}
    changed = overridden(config, {"a": {"x": 1}, "b": {"d": [3]}, "e": None})
    assert changed == {"a": {"x": 1}, "b": {"c": 2, "d": [3]}, "e": None}
    assert config == {"a": 1, "b": {"c": 2, "d": [1, 2]}}


def test_overrides_are_read_instead_of_config_json(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, matryoshka_dimensions=[4])
    options = ModelOptions(pooling="mean", hf_overrides={"matryoshka_dimensions": [8, 16]})
    model = resolve(str(folder), options)
    assert model.matryoshka == (8, 16)
    assert model.settings["matryoshka"].origin == "--hf-overrides: matryoshka_dimensions"
    assert model.settings["hf_overrides"].value == {"matryoshka_dimensions": [8, 16]}


@pytest.mark.parametrize("lengths", [[8, 64], [0], 16, "8"])
def test_lengths_that_nobody_could_ask_for_are_refused(tmp_path: Path, lengths: object) -> None:
    options = ModelOptions(pooling="mean", hf_overrides={"matryoshka_dimensions": lengths})
    with pytest.raises(ConfigError, match="--hf-overrides: matryoshka_dimensions must be"):
        resolve(str(tiny.make_bert(tmp_path)), options)


def test_any_length_is_allowed_where_the_operator_says_so(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    options = ModelOptions(pooling="mean", hf_overrides={"is_matryoshka": True})
    model = resolve(str(folder), options)
    assert model.matryoshka == tuple(range(1, 33))
    assert model.settings["matryoshka"].origin == "--hf-overrides: is_matryoshka"


def test_an_architecture_may_be_named_by_override_or_flag(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    config = {**tiny.bert.FAMILY.tiny, "architectures": ["Mystery"], "model_type": None}
    tiny.write_json(folder / "config.json", config)
    with pytest.raises(CheckpointError, match="Mystery"):
        resolve(str(folder), ModelOptions(pooling="mean"))
    by_override = ModelOptions(pooling="mean", hf_overrides={"architectures": ["BertModel"]})
    by_flag = ModelOptions(pooling="mean", architecture="BertModel")
    for options, origin in ((by_override, "--hf-overrides: architectures"), (by_flag, "--archi")):
        model = resolve(str(folder), options)
        assert model.architecture == "BertModel"
        assert model.settings["family"].origin.startswith(origin)


def test_convert_must_fit_what_the_checkpoint_gives(tmp_path: Path) -> None:
    folder = str(tiny.make_bert(tmp_path))
    for convert in ("auto", "embed", "none"):
        assert resolve(folder, ModelOptions(pooling="mean", convert=convert)).dimensions == 32
    with pytest.raises(ConfigError, match="--convert classify"):
        resolve(folder, ModelOptions(pooling="mean", convert="classify"))


def test_remote_code_may_be_trusted_without_effect(tmp_path: Path) -> None:
    folder = str(tiny.make_bert(tmp_path))
    plain, trusting = (
        resolve(folder, ModelOptions(pooling="mean", trust_remote_code=trust))
        for trust in (False, True)
    )
    assert plain.settings == trusting.settings


# What the notes of vLLM's table of models say must be done, must do here.


def test_a_repository_with_broken_pooling_files_is_mended_by_flag(tmp_path: Path) -> None:
    # ssmits/Qwen2-7B-Instruct-embed-base
    folder = decoders.make(tmp_path, "gte-Qwen2")
    tiny.sentence_transformers_files(folder, 32, normalize=False)
    tiny.write_json(folder / "1_Pooling/config.json", {"pooling_mode_cls_token": False})
    with pytest.raises(CheckpointError, match="no pooling mode is true; set --pooling"):
        resolve(str(folder))
    model = resolve(str(folder), ModelOptions(pooler_config={"pooling_type": "MEAN"}))
    assert model.text is not None
    assert model.text.poolings == ("mean",)


@pytest.mark.parametrize("changes", [{}, {"architectures": ["GritLM"], "auto_map": None}])
def test_gritlm_is_served_from_either_repository(tmp_path: Path, changes: dict) -> None:
    # GritLM/GritLM-7B and parasail-ai/GritLM-7B-vllm
    model = resolve(str(decoders.make(tmp_path, "GritLM", **changes)))
    assert model.text is not None
    assert (model.text.poolings, model.text.excludes_prompt) == (("mean",), True)
    assert model.config.causal is False


def test_gte_qwen2_ends_texts_without_its_own_tokenizer_code(tmp_path: Path) -> None:
    folder = decoders.make(tmp_path, "gte-Qwen2")
    # As published: tokenizer.json ends no text, the repository's own class does.
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tiny.write_json(folder / "tokenizer.json", {**tokenizer, "post_processor": None})
    auto_map = {"AutoTokenizer": ["tokenization_qwen.Qwen2Tokenizer", None]}
    own = {"eos_token": "<|endoftext|>", "auto_map": auto_map}
    tiny.write_json(folder / "tokenizer_config.json", own)
    model = resolve(str(folder))
    assert model.text is not None
    assert model.text.poolings == ("last",)
    end = tokenizer["added_tokens"][0]
    assert end["content"] == "<|endoftext|>"
    assert model.text.tokenizer.encode(["a cat"])[0][-1] == end["id"]
