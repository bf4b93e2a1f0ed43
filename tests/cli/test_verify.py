from pathlib import Path

import pytest

from polyvec.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b"], "verify takes one MODEL"),
        (["--min-cosine", "2"], "--min-cosine must be from -1 to 1, not 2.0"),
        (["--against", "localhost"], "--against must be an http or https URL"),
        (["--texts", "no/such/file"], "--texts: no/such/file cannot be read"),
        (["no/such/place"], "neither a folder nor a hub id"),
        (["--prompt-name", "x"], "prompt_name 'x' is not a prompt of this model"),
    ],
)
def test_errors_are_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["verify", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("polyvec: error: ")
    assert message in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")


def test_the_demo_model_is_the_same_as_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts"
    texts.write_text("a red circle\na blue square beside a green one\n")
    assert main(["verify", "--texts", str(texts)]) == 0
    shown = capsys.readouterr().out
    assert "polyvec-demo: CLIPModel, float32 on cpu, openvino" in shown
    assert "reference  sentence-transformers " in shown
    assert "same: every cosine must be at least 0.9999" in shown
