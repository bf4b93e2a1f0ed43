"""Definitions → argparse flags, and back to the values that were really given."""

import argparse
import os
import sys
from typing import Any

from polyvec.cli._foreign import add_foreign_flags
from polyvec.config.definitions import DEFINITIONS, Definition
from polyvec.config.foreign import meaning_of
from polyvec.config.gather import PER_MODEL, gather
from polyvec.config.load import Config, load_config
from polyvec.config.repository import Repository

_MIB = 1 << 20


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """MODEL, ``--config`` and a flag for every setting that has one."""
    # argparse would name every flag here, before it says what any of them means.
    parser.usage = f"{parser.prog} [flags] [MODEL ...]"
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="folder, hub id or alias, or NAME=one of these (default: polyvec-demo)",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument(
        "--config-path",
        metavar="FILE",
        help="config.json of a model repository of OpenVINO Model Server; looked at every second",
    )
    parser.add_argument(
        "--model-repository-path",
        metavar="DIR",
        help="serve every model in this folder, by its path there, such as org/name",
    )
    parser.add_argument(
        "--mmes",
        action="store_true",
        help="stand in for a container of Multimodal Embedding Serving: listen on all addresses, "
        "fetch public URLs, read videos and manifests below the temporary folder; its "
        "EMBEDDING_* variables are read in any case",
    )
    for definition in DEFINITIONS:
        if definition.flag is not None:
            _add_flag(parser, definition)
    # With so many flags of so many servers, a shortened one could mean anything.
    parser.allow_abbrev = False
    add_foreign_flags(parser)


def load_given(arguments: argparse.Namespace) -> Config:
    """The settings in force for parsed arguments: file and environment included.

    Raises:
        ConfigError: A setting is unknown or cannot be used.
    """
    meaning = meaning_of(arguments.foreign or ())
    are_several = len(arguments.models) + len(meaning.models) > 1
    flags = {
        definition.key: (_merged(definition, given, are_several), f"--{definition.flag}")
        for definition in DEFINITIONS
        if (given := getattr(arguments, definition.key, None)) is not None
    }
    found = gather(
        arguments.models,
        flags,
        meaning,
        Repository(arguments.config_path, arguments.model_repository_path),
    )
    return load_config(
        given=found, file=arguments.config, mmes_defaults=getattr(arguments, "mmes", False)
    )


def take_effect(config: Config) -> None:
    """Say what was given in vain, and set the process's variables; before runtimes are imported."""
    for note in config.notes:
        print(f"polyvec: note: {note}", file=sys.stderr)
    os.environ.update(config.variables)


def _add_flag(parser: argparse.ArgumentParser, definition: Definition) -> None:
    names = [f"--{name}" for name in (definition.flag, *definition.aliases)]
    text = (definition.help + _shown_default(definition)).replace("%", "%%")
    if definition.is_switch:
        parser.add_argument(
            *names, dest=definition.key, action=argparse.BooleanOptionalAction, help=text
        )
    elif definition.is_list or definition.key in PER_MODEL:
        parser.add_argument(*names, dest=definition.key, action="append", metavar="X", help=text)
    else:
        parser.add_argument(*names, dest=definition.key, metavar="X", help=text)


def _merged(definition: Definition, given: Any, are_several: bool) -> Any:  # noqa: FBT001
    """One value for each model, as Infinity has it, or the last one for the only model."""
    if definition.is_list or definition.key not in PER_MODEL or definition.is_switch:
        return given
    return ";".join(given) if are_several else given[-1]


def _shown_default(definition: Definition) -> str:
    value = definition.default
    if value is None or value in ((), ""):
        return ""
    if isinstance(value, bool):
        return f" (default: {'on' if value else 'off'})"
    if definition.name.endswith("_bytes") and value and value % _MIB == 0:
        return f" (default: {value // _MIB}MiB)"
    if definition.name.endswith("_s"):
        return f" (default: {value:g}s)"
    return f" (default: {value})"
