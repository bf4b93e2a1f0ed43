import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
import transformers
from openvino import opset15 as op
from safetensors.torch import load_file, save_file

from polyvec.backends import _transformers_convert as convert
from polyvec.backends import transformers as backend
from polyvec.backends._base import BackendOptions
from polyvec.backends._packing import tokens_of
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._model import Model
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.parity import assert_same, embed_texts, token_ids
from tests.zoo import fallback


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversions take seconds, so that all tests share them."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def electra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One checkpoint that no test changes: a cache knows a copy by its date."""
    return fallback.make(tmp_path_factory.mktemp("zoo") / "electra")


@pytest.fixture(scope="module")
def graph(electra: Path, cache: Path) -> Path:
    """The trusted graph of `electra`."""
    model = resolve(str(electra))
    load(model, cache)
    key = convert._key(model.config, model.weights.fingerprint())
    return cache / "converted" / key / convert.GRAPH


class Cached:
    """The backend with a cache of its own, as tests.parity wants one."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def load(self, model: Model, options: BackendOptions):
        return backend.BACKEND.load(model, replace(options, cache_dir=str(self._cache)))


def load(model: Model, cache: Path):
    return Cached(cache).load(model, BackendOptions(dtype="float32", num_sessions=1))


def reference(folder: Path, ids: list[np.ndarray]) -> np.ndarray:
    """Mean of transformers' states, one text at a time."""
    encoder = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = [encoder(torch.from_numpy(one)[None]).last_hidden_state[0] for one in ids]
    return np.stack([one.mean(0).numpy() for one in states])


@pytest.mark.parametrize("kind", fallback.CONFIGS)
def test_a_converted_class_gives_the_vectors_of_torch(
    tmp_path: Path, cache: Path, electra: Path, kind: str
) -> None:
    folder = electra if kind == "electra" else fallback.make(tmp_path / kind, kind)
    model = resolve(str(folder))
    expected = reference(folder, token_ids(model))
    for rows in embed_texts(Cached(cache), model, token_ids(model)).values():
        assert_same(rows, expected)
    engine = load(model, cache).settings["engine"]
    assert engine.value.startswith("openvino, within ")
    assert engine.origin.startswith("converted by ")


@pytest.mark.parametrize("kind", fallback.CONFIGS)
def test_torch_runs_what_cannot_be_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(convert, "ROUTES", {"magic": failing})
    folder = fallback.make(tmp_path / kind, kind)
    model = resolve(str(folder))
    expected = reference(folder, token_ids(model))
    for rows in embed_texts(Cached(tmp_path), model, token_ids(model)).values():
        assert_same(rows, expected)
    engine = load(model, tmp_path).settings["engine"]
    assert (engine.value, "magic: no such trick" in engine.origin) == ("torch", True)


def failing(*_arguments: object) -> ov.Model:
    raise RuntimeError("no such trick")


