"""Gathers every setting from its four sources and remembers which one won."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyvec.config import mmes
from polyvec.config.definitions import BY_KEY, BY_VARIABLE, DEFINITIONS, Definition
from polyvec.config.values import listing, switch, text
from polyvec.errors import ConfigError

DEFAULT_MODEL = "polyvec-demo"
CONFIG_VARIABLE = "POLYVEC_CONFIG"
MODEL_VARIABLE = "POLYVEC_MODEL"
MMES_VARIABLE = "POLYVEC_MMES"

# What Kubernetes adds by itself to every container beside a Service called polyvec or polyvec-x.
_KUBERNETES = re.compile(r"POLYVEC_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)")


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value and where it came from.

    Attributes:
        value: Parsed.
        origin: ``default``, ``--port``, ``POLYVEC_PORT``, or the file's path and key.
    """

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model to serve.

    Attributes:
        reference: Folder, hub id or alias.
        origin: Where the reference came from.
        values: Settings of section ``model`` by field name.
    """

    reference: str
    origin: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator has said.

    Attributes:
        values: Settings of all sections but ``model``, by dotted key.
        models: In serving order; the first answers requests that name none.
    """

    values: Mapping[str, Value]
    models: tuple[ModelSettings, ...]

    def section(self, name: str) -> dict[str, Any]:
        """Field name → value of one section, ready for its options class."""
        return {
            BY_KEY[key].name: found.value
            for key, found in self.values.items()
            if BY_KEY[key].section == name
        }


@dataclass(slots=True)
class _Sources:
    """Values found so far; later sources overwrite earlier ones."""

    found: dict[str, Value] = field(default_factory=dict)
    models: list[tuple[str, str, dict[str, Value]]] = field(default_factory=list)

    def put(self, definition: Definition, raw: Any, origin: str) -> None:
        self.found[definition.key] = Value(_parsed(definition, raw, origin), origin)


def load_config(
    *,
    models: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    file: str | None = None,
    environ: Mapping[str, str] | None = None,
    mmes_defaults: bool = False,
) -> Config:
    """Read all sources: flags win over variables, those over the file.

    Variables of Multimodal Embedding Serving come last, before the defaults.

    Args:
        models: MODEL arguments of the command line.
        flags: Dotted key → text of every flag that was given.
        file: TOML file; the variable POLYVEC_CONFIG names one otherwise.
        environ: Variables; the process's own by default.
        mmes_defaults: Whether defaults are those of a container of Multimodal Embedding Serving;
            the variable POLYVEC_MMES says so as well.

    Raises:
        ConfigError: A key or variable is unknown, a value cannot be used, or a model's setting was
            given by flag or variable although several models are served.
    """
    environ = os.environ if environ is None else environ
    sources = _Sources()
    if mmes_defaults or _is_on(environ, MMES_VARIABLE):
        for key, raw in mmes.defaults().items():
            sources.put(BY_KEY[key], raw, "--mmes")
    _read_mmes(environ, sources)
    path = file or environ.get(CONFIG_VARIABLE)
    if path:
        _read_file(Path(path), sources)
    _read_environ(environ, sources)
    for key, raw in (flags or {}).items():
        sources.put(BY_KEY[key], raw, f"--{BY_KEY[key].flag}")
    given = [(reference, "command line") for reference in models]
    if given:
        sources.models = [(reference, origin, {}) for reference, origin in given]
    if not sources.models:
        sources.models = [(DEFAULT_MODEL, "default", {})]
    return _combine(sources)


def _read_file(path: Path, sources: _Sources) -> None:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", param="config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}", param="config") from None
    known = sorted({definition.section for definition in DEFINITIONS})
    for section, table in document.items():
        if section not in known:
            raise _unknown("table", section, known, f"{path}")
        if section == "model":
            _read_models(path, table, sources)
        elif isinstance(table, dict):
            for definition, raw, origin in _entries(path, section, table):
                sources.put(definition, raw, origin)
        else:
            raise ConfigError(f"{path}: {section} must be a table: [{section}]", param=section)


