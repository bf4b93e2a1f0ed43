"""Folders, bundled names and hub ids are found; a cached model never touches the network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from polyvec.checkpoints.locate import DEMO, is_local, locate
from polyvec.errors import CheckpointError
from tests import tiny
from tests.checkpoints import hub
from tests.zoo import vision_clip

# huggingface_hub reads its environment once, at import: so each case is a process of its own.
CODE = """
import sys
from polyvec.checkpoints.locate import locate
from polyvec.errors import CheckpointError
try:
    print(locate(sys.argv[1]))
except CheckpointError as error:
    print("CheckpointError:", error.message)
"""


TOKENIZER_CODE = CODE.replace(
    "locate import locate", "locate import locate_clip_tokenizer"
).replace("locate(sys.argv[1])", "locate_clip_tokenizer()")


def locate_in_process(
    home: Path, endpoint: str, reference: str, *, code: str = CODE, **environment: str
) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    env |= {
        "HF_HOME": str(home),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", code, reference],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert locate(str(tmp_path)) == tmp_path


def test_the_demo_model_is_bundled() -> None:
    assert (locate(DEMO) / "config.json").is_file()
    assert (locate(DEMO) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "reference", ["/no/such/folder", "./nothing", "a/b/c", "~nobody/x", "", "a b/c"]
)
def test_what_is_neither_folder_nor_hub_id_says_so(reference: str) -> None:
    with pytest.raises(CheckpointError, match="neither a folder nor a hub id"):
        locate(reference)


def test_a_hub_id_is_downloaded_once_and_then_needs_no_network(tmp_path: Path) -> None:
    repository = tiny.make_bert(tmp_path / "repository")
    (repository / "pytorch_model.bin").write_bytes(b"pickle")
    (repository / "onnx").mkdir()
    (repository / "onnx/model.onnx").write_bytes(b"other format")
    home = tmp_path / "home"
    with hub.serve(repository) as server:
        first = Path(locate_in_process(home, server.url, "acme/tiny"))
        asked = len(server.requests)
        assert asked > 0
        second = locate_in_process(home, server.url, "acme/tiny")
        assert server.requests[asked:] == []
    assert second == str(first)
    assert (first / "model.safetensors").read_bytes() == (
        repository / "model.safetensors"
    ).read_bytes()
    assert not (first / "pytorch_model.bin").exists()
    assert not (first / "onnx").exists()
    gone = locate_in_process(home, server.url, "acme/tiny", HF_HUB_OFFLINE="1")
    assert gone == str(first)


def test_an_unknown_repository_says_so(tmp_path: Path) -> None:
    with hub.serve(tmp_path) as server:
        said = locate_in_process(tmp_path / "home", server.url, "acme/other")
    assert "CheckpointError: cannot get 'acme/other'" in said


def test_offline_without_a_cached_copy_says_so(tmp_path: Path) -> None:
    with hub.serve(tmp_path) as server:
        said = locate_in_process(tmp_path / "home", server.url, "acme/tiny", HF_HUB_OFFLINE="1")
        assert server.requests == []
    assert "not in the local cache" in said


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["gone", "offline"])
def test_clips_tokenizer_that_cannot_be_had_says_where_to_put_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with hub.serve(tmp_path) as server:
        said = locate_in_process(tmp_path, server.url, "", code=TOKENIZER_CODE, **environment)
    assert "put CLIP's tokenizer.json, as in openai/clip-vit-base-patch32, into its folder" in said


def test_an_interrupted_download_is_taken_up_again(tmp_path: Path) -> None:
    repository = tiny.make_bert(tmp_path / "repository")
    home = tmp_path / "home"
    with hub.serve(repository) as server:
        folder = Path(locate_in_process(home, server.url, "acme/tiny"))
        (folder / "model.safetensors").unlink()
        again = Path(locate_in_process(home, server.url, "acme/tiny"))
    assert (again / "model.safetensors").is_file()


def fetched(repository: Path, home: Path) -> set[str]:
    """Names of the files that are downloaded of a repository; the second time, none is."""
    with hub.serve(repository) as server:
        folder = Path(locate_in_process(home, server.url, "acme/tiny"))
        asked = len(server.requests)
        assert locate_in_process(home, server.url, "acme/tiny") == str(folder)
        assert len(server.requests) == asked
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_weights_of_open_clip_are_fetched_only_where_transformers_reads_none(
    tmp_path: Path,
) -> None:
    both, alone = vision_clip.make_both(tmp_path / "repositories")
    names = fetched(both, tmp_path / "home")
    assert "model.safetensors" in names
    assert "open_clip_model.safetensors" not in names
    assert "open_clip_model.safetensors" in fetched(alone, tmp_path / "other")


def test_a_pickle_is_fetched_only_of_models_that_are_published_in_no_other_form(
    tmp_path: Path,
) -> None:
    pickled = vision_clip.make_chinese_clip(tmp_path / "pickled", pickled=True)
    assert "pytorch_model.bin" in fetched(pickled, tmp_path / "first")
    nested = tmp_path / "nested"
    tiny.make_clip(nested / "0_CLIPModel")
    (nested / "0_CLIPModel/model.safetensors").rename(nested / "0_CLIPModel/pytorch_model.bin")
    kind = "sentence_transformers.models.CLIPModel"
    tiny.write_json(
        nested / "modules.json", [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": kind}]
    )
    assert "0_CLIPModel/pytorch_model.bin" in fetched(nested, tmp_path / "third")
    safe = vision_clip.make_chinese_clip(tmp_path / "safe")
    (safe / "pytorch_model.bin").write_bytes(b"pickle")
    assert "pytorch_model.bin" not in fetched(safe, tmp_path / "second")


def test_what_needs_no_network_is_local(tmp_path: Path) -> None:
    local = [DEMO, str(tmp_path), "no-hub-id", "../nowhere", "a/b/c", ""]
    assert [reference for reference in local if not is_local(reference)] == []
