import json
from pathlib import Path

import pytest

from polyvec.errors import CheckpointError
from polyvec.models._resolve import resolve
from polyvec.tools._native_config import changes_of, native_config
from polyvec.tools._reference import Reference
from tests import tiny
from tests.zoo import decoders


@pytest.mark.parametrize("name", ["Llama", "Qwen3-Embedding", "e5-mistral", "EmbeddingGemma"])
def test_most_checkpoints_are_read_as_they_are(name: str) -> None:
    assert changes_of(decoders.LAYOUTS[name].config) == {}


@pytest.mark.parametrize("name", ["GritLM", "llama-nemotron-embed", "voyage-4-nano"])
def test_both_directions_are_told_in_the_librarys_words(name: str) -> None:
    layout = decoders.LAYOUTS[name]
    assert changes_of(layout.config) == layout.rewrite


def test_the_checkpoint_itself_stays_as_it_is(tmp_path: Path) -> None:
    published = {"model_type": "llama_bidirec", "auto_map": {"AutoModel": "own.M"}}
    tiny.write_json(tmp_path / "config.json", published)
    tiny.write_json(tmp_path / "1_Pooling/config.json", {})
    with native_config(tmp_path) as (place, notes):
        read = json.loads((place / "config.json").read_text())
        assert read == {"model_type": "llama", "is_causal": False}
        assert (place / "1_Pooling/config.json").is_file()
        assert 'model_type "llama", is_causal false' in notes[0]
    assert not place.exists()
    assert json.loads((tmp_path / "config.json").read_text()) == published


def test_trusted_code_of_the_repository_runs_instead(tmp_path: Path) -> None:
    tiny.write_json(tmp_path / "config.json", {"model_type": "llama_bidirec"})
    with native_config(tmp_path, trust_remote_code=True) as found:
        assert found == (tmp_path, ())


def test_a_class_that_leaves_a_projection_out_is_no_reference(tmp_path: Path) -> None:
    folder = decoders.make(tmp_path / "m", "voyage-4-nano")
    with pytest.raises(CheckpointError, match=r"leaves out 1 tensors, such as linear.weight"):
        Reference(folder, resolve(str(folder)))
