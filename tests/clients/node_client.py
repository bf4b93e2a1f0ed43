"""Runs scripts of JavaScript clients with the node that the environment brings."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).with_name("node")
_NODE: Final = Path(sys.executable).parent / "node"
_LIMIT_S: Final = 60


def run_node(script: str, **values: Any) -> Any:
    """What a module prints as one line of JSON.

    Args:
        script: The module; it imports the packages of package.json.
        values: Constants that it sees.

    Raises:
        AssertionError: It failed; the message holds what it said.
    """
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    done = subprocess.run(
        [str(_NODE), "--input-type=module", "-"],
        input=constants + script,
        cwd=_FOLDER,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
