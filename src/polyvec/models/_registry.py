"""Finds the model files of this folder and answers which of them computes an architecture."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal

from polyvec.errors import CheckpointError
from polyvec.models._family import Family


@cache
def families() -> tuple[Family, ...]:
    """Every family, by name: one for each file of this folder without a leading underscore."""
    here = str(Path(__file__).parent)
    names = sorted(found.name for found in iter_modules([here]) if not found.name.startswith("_"))
    return tuple(import_module(f"polyvec.models.{name}").FAMILY for name in names)


def architecture_of(model_type: object) -> str:
    """The architecture of a config.json that names only its ``model_type``.

    Raises:
        CheckpointError: No family knows the type.
    """
    for family in families():
        if isinstance(model_type, str) and model_type in family.model_types:
            return family.model_types[model_type]
    raise CheckpointError(
        "config.json names no architecture: 'architectures' must list a class name",
        param="architectures",
    )


def claimant(config: Mapping[str, Any]) -> Family | None:
    """The family that claims a config.json whatever ``architectures`` says; see `Family.claims`."""
    return next((one for one in families() if one.claims is not None and one.claims(config)), None)


def family_of(architecture: str) -> Family:
    """The family that computes an architecture.

    Raises:
        CheckpointError: None does.
    """
    for family in families():
        if architecture in family.architectures:
            return family
    known = ", ".join(sorted(name for family in families() for name in family.architectures))
    raise CheckpointError(
        f"architecture {architecture!r} is not supported; supported: {known}", param="architectures"
    )


def aliases() -> dict[str, str]:
    """Names that callers of other servers use → hub id."""
    return {alias: repo for family in families() for alias, repo in family.aliases.items()}


def alias_groups() -> tuple[tuple[str, ...], ...]:
    """The same names, those of one hub id together: some models were renamed once."""
    groups: dict[str, list[str]] = {}
    for alias, repo in aliases().items():
        groups.setdefault(repo, []).append(alias)
    return tuple(map(tuple, groups.values()))


def alias_named(reference: str) -> str | None:
    """The alias that a name means, in any case, with or without its family; None for no alias."""
    wanted = reference.lower()
    fitting = [
        alias
        for alias in aliases()
        if alias.lower() == wanted or alias.lower().rpartition("/")[2] == wanted
    ]
    return fitting[0] if len(fitting) == 1 else None


def alias_dtype(reference: str) -> Literal["int8"] | None:
    """The precision that an alias stands for; see `Family.alias_dtypes`."""
    alias = alias_named(reference)
    found = (family.alias_dtypes.get(alias) for family in families() if alias is not None)
    return next((dtype for dtype in found if dtype is not None), None)
