"""What flags of other servers mean here: rows of a table, and how they are read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from polyvec.errors import ConfigError

Kind = Literal["value", "switch", "words"]
"""One value; none, or true or false; one value or, after a model, several."""
Settings = Mapping[str, Any]
"""Dotted key → text. Beside keys of settings there are those below."""

MODEL = "MODEL"
"""Names a model; several are separated by ``;``."""
SOURCE = "SOURCE"
"""Names a model that may lie in the model repository already."""
VARIABLE = "VARIABLE."
"""Sets a variable of the process, such as ``VARIABLE.HF_TOKEN``."""
SAME_MODEL = "SAME_MODEL"
"""Must be the model that is served."""

_SHOWN = {
    MODEL: "same as MODEL",
    SOURCE: "same as MODEL; it may lie in --model-repository-path already",
    SAME_MODEL: "accepted where it is the model itself",
}


@dataclass(frozen=True, slots=True)
class Foreign:
    """One flag that other servers have.

    Attributes:
        name: Without dashes in front.
        kind: What stands behind it.
        meaning: Its text → settings; ValueError says what to use instead.
        help: For people.
        aliases: Other names; one letter has one dash.
        is_noted: It means nothing here; whoever gives it is told so.
    """

    name: str
    kind: Kind
    meaning: Callable[[str], Settings]
    help: str
    aliases: tuple[str, ...] = ()
    is_noted: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """As they are written."""
        return tuple(
            f"--{one}" if len(one) > 1 else f"-{one}" for one in (self.name, *self.aliases)
        )


def means(
    name: str, key: str, *aliases: str, kind: Kind = "value", reads: Mapping[str, Any] | None = None
) -> Foreign:
    """A row for a flag that is one of our settings.

    Args:
        name: Of the flag.
        key: Of the setting, or one of the words above.
        aliases: Other names.
        kind: What stands behind it.
        reads: Texts in lower case that are written otherwise here; None for such that leave the
            setting as it is.
    """
    read = dict(reads or {})

    def meaning(text: str) -> Settings:
        found = read.get(text.lower(), text)
        return {} if found is None else {key: found}

    return Foreign(name, kind, meaning, _SHOWN.get(key, f"means {key}"), aliases)


def ignored(name: str, *aliases: str, kind: Kind = "value", why: str = "") -> Foreign:
    """A row for a flag that changes no vector, and nothing here."""
    return Foreign(
        name, kind, lambda _: {}, why or "it has no meaning here", aliases, is_noted=True
    )


def silent(name: str, *aliases: str, kind: Kind = "switch", why: str) -> Foreign:
    """A row for a flag that asks for what is so in any case."""
    return Foreign(name, kind, lambda _: {}, why, aliases)


def refused(
    name: str, *aliases: str, use: str, kind: Kind = "value", allows: Iterable[str] = ()
) -> Foreign:
    """A row for a flag that cannot be obeyed, and must not be ignored.

    Args:
        name: Of the flag.
        aliases: Other names.
        use: What to do instead.
        kind: What stands behind it.
        allows: Texts that ask for nothing.
    """
    harmless = frozenset(allows) | ({"false"} if kind == "switch" else set())

    def meaning(text: str) -> Settings:
        parts = text.lower().rstrip(";").split(";")  # Infinity's list, one for each model
        if harmless.issuperset(part.strip() for part in parts):
            return {}
        raise ValueError(use)

    return Foreign(name, kind, meaning, f"refused: {use}", aliases)


@dataclass(frozen=True, slots=True)
class Given:
    """A flag or variable of another server that somebody has given.

    Attributes:
        origin: As it was written, such as ``--rest-port`` or ``MODEL_ID``.
        row: Of the table.
        text: Its value.
    """

    origin: str
    row: Foreign
    text: str


@dataclass(slots=True)
class Meaning:
    """What all given flags come to.

    Attributes:
        models: References, in order.
        source: A model that may lie in the repository, or None.
        same_model: What must be the model that is served, with its origin.
        settings: Key → text and origin.
        variables: Of the process.
        notes: What has no effect.
    """

    models: list[str] = field(default_factory=list)
    source: str | None = None
    same_model: list[tuple[str, str]] = field(default_factory=list)
    settings: dict[str, tuple[Any, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, key: str, text: Any, origin: str) -> None:
        """Note one setting.

        Raises:
            ConfigError: Another flag says otherwise.
        """
        if key == MODEL:
            self.models += [one.strip() for one in str(text).split(";") if one.strip()]
        elif key == SOURCE:
            self.source = text
        elif key == SAME_MODEL:
            self.same_model.append((text, origin))
        elif key.startswith(VARIABLE):
            self.variables[key.removeprefix(VARIABLE)] = text
        elif self.settings.setdefault(key, (text, origin))[0] != text:
            raise ConfigError(
                f"{self.settings[key][1]} and {origin} disagree", param=origin.lstrip("-")
            )


def meaning_of(given: Iterable[Given]) -> Meaning:
    """Put flags together.

    Raises:
        ConfigError: One cannot be obeyed, or two disagree.
    """
    meaning = Meaning()
    for one in given:
        try:
            settings = one.row.meaning(one.text)
        except ValueError as error:
            written = one.origin if one.text == "true" else f"{one.origin} {one.text}"
            raise ConfigError(f"{written}: {error}", param=one.origin.lstrip("-")) from None
        for key, text in settings.items():
            meaning.put(key, text, one.origin)
        if one.row.is_noted and one.text != "false":
            meaning.notes.append(f"{one.origin} has no effect: {one.row.help}")
    return meaning


def read_keys(text: str) -> Settings:
    """API keys from a file, one a line.

    Raises:
        ValueError: It cannot be read, or is empty.
    """
    try:
        lines = Path(text).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        raise ValueError("give a file that can be read") from None
    if not lines:
        raise ValueError("give a file with a key in it")
    return {"server.api_keys": lines}
