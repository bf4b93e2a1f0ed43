import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from polyvec.backends._base import BackendOptions
from polyvec.cli import main
from polyvec.engine.load import RunOptions
from polyvec.engine.options import EngineOptions
from polyvec.engine.served import ServedModel
from polyvec.errors import ConfigError
from polyvec.media.policy import MediaPolicy
from polyvec.models._resolve import ModelOptions
from polyvec.tools import verify as verify_module
from polyvec.tools._sample import SAMPLE
from polyvec.tools.verify import Report, VerifyOptions, compare, verify
from tests import tiny
from tests.e2e.process import running

TEXTS = ("the cat sat on the mat", "a dog", "that is a very long text " * 9)


def make(folder: Path, **files: object) -> Path:
    tiny.make_bert(folder)
    tiny.sentence_transformers_files(folder, 32, **files)
    return folder


def checked(folder: Path, *, model: ModelOptions | None = None, **options: object) -> Report:
    served = ServedModel(str(folder), folder.name, (), model or ModelOptions())
    device = BackendOptions(dtype="float32", num_sessions=1)
    run = RunOptions("openvino", device, EngineOptions(), MediaPolicy())
    return verify(served, run, VerifyOptions(**options))


def spoil(folder: Path) -> None:
    """Another model under the same name: one layer's weights are swapped with another's."""
    tensors = load_file(folder / "model.safetensors")
    here, there = (f"encoder.layer.{n}.output.dense.weight" for n in (0, 1))
    tensors[here], tensors[there] = tensors[there], tensors[here]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_the_sample_is_the_same_as_the_reference(tmp_path: Path) -> None:
    report = checked(make(tmp_path / "bert"))
    assert report.is_same
    assert [row.text for row in report.rows] == list(SAMPLE)
    assert min(row.batch.cosine for row in report.rows) > 0.99999
    assert max(row.alone.max_abs for row in report.rows) < 1e-5
    assert report.notes == ()


def test_a_model_that_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, right = make(tmp_path / "bert"), make(tmp_path / "right")
    spoil(folder)
    monkeypatch.setattr(verify_module, "_folder", lambda _served: right)
    report = checked(folder, texts=TEXTS)
    assert not report.is_same
    assert all(row.alone.cosine < 0.9999 and row.alone.max_abs > 1e-3 for row in report.rows)


def test_both_pool_as_a_flag_says(tmp_path: Path) -> None:
    report = checked(make(tmp_path / "bert"), texts=TEXTS, model=ModelOptions(pooling="cls"))
    assert report.is_same
    assert "pools by cls, as --pooling says" in report.notes[0]


def test_prompts_are_off_unless_named(tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "the red "}, "default_prompt_name": "query"}
    folder = make(tmp_path / "bert", config_sentence_transformers=prompts)
    without = checked(folder, texts=TEXTS)
    within = checked(folder, texts=TEXTS, prompt_name="query")
    assert without.is_same
    assert within.is_same
    assert within.rows[0].num_tokens > without.rows[0].num_tokens
    assert "default prompt 'query' is left off" in without.notes[0]
    assert within.notes == ()


def test_lengths_that_differ_are_noted(tmp_path: Path) -> None:
    report = checked(make(tmp_path / "bert"), texts=TEXTS, model=ModelOptions(normalize=False))
    assert report.is_same
    assert re.search(r"mean length of a vector: .* here, 1 there", report.notes[0])


def test_no_texts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no texts to compare"):
        checked(make(tmp_path / "bert"), texts=())


def test_what_is_different_is_measured() -> None:
    ours = np.array([[3, 4], [1, 0], [1, 0]], np.float32)
    theirs = np.array([[3, 4], [0, 1], [np.nan, 0]], np.float32)
    same, apart, broken = compare(ours, theirs)
    assert (same.cosine, same.max_abs, same.is_close) == (pytest.approx(1), 0, True)
    assert (apart.cosine, apart.max_abs, apart.is_close) == (0, 1, False)
    assert not broken.is_close
    assert not broken.cosine >= -1


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 numbers, the other's 2"):
        compare(np.ones((1, 3), np.float32), np.ones((1, 2), np.float32))


@pytest.mark.e2e
def test_a_server_is_compared_and_a_spoilt_model_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "bert")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join((*TEXTS, "", "more of that text " * 40)))
    with running(str(folder), "--dtype", "float32", "--api-key", "k3y") as server:
        there = ["--against", server.url, "--against-api-key", "k3y", "--texts", str(texts)]
        there += ["--against-model", "bert"]
        assert main(["verify", str(folder), *there]) == 0
        shown = capsys.readouterr().out
        assert f"reference  {server.url}/v1/embeddings (model bert)" in shown
        assert "left out: 1 texts that are empty" in shown
        assert "left out: 1 texts that have more than 64 tokens" in shown
        there[1] = f"{server.url}/v1/embeddings"
        assert main(["verify", str(folder), *there, "--ovms"]) == 0
        shown = capsys.readouterr().out
        assert shown.count("[PASS]") == 2 * len(TEXTS)
        assert shown.endswith("[SUCCESS]\n")
        spoil(folder)
        assert main(["verify", str(folder), *there]) == 1
        assert "DIFFERENT: every cosine must be at least 0.9999" in capsys.readouterr().out
        assert main(["verify", str(folder), *there, "--ovms"]) == 1
        assert "[FAIL] text 1 (alone)" in capsys.readouterr().out
        assert main(["verify", str(folder), *there, "--min-cosine", "-1", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
    assert found["is_same"]
    assert [row["text"] for row in found["rows"]] == list(TEXTS)
    assert found["rows"][0]["alone"]["cosine"] < 0.999
