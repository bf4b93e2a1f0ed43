"""Lists of models as OpenVINO Model Server keeps them: config.json, or a folder of folders.

Source: https://github.com/openvinotoolkit/model_server/blob/main/docs/starting_server.md and
https://github.com/openvinotoolkit/model_server/blob/main/docs/mediapipe.md.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvec.errors import ConfigError

CONFIG_FILE = "config.json"
GRAPH_FILE = "graph.pbtxt"
_MODELS_PATH = re.compile(r'^\s*models_path\s*:\s*"([^"]*)"', re.MULTILINE)
_SIGNS = (GRAPH_FILE, "modules.json", "open_clip_config.json", "openvino_model.xml")
"""Files that only a model's folder has; config.json may also be the repository's own."""
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Listed:
    """One model of a list.

    Attributes:
        name: What callers call it.
        folder: Where its files are.
    """

    name: str
    folder: str


@dataclass(frozen=True, slots=True)
class Repository:
    """Where lists are; several are put together.

    Attributes:
        config_file: A config.json, or None.
        folder: A folder of models, or None.
    """

    config_file: str | None = None
    folder: str | None = None

    @property
    def lists(self) -> tuple[str, ...]:
        """Files and folders that there are."""
        return tuple(one for one in (self.config_file, self.folder) if one is not None)

    def models(self) -> tuple[tuple[Listed, str], ...]:
        """All models, each with where it is listed; of two of one name the first counts.

        Raises:
            ConfigError: A list cannot be read.
        """
        found: dict[str, tuple[Listed, str]] = {}
        if self.config_file is not None:
            for one in read_ovms_config(Path(self.config_file)):
                found.setdefault(one.name, (one, self.config_file))
        if self.folder is not None:
            for one in find_models(Path(self.folder)):
                found.setdefault(one.name, (one, self.folder))
        return tuple(found.values())


def read_ovms_config(path: Path) -> tuple[Listed, ...]:
    """The models of a config.json; of two of one name the first counts.

    Paths in it are relative to its folder; a model without one is in a folder of its name.

    Raises:
        ConfigError: It cannot be read, or has not the server's form.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", param="config_path") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not a JSON file: {error}", param="config_path") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: must be a JSON object", param="config_path")
    found: dict[str, Listed] = {}
    for entry in _entries(path, document):
        name = entry["name"]
        found.setdefault(name, Listed(name, str(_folder(path.parent, entry))))
    return tuple(found.values())


def find_models(repository: Path) -> tuple[Listed, ...]:
    """The models of a repository: those of its config.json, then all other folders of models.

    A folder is named by its path in the repository, such as ``org/name``.

    Raises:
        ConfigError: There is no such folder, or its config.json cannot be read.
    """
    if not repository.is_dir():
        raise ConfigError(f"{repository} is no folder", param="model_repository_path")
    own = _own_config(repository)
    listed = () if own is None else read_ovms_config(own)
    known = {Path(one.folder).resolve() for one in listed}
    names = {one.name for one in listed}
    others = (
        Listed(folder.relative_to(repository).as_posix(), str(folder))
        for folder in _model_folders(repository, 0)
        if folder.resolve() not in known
    )
    return (*listed, *(one for one in others if one.name not in names))


def is_model_folder(folder: Path) -> bool:
    """Whether a folder looks like a checkpoint, by its files."""
    if any((folder / sign).is_file() for sign in _SIGNS):
        return True
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and bool({"architectures", "model_type"} & set(config))


def _own_config(repository: Path) -> Path | None:
    path = repository / CONFIG_FILE
    return path if path.is_file() and not is_model_folder(repository) else None


def _model_folders(folder: Path, depth: int) -> Iterator[Path]:
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if inner.name.startswith("."):
            continue
        if is_model_folder(inner):
            yield inner
        elif depth + 1 < _MAX_DEPTH:
            yield from _model_folders(inner, depth + 1)


def _entries(path: Path, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects that name a model, graphs first, since export_model.py may list both."""
    for key in ("mediapipe_config_list", "model_config_list"):
        entries = document.get(key, [])
        if not isinstance(entries, list):
            raise ConfigError(f"{path}: {key} must be a list", param="config_path")
        for entry in entries:
            inner = entry.get("config", entry) if isinstance(entry, dict) else None
            if not isinstance(inner, dict) or not _is_text(inner.get("name")):
                raise ConfigError(f"{path}: {key}: an entry has no name", param="config_path")
            wrong = [key for key in ("base_path", "graph_path") if not _may_be_path(inner, key)]
            if wrong:
                raise ConfigError(f"{path}: {wrong[0]} must be a path", param="config_path")
            yield inner


def _folder(root: Path, entry: Mapping[str, Any]) -> Path:
    base = root / str(entry.get("base_path", entry["name"]))
    graph = base / str(entry.get("graph_path", GRAPH_FILE))
    if graph.is_file():
        named = _MODELS_PATH.search(graph.read_text("utf-8", "replace"))
        return (graph.parent / (named[1] if named else ".")).resolve()
    versions = [inner for inner in _inner(base) if inner.name.isdecimal()]
    if versions and not is_model_folder(base):
        return max(versions, key=lambda inner: int(inner.name)).resolve()
    return base.resolve()


def _inner(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _may_be_path(entry: Mapping[str, Any], key: str) -> bool:
    return key not in entry or _is_text(entry[key])
