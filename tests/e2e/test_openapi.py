"""Schemathesis sends what the document allows, and what it does not, to a real server."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.process import ServerProcess

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
EXAMPLES_PER_OPERATION = 3
LIMIT_S = 280


@pytest.mark.timeout(LIMIT_S + 20)
def test_the_server_keeps_to_its_document(demo: ServerProcess, tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{demo.url}/openapi.json",
            "--checks", ",".join(CHECKS),
            "--phases", "fuzzing",
            "--mode", "all",
            "--max-examples", str(EXAMPLES_PER_OPERATION),
            "--seed", "1",
            "--no-color",
        ],
        cwd=tmp_path,  # it leaves a database of examples
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    said = f"{ran.stdout}\n{ran.stderr}\n{demo.log.read_text()[-4000:]}"
    assert ran.returncode == 0, said
    found = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert found is not None, said
    assert int(found[1]) == int(found[2]) > 200
    assert "Traceback" not in demo.log.read_text()
