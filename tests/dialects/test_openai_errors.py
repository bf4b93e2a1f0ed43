import orjson
import pytest

from polyvec.dialects._openai.errors import error_reply
from polyvec.errors import (
    DimensionsError,
    InferenceError,
    InputTooLongError,
    InvalidInputError,
    ModelNotFoundError,
    OverloadedError,
    TokenIdError,
)


def _body(error):
    return orjson.loads(error_reply(error).body)


def test_every_key_that_some_client_reads_is_there():
    assert _body(InvalidInputError("bad", param="input[1]")) == {
        "error": {
            "message": "bad",
            "type": "BadRequestError",
            "param": "input[1]",
            "code": 400,
            "reason": "invalid_value",
        },
        "object": "error",
        "message": "bad",
        "type": "BadRequestError",
        "param": "input[1]",
        "code": 400,
        "detail": "bad",
    }


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            InputTooLongError("x", param="input", length=257, limit=256),
            (
                "This model's maximum context length is 256 tokens. However, your prompt contains "
                "at least 257 input tokens, which exceeds this limit even without any output "
                "tokens. Please reduce the length of the input prompt. "
                "(parameter=input_tokens, value=257)"
            ),
        ),
        (
            InputTooLongError("x", param="input", length=12500, limit=4608, unit="characters"),
            (
                "This model's maximum context length is 4608 characters. However, your prompt "
                "contains 12500 characters. Please reduce the length of the input prompt. "
                "(parameter=input_text, value=12500)"
            ),
        ),
        (TokenIdError("x", token=999999), "Token id 999999 is out of vocabulary"),
        (
            ModelNotFoundError("x", name="nope", served=("a", "b")),
            "The model `nope` does not exist. Valid aliases: a, b.",
        ),
        (InferenceError("/srv/x"), "the server failed to answer this request; its log says why"),
    ],
)  # fmt: skip
def test_an_error_is_worded_as_vllm_words_it(error, message):
    assert _body(error)["message"] == message


def test_overload_is_told_in_vllms_words_with_our_reason():
    message = _body(OverloadedError("the queue is full"))["message"]
    assert message.startswith("The engine is currently busy and cannot accept new requests.")
    assert "the queue is full" in message


def test_a_refused_length_comes_with_those_that_are_allowed():
    error = DimensionsError("only some", dimensions=7, native=8, matryoshka=(4, 2))
    assert _body(error)["error"]["allowed"] == [2, 4, 8]


def test_where_only_the_native_length_is_allowed_both_sentences_are_told():
    error = DimensionsError("the older sentence", dimensions=7, native=8, model="m")
    body = orjson.loads(error_reply(error).body)
    assert body["message"] == "the older sentence"
    assert body["error"]["message"] == (
        "Model 'm' does not support Matryoshka embeddings; dimensions must be unset (received "
        "dimensions=7)."
    )
