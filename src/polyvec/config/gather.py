"""Our flags and other servers' flags of one command line → models and settings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyvec.config.foreign import Meaning
from polyvec.config.repository import Repository, is_model_folder
from polyvec.errors import ConfigError

Setting = tuple[Any, str]
"""Text and origin."""
ModelGiven = tuple[str, Mapping[str, Setting]]
"""Reference, and the settings of this model alone by key."""

_PORT = "server.port"
_NAMES = "model.served_model_name"
_POOLING = "model.pooling"
PER_MODEL = frozenset(
    (
        *(_NAMES, _POOLING, "model.revision", "model.trust_remote_code"),
        *("backend.dtype", "backend.device"),
    )
)
"""Keys of flags that may be written once for each model."""
_SPLADE = "BertSpladeSparseEmbeddingModel"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a command line, or the environment, comes to.

    Attributes:
        models: In order; empty where none is named.
        settings: Those of all models and of everything else, by key.
        repository: Lists of models.
        variables: Of the process, such as HF_TOKEN.
        notes: What has no effect.
    """

    models: tuple[ModelGiven, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    repository: Repository = field(default_factory=Repository)
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def gather(
    models: Sequence[str],
    flags: Mapping[str, Setting],
    meaning: Meaning,
    repository: Repository,
) -> Gathered:
    """Put everything together.

    Args:
        models: MODEL arguments.
        flags: Ours, by key.
        meaning: Of the others.
        repository: Lists of models.

    Raises:
        ConfigError: Two of them disagree.
    """
    settings = dict(flags)
    notes = list(meaning.notes)
    for key, (text, origin) in meaning.settings.items():
        if key == _PORT and key in flags and flags[key][0] != text:
            notes.append("--port has no effect: only HTTP is spoken, and --rest-port is its port")
        elif key in flags and _flat(flags[key][0]) != _flat(text):
            raise ConfigError(f"{flags[key][1]} and {origin} disagree", param=origin.lstrip("-"))
        settings[key] = (text, origin)
    _read_splade(settings)
    references, repository = _models(models, meaning, repository, settings)
    for text, origin in meaning.same_model:
        if references and text not in references:
            raise ConfigError(
                f"{origin} {text}: the tokenizer is that of the checkpoint; put another one's "
                "tokenizer.json into its folder",
                param=origin.lstrip("-"),
            )
    given = _spread(references, settings, to_all=len(meaning.models) > 1)
    return Gathered(given, settings, repository, dict(meaning.variables), tuple(notes))


def _models(
    models: Sequence[str],
    meaning: Meaning,
    repository: Repository,
    settings: dict[str, Setting],
) -> tuple[list[str], Repository]:
    """References in order, and the lists that are left to read."""
    references = list(dict.fromkeys((*models, *meaning.models)))
    if models and meaning.models and set(models) != set(meaning.models):
        raise ConfigError("MODEL and a flag name different models", param="MODEL")
    source, folder = meaning.source, repository.folder
    name = _flat(settings[_NAMES][0])[0] if _NAMES in settings else None
    if folder is not None and not references and (source or name):
        inside = Path(folder) / (name or source or "")
        if not is_model_folder(inside) and source:
            inside = Path(folder) / source
        if not is_model_folder(inside) and not source:
            raise ConfigError(f"{inside} has no model", param="model_name")
        found = str(inside) if is_model_folder(inside) else str(source)
        if source:
            settings.setdefault(_NAMES, (source, "--source-model"))
        return [found], Repository(repository.config_file, None)
    if source:
        references.append(source)
    if repository.lists and references:
        raise ConfigError("models and lists of models exclude each other", param="MODEL")
    return references, repository


def _read_splade(settings: dict[str, Setting]) -> None:
    """TEI's name for what the model's architecture says here."""
    text, origin = settings.get(_POOLING, (None, ""))
    if isinstance(text, str) and text.lower() == "splade":
        del settings[_POOLING]
        settings.setdefault("model.architecture", (_SPLADE, origin))


def _spread(
    references: Sequence[str], settings: dict[str, Setting], *, to_all: bool
) -> tuple[ModelGiven, ...]:
    """Give every model its own part of what is written as ``a;b``, as Infinity has it.

    Raises:
        ConfigError: There are not as many parts as models.
    """
    own: list[dict[str, Setting]] = [{} for _ in references]
    for key, (text, origin) in list(settings.items()):
        is_shared = to_all and key.startswith("model.") and key != _NAMES
        parts = _parts(text) if key in PER_MODEL else []
        if key == _NAMES and to_all and not parts:
            parts = _flat(text)  # the flag was repeated
        if len(parts) < 2 and not is_shared:  # noqa: PLR2004
            continue
        del settings[key]
        if not key.startswith("model."):
            if len(set(parts)) != 1:
                raise ConfigError(
                    f"{origin}: one value holds for all models", param=origin.lstrip("-")
                )
            settings[key] = (parts[0], origin)
            continue
        if len(parts) < 2:  # noqa: PLR2004
            parts = [text] * len(references)
        if len(parts) != len(references):
            raise ConfigError(
                f"{origin} has {len(parts)} values for {len(references)} models",
                param=origin.lstrip("-"),
            )
        for mine, part in zip(own, parts, strict=True):
            mine[key] = (part, origin)
    return tuple(zip(references, own, strict=True))


def _parts(text: Any) -> list[str]:
    """Of ``a;b``; empty where it has none."""
    if not any(";" in str(one) for one in _flat(text)):
        return []
    parts = [part.strip() for one in _flat(text) for part in str(one).split(";")]
    return [part for part in parts if part]


def _flat(text: Any) -> list[Any]:
    return list(text) if isinstance(text, Iterable) and not isinstance(text, str | dict) else [text]
