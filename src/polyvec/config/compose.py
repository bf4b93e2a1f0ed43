"""Settings → the options classes of the packages that use them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvec.backends._base import BackendOptions
from polyvec.checkpoints.registered_templates import REGISTERED_TEMPLATES
from polyvec.config.load import Config, ModelSettings, model_settings
from polyvec.engine.load import RunOptions
from polyvec.engine.options import EngineOptions
from polyvec.engine.residency import ResidencyOptions
from polyvec.engine.served import ServedModel
from polyvec.media.decoder_options import DecoderOptions
from polyvec.media.policy import MediaPolicy
from polyvec.models._registry import alias_groups, alias_named
from polyvec.models._resolve import ModelOptions
from polyvec.server.options import ServerOptions

_RESIDENCY = ("lazy", "pinned", "unload_idle_s", "memory_bytes")


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``polyvec serve`` needs, typed.

    Attributes:
        server: How to listen.
        run: How every model is run.
        models: What to load, in serving order.
    """

    server: ServerOptions
    run: RunOptions
    models: tuple[ServedModel, ...]


def compose(config: Config) -> Plan:
    """Fill the options classes.

    Raises:
        ConfigError: A value is refused by its class.
    """
    device = config.section("backend")
    backend = device.pop("name")
    return Plan(
        server=ServerOptions(**config.section("server")),
        run=RunOptions(
            backend=backend,
            device=BackendOptions(**device),
            engine=EngineOptions(**config.section("engine")),
            media=MediaPolicy(**config.section("media")),
            decoder=DecoderOptions(**config.section("decoder")),
            residency=ResidencyOptions(**config.section("residency")),
        ),
        models=tuple(served_model(model) for model in config.models),
    )


def served_model(settings: ModelSettings) -> ServedModel:
    """One model's reference, names and options."""
    fields = {name: found.value for name, found in settings.values.items()}
    names = fields.pop("served_model_name") or _own_names(settings.reference)
    residency = {name: fields.pop(name) for name in _RESIDENCY}
    return ServedModel(
        reference=settings.reference,
        name=names[0],
        aliases=_aliases(names, fields["chat_template"]),
        options=ModelOptions(**fields),
        is_optional=settings.is_optional,
        **residency,
    )


def _aliases(names: tuple[str, ...], chat_template: str | None) -> tuple[str, ...]:
    """Names after the first; clients of GME call a model by its registered chat template."""
    if chat_template in REGISTERED_TEMPLATES and chat_template not in names:
        return (*names[1:], chat_template)
    return tuple(names[1:])


def model_of_table(table: Mapping[str, Any]) -> ServedModel:
    """One model as a [[model]] of the config file would have it; ``name`` is its served name.

    Raises:
        ConfigError: A key is unknown, or a value cannot be used.
    """
    table = dict(table)
    if "name" in table:
        table.setdefault("served_model_name", table.pop("name"))
    return served_model(model_settings(table))


def _own_names(reference: str) -> tuple[str, ...]:
    """Names of a model that was given none.

    A folder is shown by its last part, since callers need not know where it lies; whoever does may
    use the whole path, as with other servers.
    """
    folder = Path(reference).expanduser()
    if not folder.is_dir():
        alias = alias_named(reference)
        others = next((names for names in alias_groups() if alias in names), ())
        return tuple(dict.fromkeys((reference, alias or reference, *others)))
    return tuple(dict.fromkeys((folder.resolve().name, reference)))
