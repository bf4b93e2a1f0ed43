"""Folders that others converted are served: same vectors as the model they were made of."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from polyvec.backends import openvino as openvino_backend
from polyvec.backends import torch as torch_backend
from polyvec.backends._base import BackendOptions
from polyvec.backends._packing import tokens_of
from polyvec.errors import CheckpointError, ConfigError, UnsupportedInputError
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.checkpoints import hub
from tests.parity import assert_same, embed_texts, token_ids, unit
from tests.zoo import prebuilt

POSITIONS = 53
"""Not a multiple of any step to which batches are rounded up."""
OPTIONS = BackendOptions(dtype="float32", num_sessions=1)


class Folders:
    """Conversions take seconds, so each is made once, when it is asked for. Tests copy what they
    change.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def __getitem__(self, name: str) -> Path:
        folder = self.home / name
        if not folder.exists():
            MAKERS[name](self, folder)
        return folder


def make_sub_folder(folders: Folders, target: Path) -> None:
    shutil.copytree(folders["bert ir"], target)
    (target / "openvino").mkdir()
    for name in ("openvino_model.xml", "openvino_model.bin"):
        (target / name).rename(target / "openvino" / name)


MAKERS: dict[str, Callable[[Folders, Path], object]] = {
    "bert": lambda _, to: tiny.make_bert(to, max_position_embeddings=POSITIONS),
    "qwen3": lambda _, to: prebuilt.make_qwen3(to),
    "bert ir": lambda made, to: prebuilt.convert(made["bert"], to),
    "bert sub-folder": make_sub_folder,
    "bert onnx": lambda made, to: prebuilt.convert(
        made["bert"], to, graph="onnx/model.onnx", output="token_embeddings"
    ),
    "bert int8": lambda made, to: prebuilt.edited(made["bert ir"], to, prebuilt.compress_weights),
    "bert pooled": lambda made, to: prebuilt.convert(
        made["bert"], to, kind=prebuilt.Pooled, output="sentence_embedding"
    ),
    "bert scores": lambda made, to: prebuilt.edited(
        made["bert ir"], to, lambda graph: graph.outputs[0].get_tensor().set_names({"logits"})
    ),
    "qwen3 ir": lambda made, to: prebuilt.convert(made["qwen3"], to, kind=prebuilt.CausalStates),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("converted"))


def states_of(folder: Path, ids: list[np.ndarray]) -> list[torch.Tensor]:
    model = prebuilt.reference(folder)
    with torch.inference_mode():
        return [model(input_ids=torch.from_numpy(one)[None])[0][0] for one in ids]


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("bert ir", "mean"),
        ("bert ir", "max"),
        ("bert sub-folder", "cls"),
        ("bert onnx", "mean"),
        ("bert onnx", "last"),
        ("qwen3 ir", "last"),
        ("qwen3 ir", "mean"),
    ],
)
def test_a_converted_graph_equals_transformers_alone_and_in_any_batch(
    folders: Folders, name: str, pooling: str
) -> None:
    model = resolve(str(folders[name]), ModelOptions(pooling=pooling))
    assert model.family.name == "prebuilt"
    pools = {
        "mean": lambda states: states.mean(0),
        "max": lambda states: states.amax(0),
        "cls": lambda states: states[0],
        "last": lambda states: states[-1],
    }
    ids = token_ids(model)
    states = states_of(folders[name.split(maxsplit=1)[0]], ids)
    expected = torch.stack([pools[pooling](one) for one in states]).numpy()
    for vectors in embed_texts(openvino_backend.BACKEND, model, ids).values():
        assert_same(vectors, expected)


def test_token_outputs_are_the_states_of_every_text(folders: Folders) -> None:
    model = resolve(str(folders["bert ir"]), ModelOptions(pooling="mean"))
    ids = token_ids(model)
    session = openvino_backend.BACKEND.load(model, OPTIONS).session()
    made = session.run_outputs(tokens_of(ids), ("dense", "tokens"))
    states = states_of(folders["bert"], ids)
    assert_same(made["tokens"], torch.cat(states).numpy())
    assert_same(made["dense"], torch.stack([one.mean(0) for one in states]).numpy())


