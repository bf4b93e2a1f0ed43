"""What nobody knows on a command line, and what was probably meant."""

import difflib
from collections.abc import Sequence

from polyvec.config.definitions import DEFINITIONS
from polyvec.config.foreign_flags import ROWS

_OURS = tuple(
    name for one in DEFINITIONS if one.flag is not None for name in (one.flag, *one.aliases)
)


def explained(words: Sequence[str]) -> str:
    """A message for arguments that are left over.

    Args:
        words: Flags with their values, and models that stand after flags.
    """
    unknown = [word.partition("=")[0] for word in words if word.startswith("--")]
    text = f"unrecognized arguments: {' '.join(words)}"
    if not unknown:
        return f"{text}; models stand together, before all flags or behind them"
    # Ours first: a flag of another server has a name here too.
    near = [found[0] for name in unknown if (found := _near(name.removeprefix("--")))]
    hint = f"did you mean --{', --'.join(near)}?" if near else "--help lists the flags"
    return f"{text}; {hint}"


def _near(name: str) -> list[str]:
    for known in (_OURS, tuple(ROWS)):
        if found := difflib.get_close_matches(name, known, n=1, cutoff=0.75):
            return found
    return []
