"""Other servers' flags on our command line: in the help, and in the spellings they have there."""

import argparse
from collections.abc import Sequence
from typing import Any

from polyvec.config.definitions import BY_KEY, DEFINITIONS
from polyvec.config.foreign import VARIABLE, Foreign, Given
from polyvec.config.foreign_flags import GROUPS, ROWS

_COMMANDS = frozenset(("serve", "verify", "config", "models"))
_BOOLEANS = frozenset(("true", "false"))
_SWITCHES = frozenset(
    name for one in DEFINITIONS if one.is_switch and one.flag for name in (one.flag, *one.aliases)
)
_NAMES_A_MODEL = frozenset(("--model", "--model-path", "--model-id", "--source-model"))
_SEVERAL = frozenset(
    ("served-model-name", "allowed-media-domain", "allowed-media-domains", "api-key")
) | frozenset(name for name, row in ROWS.items() if row.kind == "words")


class _Note(argparse.Action):
    """Keeps what was given, in order."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        del parser
        written = option_string or ""
        row = ROWS[written.lstrip("-")]
        given = getattr(namespace, "foreign", None) or []
        setattr(namespace, self.dest, [*given, Given(written, row, values)])


def add_foreign_flags(parser: argparse.ArgumentParser) -> None:
    """A group of flags for each other server."""
    for title, rows in GROUPS.items():
        mute = [name for row in rows if row.is_noted for name in row.flags]
        group = parser.add_argument_group(
            title, f"accepted without effect: {', '.join(mute)}".replace("%", "%%")
        )
        for row in rows:
            _add(group, row)


def _add(group: "argparse._ArgumentGroup", row: Foreign) -> None:
    hidden = row.is_noted or row.help.startswith("refused")
    short = [f"-{name}" for name in (row.name, *row.aliases) if len(name) == 2]  # noqa: PLR2004
    # A refused flag says what to use, whatever stands behind it.
    may_be_bare = row.kind == "switch" or (row.kind == "words" and hidden)
    group.add_argument(
        *row.flags,
        *short,
        dest="foreign",
        action=_Note,
        nargs="?" if may_be_bare else None,
        const="true" if may_be_bare else None,
        metavar="BOOL" if row.kind == "switch" else "X",
        help=argparse.SUPPRESS if hidden else _shown(row.help).replace("%", "%%"),
    )


def _shown(text: str) -> str:
    """Our flag for the key that a row means."""
    definition = BY_KEY.get(text.removeprefix("means "))
    if definition is not None and definition.flag is not None:
        return f"same as --{definition.flag}"
    return text.replace(f"means {VARIABLE}", "sets the variable ")


def folded(argv: Sequence[str]) -> list[str]:
    """A command line on which every flag has one value at most.

    ``--normalize false`` becomes ``--no-normalize``, ``--is-embedding M`` becomes
    ``--is-embedding=true M``, and, after a model, ``--served-model-name a b`` becomes
    ``--served-model-name=a,b``, since that is how vLLM reads it.

    Args:
        argv: With dashes for underscores.
    """
    words = list(argv)
    if not words or words[0] not in _COMMANDS:
        return words
    first = 1 if words[0] in {"serve", "verify"} else 2
    has_model = len(words) > first and not words[first].startswith("-")
    has_model |= any(word.partition("=")[0] in _NAMES_A_MODEL for word in words)
    end = words.index("--") if "--" in words else len(words)
    rest, done = words[:end], words[end:]
    folded: list[str] = []
    while rest:
        word = rest.pop(0)
        name = word.removeprefix("--")
        if name == word or "=" in word:
            folded.append(word)
        elif name in _SEVERAL:
            folded.append(_joined(word, rest, takes_all=has_model or name == "task"))
        else:
            folded.append(_switched(name, rest))
    return [*folded, *done]


def _joined(word: str, rest: list[str], *, takes_all: bool) -> str:
    values: list[str] = []
    while rest and not rest[0].startswith("-") and (takes_all or not values):
        values.append(rest.pop(0))
    return f"{word}={','.join(values)}" if values else word


def _switched(name: str, rest: list[str]) -> str:
    """One switch with its value; any other flag as it is."""
    positive = name.removeprefix("no-")
    row = ROWS.get(positive)
    is_theirs = row is not None and row.kind == "switch"
    if not is_theirs and positive not in _SWITCHES:
        return f"--{name}"
    value = rest.pop(0).lower() if rest and rest[0].lower() in _BOOLEANS else "true"
    is_on = (value == "true") == (positive == name)
    if is_theirs:
        return f"--{positive}={'true' if is_on else 'false'}"
    return f"--{'' if is_on else 'no-'}{positive}"
