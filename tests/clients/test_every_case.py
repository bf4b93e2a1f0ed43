"""Every numbered case of compatibility has a test."""

import re
from pathlib import Path

NUM_CASES = 64


def test_all_cases_are_there() -> None:
    here = Path(__file__).parent
    text = "\n".join(path.read_text() for path in here.glob("test_*.py"))
    names = re.findall(r"def (test_c\w+)", text)
    found = {int(number) for name in names for number in re.findall(r"_?c(\d\d)(?=_)", name)}
    assert found == set(range(1, NUM_CASES + 1))