def test_states_of_tokens_are_the_same_from_both_engines(
    tmp_path: Path, cache: Path, electra: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = resolve(str(electra))
    batch = tokens_of(token_ids(model))
    converted = load(model, cache).session().run_outputs(batch, ("dense", "tokens"))
    monkeypatch.setattr(convert, "ROUTES", {})
    eager = load(model, tmp_path).session().run_outputs(batch, ("dense", "tokens"))
    assert_same(converted["dense"], eager["dense"])
    assert_same(converted["tokens"], eager["tokens"])


def test_a_graph_of_other_weights_is_not_trusted(
    tmp_path: Path, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "ROUTES", {"mixed up": lambda *_: ov.Core().read_model(graph)})
    model = resolve(str(fallback.make(tmp_path / "other", seed=1)))
    engine = load(model, tmp_path).settings["engine"]
    assert engine.value == "torch"
    assert "mixed up: differs from torch by" in engine.origin
    assert not list(tmp_path.glob("converted/*/openvino_model.*"))


def test_a_graph_that_is_not_finite_is_not_trusted(
    tmp_path: Path, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(*_arguments: object) -> ov.Model:
        found = ov.Core().read_model(graph)
        states = found.outputs[0].get_node().input_value(0)
        bad = op.multiply(states, op.constant(np.float32("nan")))
        return ov.Model([op.result(bad)], found.get_parameters(), "bad")

    monkeypatch.setattr(convert, "ROUTES", {"spoilt": spoilt})
    model = resolve(str(fallback.make(tmp_path / "electra")))
    assert "spoilt: differs from torch by nan" in load(model, tmp_path).settings["engine"].origin


@pytest.fixture
def counted(graph: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Conversions that were made; each takes the trusted graph of the tiny electra."""
    made: list[str] = []

    def route(*_arguments: object) -> ov.Model:
        made.append("once")
        return ov.Core().read_model(graph)

    monkeypatch.setattr(convert, "ROUTES", {"counted": route})
    return made


def test_a_conversion_is_made_once_and_again_when_it_is_damaged(
    tmp_path: Path, counted: list[str]
) -> None:
    model = resolve(str(fallback.make(tmp_path / "electra")))
    load(model, tmp_path)
    load(model, tmp_path)
    assert len(counted) == 1
    (weights,) = tmp_path.glob("converted/*/openvino_model.bin")
    weights.write_bytes(weights.read_bytes()[::-1])
    load(model, tmp_path)
    assert len(counted) == 2
    record = json.loads(weights.with_name("conversion.json").read_text())
    assert record["route"] == "counted"
    assert 0 < record["max_difference"] < 1e-4


def test_other_weights_are_another_conversion(tmp_path: Path, counted: list[str]) -> None:
    load(resolve(str(fallback.make(tmp_path / "electra"))), tmp_path)
    load(resolve(str(fallback.make(tmp_path / "other", seed=1))), tmp_path)
    assert len(counted) == 2
    assert len(list(tmp_path.glob("converted/*"))) == 2


def test_without_a_cache_nothing_is_left_behind(
    tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(backend.tempfile, "tempdir", str(scratch))
    model = resolve(str(fallback.make(tmp_path / "electra")))
    options = BackendOptions(dtype="float32", num_sessions=1, cache_dir="")
    runner = backend.BACKEND.load(model, options)
    batch = tokens_of(token_ids(model))
    assert len(runner.session().run_outputs(batch, ("dense", "tokens"))["dense"]) == 6
    del runner
    assert list(scratch.iterdir()) == []


def test_two_that_convert_at_once_share_what_was_first(
    tmp_path: Path, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)

    def route(*_arguments: object) -> ov.Model:
        both.wait(30)
        return ov.Core().read_model(graph)

    monkeypatch.setattr(convert, "ROUTES", {"slow": route})
    model = resolve(str(fallback.make(tmp_path / "electra")))
    states = backend.load_states(model.config, model.architecture)
    found: list[Path | None] = []

    def work() -> None:
        found.append(convert.converted(model.config, "same", tmp_path, lambda: states)[0])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert found[0] is not None
    assert found[0].is_file()
    assert len(list(tmp_path.glob("converted/*"))) == 1


def test_weights_that_lack_tensors_are_refused(tmp_path: Path) -> None:
    folder = fallback.make(tmp_path / "electra")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: one for name, one in tensors.items() if "layer.1.output" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack \d+ tensors of ElectraModel, such as"):
        load(resolve(str(folder)), tmp_path)


@pytest.mark.filterwarnings("ignore")  # the exporters' own, about a class they cannot convert
def test_a_class_that_wants_a_picture_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_clip(tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    tiny.write_json(
        folder / "config.json", config | {"architectures": ["CLIPVisionModelWithProjection"]}
    )
    with pytest.raises(CheckpointError, match="gives no states of a text alone"):
        load(resolve(str(folder)), tmp_path)


def test_a_model_type_that_nobody_knows_is_named(tmp_path: Path) -> None:
    folder = fallback.make(tmp_path / "electra")
    changed = {"architectures": ["HologramModel"], "model_type": "hologram"}
    tiny.write_json(folder / "config.json", fallback.CONFIGS["electra"] | changed)
    with pytest.raises(CheckpointError, match=r"'HologramModel'.*no model type 'hologram' either"):
        load(resolve(str(folder)), tmp_path)


def own_code(folder: Path) -> Path:
    """A checkpoint that is computed by its own Python file: electra, turned upside down."""
    fallback.make(folder)
    own = {"AutoConfig": "own.UpsideConfig", "AutoModel": "own.UpsideModel"}
    changed = {"architectures": ["UpsideModel"], "model_type": "upside", "auto_map": own}
    tiny.write_json(folder / "config.json", fallback.CONFIGS["electra"] | changed)
    (folder / "own.py").write_text(
        "from transformers import ElectraConfig, ElectraModel\n"
        "class UpsideConfig(ElectraConfig):\n"
        "    model_type = 'upside'\n"
        "class UpsideModel(ElectraModel):\n"
        "    config_class = UpsideConfig\n"
        "    def forward(self, *arguments, **named):\n"
        "        found = super().forward(*arguments, **named)\n"
        "        found.last_hidden_state = -found.last_hidden_state\n"
        "        return found\n"
    )
    return folder


def test_code_of_a_checkpoint_runs_only_when_it_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(convert, "ROUTES", {})
    folder = own_code(tmp_path / "upside")
    with pytest.raises(CheckpointError, match="--trust-remote-code allows them"):
        load(resolve(str(folder)), tmp_path)
    allowed = resolve(str(folder), ModelOptions(trust_remote_code=True))
    ids = token_ids(allowed)
    right_way_up = fallback.make(tmp_path / "electra")
    rows = load(allowed, tmp_path).session().run("text", tokens_of(ids))
    assert_same(-rows, reference(right_way_up, ids))


def test_what_is_built_in_is_left_to_the_other_backends(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="BertModel is: use backend openvino or torch"):
        load(resolve(str(tiny.make_bert(tmp_path / "bert"))), tmp_path)


def test_without_the_extra_the_message_names_it(tmp_path: Path) -> None:
    folder = fallback.make(tmp_path / "electra")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from polyvec.cli import main\n"
        f"sys.exit(main(['serve', {str(folder)!r}, '--port', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "'ElectraModel' is not built in" in done.stderr
    assert "pip install 'polyvec[torch]'" in done.stderr


def test_a_torchvision_of_another_torch_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_named: object) -> None:
        cause = RuntimeError("operator torchvision::nms does not exist")
        raise ModuleNotFoundError("Could not import module 'ElectraModel'.") from cause

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", broken)
    model = resolve(str(fallback.make(tmp_path / "electra")))
    with pytest.raises(CheckpointError, match="torchvision does not fit the installed torch"):
        load(model, tmp_path)
