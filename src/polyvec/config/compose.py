"""Settings → the options classes of the packages that use them."""

from dataclasses import dataclass
from pathlib import Path

from polyvec.backends._base import BackendOptions
from polyvec.config.load import Config, ModelSettings
from polyvec.engine.load import RunOptions, ServedModel
from polyvec.engine.options import EngineOptions
from polyvec.media.decoder_options import DecoderOptions
from polyvec.media.policy import MediaPolicy
from polyvec.models._registry import alias_groups, alias_named
from polyvec.models._resolve import ModelOptions
from polyvec.server.options import ServerOptions


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
        ),
        models=tuple(served_model(model) for model in config.models),
    )


def served_model(settings: ModelSettings) -> ServedModel:
    """One model's reference, names and options."""
    fields = {name: found.value for name, found in settings.values.items()}
    names = fields.pop("served_model_name") or _own_names(settings.reference)
    return ServedModel(
        reference=settings.reference,
        name=names[0],
        aliases=tuple(names[1:]),
        options=ModelOptions(**fields),
    )


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
