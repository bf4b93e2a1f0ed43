from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec.checkpoints import cl100k
from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.engine.options import EngineOptions
from polyvec.engine.prepare_text import prepare_texts
from polyvec.engine.token_ids import read_ids
from polyvec.errors import ConfigError, InvalidInputError, TokenIdError
from polyvec.models._model import TextRules
from polyvec.types import EmbedRequest, Input, Part, Text, Tokens, Vocabulary
from tests.engine.doubles import make_text_rules

HELLO = (15339, 1917)  # "hello world" in cl100k
CUT = (9468, 230)  # the first three bytes of an emoji's four
OWN = (101, 7592, 2088, 102)  # "hello world" in MiniLM's vocabulary, with its special tokens


@pytest.fixture(scope="module")
def mini(minilm: Path) -> TextRules:
    tokenizer = Tokenizer.open(minilm / "tokenizer.json")
    return make_text_rules(
        tokenizer=tokenizer,
        vocab_size=tokenizer.vocab_size,
        max_input_tokens=256,
        prompts={"query": "query: "},
    )


def inputs_of(*ids: tuple[int, ...], vocabulary: Vocabulary = "openai") -> list[Input]:
    return [
        Input((Tokens(each, vocabulary),), param=f"input[{index}]")
        for index, each in enumerate(ids)
    ]


def read(inputs: list[Input], rules: TextRules, token_ids: Any = "auto") -> list[Part]:
    found = read_ids(inputs, rules, EngineOptions(token_ids=token_ids))
    assert [item.param for item in found] == [item.param for item in inputs]
    return [item.parts[0] for item in found]


def test_ids_of_an_openai_client_are_read_as_cl100k(mini: TextRules) -> None:
    assert read(inputs_of(HELLO, (65,)), mini) == [Text("hello world"), Text("b")]


def test_ids_of_other_clients_are_the_models(mini: TextRules) -> None:
    inputs = inputs_of(HELLO, vocabulary="model")
    assert read(inputs, mini) == [Tokens(HELLO)]


def test_the_setting_decides_where_it_is_not_auto(mini: TextRules) -> None:
    inputs = [*inputs_of(HELLO), *inputs_of(HELLO, vocabulary="model")]
    assert read(inputs, mini, "cl100k") == [Text("hello world")] * 2
    assert read(inputs, mini, "model") == [item.parts[0] for item in inputs]


@pytest.mark.parametrize(
    "own",
    [OWN, (101, 102), (100_256, 5), (200_000,), (1, -1), (64, 224, 64)],
    ids=["framed", "empty", "gap", "beyond", "below", "not UTF-8"],
)
def test_ids_that_are_evidently_the_models_stay(own: tuple[int, ...], mini: TextRules) -> None:
    assert read(inputs_of(own), mini) == [Tokens(own, "openai")]


def test_all_ids_of_a_request_are_of_one_vocabulary(mini: TextRules) -> None:
    found = read(inputs_of(HELLO, OWN), mini)
    assert found == [Tokens(HELLO, "openai"), Tokens(OWN, "openai")]


def test_special_tokens_at_one_end_prove_nothing(mini: TextRules) -> None:
    assert read(inputs_of((101, *HELLO)), mini) != [Tokens((101, *HELLO), "openai")]


def test_a_text_that_was_cut_within_a_character_is_read_without_it(mini: TextRules) -> None:
    assert not cl100k.whole_characters(cl100k.decode(CUT))
    assert read(inputs_of((*HELLO, *CUT)), mini) == [Text("hello world")]


@pytest.mark.parametrize("ids", [(5, 100_256), (2**60,), (-1,)])
def test_ids_that_must_be_cl100k_and_are_not_are_refused(
    ids: tuple[int, ...], mini: TextRules
) -> None:
    with pytest.raises(TokenIdError, match=r"input\[0\]") as caught:
        read(inputs_of(ids), mini, "cl100k")
    assert caught.value.token == ids[-1]
    with pytest.raises(InvalidInputError, match="no token ids"):
        read(inputs_of(()), mini, "cl100k")


def test_other_inputs_stay_as_they_are(mini: TextRules) -> None:
    text = Input((Text("a"),))
    assert read([text, *inputs_of((65,))], mini) == [Text("a"), Text("b")]


def test_the_text_gets_prompt_and_special_tokens_like_any_other(mini: TextRules) -> None:
    options = EngineOptions()
    for prompt in (None, "query"):
        sent = EmbedRequest(model=None, inputs=tuple(inputs_of(HELLO)), prompt_name=prompt)
        text = EmbedRequest(model=None, inputs=(Input((Text("hello world"),)),), prompt_name=prompt)
        (one,) = prepare_texts(sent, sent.inputs, mini, options)
        (two,) = prepare_texts(text, text.inputs, mini, options)
        np.testing.assert_array_equal(one.array, two.array)
        assert one.key == two.key


def test_an_unknown_setting_is_refused() -> None:
    wrong: Any = "p50k"
    with pytest.raises(ConfigError, match="auto, model or cl100k"):
        EngineOptions(token_ids=wrong)
