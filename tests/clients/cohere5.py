"""Runs Python of cohere 5 and langchain-cohere, which have an environment of their own."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[2]
_PYTHON: Final = _ROOT / ".venv-clients-cohere5/bin/python"
_LIMIT_S: Final = 60


def run_cohere5(script: str, **values: Any) -> Any:
    """What a script prints as one line of JSON.

    Args:
        script: It imports the packages of the group ``clients-cohere5``.
        values: Variables that it has.

    Raises:
        AssertionError: It failed; the message holds what it said.
    """
    given = "".join(
        f"{name} = json.loads({json.dumps(value)!r})\n" for name, value in values.items()
    )
    done = subprocess.run(
        [str(_PYTHON), "-c", "import json\n" + given + script],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
