"""The names that a model answers to."""

from collections.abc import Sequence

from polyvec.errors import ConfigError
from polyvec.types import ModelCard


def names_of(cards: Sequence[ModelCard]) -> dict[str, int]:
    """Every name that means one of the models → its index.

    A name as declared wins over the last path segment of one, and that over another case; what
    could mean two models means neither.

    Raises:
        ConfigError: Two models declare the same name.
    """
    names = check_names([(card.name, *card.aliases) for card in cards])
    for derive in (_last_segment, str.casefold):
        derived: dict[str, set[int]] = {}
        for name, index in names.items():
            derived.setdefault(derive(name), set()).add(index)
        for name, indexes in derived.items():
            if len(indexes) == 1:
                names.setdefault(name, *indexes)
    return names


def check_names(declared: Sequence[Sequence[str]]) -> dict[str, int]:
    """Every declared name → the index of its model.

    Args:
        declared: Names of each model.

    Raises:
        ConfigError: Two models declare the same name.
    """
    found: dict[str, int] = {}
    for index, names in enumerate(declared):
        for name in names:
            if found.setdefault(name, index) != index:
                raise ConfigError(f"two models are served as {name!r}", param="served_name")
    return found


def _last_segment(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]
