import shutil
from pathlib import Path

import pytest

from polyvec.errors import CheckpointError
from polyvec.models._foreign import ForeignConfig
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.zoo import fallback


@pytest.mark.parametrize("kind", fallback.CONFIGS)
def test_an_architecture_that_is_not_built_in_is_resolved_for_transformers(
    tmp_path: Path, kind: str
) -> None:
    model = resolve(str(fallback.make(tmp_path / "m", kind)))
    assert (model.family.name, model.dimensions, model.normalize) == ("transformers", 32, True)
    assert model.settings["family"].origin == "config.json: model_type"
    assert model.text is not None
    assert (model.text.poolings, model.text.max_input_tokens) == (("mean",), 64)
    assert isinstance(model.config, ForeignConfig)
    assert not model.config.trust_remote_code


def test_positions_that_start_behind_the_padding_leave_room_for_fewer_tokens(
    tmp_path: Path,
) -> None:
    folder = fallback.make(tmp_path / "m")
    config = fallback.CONFIGS["electra"] | {
        "architectures": ["CamembertModel"],
        "model_type": "data2vec-text",
        "pad_token_id": 1,
    }
    config["architectures"] = ["Data2VecTextModel"]
    tiny.write_json(folder / "config.json", config)
    text = resolve(str(folder)).text
    assert text is not None
    assert text.max_input_tokens == 62


def test_a_wrong_architecture_flag_is_no_reason_to_ask_transformers(tmp_path: Path) -> None:
    folder = fallback.make(tmp_path / "m")
    with pytest.raises(CheckpointError, match="'HologramModel' is not supported"):
        resolve(str(folder), ModelOptions(architecture="HologramModel"))


def test_a_cross_encoder_that_is_not_built_in_is_refused_not_pooled(tmp_path: Path) -> None:
    name = "DebertaV2ForSequenceClassification"  # mxbai-rerank-base-v1
    folder = fallback.make(tmp_path / "m", "deberta-v2", architectures=[name])
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")
    with pytest.raises(CheckpointError, match=f"'{name}' is a cross-encoder that is not built in"):
        resolve(str(folder))


def test_a_class_that_scores_gives_vectors_where_its_files_pool_them(tmp_path: Path) -> None:
    name = "ElectraForSequenceClassification"
    folder = fallback.make(tmp_path / "m", architectures=[name])
    for _ in range(2):  # listed in modules.json, or a folder alone
        text = resolve(str(folder)).text
        assert text is not None
        assert text.poolings == ("mean",)
        (folder / "modules.json").unlink(missing_ok=True)


def test_what_is_built_in_stays_built_in(tmp_path: Path) -> None:
    assert resolve(str(tiny.make_bert(tmp_path / "m"))).family.name == "bert"


def test_the_operator_alone_allows_the_checkpoints_code(tmp_path: Path) -> None:
    folder = fallback.make(tmp_path / "m", auto_map={"AutoModel": "own.M"})
    assert not resolve(str(folder)).config.trust_remote_code
    allowed = resolve(str(folder), ModelOptions(trust_remote_code=True))
    assert allowed.config.trust_remote_code
