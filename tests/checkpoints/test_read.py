"""What a checkpoint folder says is read from the published files, and nothing else is trusted."""

from pathlib import Path

import pytest

from polyvec.checkpoints.read import read_checkpoint
from polyvec.errors import CheckpointError
from tests import tiny


def test_a_sentence_transformers_folder_is_read_in_full(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    tiny.sentence_transformers_files(folder, 32, pooling="cls", dense=8)
    tiny.write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40})
    tiny.write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "q: "}})
    checkpoint = read_checkpoint(folder)
    assert checkpoint.architecture == "BertModel"
    assert [m.kind for m in checkpoint.modules or ()] == [
        "Transformer",
        "Pooling",
        "Dense",
        "Normalize",
    ]
    assert checkpoint.text_config.value == {"max_seq_length": 40}
    assert checkpoint.prompt_config["prompts"] == {"query": "q: "}
    assert [path.name for path in checkpoint.weight_files()] == ["model.safetensors"]


def test_a_model_in_a_sub_folder_is_found_through_modules_json(tmp_path: Path) -> None:
    tiny.make_clip(tmp_path / "0_CLIPModel")
    entry = {
        "idx": 0,
        "name": "0",
        "path": "0_CLIPModel",
        "type": "sentence_transformers.models.CLIPModel",
    }
    tiny.write_json(tmp_path / "modules.json", [entry])
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.architecture == "CLIPModel"
    assert checkpoint.image_config is not None
    assert checkpoint.image_config.origin == "preprocessor_config.json"


def test_every_shard_of_an_index_is_listed_once(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, shards=3)
    assert len(read_checkpoint(folder).weight_files()) == 3


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00002"):
        read_checkpoint(folder).weight_files()


def test_a_shard_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, shards=2)
    index = {"weight_map": {"a": "../secret.safetensors"}}
    tiny.write_json(folder / "model.safetensors.index.json", index)
    with pytest.raises(CheckpointError, match="not a file beside it"):
        read_checkpoint(folder).weight_files()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    folder = tiny.make_bert(tmp_path)
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(CheckpointError, match=r"pickle.*safetensors only"):
        read_checkpoint(folder).weight_files()


def test_a_graph_without_its_weights_is_no_pickle(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "openvino_model.xml").write_text("<net/>")
    (folder / "openvino_tokenizer.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"openvino_model\.bin.*is missing"):
        read_checkpoint(folder).weight_files()


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        read_checkpoint(folder).weight_files()


def test_a_folder_without_config_is_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", "\x00", "[" * 100_000])
def test_a_config_that_is_not_an_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(tmp_path)


def test_a_module_path_outside_the_folder_is_refused(tmp_path: Path) -> None:
    tiny.make_bert(tmp_path)
    entry = {"idx": 0, "path": "../other", "type": "x.Transformer"}
    tiny.write_json(tmp_path / "modules.json", [entry])
    with pytest.raises(CheckpointError, match="not a folder of the checkpoint"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("architectures", [None, [], [3], "BertModel"])
def test_a_config_may_name_no_architecture(tmp_path: Path, architectures: object) -> None:
    tiny.make_bert(tmp_path)
    tiny.write_json(tmp_path / "config.json", {"architectures": architectures})
    assert read_checkpoint(tmp_path).architecture is None
