"""Definitions → argparse flags, and back to the values that were really given."""

import argparse

from polyvec.config.definitions import DEFINITIONS, Definition
from polyvec.config.load import Config, load_config

_MIB = 1 << 20


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """MODEL, ``--config`` and a flag for every setting that has one."""
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="folder, hub id or alias (default: polyvec-demo)"
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
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


def load_given(arguments: argparse.Namespace) -> Config:
    """The settings in force for parsed arguments: file and environment included.

    Raises:
        ConfigError: A setting is unknown or cannot be used.
    """
    flags = {
        definition.key: given
        for definition in DEFINITIONS
        if (given := getattr(arguments, definition.key, None)) is not None
    }
    return load_config(
        models=arguments.models,
        flags=flags,
        file=arguments.config,
        mmes_defaults=getattr(arguments, "mmes", False),
    )


def _add_flag(parser: argparse.ArgumentParser, definition: Definition) -> None:
    names = [f"--{name}" for name in (definition.flag, *definition.aliases)]
    text = (definition.help + _shown_default(definition)).replace("%", "%%")
    if definition.is_switch:
        parser.add_argument(
            *names, dest=definition.key, action=argparse.BooleanOptionalAction, help=text
        )
    elif definition.is_list:
        parser.add_argument(*names, dest=definition.key, action="append", metavar="X", help=text)
    else:
        parser.add_argument(*names, dest=definition.key, metavar="X", help=text)


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
