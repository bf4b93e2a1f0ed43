"""Which poolings a checkpoint asks for: flag > its own files > the family's default."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from polyvec.checkpoints.read import Checkpoint, Module
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._family import Pooling, Tower
from polyvec.models._options import Answers
from polyvec.models._overrides import Said
from polyvec.models._templates import Usage, usage_of

_log = logging.getLogger(__name__)

# Sentence-Transformers' names → ours. Source: sentence_transformers.models.Pooling.
_NAMES: dict[str, Pooling] = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weightedmean",
    "lasttoken": "last",
}
# In the order in which the vectors of several are laid end to end.
_FLAGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "last",
}
_OPEN_MODULE = "default of a Pooling module without config.json"
_OPEN = ("family default", _OPEN_MODULE)
"""Origins of a pooling that nobody asked for."""
# config.json's own keys, as some repositories without modules.json have them.
_CONFIG_KEYS = ("pooling", "emb_pooler")
_CONFIG_NAMES: dict[str, Pooling] = {"avg": "mean", "mean": "mean", "cls": "cls", "last": "last"}


@dataclass(frozen=True, slots=True)
class Poolings:
    """How token states become one vector.

    Attributes:
        modes: The vectors of several are laid end to end.
        excludes_prompt: Whether the prompt's tokens are left out.
    """

    modes: tuple[Pooling, ...]
    excludes_prompt: bool = False


def read_poolings(
    checkpoint: Checkpoint,
    tower: Tower,
    said: Said,
    answers: Answers,
) -> Poolings:
    """Answer how a text tower pools.

    Args:
        checkpoint: The files.
        tower: Its default comes last.
        said: The operator's own answer comes first.
        answers: Gets ``pooling`` and ``excludes_prompt``.

    Raises:
        CheckpointError: A file names a pooling that is not known.
        ConfigError: The operator's pooling cannot be used.
    """
    if tower.pooling == "eos" or tower.fixed_pooling:
        if said.pooling is not None:
            raise ConfigError(
                f"{said.pooling.origin} {said.pooling.value} cannot be used: "
                f"{checkpoint.architecture} pools in its own way",
                param="pooling",
            )
        answers.keep("pooling", tower.pooling, "family")
        return Poolings((tower.pooling,))
    usage = usage_of(checkpoint.config)
    module = _pooling_module(checkpoint)
    modes, origin = _modes(checkpoint, tower, said, usage, module)
    if origin in _OPEN:
        _warn_open(checkpoint, modes, origin)
    answers.keep("pooling", "+".join(modes), origin)
    return Poolings(modes, _excludes_prompt(module, usage, answers))


def _pooling_module(checkpoint: Checkpoint) -> Module | None:
    modules = (*(checkpoint.modules or ()), *checkpoint.lone_pooling)
    return next((module for module in modules if module.kind == "Pooling"), None)


def _modes(
    checkpoint: Checkpoint, tower: Tower, said: Said, usage: Usage | None, module: Module | None
) -> tuple[tuple[Pooling, ...], str]:
    if said.pooling is not None:
        return (said.pooling.value,), said.pooling.origin
    if module is not None:
        origin = module.origin if module.config else _OPEN_MODULE
        return _module_modes(module), origin
    for key in _CONFIG_KEYS:
        named = checkpoint.config.get(key)
        if isinstance(named, str):
            return (_config_mode(named, said.where(key)),), said.where(key)
    if usage is not None and usage.pooling is not None:
        return (usage.pooling,), f"{usage.name}'s format"
    return (tower.pooling,), "family default"


def _module_modes(module: Module) -> tuple[Pooling, ...]:
    where = module.origin
    given: Any = module.config.get("pooling_mode")
    if given is None:
        flagged = [ours for key, ours in _FLAGS.items() if module.config.get(key) is True]
        if not flagged and _FLAGS.keys() & module.config.keys():
            raise CheckpointError(f"{where}: no pooling mode is true; set --pooling")
        # The published class takes the mean when its file says nothing.
        return tuple(flagged) or ("mean",)
    names: Iterable[Any] = given if isinstance(given, list) else [given]
    modes = [_NAMES.get(str(name)) for name in names]
    known = [mode for mode in modes if mode is not None]
    if not modes or len(known) < len(modes):
        raise CheckpointError(
            f"{where}: pooling mode {given!r} is not known; known: {', '.join(_NAMES)}"
        )
    return tuple(known)


def _config_mode(named: str, where: str) -> Pooling:
    if named not in _CONFIG_NAMES:
        raise CheckpointError(
            f"{where} {named!r} is not known; known: {', '.join(_CONFIG_NAMES)}; set --pooling",
            param="pooling",
        )
    return _CONFIG_NAMES[named]


def _excludes_prompt(module: Module | None, usage: Usage | None, answers: Answers) -> bool:
    if module is not None and "include_prompt" in module.config:
        excludes = module.config["include_prompt"] is False
        return bool(
            answers.keep("excludes_prompt", excludes, f"{module.path}/config.json: include_prompt")
        )
    if usage is not None and usage.excludes_prompt:
        return bool(answers.keep("excludes_prompt", True, f"{usage.name}'s format"))
    return False


def _warn_open(checkpoint: Checkpoint, modes: tuple[Pooling, ...], origin: str) -> None:
    _log.warning(
        "%s leaves pooling open; using %s (%s). Other servers may choose otherwise: set --pooling "
        "(one of %s) to what the model's authors say",
        checkpoint.folder,
        "+".join(modes),
        origin,
        ", ".join(_NAMES.values()),
    )
