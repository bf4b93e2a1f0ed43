"""Files beside an exported graph: what polyvec and OpenVINO Model Server read of a folder.

Source: https://github.com/openvinotoolkit/model_server/blob/main/docs/embeddings/reference.md
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvec.backends._openvino_export import ExportedGraph
from polyvec.checkpoints.ovms_graph import CALCULATOR, FILE
from polyvec.checkpoints.read import Checkpoint
from polyvec.errors import ConfigError
from polyvec.models._family import Dense, Pooling, Projection
from polyvec.models._model import Model

_ROOT_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
)
_ROOT_PATTERNS = ("sentence_*_config.json",)
_FOLDER_FILES = ("config_sentence_transformers.json",)
_SERVED: dict[Pooling, str] = {"cls": "CLS", "last": "LAST", "mean": "MEAN"}
_FLAGS: dict[Pooling, str] = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "last": "pooling_mode_lasttoken",
}
_MODULE_TYPES = "sentence_transformers.models."

_TEXT_STEPS = {
    "prompts": "knows no prompts: callers must write them before their texts themselves",
    "appended_token": "does not put an end token after texts, which this model needs: callers must",
    "lower_case": "does not lower-case texts, which this model needs: callers must",
}
"""Settings of texts → what the server does not do."""

_GRAPH = """\
input_stream: "REQUEST_PAYLOAD:input"
output_stream: "RESPONSE_PAYLOAD:output"

node {{
  name: "EmbeddingsExecutor"
  input_side_packet: "EMBEDDINGS_NODE_RESOURCES:embeddings_servable"
  calculator: "{calculator}"
  input_stream: "REQUEST_PAYLOAD:input"
  output_stream: "RESPONSE_PAYLOAD:output"
  node_options: {{
    [type.googleapis.com / mediapipe.{calculator}Options]: {{
{options}
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class ServerGraph:
    """What graph.pbtxt says beside pooling and normalising.

    Attributes:
        target_device: Where the server runs the model.
        num_streams: Batches that it runs at the same time.
        truncate: Whether it cuts over-long texts.
    """

    target_device: str = "CPU"
    num_streams: int = 1
    truncate: bool = False


def write_files(
    folder: Path, checkpoint: Checkpoint, model: Model, exported: ExportedGraph, graph: ServerGraph
) -> list[str]:
    """Write everything but the graph and the server's tokenizer.

    Args:
        folder: Exists.
        checkpoint: Where files are copied from.
        model: With every question answered, the operator's options included.
        exported: What the graph does by itself.
        graph: For graph.pbtxt.

    Returns:
        What the server will do otherwise than the model's authors, one sentence each.
    """
    _copy(folder, checkpoint)
    _write_modules(folder, checkpoint, model, exported)
    (folder / FILE).write_text(_graph_text(model, graph), "utf-8")
    return list(_differences(model, exported))


def add_to_repository(config_file: Path, name: str, folder: Path) -> None:
    """Name a folder in a model repository's config.json, in place of an entry of the same name.

    Raises:
        ConfigError: The file is there and is not such a config.json.
    """
    config = _repository_config(config_file)
    home = config_file.resolve().parent
    path = folder.resolve()
    inside = path.is_relative_to(home)
    base = path.relative_to(home).as_posix() if inside else str(path)
    for key in ("model_config_list", "mediapipe_config_list"):
        if key in config:
            config[key] = [entry for entry in config[key] if _entry_name(entry) != name]
    config.setdefault("model_config_list", []).append({"config": {"name": name, "base_path": base}})
    config_file.parent.mkdir(parents=True, exist_ok=True)
    part = config_file.with_name(f".{config_file.name}.{os.getpid()}")
    part.write_text(json.dumps(config, indent=4) + "\n", "utf-8")
    part.replace(config_file)


def _repository_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError:
        config = None
    lists = ("model_config_list", "mediapipe_config_list")
    if not isinstance(config, dict) or not all(isinstance(config.get(k, []), list) for k in lists):
        raise ConfigError(
            f"{path} is not a model repository's config.json, which holds a model_config_list",
            param="config_file_path",
        )
    return config


def _entry_name(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return None
    inner = entry.get("config")
    return inner.get("name") if isinstance(inner, Mapping) else entry.get("name")


def _copy(folder: Path, checkpoint: Checkpoint) -> None:
    found = [checkpoint.root / name for name in _ROOT_FILES]
    found += [path for pattern in _ROOT_PATTERNS for path in checkpoint.root.glob(pattern)]
    found += [checkpoint.folder / name for name in _FOLDER_FILES]
    for path in found:
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


def _write_modules(
    folder: Path, checkpoint: Checkpoint, model: Model, exported: ExportedGraph
) -> None:
    """modules.json as it is after the graph has taken its share; poolings as resolved."""
    assert model.text is not None  # noqa: S101  (only text embedders are exported)
    pooling: dict[str, Any] = {"word_embedding_dimension": exported.dimensions}
    pooling |= {flag: mode in model.text.poolings for mode, flag in _FLAGS.items()}
    pooling["include_prompt"] = not model.text.excludes_prompt
    _write_json(folder / "1_Pooling" / "config.json", pooling)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    for step in exported.remaining:
        path = _module_path(step)
        shutil.copytree(checkpoint.folder / path, folder / path)
        modules.append((path, type(step).__name__))
    if model.normalize:
        modules.append((f"{len(modules)}_Normalize", "Normalize"))
    _write_json(
        folder / "modules.json",
        [
            {"idx": index, "name": str(index), "path": path, "type": _MODULE_TYPES + kind}
            for index, (path, kind) in enumerate(modules)
        ],
    )


def _module_path(step: Projection) -> str:
    return step.name.split(".", maxsplit=1)[0]


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _graph_text(model: Model, graph: ServerGraph) -> str:
    streams = json.dumps({"NUM_STREAMS": str(graph.num_streams)})
    options = {
        "models_path": '"./"',
        "plugin_config": f"'{streams}'",
        "normalize_embeddings": str(model.normalize).lower(),
        "target_device": json.dumps(graph.target_device),
        "pooling": _served_pooling(model) or "MEAN",
    }
    if graph.truncate:
        options["truncate"] = "true"
    lines = ",\n".join(f"      {key}: {value}" for key, value in options.items())
    return _GRAPH.format(calculator=CALCULATOR, options=lines)


def _served_pooling(model: Model) -> str | None:
    """The server's pooling that gives the same vectors, or None."""
    assert model.text is not None  # noqa: S101
    modes = model.text.poolings
    if modes == ("mean_sqrt_len",) and model.normalize:
        return "MEAN"  # the same direction
    return _SERVED.get(modes[0]) if len(modes) == 1 else None


def _differences(model: Model, exported: ExportedGraph) -> list[str]:
    assert model.text is not None  # noqa: S101
    found = []
    if _served_pooling(model) is None:
        found.append(
            f"pooling {'+'.join(model.text.poolings)} is not one of OpenVINO Model Server's (CLS, "
            "LAST, MEAN): its vectors will differ; polyvec serves the folder as it should"
        )
    if exported.remaining:
        kinds = ", ".join(
            "Dense with an activation" if isinstance(step, Dense) else type(step).__name__
            for step in exported.remaining
        )
        found.append(
            f"OpenVINO Model Server pools last_hidden_state by itself and leaves out {kinds}: read "
            "the output sentence_embedding instead, or serve the folder with polyvec"
        )
    for setting, what in _TEXT_STEPS.items():
        if setting in model.settings:
            found.append(f"OpenVINO Model Server {what}")
    return found
