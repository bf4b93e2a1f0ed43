"""Lists of models as OpenVINO Model Server keeps them."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polyvec.config.compose import compose, model_of_table
from polyvec.config.gather import Gathered
from polyvec.config.load import load_config
from polyvec.config.repository import Repository, find_models, read_ovms_config
from polyvec.config.stamp import stamp_of
from polyvec.errors import ConfigError


def written(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def checkpoint(folder: Path) -> Path:
    written(folder / "config.json", {"model_type": "bert"})
    return folder


def names(root: Path, config: Any) -> dict[str, str]:
    found = read_ovms_config(written(root / "config.json", config))
    return {one.name: os.path.relpath(one.folder, root) for one in found}


def test_the_list_that_export_model_writes_is_read(tmp_path: Path) -> None:
    entry = {"name": "BAAI/bge-small", "base_path": "BAAI/bge-small"}
    config = {"mediapipe_config_list": [], "model_config_list": [{"config": entry}]}
    assert names(tmp_path, config) == {"BAAI/bge-small": "BAAI/bge-small"}


def test_a_model_without_a_path_is_in_a_folder_of_its_name(tmp_path: Path) -> None:
    config = {
        "model_config_list": [{"config": {"name": "a"}}],
        "mediapipe_config_list": [{"name": "b"}],
    }
    assert names(tmp_path, config) == {"b": "b", "a": "a"}


def test_absolute_paths_stay(tmp_path: Path) -> None:
    config = {"model_config_list": [{"config": {"name": "a", "base_path": "/models/a"}}]}
    (found,) = read_ovms_config(written(tmp_path / "config.json", config))
    assert found.folder == "/models/a"


def test_a_graph_says_where_its_model_is(tmp_path: Path) -> None:
    written(tmp_path / "graphs/g.pbtxt", 'models_path: "../weights"')
    entry = {"name": "a", "base_path": "graphs", "graph_path": "g.pbtxt"}
    assert names(tmp_path, {"mediapipe_config_list": [entry]}) == {"a": "weights"}


def test_the_highest_version_of_a_model_is_served(tmp_path: Path) -> None:
    for version in ("1", "2", "10"):
        written(tmp_path / "a" / version / "openvino_model.xml", "")
    assert names(tmp_path, {"model_config_list": [{"config": {"name": "a"}}]}) == {"a": "a/10"}


def test_of_two_models_of_one_name_the_first_counts(tmp_path: Path) -> None:
    config = {"model_config_list": [{"config": {"name": "a", "base_path": p}} for p in ("x", "y")]}
    assert names(tmp_path, config) == {"a": "x"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is not a JSON file"),
        ([], "must be a JSON object"),
        ({"model_config_list": {}}, "model_config_list must be a list"),
        ({"model_config_list": [1]}, "an entry has no name"),
        ({"model_config_list": [{"config": {"base_path": "a"}}]}, "an entry has no name"),
        ({"model_config_list": [{"config": {"name": "a", "base_path": 1}}]}, "base_path must be"),
    ],
)
def test_a_list_of_another_form_is_refused(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_ovms_config(written(tmp_path / "config.json", document))


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: No such file"):
        read_ovms_config(tmp_path / "none.json")


def test_a_repository_has_its_lists_models_and_all_other_folders(tmp_path: Path) -> None:
    for name in ("org/listed", "org/other", "plain", ".hidden/x", "too/deep/for/us"):
        checkpoint(tmp_path / name)
    written(tmp_path / "notes/config.json", {"no": "model"})
    entry = {"name": "public", "base_path": "org/listed"}
    written(tmp_path / "config.json", {"model_config_list": [{"config": entry}]})
    found = {one.name: os.path.relpath(one.folder, tmp_path) for one in find_models(tmp_path)}
    assert found == {"public": "org/listed", "org/other": "org/other", "plain": "plain"}


def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        find_models(tmp_path / "none")


def test_models_of_a_list_are_served_under_its_names_and_watched(tmp_path: Path) -> None:
    checkpoint(tmp_path / "org/a")
    path = written(
        tmp_path / "config.json",
        {"model_config_list": [{"config": {"name": "n", "base_path": "org/a"}}]},
    )
    given = Gathered(repository=Repository(config_file=str(path)))
    config = load_config(environ={}, given=given)
    plan = compose(config)
    assert [(one.name, one.is_optional) for one in plan.models] == [("n", True)]
    assert plan.models[0].reference == str((tmp_path / "org/a").resolve())
    assert config.lists == (str(path),)
    assert plan.run.residency.watch_config_s == 1
    never = {"residency.watch_config_s": ("0", "--watch-config")}
    off = load_config(environ={}, given=replace(given, settings=never))
    assert compose(off).run.residency.watch_config_s == 0


def test_an_empty_list_serves_nothing_rather_than_the_demo(tmp_path: Path) -> None:
    path = written(tmp_path / "config.json", {"model_config_list": []})
    given = Gathered(repository=Repository(config_file=str(path)))
    assert load_config(environ={}, given=given).models == ()


def test_names_are_given_on_the_command_line(tmp_path: Path) -> None:
    strange = checkpoint(tmp_path / "a=b")
    models = ["mine=org/model", str(strange), "other=polyvec-demo"]
    found = compose(load_config(environ={}, models=models)).models
    assert [(one.name, one.reference) for one in found] == [
        ("mine", "org/model"),
        ("a=b", str(strange)),
        ("other", "polyvec-demo"),
    ]


@pytest.mark.parametrize("given", ["=a", "a="])
def test_half_a_name_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="neither a model nor NAME=model"):
        load_config(environ={}, models=[given])


def test_a_table_says_what_a_file_would() -> None:
    found = model_of_table({"checkpoint": "a/b", "name": "n", "lazy": True, "memory_bytes": "1GiB"})
    assert (found.name, found.lazy, found.memory_bytes) == ("n", True, 1 << 30)
    with pytest.raises(ConfigError, match="did you mean pooling"):
        model_of_table({"checkpoint": "a/b", "poling": "cls"})
    with pytest.raises(ConfigError, match="needs a checkpoint"):
        model_of_table({})


def test_a_stamp_changes_with_files_and_with_folders_of_models(tmp_path: Path) -> None:
    path = written(tmp_path / "config.json", {})
    seen = {stamp_of([str(tmp_path)])}
    assert stamp_of([str(tmp_path)]) in seen
    written(path, {"a": 1})
    seen.add(stamp_of([str(tmp_path)]))
    folder = checkpoint(tmp_path / "org/a")
    seen.add(stamp_of([str(tmp_path)]))
    written(folder / "graph.pbtxt", "x")
    seen.add(stamp_of([str(tmp_path)]))
    path.unlink()
    seen.add(stamp_of([str(tmp_path)]))
    assert len(seen) == 5
    assert stamp_of([str(path)]) == ((str(path), 0, -1),)
