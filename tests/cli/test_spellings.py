"""Flags may be spelled as vLLM's command line lets them be."""

import pytest

from polyvec.cli._spellings import plain
from polyvec.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (["--max_model_len", "6_4"], ["--max-model-len", "6_4"]),
        (["--served_model_name=a_b.c"], ["--served-model-name=a_b.c"]),
        (["a_b", "--hf-overrides.a_b.c", "1"], ["a_b", '--hf-overrides={"a_b": {"c": 1}}']),
        (
            ["--hf_overrides.d+=8", "--hf_overrides.d+", "16"],
            ['--hf-overrides={"d": [8, 16]}'],
        ),
        (["--pooler-config.pooling_type", "MEAN"], ['--pooler-config={"pooling_type": "MEAN"}']),
        (["--prompts.q", "a: b", "--", "--x_y"], ['--prompts={"q": "a: b"}', "--", "--x_y"]),
    ],
)
def test_flags_may_be_spelled_as_vllm_lets_them(given: list[str], written: list[str]) -> None:
    assert plain(given) == written


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--hf-overrides.a"], "needs a value"),
        (["--hf-overrides.", "1"], "is no key"),
        (["--hf-overrides.a", "1", "--hf-overrides.a", "2"], "given twice"),
        (["--hf-overrides.a", "1", "--hf-overrides.a.b", "2"], "already has a value"),
        (["--hf-overrides", "{}", "--hf-overrides.a", "1"], "write it one way"),
    ],
)
def test_json_options_that_cannot_be_put_together_are_refused(
    given: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plain(given)