def _read_models(path: Path, tables: Any, sources: _Sources) -> None:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{path}: models are tables of an array: [[model]]", param="model")
    models: list[tuple[str, str, dict[str, Value]]] = []
    for table in tables:
        if not isinstance(table.get("checkpoint"), str):
            raise ConfigError(
                f"{path}: every [[model]] needs a checkpoint: a folder or hub id", param="model"
            )
        rest = {key: raw for key, raw in table.items() if key != "checkpoint"}
        found = {
            definition.name: Value(_parsed(definition, raw, origin), origin)
            for definition, raw, origin in _entries(path, "model", rest)
        }
        models.append((table["checkpoint"], f"{path}", found))
    sources.models = models


def _entries(
    path: Path, section: str, table: Mapping[str, Any]
) -> Iterable[tuple[Definition, Any, str]]:
    names = [definition.name for definition in DEFINITIONS if definition.section == section]
    for name, raw in table.items():
        if name not in names:
            raise _unknown("key", name, names, f"{path}, [{section}]")
        yield BY_KEY[f"{section}.{name}"], raw, f"{path}: {section}.{name}"


def _read_environ(environ: Mapping[str, str], sources: _Sources) -> None:
    special = (CONFIG_VARIABLE, MODEL_VARIABLE, MMES_VARIABLE)
    for variable in sorted(environ):
        raw = environ[variable]
        if not variable.startswith("POLYVEC_") or variable in special or not raw:
            continue
        if _KUBERNETES.fullmatch(variable) or (variable.endswith("_PORT") and "://" in raw):
            continue
        if variable not in BY_VARIABLE:
            raise _unknown("variable", variable, [*BY_VARIABLE, *special], "the environment")
        sources.put(BY_VARIABLE[variable], raw, variable)
    if environ.get(MODEL_VARIABLE):
        references = listing(text)(environ[MODEL_VARIABLE])
        sources.models = [(reference, MODEL_VARIABLE, {}) for reference in references]


def _read_mmes(environ: Mapping[str, str], sources: _Sources) -> None:
    for variable, translate in mmes.VARIABLES.items():
        if environ.get(variable):
            for key, raw in translate(environ[variable]).items():
                sources.put(BY_KEY[key], raw, variable)
    reference = environ.get(mmes.MODEL_VARIABLE)
    if reference:
        sources.models = [(reference, mmes.MODEL_VARIABLE, {})]


def _is_on(environ: Mapping[str, str], variable: str) -> bool:
    raw = environ.get(variable)
    if not raw:
        return False
    try:
        return switch(raw)
    except ValueError as error:
        raise ConfigError(f"{variable} must be {error}, not {raw!r}", param=variable) from None


def _combine(sources: _Sources) -> Config:
    shared = {key: value for key, value in sources.found.items() if BY_KEY[key].section == "model"}
    if shared and len(sources.models) > 1:
        origin = next(iter(shared.values())).origin
        raise ConfigError(
            f"{origin} is about one model, but {len(sources.models)} are served; "
            "write it under that model's [[model]] in a config file",
            param=origin.lstrip("-"),
        )
    values: dict[str, Value] = {}
    defaults: dict[str, Value] = {}
    for definition in DEFINITIONS:
        default = Value(definition.default, "default")
        if definition.section == "model":
            defaults[definition.name] = shared.get(definition.key, default)
        else:
            values[definition.key] = sources.found.get(definition.key, default)
    return Config(values, tuple(_model(entry, defaults) for entry in sources.models))


def _model(
    entry: tuple[str, str, Mapping[str, Value]], defaults: Mapping[str, Value]
) -> ModelSettings:
    reference, origin, own = entry
    merged = dict(defaults)
    for name, value in own.items():
        if merged[name].origin == "default":  # flags and variables win over the file
            merged[name] = value
    return ModelSettings(reference, origin, merged)


def _parsed(definition: Definition, raw: Any, origin: str) -> Any:
    try:
        return definition.parse(raw)
    except ValueError as error:
        shown = "" if definition.is_secret else f", not {raw!r}"
        raise ConfigError(f"{origin} must be {error}{shown}", param=definition.name) from None


def _unknown(kind: str, name: str, known: Iterable[str], where: str) -> ConfigError:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known))}"
    return ConfigError(f"unknown {kind} {name} in {where}{hint}", param=name)
