import orjson
import pytest

from polyvec import errors
from polyvec.dialects._base import Call
from polyvec.dialects._tei.errors import empty, render_error

UNKNOWN_PROMPT = "Input validation error: `default-prompt-name` is set to `q` but"
PROMPTS = "the Sentence Transformers"


@pytest.mark.parametrize(
    ("error", "text", "error_type"),
    [
        (
            errors.InputTooLongError("x", length=402, limit=256),
            "Input validation error: `inputs` must have less than 256 tokens. Given: 402",
            "Validation",
        ),
        (
            errors.InputTooLongError("x", length=9, limit=8, unit="characters"),
            "Input validation error: `inputs` must have less than 8 characters. Given: 9",
            "Validation",
        ),
        (
            errors.PromptNotFoundError("x", param="p", name="q", known=("a",)),
            f'{UNKNOWN_PROMPT} it was not found in {PROMPTS} prompts. Available prompts: ["a"]',
            "Validation",
        ),
        (
            errors.PromptNotFoundError("x", param="p", name="q"),
            f"{UNKNOWN_PROMPT} no prompts were found in {PROMPTS} configuration",
            "Validation",
        ),
        (errors.TokenIdError("no token 7"), "no token 7", "Tokenizer"),
        (errors.OverloadedError("full"), "Model is overloaded", "Overloaded"),
        (errors.NotReadyError("loading"), "loading", "Unhealthy"),
        (errors.PayloadTooLargeError("too large"), "too large", "Validation"),
        (errors.DimensionsError("no", dimensions=2, native=3), "no", "Validation"),
    ],
)
def test_errors_are_in_the_words_of_tei(
    error: errors.PolyvecError, text: str, error_type: str
) -> None:
    reply = render_error(error, Call("POST", "/embed"))
    assert orjson.loads(reply.body) == {"error": text, "error_type": error_type}


def test_an_empty_batch_has_a_type_of_its_own() -> None:
    reply = render_error(empty("texts"), Call("POST", "/rerank"))
    assert reply.status == 400
    assert orjson.loads(reply.body) == {"error": "`texts` cannot be empty", "error_type": "Empty"}
