from dataclasses import replace
from typing import Any

import pytest

from polyvec.dialects._tei.requests import (
    parse_decode,
    parse_embed,
    parse_predict,
    parse_rerank,
    parse_similarity,
    parse_tokenize,
)
from polyvec.errors import InvalidInputError
from polyvec.types import EmbedRequest, Pair, Text, Tokens
from tests.dialects.stub import CARD, TEXT_CARD

RERANKER = replace(TEXT_CARD, outputs=("score",), labels=("LABEL_0",), is_pair_model=True)
CLASSIFIER = replace(RERANKER, labels=("sad", "glad", "mad"))
COLBERT = replace(TEXT_CARD, outputs=("tokens",))
EMBEDDER = replace(TEXT_CARD, outputs=("dense", "tokens"))


def parts_of(request: EmbedRequest) -> list[Any]:
    return [item.parts[0] for item in request.inputs]


# Embedding bodies.


@pytest.mark.parametrize(
    ("inputs", "parts", "names"),
    [
        ("a", [Text("a")], ["inputs"]),
        (["a"], [Text("a")], ["inputs[0]"]),
        ([5, 6], [Tokens((5, 6))], ["inputs"]),
        ([[5], "a"], [Tokens((5,)), Text("a")], ["inputs[0]", "inputs[1]"]),
    ],
)
def test_inputs_are_texts_and_token_ids(inputs: Any, parts: Any, names: Any) -> None:
    request = parse_embed({"inputs": inputs}, CARD, "dense").request
    assert parts_of(request) == parts
    assert [item.param for item in request.inputs] == names
    assert request.outputs == ("dense",)


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        (None, "inputs"),
        (3, "inputs"),
        ([], "inputs"),
        ([1, "a"], "inputs[1]"),
        (["a", 1], "inputs[1]"),
        (["a", None], "inputs[1]"),
        ([True], "inputs[0]"),
        ([[1, True]], "inputs[0][1]"),
        ([[]], "inputs[0]"),
        ([-1], None),
        ([[2**32]], "inputs[0][0]"),
        ({"source_sentence": "a"}, "inputs"),
    ],
)
def test_inputs_that_cannot_be_read_are_named(inputs: Any, param: str | None) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_embed({"inputs": inputs}, CARD, "dense")
    assert caught.value.param == (param or "inputs[0]")


def test_vectors_have_unit_length_unless_the_body_says_otherwise() -> None:
    for value, expected in ((None, True), (True, True), (False, False)):
        body = {"inputs": "a", "normalize": value}
        assert parse_embed(body, CARD, "dense").request.normalize is expected


def test_token_vectors_are_raw_but_where_they_are_the_main_output() -> None:
    assert parse_embed({"inputs": "a"}, EMBEDDER, "tokens").request.normalize is False
    assert parse_embed({"inputs": "a"}, COLBERT, "tokens").request.normalize is True


@pytest.mark.parametrize(
    ("fields", "default", "expected"),
    [
        ({}, "none", None),
        ({"truncate": None}, "end", None),
        ({"truncate": True}, "none", "end"),
        ({"truncate": False}, "end", "none"),
        ({"truncate": True, "truncation_direction": "Left"}, "none", "start"),
        ({"truncate": True, "truncation_direction": "left"}, "none", "start"),
        ({"truncate": True, "truncation_direction": "Right"}, "start", "end"),
        ({"truncate": True, "truncation_direction": None}, "start", "end"),
        ({"truncation_direction": "Left"}, "none", None),
        ({"truncation_direction": "Left"}, "end", "start"),
        ({"truncate": False, "truncation_direction": "right"}, "end", "none"),
    ],
)
def test_truncation_is_asked_for_or_the_servers(
    fields: dict[str, Any], default: Any, expected: str | None
) -> None:
    card = replace(CARD, truncate=default)
    for parse in (
        lambda: parse_embed({"inputs": "a", **fields}, card, "dense").request,
        lambda: parse_predict({"inputs": "a", **fields}, card).request,
        lambda: parse_rerank({"query": "a", "texts": ["b"], **fields}, card).request,
    ):
        assert parse().truncate == expected


