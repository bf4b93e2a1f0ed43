"""What the command line says of words that it does not know."""

import pytest

from polyvec.cli import main
from polyvec.cli._unknown import explained


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--max-modl-len", "5"], "did you mean --max-model-len?"),
        (["--rest-prot=8"], "did you mean --rest-port?"),
        (["--poolng", "cls"], "did you mean --pooling?"),
        (["--zzz", "1"], "--help lists the flags"),
        (["org/m"], "models stand together, before all flags or behind them"),
    ],
)
def test_the_message_says_what_was_probably_meant(words: list[str], hint: str) -> None:
    assert explained(words) == f"unrecognized arguments: {' '.join(words)}; {hint}"


def test_an_unknown_flag_ends_the_command_with_the_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "org/m", "--max-modl-len", "5"]) == 2
    assert "did you mean --max-model-len?" in capsys.readouterr().err
