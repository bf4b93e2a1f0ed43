"""Writes a model as a folder that polyvec and OpenVINO Model Server both serve."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from polyvec.backends._export_folder import ServerGraph, add_to_repository, write_files
from polyvec.backends._openvino_export import GRAPH_FILE, ExportDtype, export_graph
from polyvec.backends._openvino_tokenizer import EXTRA, FILE, has_converter, write_tokenizer
from polyvec.checkpoints.locate import locate
from polyvec.checkpoints.read import read_checkpoint
from polyvec.errors import ConfigError
from polyvec.models._registry import aliases
from polyvec.models._resolve import ModelOptions, resolve


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to write a model.

    Attributes:
        folder: Gets the files.
        name: The model's in the repository.
        dtype: How weights are kept.
        repository_config: config.json of the model repository that gets an entry; None for none.
        overwrite: Whether an earlier export in ``folder`` may go.
        graph: What the server's graph says.
    """

    folder: Path
    name: str
    dtype: ExportDtype = "auto"
    repository_config: Path | None = None
    overwrite: bool = False
    graph: ServerGraph = field(default_factory=ServerGraph)


def export(reference: str, model_options: ModelOptions, options: ExportOptions) -> list[str]:
    """Write the folder, all of it or nothing, and name it in the repository.

    Args:
        reference: Folder, hub id or alias.
        model_options: The operator's answers, which the folder keeps.
        options: Where and how.

    Returns:
        Sentences that the operator should read.

    Raises:
        CheckpointError: The model cannot be found or read.
        ConfigError: It cannot be exported, or the folder is taken.
    """
    _check_free(options)
    model = resolve(reference, model_options)
    repo = {alias.lower(): repo for alias, repo in aliases().items()}.get(reference.lower())
    source = read_checkpoint(locate(repo or reference, revision=model_options.revision))
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    part = options.folder.with_name(f".{options.folder.name}.{os.getpid()}")
    part.mkdir()
    try:
        exported = export_graph(model, part, options.dtype)
        notes = write_files(part, source, model, exported, options.graph)
        notes += _tokenizer_notes(part)
        _move(part, options.folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        model.weights.close()
    if options.repository_config is not None:
        add_to_repository(options.repository_config, options.name, options.folder)
    return notes


def _check_free(options: ExportOptions) -> None:
    folder = options.folder
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / GRAPH_FILE).is_file():
        raise ConfigError(
            f"{folder} holds something else than an export; choose another", param="DIR"
        )
    if not options.overwrite:
        raise ConfigError(
            f"{folder} holds an export already; --overwrite-models writes it anew", param="DIR"
        )


def _tokenizer_notes(folder: Path) -> list[str]:
    without = f"OpenVINO Model Server needs {FILE}, which was not written"
    if not (folder / "tokenizer.json").is_file():
        return [f"{without}: the checkpoint has no tokenizer.json"]
    if not has_converter():
        return [f"{without}: pip install '{EXTRA}' and export again"]
    try:
        write_tokenizer(folder)
    except ConfigError as error:
        return [f"{without}: {error.message}"]
    return []


def _move(part: Path, folder: Path) -> None:
    """Put a finished folder in its place; an earlier one goes only then."""
    old = folder.with_name(f"{part.name}.old")
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