def test_hugging_face_clients_may_nest_their_parameters() -> None:
    body = {
        "inputs": "a",
        "normalize": None,
        "prompt_name": "query",
        "parameters": {"normalize": False, "prompt_name": "document", "truncate": True},
        "options": {"wait_for_model": True},
    }
    request = parse_embed(body, CARD, "dense").request
    assert (request.normalize, request.prompt_name, request.truncate) == (False, "query", "end")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"truncate": "yes"}, "truncate"),
        ({"truncation_direction": "up"}, "truncation_direction"),
        ({"truncation_direction": 1}, "truncation_direction"),
        ({"normalize": 1}, "normalize"),
        ({"prompt_name": 1}, "prompt_name"),
        ({"dimensions": True}, "dimensions"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 4}, "dimensions"),
        ({"parameters": []}, "parameters"),
        ({"model": 1}, "model"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_embed({"inputs": "a", **fields}, CARD, "dense")
    assert caught.value.param == param


def test_vectors_of_any_model_may_be_cut() -> None:
    for dimensions in (1, 3):
        request = parse_embed({"inputs": "a", "dimensions": dimensions}, CARD, "dense").request
        assert (request.dimensions, request.any_dimensions) == (dimensions, True)
    assert parse_embed({"inputs": "a"}, CARD, "dense").request.any_dimensions is False


def test_the_batch_is_bounded() -> None:
    card = replace(CARD, max_inputs=2)
    message = "batch size 3 > maximum allowed batch size 2"
    for body, parse in (
        ({"inputs": ["a"] * 3}, lambda body: parse_embed(body, card, "dense")),
        ({"inputs": [["a"]] * 3}, lambda body: parse_predict(body, card)),
        ({"inputs": ["a"] * 3}, lambda body: parse_tokenize(body, card)),
        ({"ids": [[1]] * 3}, lambda body: parse_decode(body, card)),
        ({"query": "q", "texts": ["a"] * 3}, lambda body: parse_rerank(body, card)),
        (
            {"inputs": {"source_sentence": "a", "sentences": ["a"] * 3}},
            lambda body: parse_similarity(body, card),
        ),
    ):
        with pytest.raises(InvalidInputError, match=message):
            parse(body)


# Other bodies.


@pytest.mark.parametrize(
    ("inputs", "parts", "is_single"),
    [
        ("a", [Text("a")], True),
        (["a"], [Text("a")], True),
        (["a", "b"], [Pair("a", "b")], True),
        ([["a"], ["a", "b"]], [Text("a"), Pair("a", "b")], False),
    ],
)
def test_a_classifier_reads_texts_and_pairs(inputs: Any, parts: Any, is_single: Any) -> None:
    ask = parse_predict({"inputs": inputs}, CLASSIFIER)
    assert parts_of(ask.request) == parts
    assert ask.is_single is is_single
    assert ask.request.outputs == ("score",)
    assert ask.request.normalize is False


@pytest.mark.parametrize(
    "inputs", [None, 1, [], ["a", "b", "c"], ["a", 1], [["a", "b", "c"]], [[]], [["a"], "b"], [1]]
)
def test_other_inputs_of_a_classifier_are_refused(inputs: Any) -> None:
    with pytest.raises(InvalidInputError):
        parse_predict({"inputs": inputs}, CLASSIFIER)


def test_scores_are_asked_for_without_an_activation() -> None:
    for raw in (None, False, True):
        body = {"inputs": "a", "query": "q", "texts": ["a"], "raw_scores": raw}
        predict, rerank = parse_predict(body, CLASSIFIER), parse_rerank(body, RERANKER)
        assert (predict.request.normalize, predict.is_raw) == (False, bool(raw))
        assert (rerank.request.activate, rerank.is_raw) == (False, bool(raw))
        assert rerank.with_text is False


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"texts": ["a"]}, "query"),
        ({"query": 1, "texts": ["a"]}, "query"),
        ({"query": "q", "texts": "a"}, "texts"),
        ({"query": "q", "texts": []}, "texts"),
        ({"query": "q", "texts": ["a", {"text": "b"}]}, "texts[1]"),
        ({"query": "q", "texts": ["a"], "return_text": 1}, "return_text"),
    ],
)
def test_a_rerank_that_cannot_be_read_names_its_field(body: Any, param: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_rerank(body, CARD)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("ids", "expected"), [([1, 2], ((1, 2),)), ([[1], [2, 3]], ((1,), (2, 3))), ([[1]], ((1,),))]
)
def test_ids_are_decoded_without_special_tokens_by_default(ids: Any, expected: Any) -> None:
    request = parse_decode({"ids": ids}, CARD)
    assert request.ids == expected
    assert request.skip_special_tokens is True
    body = {"ids": ids, "skip_special_tokens": False}
    assert parse_decode(body, CARD).skip_special_tokens is False


@pytest.mark.parametrize("ids", [None, 1, "text", [], ["a"], [[1], 2], [1, [2]], [[True]], [2**32]])
def test_other_ids_are_refused(ids: Any) -> None:
    with pytest.raises(InvalidInputError):
        parse_decode({"ids": ids}, CARD)
