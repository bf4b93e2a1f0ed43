"""Every setting with its origin, for people and for programs. Secrets are counted, not shown."""

from collections.abc import Iterator
from typing import Any

from polyvec.config.definitions import BY_KEY, Definition
from polyvec.config.load import Config, Value


def rows(config: Config) -> Iterator[tuple[str, Any, str]]:
    """Key, JSON-able value and origin of every setting, models last."""
    for key, found in config.values.items():
        yield key, _shown(BY_KEY[key], found), found.origin
    for index, model in enumerate(config.models):
        yield f"model[{index}].checkpoint", model.reference, model.origin
        for name, found in model.values.items():
            yield f"model[{index}].{name}", _shown(BY_KEY[f"model.{name}"], found), found.origin


def _shown(definition: Definition, found: Value) -> Any:
    if definition.is_secret:
        return f"{len(found.value)} set" if found.value else "none"
    return list(found.value) if isinstance(found.value, tuple) else found.value
