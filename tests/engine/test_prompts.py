"""Names that callers use for prompts and tasks find the checkpoint's own, and nothing else."""

from dataclasses import replace

import pytest

from polyvec.engine.options import EngineOptions
from polyvec.engine.prepare import Prepared, route_of
from polyvec.engine.prepare_text import prepare_texts
from polyvec.engine.prompts import adapter_of, prompt_of
from polyvec.errors import InvalidInputError
from polyvec.models._model import TextRules
from polyvec.types import EmbedRequest
from tests.engine.doubles import CLS, SEP, WordTokenizer, ask, make_model, make_text_rules

JINA = {"retrieval.query": "w7 ", "retrieval.passage": "w8 ", "text-matching": ""}


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ("query", "query"),
        ("query", "search_query"),
        ("search_query", "query"),
        ("retrieval.query", "search_query"),
        ("web_search_query", "query"),
        ("document", "search_document"),
        ("passage", "document"),
        ("search_document", "passage"),
        ("retrieval.passage", "search_document"),
    ],
)
def test_common_names_find_the_checkpoints_own(own: str, asked: str) -> None:
    rules = make_text_rules(prompts={own: "w7 ", "other": "w8 "})
    assert prompt_of(ask("w1", prompt_name=asked), rules) == "w7 "


def test_an_exact_name_comes_first() -> None:
    rules = make_text_rules(prompts={"query": "w7 ", "search_query": "w8 "})
    assert prompt_of(ask("w1", prompt_name="search_query"), rules) == "w8 "


@pytest.mark.parametrize("asked", ["document", "Query", "retrieval.query", "clustering"])
def test_other_names_are_refused_naming_the_allowed_ones(asked: str) -> None:
    rules = make_text_rules(prompts={"query": "w7 ", "STS": "w8 "})
    with pytest.raises(InvalidInputError, match=r"it defines query, STS$") as caught:
        prompt_of(ask("w1", prompt_name=asked), rules)
    assert caught.value.param == "prompt_name"


def test_a_task_brings_its_adapter_and_its_prompt() -> None:
    rules = make_text_rules(prompts=JINA, default_prompt_name="retrieval.passage")
    model = make_model(text=rules, adapters=("retrieval.query", "separation"))
    request = ask("w1", task="retrieval.query")
    assert (prompt_of(request, rules), adapter_of(request, model)) == ("w7 ", 0)
    request = ask("w1", task="separation")  # an adapter without a prompt
    assert (prompt_of(request, rules), adapter_of(request, model)) == ("", 1)


def test_a_prompt_may_be_chosen_beside_the_task() -> None:
    rules = make_text_rules(prompts=JINA)
    model = make_model(text=rules, adapters=("retrieval.query", "separation"))
    request = ask("w1", task="separation", prompt_name="retrieval.passage")
    assert (prompt_of(request, rules), adapter_of(request, model)) == ("w8 ", 1)


def test_a_prompt_named_like_an_adapter_brings_it_along() -> None:
    model = make_model(text=make_text_rules(prompts=JINA), adapters=tuple(JINA))
    assert route_of(ask("w1", prompt_name="search_document"), model).adapter == 1
    assert route_of(ask("w1"), model).adapter is None


def test_a_model_without_adapters_takes_its_prompts_as_tasks() -> None:
    model = make_model(text=make_text_rules(prompts={"query": "w7 "}))
    assert adapter_of(ask("w1", task="query"), model) is None
    assert prompt_of(ask("w1", task="query"), model.text) == "w7 "


@pytest.mark.parametrize(
    ("prompts", "adapters", "allowed"),
    [(JINA, ("separation",), "separation, retrieval.query"), ({}, (), "none")],
)
def test_an_unknown_task_is_refused_naming_the_allowed_ones(
    prompts: dict, adapters: tuple, allowed: str
) -> None:
    model = make_model(text=make_text_rules(prompts=prompts), adapters=adapters)
    with pytest.raises(InvalidInputError, match=f"it has {allowed}") as caught:
        route_of(ask("w1", task="translate"), model)
    assert caught.value.param == "task"


# Leaving the prompt out.


class PromptTokenizer(WordTokenizer):
    """Adds what texts with a prompt need; its last special token does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.prefix = [CLS]
        self.marked: list[tuple[str, list[str]]] = []

    def prompt_length(self, prompt: str) -> int:
        return len(self._ids(prompt)) - 1

    def encode_marked(self, prompt: str, texts: list[str]) -> list:
        self.marked.append((prompt, texts))
        return self.encode([prompt + text for text in texts])


def prepared(request: EmbedRequest, rules: TextRules) -> list[Prepared]:
    return prepare_texts(request, request.inputs, rules, EngineOptions())


def test_tokens_of_a_left_out_prompt_are_counted() -> None:
    rules = make_text_rules(tokenizer=PromptTokenizer(), excludes_prompt=True)
    (item, tokens) = prepared(ask("w1 w2", (5, 6), prompt_name="passage"), rules)
    assert item.array.tolist() == [CLS, 8, 8, 1, 2, SEP]
    assert (item.skipped, tokens.skipped) == (3, 0)


def test_without_a_prompt_nothing_is_left_out() -> None:
    rules = make_text_rules(tokenizer=PromptTokenizer(), excludes_prompt=True)
    assert [item.skipped for item in prepared(ask("w1"), rules)] == [0]
    rules = make_text_rules(tokenizer=PromptTokenizer())
    assert [item.skipped for item in prepared(ask("w1", prompt_name="query"), rules)] == [0]


def test_equal_ids_with_and_without_a_left_out_prompt_are_told_apart() -> None:
    rules = make_text_rules(tokenizer=PromptTokenizer(), excludes_prompt=True)
    (with_prompt,) = prepared(ask("w1", prompt_name="query"), rules)
    (without,) = prepared(ask("w7 w1"), rules)
    assert with_prompt.array.tolist() == without.array.tolist()
    assert with_prompt.key != without.key


def test_a_prompt_cut_off_at_the_start_is_not_counted() -> None:
    rules = make_text_rules(tokenizer=PromptTokenizer(), excludes_prompt=True, max_input_tokens=5)
    request = replace(ask("w1 w2 w3", prompt_name="passage"), truncate="start")
    (item,) = prepared(request, rules)
    assert item.array.tolist() == [CLS, 1, 2, 3, SEP]
    assert item.skipped == 1
    (item,) = prepared(replace(request, truncate="end"), rules)
    assert item.array.tolist() == [CLS, 8, 8, 1, SEP]
    assert item.skipped == 3


def test_only_prompts_with_control_tokens_take_the_slower_way() -> None:
    tokenizer = PromptTokenizer()
    rules = make_text_rules(tokenizer=tokenizer, marked_prompts=frozenset({"w7 "}))
    prepared(ask("w1", prompt_name="passage"), rules)
    assert tokenizer.marked == []
    prepared(ask("w1", "w2", prompt_name="query"), rules)
    assert tokenizer.marked == [("w7 ", ["w1", "w2"])]
