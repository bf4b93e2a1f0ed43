"""A checkpoint folder → everything its own files say, each with the file that says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyvec.checkpoints.adapter_folders import KEY as ADAPTERS
from polyvec.checkpoints.adapter_folders import adapter_folders
from polyvec.checkpoints.mobileclip import MODEL_TYPE as MOBILECLIP
from polyvec.checkpoints.mobileclip import PATTERN as MOBILECLIP_PICKLE
from polyvec.checkpoints.mobileclip import (
    is_mobileclip,
    mobileclip_config,
    mobileclip_image_config,
)
from polyvec.checkpoints.open_clip import FILE as OPEN_CLIP_CONFIG
from polyvec.checkpoints.open_clip import MODEL_TYPE as OPEN_CLIP
from polyvec.checkpoints.open_clip import WEIGHTS as OPEN_CLIP_WEIGHTS
from polyvec.checkpoints.open_clip import (
    is_open_clip,
    open_clip_config,
    open_clip_image_config,
)
from polyvec.checkpoints.ovms_graph import FILE as OVMS_GRAPH
from polyvec.checkpoints.ovms_graph import read_ovms_graph
from polyvec.checkpoints.static_embedding import MODULE as STATIC
from polyvec.checkpoints.static_embedding import is_static, static_config
from polyvec.errors import CheckpointError
from polyvec.types import Setting

Json = Mapping[str, Any]

# Source: sentence_transformers.models.Transformer.load, which tries these names in turn.
_TEXT_CONFIGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_GRAPHS = (
    "openvino_model.xml",
    "openvino/openvino_model.xml",
    "onnx/model.onnx",
    "model.onnx",
)
"""Converted graphs, the best first."""
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# Models whose owners publish nothing but a pickle (of CLIP's: openai/clip-vit-base-patch16); it is
# read as data, by `pickled_tensors`.
_READ_PICKLES = {
    MOBILECLIP: MOBILECLIP_PICKLE,
    "chinese_clip": "pytorch_model.bin",
    "clip": "pytorch_model.bin",
}


@dataclass(frozen=True, slots=True)
class Module:
    """One entry of modules.json.

    Attributes:
        kind: Last part of its type, such as ``Pooling``.
        path: Folder inside the checkpoint, ``""`` for the checkpoint itself.
        config: Its config.json, empty without one.
    """

    kind: str
    path: str
    config: Json = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """The file that says it."""
        return self.path if self.path == OVMS_GRAPH else f"{self.path}/config.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the files say; nothing is interpreted yet.

    Attributes:
        folder: Where the checkpoint is.
        root: Folder of config.json and the weights; differs from ``folder`` when modules.json puts
            the model in a sub-folder (``0_CLIPModel``).
        config: config.json, or what open_clip_config.json says in its place.
        modules: modules.json, or None without one.
        lone_pooling: The Pooling module of a ``1_Pooling`` folder that no modules.json lists, or
            what graph.pbtxt says of it.
        text_config: sentence_bert_config.json or a legacy twin, with its file's name.
        prompt_config: config_sentence_transformers.json.
        tokenizer_config: tokenizer_config.json.
        image_config: preprocessor_config.json, the image part of processor_config.json, or that of
            open_clip_config.json in such a form, with its file's name; None without one.
    """

    folder: Path
    root: Path
    config: Json
    modules: tuple[Module, ...] | None
    lone_pooling: tuple[Module, ...]
    text_config: Setting
    prompt_config: Json
    tokenizer_config: Json
    image_config: Setting | None

    @property
    def architecture(self) -> str | None:
        """First class name in config.json, or None."""
        names = self.config.get("architectures")
        return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None

    @property
    def is_open_clip(self) -> bool:
        """Whether `config` comes from open_clip_config.json."""
        return self.config.get("model_type") == OPEN_CLIP

    @property
    def has_clip_tokenizer(self) -> bool:
        """Whether its code reads texts with CLIP's tokenizer, whatever files are in the folder."""
        if self.is_open_clip:
            return not self.config["text_cfg"].get("hf_tokenizer_name")
        return self.config.get("model_type") == MOBILECLIP

    @property
    def has_tokenizer(self) -> bool:
        """Whether texts are read with a tokenizer of the folder, be it there or missing."""
        own = any((self.root / name).is_file() for name in ("tokenizer.json", "vocab.json"))
        return own or not self.has_clip_tokenizer

    @property
    def pickled_weights(self) -> Path | None:
        """The file of the main weights where they are published in no other form, or None."""
        pattern = None if self.has_weights else self.pickle_pattern
        found = [] if pattern is None else list(self.root.glob(pattern))
        return found[0] if len(found) == 1 else None

    @property
    def pickle_pattern(self) -> str | None:
        """How the one pickled file is called that would be read; None where none ever is."""
        return _READ_PICKLES.get(str(self.config.get("model_type")))

    @property
    def config_origin(self) -> str:
        """The file that `config` comes from."""
        return OPEN_CLIP_CONFIG if self.is_open_clip else "config.json"

    @property
    def pools(self) -> bool:
        """Whether the files say how token states become one vector."""
        modules = (*(self.modules or ()), *self.lone_pooling)
        return any(module.kind == "Pooling" for module in modules)

    @property
    def has_weights(self) -> bool:
        """Whether there are safetensors files of the model, complete or not."""
        names = (OPEN_CLIP_WEIGHTS,) if self.is_open_clip else _WEIGHTS
        return any((self.root / name).is_file() for name in names)

    @property
    def graph_file(self) -> Path | None:
        """A graph that somebody converted, OpenVINO's (``.xml`` and ``.bin``) or ONNX, or None."""
        return None if self.graph_name is None else self.root / self.graph_name

    @property
    def graph_name(self) -> str | None:
        """Where `graph_file` is in the folder of config.json, or None."""
        for name in _GRAPHS:
            path = self.root / name
            if path.is_file() and (path.suffix != ".xml" or path.with_suffix(".bin").is_file()):
                return name
        return None

    def read_json(self, name: str) -> Json:
        """An object beside config.json, empty without such a file.

        Raises:
            CheckpointError: It is not valid JSON.
        """
        return _read_object(self.root / name)

    def weight_files(self) -> tuple[Path, ...]:
        """The model's safetensors files; none where there are `pickled_weights`.

        Raises:
            CheckpointError: There are none, some are missing, or there are only pickles.
        """
        if self.pickled_weights is not None:
            return ()
        index = self.root / "model.safetensors.index.json"
        if index.is_file() and not self.is_open_clip:
            return _shards(index)
        single = self.root / (OPEN_CLIP_WEIGHTS if self.is_open_clip else "model.safetensors")
        if single.is_file():
            return (single,)
        _refuse_half_a_graph(self.root)
        _refuse_pickles(self.root)
        if self.is_open_clip:
            raise CheckpointError(f"no weights: {OPEN_CLIP_WEIGHTS} is not in the folder")
        raise CheckpointError(
            "no weights: neither model.safetensors nor its index is in the folder"
        )

    def module_weights(self, module: Module) -> Path:
        """The safetensors file of a module folder.

        Raises:
            CheckpointError: It is missing, or there is only a pickle.
        """
        file = self.folder / module.path / "model.safetensors"
        if not file.is_file():
            _refuse_pickles(self.folder / module.path)
            raise CheckpointError(f"{module.path}/model.safetensors is missing")
        return file


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read every file of a checkpoint that polyvec knows.

    Raises:
        CheckpointError: config.json is missing, or a file is not valid JSON.
    """
    modules = _modules(folder)
    root = folder / modules[0].path if modules else folder
    config = _config(folder, root, modules)
    if modules is None and config.get("architectures") == [STATIC] and config.get("normalize"):
        modules = (Module(STATIC, ""), Module("Normalize", "1_Normalize"))
    return Checkpoint(
        folder=folder,
        root=root,
        config=config,
        modules=modules,
        lone_pooling=_lone_pooling(folder) if modules is None else (),
        text_config=_text_config(root),
        prompt_config=_read_object(folder / "config_sentence_transformers.json"),
        tokenizer_config=_read_object(root / "tokenizer_config.json"),
        image_config=_image_config(root, config),
    )


def _config(folder: Path, root: Path, modules: tuple[Module, ...] | None) -> Json:
    config = _read_object(root / "config.json")
    if is_static(modules[0].kind if modules else None, config):
        return static_config(root, config)
    if is_open_clip(root, config, _WEIGHTS):
        return open_clip_config(_read_object(root / OPEN_CLIP_CONFIG), config)
    if not (root / "config.json").is_file():
        raise CheckpointError(f"{folder.name} has no config.json: it is not a checkpoint folder")
    if is_mobileclip(config):
        return mobileclip_config(config)
    adapters = adapter_folders(root)
    return {**config, ADAPTERS: adapters} if adapters else config


def _modules(folder: Path) -> tuple[Module, ...] | None:
    path = folder / "modules.json"
    if not path.is_file():
        return None
    entries = _read(path)
    if not isinstance(entries, list) or not entries:
        raise CheckpointError("modules.json must be a list of modules")
    return tuple(_module(folder, entry) for entry in entries)


def _lone_pooling(folder: Path) -> tuple[Module, ...]:
    config = _read_object(folder / "1_Pooling/config.json")
    if config:
        return (Module("Pooling", "1_Pooling", config),)
    ovms = read_ovms_graph(folder)
    if ovms is None:
        return ()
    return (Module("Pooling", OVMS_GRAPH, {"pooling_mode": ovms.pooling}),)


def _module(folder: Path, entry: Any) -> Module:
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        raise CheckpointError("modules.json: every entry needs a 'type'")
    path = entry.get("path", "")
    if not isinstance(path, str) or ".." in Path(path).parts or Path(path).is_absolute():
        raise CheckpointError(f"modules.json: {path!r} is not a folder of the checkpoint")
    config = _read_object(folder / path / "config.json") if path else {}
    return Module(entry["type"].rsplit(".", 1)[-1], path, config)


def _text_config(root: Path) -> Setting:
    for name in _TEXT_CONFIGS:
        if (root / name).is_file():
            return Setting(_read_object(root / name), name)
    return Setting({}, _TEXT_CONFIGS[0])


def _image_config(root: Path, config: Json) -> Setting | None:
    if config.get("model_type") == OPEN_CLIP:
        return open_clip_image_config(config)
    if config.get("model_type") == MOBILECLIP:
        return mobileclip_image_config(config)
    if (root / "preprocessor_config.json").is_file():
        return Setting(_read_object(root / "preprocessor_config.json"), "preprocessor_config.json")
    nested = _read_object(root / "processor_config.json").get("image_processor")
    return Setting(nested, "processor_config.json") if isinstance(nested, dict) else None


def _shards(index: Path) -> tuple[Path, ...]:
    mapping = _read_object(index).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise CheckpointError(f"{index.name} has no weight_map")
    names = sorted(set(mapping.values()))
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{index.name}: {name!r} is not a file beside it")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{name}, listed in {index.name}, is missing")
    return tuple(index.parent / name for name in names)


def _refuse_half_a_graph(folder: Path) -> None:
    for name in _GRAPHS:
        path = folder / name
        if path.suffix == ".xml" and path.is_file() and not path.with_suffix(".bin").is_file():
            raise CheckpointError(
                f"{Path(name).with_suffix('.bin')}, which holds the weights of {name}, is missing"
            )


def _refuse_pickles(folder: Path) -> None:
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"the weights are a pickle ({pickles[0]}), which can run code when it is opened; "
            "polyvec reads safetensors only: use a revision with model.safetensors, or convert it"
        )


def _read_object(path: Path) -> Json:
    if not path.is_file():
        return {}
    value = _read(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path.name} must hold a JSON object")
    return value


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from None
