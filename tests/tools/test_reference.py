import json
import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._model import Model
from polyvec.models._resolve import ModelOptions, resolve
from polyvec.tools import _reference
from polyvec.tools._reference import Reference
from tests import tiny

TEXT = "the cat sat on the mat"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tiny.make_bert(tmp_path / "bert")
    tiny.sentence_transformers_files(folder, 32)
    return folder


def ids_of(model: Model, text: str) -> list[np.ndarray]:
    assert model.text is not None
    return model.text.tokenizer.encode([text])


def test_the_title_names_libraries_and_class(folder: Path) -> None:
    reference = Reference(folder, resolve(str(folder)))
    assert "sentence-transformers " in reference.title
    assert reference.title.endswith("BertModel, float32")
    assert reference.notes == ()


def test_a_prompt_stands_before_the_text(folder: Path) -> None:
    model = resolve(str(folder))
    reference = Reference(folder, model)
    whole = reference.embed([f"the {TEXT}"], ids_of(model, f"the {TEXT}"), "")
    assert np.array_equal(reference.embed([TEXT], ids_of(model, f"the {TEXT}"), "the "), whole)


def test_pooling_follows_the_flag_and_says_so(folder: Path) -> None:
    reference = Reference(folder, resolve(str(folder), ModelOptions(pooling="cls")))
    assert "pools by cls, as --pooling says; by itself it would take mean" in reference.notes[0]


def test_an_end_token_that_the_library_leaves_off_is_put_there(folder: Path) -> None:
    model = resolve(str(folder))
    reference = Reference(folder, model)
    right = reference.embed([TEXT], ids_of(model, TEXT), "")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"]["single"].pop()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    mended = Reference(folder, model)
    assert not mended.reads_others(TEXT, ids_of(model, TEXT)[0], "")
    assert mended.reads_others("a dog", ids_of(model, TEXT)[0], "")
    assert np.allclose(mended.embed([TEXT], ids_of(model, TEXT), ""), right, atol=1e-6)
    assert "left the end token off 1 texts" in mended.notes[0]


def test_a_file_that_lacks_tensors_is_no_reference(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    kept = {name: one for name, one in tensors.items() if "layer.1.attention" not in name}
    model = resolve(str(folder))
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"fills at random \d+ tensors, such as encoder.layer.1"
    ):
        Reference(folder, model)


def test_an_architecture_that_transformers_does_not_know_is_named(folder: Path) -> None:
    model = resolve(str(folder))
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "sonnet"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"transformers has no class for it.*--against"):
        Reference(folder, model)


def test_python_files_of_a_checkpoint_do_not_run_by_themselves(folder: Path) -> None:
    model = resolve(str(folder))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "sonnet", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(CheckpointError, match="wants to run the checkpoint's own Python files"):
        Reference(folder, model)


def test_code_of_its_own_beside_a_known_class_is_noted(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "own.M"}
    (folder / "config.json").write_text(json.dumps(config))
    (note,) = Reference(folder, resolve(str(folder))).notes
    assert "BertModel of transformers, which may not compute the same" in note


def test_the_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_reference.sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'polyvec\[verify\]'"):
        _reference.reference_library()


def test_loggers_are_left_as_they_were(folder: Path) -> None:
    before = logging.getLogger("transformers").level
    Reference(folder, resolve(str(folder)))
    assert logging.getLogger("transformers").level == before
