"""``polyvec export``: what it writes gives the same vectors here and has what the server needs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from polyvec.backends import openvino as openvino_backend
from polyvec.cli import main
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.parity import assert_same, embed_texts, token_ids, unit
from tests.zoo import custom_encoders, decoders, encoders, prebuilt

MODELS: dict[str, Callable[[Path], Path]] = {
    "bert": tiny.make_bert,
    "xlm-roberta": lambda folder: tiny.make_bert(folder, architecture="XLMRobertaModel"),
    "mpnet": lambda folder: encoders.make(folder, "mpnet"),
    "modernbert": lambda folder: encoders.make(folder, "modernbert"),
    "gte": custom_encoders.make_gte,
    "nomic": custom_encoders.make_nomic,
    "jina-bert": lambda folder: encoders.make(folder, "jina_bert"),
    "qwen3": lambda folder: decoders.make(folder, "Qwen3-Embedding"),
    "gemma2": lambda folder: decoders.make(folder, "bge-multilingual-gemma2"),
    "gemma3": lambda folder: decoders.make(folder, "EmbeddingGemma"),
}
SEED_FILES = {
    "config.json",
    "graph.pbtxt",
    "openvino_model.bin",
    "openvino_model.xml",
    "openvino_tokenizer.bin",
    "openvino_tokenizer.xml",
    "tokenizer_config.json",
    "tokenizer.json",
}


def export(*arguments: object) -> None:
    assert main(["export", *map(str, arguments)]) == 0


def vectors(folder: Path, pooling: str | None = None) -> tuple[dict, list[np.ndarray]]:
    model = resolve(str(folder), ModelOptions(pooling=pooling))
    ids = token_ids(model)
    return embed_texts(openvino_backend.BACKEND, model, ids), ids


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def padded(ids: list[np.ndarray], side: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, mask = np.zeros((2, len(ids), width), np.int64)
    for row, inside, one in zip(rows, mask, ids, strict=True):
        place = slice(0, len(one)) if side == "right" else slice(width - len(one), width)
        row[place], inside[place] = one, 1
    return rows, mask


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_folder_gives_the_same_vectors(tmp_path: Path, name: str) -> None:
    source = MODELS[name](tmp_path / "source")
    export(source, tmp_path / "out", "--pooling", "mean")
    expected, ids = vectors(source, "mean")
    model = resolve(str(tmp_path / "out"))
    assert (model.family.name, model.text.poolings) == ("prebuilt", ("mean",))
    made, again = vectors(tmp_path / "out")
    assert [one.tolist() for one in again] == [one.tolist() for one in ids]
    for rows in made.values():
        assert_same(rows, expected["batch"])


@pytest.mark.parametrize("name", MODELS)
def test_padding_may_stand_on_either_side(tmp_path: Path, name: str) -> None:
    source = MODELS[name](tmp_path / "source")
    export(source, tmp_path / "out", "--pooling", "cls")
    model = resolve(str(source), ModelOptions(pooling="cls"))
    ids = token_ids(model)
    session = openvino_backend.BACKEND.load(
        model, openvino_backend.BackendOptions(dtype="float32", num_sessions=1)
    ).session()
    expected = [session.run_outputs(openvino_tokens([one]), ("tokens",))["tokens"] for one in ids]
    graph = ov.compile_model(
        tmp_path / "out/openvino_model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    assert {port.any_name for port in graph.inputs} == {"input_ids", "attention_mask"}
    assert [port.any_name for port in graph.outputs] == ["last_hidden_state"]
    for side in ("right", "left"):
        rows, mask = padded(ids, side, max(map(len, ids)) + 3)
        states = graph({"input_ids": rows, "attention_mask": mask})["last_hidden_state"]
        assert np.isfinite(states).all()
        for own, inside, one in zip(states, mask.astype(bool), expected, strict=True):
            np.testing.assert_allclose(own[inside], one, atol=2e-5)


def openvino_tokens(ids: list[np.ndarray]):
    from polyvec.backends._packing import tokens_of

    return tokens_of(ids)


# What is written.


def test_options_of_export_model_write_a_model_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tiny.make_bert(tmp_path / "source")
    repository = tmp_path / "models"
    config = repository / "config.json"
    tiny.write_json(
        config,
        {
            "model_config_list": [
                {"config": {"name": "other", "base_path": "other"}},
                {"config": {"name": "BAAI/tiny", "base_path": "old"}},
            ],
            "monitoring": {"metrics": {"enable": True}},
        },
    )
    export(
        *("embeddings_ov", "--source_model", source, "--model_name", "BAAI/tiny"),
        *("--extra_quantization_params", "--library sentence_transformers", "--pooling", "CLS"),
        *("--weight-format", "fp32", "--skip_normalize", "--truncate", "--num_streams", "2"),
        *("--target_device", "GPU", "--config_file_path", config),
        *("--model_repository_path", repository),
    )
    folder = repository / "BAAI/tiny"
    assert capsys.readouterr().out.strip() == str(folder)
    assert files_of(folder) == SEED_FILES | {"modules.json", "1_Pooling/config.json"}
    assert json.loads(config.read_text()) == {
        "model_config_list": [
            {"config": {"name": "other", "base_path": "other"}},
            {"config": {"name": "BAAI/tiny", "base_path": "BAAI/tiny"}},
        ],
        "monitoring": {"metrics": {"enable": True}},
    }
    graph = (folder / "graph.pbtxt").read_text()
    for line in (
        'calculator: "EmbeddingsCalculatorOV"',
        'input_side_packet: "EMBEDDINGS_NODE_RESOURCES:embeddings_servable"',
        'models_path: "./"',
        'plugin_config: \'{"NUM_STREAMS": "2"}\'',
        "normalize_embeddings: false",
        'target_device: "GPU"',
        "pooling: CLS",
        "truncate: true",
    ):
        assert line in graph
    model = resolve(str(folder))
    assert (model.text.poolings, model.normalize) == (("cls",), False)


def test_the_written_tokenizer_gives_the_same_ids_and_pads_on_the_right(tmp_path: Path) -> None:
    source = tiny.make_bert(tmp_path / "source")
    export(source, tmp_path / "out", "--pooling", "cls")
    # The package registers its operations with the process that loads it.
    code = (
        "import json, sys, numpy, openvino_tokenizers, openvino as ov\n"
        "made = ov.compile_model(sys.argv[1] + '/openvino_tokenizer.xml')(['the cat', 'a'])\n"
        "print(json.dumps({n: made[n].tolist() for n in ('input_ids', 'attention_mask')}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    made = json.loads(done.stdout)
    ids = resolve(str(tmp_path / "out")).text.tokenizer.encode(["the cat", "a"])
    assert made["attention_mask"] == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert made["input_ids"][0] == ids[0].tolist()
    assert made["input_ids"][1][:3] == ids[1].tolist()


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_projection_becomes_part_of_the_graph(tmp_path: Path, *, bias: bool) -> None:
    source = tiny.make_bert(tmp_path / "source")
    tiny.sentence_transformers_files(source, 32, pooling="mean", dense=12, normalize=False)
    prebuilt.add_dense(source, 32, 12, activation="linear.Identity", bias=bias)
    export(source, tmp_path / "out")
    assert not (tmp_path / "out/2_Dense").exists()
    expected, _ = vectors(source)
    assert expected["batch"].shape[1] == 12
    for rows in vectors(tmp_path / "out")[0].values():
        np.testing.assert_allclose(rows, expected["batch"], atol=1e-5)


def test_a_projection_with_an_activation_stays_a_module_and_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tiny.make_bert(tmp_path / "source")
    tiny.sentence_transformers_files(source, 32, pooling="mean", dense=12)
    export(source, tmp_path / "out")
    assert "leaves out Dense with an activation" in capsys.readouterr().err
    expected, ids = vectors(source)
    for rows in vectors(tmp_path / "out")[0].values():
        assert_same(rows, expected["batch"])
    graph = ov.compile_model(
        tmp_path / "out/openvino_model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    rows, mask = padded(ids, "left", 24)
    given = {"input_ids": rows, "attention_mask": mask}
    assert_same(graph(given)["sentence_embedding"], expected["batch"])


@pytest.mark.parametrize("pooling", ["cls", "lasttoken", "max", "weightedmean"])
def test_poolings_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pooling: str
) -> None:
    source = tiny.make_bert(tmp_path / "source")
    tiny.sentence_transformers_files(source, 32, pooling=pooling, dense=8)
    export(source, tmp_path / "out")
    served_there = pooling in ("cls", "lasttoken")
    assert ("is not one of OpenVINO Model Server's" in capsys.readouterr().err) is not served_there
    expected, ids = vectors(source)
    assert_same(vectors(tmp_path / "out")[0]["batch"], expected["batch"])
    graph = ov.compile_model(
        tmp_path / "out/openvino_model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for side in ("left", "right"):
        rows, mask = padded(ids, side, 24)
        made = graph({"input_ids": rows, "attention_mask": mask})["sentence_embedding"]
        assert_same(made, expected["batch"])


@pytest.mark.parametrize(
    ("dtype", "least", "most"), [("float16", 0.99999, 1.0), ("int8", 0.998, 0.9999999)]
)
def test_smaller_weights_stay_close(tmp_path: Path, dtype: str, least: float, most: float) -> None:
    source = tiny.make_bert(tmp_path / "source")
    export(source, tmp_path / "whole", "--pooling", "mean")
    export(source, tmp_path / "small", "--pooling", "mean", "--dtype", dtype)
    sizes = [(tmp_path / n / "openvino_model.bin").stat().st_size for n in ("whole", "small")]
    assert sizes[1] < 0.8 * sizes[0]
    exact, small = (vectors(tmp_path / n)[0]["batch"] for n in ("whole", "small"))
    assert least <= (unit(exact) * unit(small)).sum(-1).min() <= most + 1e-6


# What is refused.


def test_an_earlier_export_is_only_replaced_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tiny.make_bert(tmp_path / "source")
    export(source, tmp_path / "out", "--pooling", "cls")
    (tmp_path / "out/old").touch()
    assert main(["export", str(source), str(tmp_path / "out"), "--pooling", "cls"]) == 2
    assert "--overwrite-models" in capsys.readouterr().err
    export(source, tmp_path / "out", "--pooling", "cls", "--overwrite_models")
    assert not (tmp_path / "out/old").exists()
    shutil.copy(source / "config.json", tmp_path / "source/notes.txt")
    assert main(["export", str(tmp_path / "out"), str(source), "--overwrite_models"]) == 2
    assert "something else than an export" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"source", "out"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "takes a MODEL"),
        (["MODEL"], "takes a DIR or --model_repository_path"),
        (["MODEL", "DIR", "--source_model", "x"], "name a model each"),
        (["MODEL", "DIR", "--model_repository_path", "x"], "exclude each other"),
        (["MODEL", "--model_repository_path", "x", "--model_name", "../y"], "leaves the repos"),
        (["MODEL", "DIR", "--dtype", "int8", "--weight-format", "fp16"], "disagree"),
        (["MODEL", "DIR", "--num_streams", "0"], "from 1 up"),
        (["MODEL", "DIR", "--extra_quantization_params", "--ratio 0.8"], "--ratio is not supp"),
    ],
)
def test_what_cannot_be_meant_says_so(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    given = {"MODEL": str(tmp_path / "source"), "DIR": str(tmp_path / "out")}
    assert main(["export", *(given.get(one, one) for one in arguments)]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_models_of_pictures_and_converted_folders_are_not_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tiny.make_clip(tmp_path / "clip")
    assert main(["export", str(clip), str(tmp_path / "out")]) == 2
    assert "this model reads pictures" in capsys.readouterr().err
    export(tiny.make_bert(tmp_path / "bert"), tmp_path / "once", "--pooling", "cls")
    assert main(["export", str(tmp_path / "once"), str(tmp_path / "twice")]) == 2
    assert "is converted already" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"clip", "bert", "once"}


def test_another_file_is_not_taken_for_a_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tiny.make_bert(tmp_path / "source")
    config = tmp_path / "config.json"
    config.write_text("[]")
    arguments = [str(source), str(tmp_path / "out"), "--config_file_path", str(config)]
    assert main(["export", *arguments, "--pooling", "cls"]) == 2
    assert "model_config_list" in capsys.readouterr().err
    assert config.read_text() == "[]"


def test_without_the_extra_the_server_tokenizer_is_left_out_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyvec.tools.export.has_converter", lambda: False)
    export(tiny.make_bert(tmp_path / "source"), tmp_path / "out", "--pooling", "cls")
    assert "pip install 'polyvec[export]'" in capsys.readouterr().err
    assert files_of(tmp_path / "out") & SEED_FILES == {
        name for name in SEED_FILES if "tokenizer." not in name or name == "tokenizer.json"
    }
