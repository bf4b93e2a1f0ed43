"""Tokenizer, prompts and end tokens: what the files say, what the operator says, and no guess."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._model import Model, TextRules
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.zoo import decoders

MEAN = ModelOptions(pooling="mean")
LAST = ModelOptions(pooling="last")


def text_of(model: Model) -> TextRules:
    assert model.text is not None
    return model.text


def bert_without_ends(folder: Path, **tokenizer_config: Any) -> Path:
    """A checkpoint whose tokenizer puts nothing around a text, as decoders have it."""
    tiny.make_bert(folder)
    vocab = {"<unk>": 0, "<|endoftext|>": 1, **{word: i + 2 for i, word in enumerate(tiny.WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<unk>", "<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    tiny.write_json(
        folder / "tokenizer_config.json", {"eos_token": "<|endoftext|>", **tokenizer_config}
    )
    return folder


def ids_of(model: Model, text: str) -> list[int]:
    return text_of(model).tokenizer.encode([text])[0].tolist()


# End tokens.


@pytest.mark.parametrize(
    ("config", "origin"),
    [
        ({"add_eos_token": True}, "add_eos_token"),
        ({"add_eos_token": True, "eos_token": {"content": "<|endoftext|>"}}, "add_eos_token"),
        ({"auto_map": {"AutoTokenizer": ["tokenization_qwen.Qwen2Tokenizer", None]}}, "auto_map"),
    ],
)
def test_last_token_pooling_gets_the_end_token_it_was_trained_with(
    tmp_path: Path, config: dict, origin: str
) -> None:
    model = resolve(str(bert_without_ends(tmp_path, **config)), LAST)
    assert ids_of(model, "the cat")[-1] == 1
    assert model.settings["appended_token"].value == "<|endoftext|>"
    assert model.settings["appended_token"].origin == f"tokenizer_config.json: {origin}"


def test_an_appended_end_token_survives_truncation(tmp_path: Path) -> None:
    tokenizer = text_of(
        resolve(str(bert_without_ends(tmp_path, add_eos_token=True)), LAST)
    ).tokenizer
    (ids,) = tokenizer.encode(["the cat sat on the mat"])
    for side in ("end", "start"):
        cut = tokenizer.truncate(ids, 3, side)
        assert (len(cut), cut[-1]) == (3, 1)
    assert tokenizer.truncate(ids, 3, "end")[0] == ids[0]


@pytest.mark.parametrize("config", [{}, {"add_eos_token": False}])
def test_no_end_token_is_appended_by_guess(tmp_path: Path, config: dict) -> None:
    model = resolve(str(bert_without_ends(tmp_path, **config)), LAST)
    assert ids_of(model, "the cat") == [2, 7]
    assert "appended_token" not in model.settings


def test_no_end_token_is_appended_where_the_tokenizer_ends_texts_itself(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    config = {"add_eos_token": True, "eos_token": "[SEP]"}
    tiny.write_json(folder / "tokenizer_config.json", config)
    assert ids_of(resolve(str(folder), LAST), "cat").count(3) == 1


def test_other_poolings_need_no_end_token(tmp_path: Path) -> None:
    model = resolve(str(bert_without_ends(tmp_path, add_eos_token=True)), MEAN)
    assert ids_of(model, "the cat") == [2, 7]


def test_the_tokenizer_class_of_gte_qwen2_ends_texts_for_any_pooling(tmp_path: Path) -> None:
    own_class = {"AutoTokenizer": ["tokenization_qwen.Qwen2Tokenizer", None]}
    model = resolve(str(bert_without_ends(tmp_path, auto_map=own_class)), MEAN)
    assert ids_of(model, "the cat") == [2, 7, 1]


@pytest.mark.parametrize("eos", [None, "</s>"])
def test_an_end_token_beyond_the_vocabulary_is_refused(tmp_path: Path, eos: str | None) -> None:
    folder = bert_without_ends(tmp_path, add_eos_token=True, eos_token=eos)
    with pytest.raises(CheckpointError, match="not in the vocabulary"):
        resolve(str(folder), LAST)


# Prompts.


def prompts_of(folder: Path, **options: Any) -> Model:
    return resolve(str(folder), ModelOptions(pooling="mean", **options))


def test_task_instructions_of_config_are_prompts(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, task_instructions={"retrieval.query": "q: ", "other": ""})
    model = prompts_of(folder)
    assert text_of(model).prompts == {"retrieval.query": "q: ", "other": ""}
    assert model.settings["prompts"].origin == "config.json: task_instructions"


def test_nearer_prompts_win(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, task_instructions={"a": "1", "b": "1", "c": "1"})
    tiny.write_json(folder / "config_sentence_transformers.json", {"prompts": {"b": "2", "c": "2"}})
    model = prompts_of(folder, prompts={"c": "3", "d": "3"})
    assert text_of(model).prompts == {"a": "1", "b": "2", "c": "3", "d": "3"}
    assert model.settings["prompts"].origin.startswith("--prompts, config_sentence_transformers")


def test_an_operators_prompt_may_be_the_default(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    model = prompts_of(folder, prompts={"query": "query: "}, default_prompt_name="query")
    assert text_of(model).default_prompt_name == "query"
    with pytest.raises(ConfigError, match=r"'document' is not one of .*: query"):
        prompts_of(folder, prompts={"query": "query: "}, default_prompt_name="document")


def test_templates_are_offered_where_the_checkpoint_has_no_prompts(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, auto_map={"AutoModel": "x.NomicBertModel"})
    model = prompts_of(folder)
    assert text_of(model).prompts["search_query"] == "search_query: "
    assert text_of(model).default_prompt_name is None
    assert model.settings["prompts"].origin == "usage of nomic-embed-text"
    tiny.write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "q "}})
    assert text_of(prompts_of(folder)).prompts == {"query": "q "}


@pytest.mark.parametrize("name", ["query", "web_search_query"])
def test_documents_go_in_bare_where_the_files_have_a_prompt_for_queries_alone(
    tmp_path: Path, name: str
) -> None:
    folder = tiny.make_bert(tmp_path)
    tiny.write_json(folder / "config_sentence_transformers.json", {"prompts": {name: "q: "}})
    assert text_of(prompts_of(folder)).prompts == {name: "q: ", "document": ""}


@pytest.mark.parametrize("prompts", [{"query": "q: ", "passage": "p: "}, {"clustering": "c: "}])
def test_no_prompt_is_added_to_files_that_name_documents_or_no_queries(
    tmp_path: Path, prompts: dict
) -> None:
    folder = tiny.make_bert(tmp_path)
    tiny.write_json(folder / "config_sentence_transformers.json", {"prompts": prompts})
    assert text_of(prompts_of(folder)).prompts == prompts


def test_gritlms_frame_stands_before_every_text(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path, auto_map={"AutoModel": "modeling_gritlm7b.MistralModel"})
    model = resolve(str(folder))
    assert text_of(model).prompts["document"] == "<|embed|>\n"
    assert text_of(model).default_prompt_name == "document"
    assert model.settings["default_prompt_name"].origin == "GritLM's format"


@pytest.mark.parametrize("prompts", [["a"], {"query": 3}])
def test_prompts_that_are_no_texts_are_refused(tmp_path: Path, prompts: object) -> None:
    folder = tiny.make_bert(tmp_path)
    tiny.write_json(folder / "config_sentence_transformers.json", {"prompts": prompts})
    with pytest.raises(CheckpointError, match="must map names to texts"):
        prompts_of(folder)


def test_prompts_with_control_tokens_are_told_apart(tmp_path: Path) -> None:
    model = prompts_of(tiny.make_bert(tmp_path), prompts={"marked": "[MASK] a", "plain": "a "})
    assert text_of(model).marked_prompts == {"[MASK] a"}


# The tokenizer.


def test_words_that_the_model_has_no_row_for_are_read_in_pieces(tmp_path: Path) -> None:
    folder = decoders.make(tmp_path, "Qwen3-Embedding", vocab_size=259)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain = tokenizer.encode("a <think> b").ids
    tokenizer.add_tokens(["<think>", "</think>"])
    assert tokenizer.encode("a <think> b").ids != plain
    tokenizer.save(str(folder / "tokenizer.json"))
    assert ids_of(resolve(str(folder)), "a <think> b") == plain


def test_lower_casing_is_shown_with_its_origin(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    tiny.write_json(folder / "sentence_bert_config.json", {"do_lower_case": True})
    setting = resolve(str(folder), MEAN).settings["lower_case"]
    assert (setting.value, setting.origin) == (True, "sentence_bert_config.json: do_lower_case")


def test_a_tokenizer_of_vocabulary_files_is_found(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    expected = ids_of(resolve(str(folder), MEAN), "the red cat!")
    vocab = sorted(tiny.bert_tokenizer(200).get_vocab().items(), key=lambda pair: pair[1])
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in vocab))
    (folder / "tokenizer.json").unlink()
    assert ids_of(resolve(str(folder), MEAN), "the red cat!") == expected


@pytest.mark.parametrize("knows", [True, False])
def test_a_registered_template_needs_a_vocabulary_with_its_tokens(
    tmp_path: Path,
    knows: bool,  # noqa: FBT001
) -> None:
    folder = tiny.make_bert(tmp_path)
    if knows:
        path = folder / "tokenizer.json"
        tokenizer = Tokenizer.from_file(str(path))
        names = tokenizer.get_vocab(with_added_tokens=False)
        raw = json.loads(path.read_text())
        for spare, token in zip(sorted(names)[-2:], ("<|im_start|>", "<|im_end|>"), strict=True):
            raw["model"]["vocab"][token] = raw["model"]["vocab"].pop(spare)
        path.write_text(json.dumps(raw))
    options = ModelOptions(pooling="mean", chat_template="gme-qwen2-vl")
    model = resolve(str(folder), options)
    assert model.text is not None
    assert (model.text.chat_template is not None) == knows
    assert model.settings["chat_template"].origin == (
        "--chat-template gme-qwen2-vl"
        if knows
        else "gme-qwen2-vl needs <|im_start|> <|im_end|>; an alias only"
    )


def test_the_operators_template_comes_before_the_checkpoints(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    (folder / "chat_template.jinja").write_text("own")
    for given, source in ((None, "own"), ("{{ 1 }}", "{{ 1 }}")):
        rules = resolve(str(folder), ModelOptions(pooling="mean", chat_template=given)).text
        assert rules is not None
        assert rules.chat_template is not None
        assert rules.chat_template.source == source
        assert rules.template_tokens["cls_token"] == "[CLS]"