def test_modules_are_applied_on_top(folders: Folders, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    whole, folder = tmp_path / "whole", tmp_path / "converted"
    shutil.copytree(folders["bert"], whole)
    shutil.copytree(folders["bert ir"], folder)
    for one in (whole, folder):
        tiny.sentence_transformers_files(one, 32, pooling="mean", dense=12, normalize=False)
    texts = ["the cat sat", "a very long text of the cat"]
    model = resolve(str(folder))
    assert (model.dimensions, model.normalize) == (12, False)
    ids = model.text.tokenizer.encode(texts)
    expected = SentenceTransformer(str(whole), device="cpu").encode(texts, show_progress_bar=False)
    for vectors in embed_texts(openvino_backend.BACKEND, model, ids).values():
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_int8_folders_stay_close_and_do_not_depend_on_the_batch(folders: Folders) -> None:
    model = resolve(str(folders["bert int8"]), ModelOptions(pooling="mean"))
    ids = token_ids(model)
    exact = torch.stack([one.mean(0) for one in states_of(folders["bert"], ids)]).numpy()
    made = embed_texts(openvino_backend.BACKEND, model, ids)
    cosines = (unit(made["batch"]) * unit(exact)).sum(-1)
    assert 0.999 < cosines.min() < 0.9999999
    for vectors in made.values():
        np.testing.assert_allclose(vectors, made["alone"], atol=1e-5)


def test_a_graph_that_pools_by_itself_gives_its_rows(folders: Folders) -> None:
    model = resolve(str(folders["bert pooled"]), ModelOptions(pooling="cls"))
    ids = token_ids(model)
    expected = torch.stack([one.mean(0) for one in states_of(folders["bert"], ids)]).numpy()
    for vectors in embed_texts(openvino_backend.BACKEND, model, ids).values():
        assert_same(vectors, expected)
    session = openvino_backend.BACKEND.load(model, OPTIONS).session()
    with pytest.raises(UnsupportedInputError, match="no states of tokens"):
        session.run_outputs(tokens_of(ids), ("tokens",))


def test_texts_up_to_the_last_position_are_never_padded_beyond_it(
    folders: Folders,
) -> None:
    model = resolve(str(folders["bert ir"]), ModelOptions(pooling="mean"))
    assert model.text.max_input_tokens == POSITIONS
    ids = [np.full(POSITIONS, 7), np.array([2, 8, 3])]
    expected = torch.stack([one.mean(0) for one in states_of(folders["bert"], ids)]).numpy()
    for vectors in embed_texts(openvino_backend.BACKEND, model, ids).values():
        assert_same(vectors, expected)


# What a folder says.


def test_own_graphs_come_before_converted_ones(folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(folders["bert ir"], tmp_path, dirs_exist_ok=True)
    shutil.copy(folders["bert"] / "model.safetensors", tmp_path)
    assert resolve(str(tmp_path), ModelOptions(pooling="cls")).family.name == "bert"


def test_an_unknown_architecture_is_served_from_its_converted_graph(
    folders: Folders, tmp_path: Path
) -> None:
    shutil.copytree(folders["bert ir"], tmp_path, dirs_exist_ok=True)
    shutil.copy(folders["bert"] / "model.safetensors", tmp_path)
    config = {
        "architectures": ["NovelModel"],
        "model_type": "novel",
        "d_model": 32,
        "n_ctx": 40,
        "vocab_size": 200,
    }
    tiny.write_json(tmp_path / "config.json", config)
    model = resolve(str(tmp_path), ModelOptions(pooling="mean"))
    assert (model.family.name, model.dimensions, model.text.max_input_tokens) == (
        "prebuilt",
        32,
        40,
    )
    assert model.settings["family"].origin == "openvino_model.xml"
    del config["n_ctx"]
    tiny.write_json(tmp_path / "config.json", config)
    assert resolve(str(tmp_path), ModelOptions(pooling="mean")).text.max_input_tokens == 1024


def test_limits_of_a_known_architecture_are_its_own(folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(folders["bert ir"], tmp_path, dirs_exist_ok=True)
    roberta = {
        **tiny.bert.FAMILY.tiny,
        "architectures": ["XLMRobertaModel"],
        "model_type": "xlm-roberta",
        "pad_token_id": 1,
    }
    tiny.write_json(tmp_path / "config.json", roberta)
    assert resolve(str(tmp_path), ModelOptions(pooling="cls")).text.max_input_tokens == 62


@pytest.mark.parametrize(
    ("option", "pooling", "normalize"),
    [
        ("pooling: LAST", "last", True),
        ("normalize_embeddings: false", "cls", False),
        ("normalize_embeddings: false, pooling:MEAN", "mean", False),
    ],
)
def test_a_model_server_folder_is_read_as_that_server_reads_it(
    folders: Folders, tmp_path: Path, option: str, pooling: str, *, normalize: bool
) -> None:
    shutil.copytree(folders["bert ir"], tmp_path, dirs_exist_ok=True)
    (tmp_path / "graph.pbtxt").write_text(
        'node {\n  calculator: "EmbeddingsCalculatorOV"\n  # pooling: MEAN\n  node_options: {\n'
        f'      models_path: "./",\n      {option},\n  }}\n}}\n'
    )
    model = resolve(str(tmp_path))
    assert model.text.poolings == (pooling,)
    assert model.normalize is normalize
    assert model.settings["pooling"].origin == "graph.pbtxt"
    tiny.sentence_transformers_files(tmp_path, 32, pooling="mean")
    assert resolve(str(tmp_path)).text.poolings == ("mean",)


# What cannot be served.


def test_a_folder_with_the_runtimes_tokenizer_alone_names_what_is_missing(
    folders: Folders, tmp_path: Path
) -> None:
    shutil.copytree(folders["bert ir"], tmp_path, dirs_exist_ok=True)
    (tmp_path / "tokenizer.json").rename(tmp_path / "openvino_tokenizer.xml")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing.*openvino_tokenizer"):
        resolve(str(tmp_path), ModelOptions(pooling="cls"))


def test_a_damaged_graph_is_refused(folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(folders["bert ir"], tmp_path, dirs_exist_ok=True)
    (tmp_path / "openvino_model.xml").write_text("<net")
    model = resolve(str(tmp_path), ModelOptions(pooling="cls"))
    with pytest.raises(CheckpointError, match=r"openvino_model\.xml cannot be read"):
        openvino_backend.BACKEND.load(model, OPTIONS)


def test_a_graph_of_scores_is_refused(folders: Folders) -> None:
    model = resolve(str(folders["bert scores"]), ModelOptions(pooling="cls"))
    with pytest.raises(CheckpointError, match="has no output"):
        openvino_backend.BACKEND.load(model, OPTIONS)


def test_a_graph_of_another_width_is_refused(folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(folders["bert ir"], tmp_path, dirs_exist_ok=True)
    tiny.write_json(tmp_path / "config.json", tiny.bert.FAMILY.tiny | {"hidden_size": 64})
    model = resolve(str(tmp_path), ModelOptions(pooling="cls"))
    with pytest.raises(CheckpointError, match="vectors of 32 numbers, the files say 64"):
        openvino_backend.BACKEND.load(model, OPTIONS)


def test_the_torch_backend_says_that_it_cannot(folders: Folders) -> None:
    model = resolve(str(folders["bert ir"]), ModelOptions(pooling="cls"))
    with pytest.raises(ConfigError, match="runs on backend openvino alone"):
        torch_backend.BACKEND.load(model, OPTIONS)


# Downloads.

LOCATE = """
import sys
from polyvec.checkpoints.locate import locate
print(locate(sys.argv[1]))
"""


def located(home: Path, url: str) -> Path:
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    env |= {"HF_HOME": str(home), "HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOCATE, "acme/tiny"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_a_converted_repository_is_downloaded_once(folders: Folders, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(folders["bert ir"], repository)
    (repository / "onnx").mkdir()
    (repository / "onnx/model.onnx").write_bytes(b"the worse format")
    with hub.serve(repository) as server:
        folder = located(tmp_path / "home", server.url)
        asked = len(server.requests)
        assert located(tmp_path / "home", server.url) == folder
        assert server.requests[asked:] == []
    assert resolve(str(folder), ModelOptions(pooling="cls")).prebuilt is not None
    assert not (folder / "onnx").exists()


def test_an_onnx_repository_is_downloaded(folders: Folders, tmp_path: Path) -> None:
    with hub.serve(folders["bert onnx"]) as server:
        folder = located(tmp_path / "home", server.url)
    assert (folder / "onnx/model.onnx").is_file()
