"""Gathers every setting from its four sources and remembers which one won."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polyvec.config import hosting, mmes
from polyvec.config.definitions import BY_KEY, BY_VARIABLE, DEFINITIONS, Definition
from polyvec.config.foreign import meaning_of
from polyvec.config.gather import Gathered, gather
from polyvec.config.repository import Repository
from polyvec.config.values import listing, switch, text
from polyvec.config.variables import given_variables
from polyvec.errors import ConfigError

DEFAULT_MODEL = "polyvec-demo"
DEFAULT = "default"
"""Origin of what nobody has said."""
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
        is_optional: A server starts without it if it cannot be loaded.
    """

    reference: str
    origin: str
    values: Mapping[str, Value]
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator has said.

    Attributes:
        values: Settings of all sections but ``model``, by dotted key.
        models: In serving order; the first answers requests that name none.
        lists: Files and folders that the list of models was read from.
        variables: Of the process, to be set before models are loaded.
        notes: What was given and has no effect.
    """

    values: Mapping[str, Value]
    models: tuple[ModelSettings, ...]
    lists: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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
    lists: list[str] = field(default_factory=list)
    are_optional: bool = False
    variables: dict[str, str] = field(default_factory=dict)

    def put(self, definition: Definition, raw: Any, origin: str) -> None:
        self.found[definition.key] = Value(_parsed(definition, raw, origin), origin)


def load_config(
    *,
    models: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    given: Gathered | None = None,
    file: str | None = None,
    environ: Mapping[str, str] | None = None,
    mmes_defaults: bool = False,
) -> Config:
    """Read all sources: flags win over variables, those over the file.

    Variables of Multimodal Embedding Serving and of hosting platforms come last, before the
    defaults.

    Args:
        models: MODEL arguments of the command line, as references or as NAME=reference.
        flags: Dotted key → text of every flag that was given.
        given: In place of both: a command line with flags of other servers too.
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
    _read_foreign(environ, sources)
    path = file or environ.get(CONFIG_VARIABLE)
    if path:
        sources.lists = [path]
        _read_file(Path(path), sources)
    _read_environ(environ, sources)
    given = given or _plain(models, flags or {})
    for key, (raw, origin) in given.settings.items():
        sources.put(BY_KEY[key], raw, origin)
    if given.repository.lists:
        _read_repository(given.repository, sources)
    if given.models:
        sources.models = [_own(reference, own) for reference, own in given.models]
        sources.are_optional, sources.lists = False, []
    sources.variables.update(given.variables)
    if not sources.models and not sources.are_optional:
        sources.models = [(DEFAULT_MODEL, DEFAULT, {})]
    return replace(_combine(sources), notes=given.notes)


def _plain(models: Iterable[str], flags: Mapping[str, Any]) -> Gathered:
    return Gathered(
        models=tuple((reference, {}) for reference in models),
        settings={key: (raw, f"--{BY_KEY[key].flag}") for key, raw in flags.items()},
    )


def _own(reference: str, own: Mapping[str, tuple[Any, str]]) -> tuple[str, str, dict[str, Value]]:
    """A model of the command line with what was said of it alone."""
    reference, origin, values = _named(reference, "command line")
    for key, (raw, where) in own.items():
        definition = BY_KEY[key]
        values[definition.name] = Value(_parsed(definition, raw, where), where)
    return reference, origin, values


def _named(given: str, origin: str) -> tuple[str, str, dict[str, Value]]:
    """A reference, or NAME=reference; what is a folder is a reference whatever its name."""
    name, equals, reference = given.partition("=")
    if not equals or Path(given).expanduser().is_dir():
        return given, origin, {}
    if not name or not reference:
        raise ConfigError(f"{given!r} is neither a model nor NAME=model", param="MODEL")
    return reference, origin, {"served_model_name": Value((name,), origin)}


def _read_repository(repository: Repository, sources: _Sources) -> None:
    sources.models = [
        (one.folder, origin, {"served_model_name": Value((one.name,), origin)})
        for one, origin in repository.models()
    ]
    sources.are_optional, sources.lists = True, list(repository.lists)
    watched = BY_KEY["residency.watch_config_s"]
    if repository.config_file is not None and watched.key not in sources.found:
        # As often as the server does that these lists are of.
        sources.put(watched, 1, f"{repository.config_file}")


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
    sources.models = [_model_table(f"{path}", table) for table in tables]


def _model_table(where: str, table: Mapping[str, Any]) -> tuple[str, str, dict[str, Value]]:
    if not isinstance(table.get("checkpoint"), str) or not table["checkpoint"]:
        raise ConfigError(
            f"{where}: every [[model]] needs a checkpoint: a folder or hub id", param="model"
        )
    rest = {key: raw for key, raw in table.items() if key != "checkpoint"}
    found = {
        definition.name: Value(_parsed(definition, raw, origin), origin)
        for definition, raw, origin in _entries(where, "model", rest)
    }
    return table["checkpoint"], where, found


def model_settings(table: Mapping[str, Any], where: str = "the request") -> ModelSettings:
    """One model from a table with the keys of a [[model]].

    Raises:
        ConfigError: A key is unknown, or a value cannot be used.
    """
    defaults = {
        definition.name: Value(definition.default, DEFAULT)
        for definition in DEFINITIONS
        if definition.section == "model"
    }
    return _model(_model_table(where, table), defaults)


def _entries(
    path: Path | str, section: str, table: Mapping[str, Any]
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
        sources.models = [_named(reference, MODEL_VARIABLE) for reference in references]
        sources.lists = []


def _read_foreign(environ: Mapping[str, str], sources: _Sources) -> None:
    for variable, translate in (*mmes.VARIABLES.items(), *hosting.VARIABLES.items()):
        if environ.get(variable):
            for key, raw in translate(environ[variable]).items():
                sources.put(BY_KEY[key], raw, variable)
    found = gather((), {}, meaning_of(given_variables(environ)), Repository())
    for key, (raw, origin) in found.settings.items():
        sources.put(BY_KEY[key], raw, origin)
    sources.variables = dict(found.variables)
    if found.models:
        sources.models = [_own(reference, own) for reference, own in found.models]
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
        default = Value(definition.default, DEFAULT)
        if definition.section == "model":
            defaults[definition.name] = shared.get(definition.key, default)
        else:
            values[definition.key] = sources.found.get(definition.key, default)
    models = (_model(entry, defaults) for entry in sources.models)
    if sources.are_optional:
        models = (replace(model, is_optional=True) for model in models)
    return Config(values, tuple(models), tuple(sources.lists), dict(sources.variables))


def _model(
    entry: tuple[str, str, Mapping[str, Value]], defaults: Mapping[str, Value]
) -> ModelSettings:
    reference, origin, own = entry
    merged = dict(defaults)
    for name, value in own.items():
        if merged[name].origin == DEFAULT:  # flags and variables win over the file
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
