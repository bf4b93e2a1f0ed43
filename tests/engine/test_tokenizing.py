import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, processors

from polyvec.checkpoints.chat_template import ChatTemplate
from polyvec.checkpoints.text_cleaning import Cleaning, read_cleaning
from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.engine.local import LocalService, Served, card_of
from polyvec.engine.options import EngineOptions
from polyvec.engine.tokenizing import detokenized, tokenize, tokenized
from polyvec.errors import (
    InputTooLongError,
    InvalidInputError,
    PromptNotFoundError,
    TokenIdError,
    UnsupportedInputError,
)
from polyvec.models._late_interaction import Expansion, LateInteractionRules, Reading
from polyvec.models._model import TextRules
from polyvec.types import (
    Chat,
    DetokenizeRequest,
    Image,
    Input,
    Message,
    Pair,
    Part,
    Text,
    Tokenized,
    TokenizeRequest,
    Url,
)
from tests.engine.doubles import FakeRunner, make_engine, make_model, make_text_rules

# Combining marks, letters outside the basic plane, a flag of two and a family of seven characters.
NAUGHTY = "Hello, wörld 😀 un\u0301affable \U0001d518nicode 🇩🇪 👨‍👩‍👧 漢字 end"


def byte_level() -> Tokenizer:
    """Byte-level pairs between a beginning and an end, as in Llama-like models."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("Ġ", "a")]
    pieces = [*alphabet, *("".join(pair) for pair in merges)]
    backend = Backend(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<bos>", "<eos>", "<query>"])
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 260), ("<eos>", 261)]
    )
    return Tokenizer(backend)


def rules_of(tokenizer: Tokenizer, **changes: Any) -> TextRules:
    return make_text_rules(tokenizer=tokenizer, vocab_size=tokenizer.vocab_size, **changes)


@pytest.fixture(scope="module")
def mini(minilm: Path) -> TextRules:
    tokenizer = Tokenizer.open(minilm / "tokenizer.json")
    return rules_of(tokenizer, max_input_tokens=256, pairs=tokenizer.pairs())


BYTES = rules_of(
    byte_level(),
    max_input_tokens=8,
    prompts={"query": "<query>q: ", "passage": "p: "},
)


def read(part: Part | str, rules: TextRules, **wishes: Any) -> Tokenized:
    item = Input((Text(part) if isinstance(part, str) else part,), param="inputs[0]")
    request = TokenizeRequest(model=None, inputs=(item,), **wishes)
    (found,) = tokenized(request, rules, EngineOptions(max_text_chars=1000))
    return found


def pieces(text: str, found: Tokenized) -> list[str | None]:
    return [None if start < 0 else text[start:end] for start, end in found.spans]


def test_tokens_of_a_wordpiece_model_are_spelled_and_placed(mini: TextRules) -> None:
    text = "Hello, wörld unaffable"
    found = read(text, mini)
    assert found.ids.tolist() == [101, 7592, 1010, 2088, 14477, 20961, 3468, 102]
    assert found.tokens == ("[CLS]", "hello", ",", "world", "una", "##ffa", "##ble", "[SEP]")
    assert found.is_special.tolist() == [True, *[False] * 6, True]
    assert pieces(text, found) == [None, "Hello", ",", "wörld", "una", "ffa", "ble", None]


def test_an_unknown_word_is_no_special_token(mini: TextRules) -> None:
    found = read("a 😀", mini)
    assert found.tokens[2] == "[UNK]"
    assert found.is_special.tolist() == [True, False, False, True]
    assert pieces("a 😀", found) == [None, "a", "😀", None]


def test_a_control_token_that_a_caller_types_is_text(mini: TextRules) -> None:
    found = read("[SEP] x", mini)
    assert found.is_special.tolist() == [True, *[False] * 4, True]
    assert pieces("[SEP] x", found) == [None, "[", "SEP", "]", "x", None]


@pytest.mark.parametrize("text", [NAUGHTY, "", "hell a", "é", "a\nb\t c  "])
def test_ids_are_those_that_are_embedded(text: str, mini: TextRules) -> None:
    for rules in (mini, BYTES):
        (ids,) = rules.tokenizer.encode([text])
        assert read(text, rules).ids.tolist() == ids.tolist()
        (bare,) = rules.tokenizer.encode_bare([text])
        assert read(text, rules, add_special_tokens=False).ids.tolist() == bare.tolist()


def test_places_are_characters_where_a_character_has_many_bytes() -> None:
    text = "é😀hell"
    found = read(text, BYTES, add_special_tokens=False)
    assert pieces(text, found) == ["é"] * 2 + ["😀"] * 4 + ["hell"]


def test_places_leave_out_nothing_but_white_space(mini: TextRules) -> None:
    found = read(NAUGHTY, mini)
    covered = {place for start, end in found.spans if start >= 0 for place in range(start, end)}
    left = {char for place, char in enumerate(NAUGHTY) if place not in covered}
    assert left <= {" ", "\u200d"}


CLEANED = {
    "whitespace": ("  a\t\n b ", ["a", "\t", "b"]),
    "lower": ("ÄB  İ Σ", ["Ä", "Ä", "B", " ", "İ", "İ", "İ", " ", "Σ", "Σ"]),
    "canonicalize": ("A_b, (c)!", ["A", "_", "b", " ", "c"]),
}


@pytest.mark.parametrize("name", CLEANED)
def test_places_are_those_of_the_text_before_it_was_cleaned(name: str) -> None:
    text, expected = CLEANED[name]
    rules = rules_of(byte_level().cleaning(cleaning_named(name)))
    found = read(text, rules, add_special_tokens=False)
    whole = [piece.strip() for piece in pieces(text, found) if piece is not None]
    assert whole == [piece.strip() for piece in expected]


def cleaning_named(name: str) -> Cleaning:
    config = {
        "model_type": "open_clip",
        "text_cfg": {"tokenizer_kwargs": {"clean": name}, "hf_tokenizer_name": "x"},
    }
    found = read_cleaning(config)
    assert found is not None
    return found[1]


def test_a_prompt_is_put_before_the_text_and_counts_in_its_places() -> None:
    found = read("hell", BYTES, prompt_name="passage")
    assert found.text == "p: hell"
    assert pieces(found.text, found) == [None, "p", ":", " ", "hell", None]


def test_control_tokens_of_a_prompt_are_special_and_those_of_the_text_are_not() -> None:
    found = read("<query>", BYTES, prompt_name="query")
    assert pieces("<query>q: <query>", found)[:4] == [None, "<query>", "q", ":"]
    assert found.is_special.tolist().count(True) == 3
    assert (
        found.ids.tolist() == BYTES.tokenizer.encode_marked("<query>q: ", ["<query>"])[0].tolist()
    )


def test_a_model_without_the_prompt_refuses_it() -> None:
    with pytest.raises(PromptNotFoundError):
        read("a", BYTES, prompt_name="other")


def test_no_default_prompt_is_put_before_a_text() -> None:
    rules = rules_of(byte_level(), default_prompt_name="query")
    assert read("a", rules).tokens == ("<bos>", "a", "<eos>")


def test_an_appended_end_token_is_listed() -> None:
    found = read("a", rules_of(byte_level().ending_in("<query>")))
    assert found.tokens == ("<bos>", "a", "<eos>", "<query>")
    assert found.is_special.tolist() == [True, False, True, True]


LETTERS = "abcdefghijkl"


@pytest.mark.parametrize(
    ("wishes", "kept"),
    [
        ({}, ["<bos>", *LETTERS, "<eos>"]),
        ({"max_tokens": 4}, ["<bos>", *LETTERS, "<eos>"]),
        ({"truncate": "end"}, ["<bos>", *"abcdef", "<eos>"]),
        ({"truncate": "start"}, ["<bos>", *"ghijkl", "<eos>"]),
        ({"truncate": "end", "max_tokens": 4}, ["<bos>", "a", "b", "<eos>"]),
        ({"truncate": "end", "max_tokens": 400}, ["<bos>", *"abcdef", "<eos>"]),
        ({"truncate": "start", "max_tokens": 2, "add_special_tokens": False}, ["k", "l"]),
        ({"truncate": "end", "max_tokens": 2, "add_special_tokens": False}, ["a", "b"]),
    ],
)
def test_a_long_text_is_cut_only_where_that_is_asked_for(
    wishes: dict[str, Any], kept: list[str]
) -> None:
    found = read(LETTERS, BYTES, **wishes)
    assert list(found.tokens) == kept
    placed = [piece for piece in pieces(LETTERS, found) if piece is not None]
    assert placed == [token for token in kept if token not in ("<bos>", "<eos>")]


def test_a_long_text_is_refused_where_that_is_asked_for() -> None:
    with pytest.raises(InputTooLongError) as caught:
        read(LETTERS, BYTES, truncate="none")
    assert (caught.value.length, caught.value.limit) == (14, 8)


def test_queries_and_documents_of_late_models_have_their_markers() -> None:
    reading = Reading((262,), "", 8, Expansion(8, 0, attended=True))
    late = LateInteractionRules(query=reading, document=Reading((262,), "d: ", 8))
    rules = rules_of(byte_level(), late=late)
    assert read("ab", rules).tokens == ("<bos>", "a", "b", "<eos>")
    query = read("ab", rules, prompt_name="query")
    assert query.tokens == ("<bos>", "<query>", "a", "b", "<eos>")
    assert pieces("ab", query) == [None, None, "a", "b", None]
    assert read("ab", rules, prompt_name="document").tokens[1:4] == ("<query>", "d", ":")


def test_a_pair_is_read_as_its_model_reads_it(mini: TextRules) -> None:
    found = read(Pair("a cat", "the dog"), mini)
    assert found.tokens == ("[CLS]", "a", "cat", "[SEP]", "the", "dog", "[SEP]")
    assert found.is_special.tolist() == [True, False, False, True, False, False, True]
    assert found.spans[1:3].tolist() == [[0, 1], [2, 5]]
    assert found.spans[4:6].tolist() == [[0, 3], [4, 7]]
    assert found.spans[[0, 3, 6]].tolist() == [[-1, -1]] * 3


def test_a_long_pair_is_cut_like_any_other(mini: TextRules) -> None:
    found = read(Pair("a cat", "the dog on the mat"), mini, truncate="end", max_tokens=7)
    assert found.tokens == ("[CLS]", "a", "cat", "[SEP]", "the", "dog", "[SEP]")
    assert len(found.spans) == 7
    with pytest.raises(InputTooLongError):
        read(Pair("a cat", "the dog on the mat"), mini, truncate="none", max_tokens=7)


def test_a_model_that_reads_no_pairs_refuses_one() -> None:
    with pytest.raises(UnsupportedInputError):
        read(Pair("a", "b"), BYTES)


def chat(text: str, **wishes: Any) -> Chat:
    return Chat((Message("user", (Text(text),)), Message("user", (Text("b"),))), **wishes)


def test_a_conversation_without_a_template_is_the_texts_of_its_messages() -> None:
    found = read(chat("a"), BYTES, add_special_tokens=False)
    assert found.tokens == ("<bos>", "a", "Ċ", "b", "<eos>")
    assert pieces("a\nb", found) == [None, "a", "\n", "b", None]


def test_a_conversation_goes_through_the_template_of_its_model() -> None:
    source = "{% for message in messages %}<query>{{ message.content }}{% endfor %}"
    rules = rules_of(byte_level(), chat_template=ChatTemplate(source, origin="test"))
    found = read(chat("a"), rules)
    assert found.tokens == ("<query>", "a", "<query>", "b")
    assert found.is_special.tolist() == [True, False, True, False]
    assert (found.spans == -1).all()
    assert read(chat("a", add_special_tokens=True), rules).tokens[0] == "<bos>"
    spelled = read(chat("<query>"), rules)
    assert spelled.is_special.tolist().count(True) == 2


def test_a_conversation_with_pictures_has_no_tokens() -> None:
    message = Message("user", (Image(Url("http://x/a.png")),))
    with pytest.raises(UnsupportedInputError):
        read(Chat((message,)), BYTES)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UnsupportedInputError, match=r"inputs\[0\]"):
        read(Image(Url("http://x/a.png")), BYTES)


@pytest.mark.parametrize("text", ["a" * 1001, "\ud800"])
def test_a_text_that_cannot_be_embedded_cannot_be_tokenised(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"inputs\[0\]"):
        read(text, BYTES)


def test_too_many_or_no_inputs_are_refused() -> None:
    for count in (0, 4):
        request = TokenizeRequest(model=None, inputs=(Input((Text("a"),)),) * count)
        with pytest.raises(InvalidInputError, match=f"has {count} inputs; 1 to 3"):
            tokenized(request, BYTES, EngineOptions(max_inputs_per_request=3))


# Threads.


class WhereTokenizer:
    """Notes the thread it is called in."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def spell(self, texts: list[str], **options: object) -> list[Any]:
        self.threads.append(threading.get_ident())
        return byte_level().spell(texts)


@pytest.mark.parametrize("length", [10, 11])
async def test_long_texts_are_read_in_a_thread(length: int) -> None:
    where: Any = WhereTokenizer()
    request = TokenizeRequest(model=None, inputs=(Input((Text("a" * length),)),))
    await tokenize(request, make_text_rules(tokenizer=where), EngineOptions(max_inline_chars=10))
    assert (where.threads == [threading.get_ident()]) is (length == 10)


# Back to text.


def back(ids: list[int], rules: TextRules, *, skip: bool = False) -> str:
    (text,) = detokenized(DetokenizeRequest(None, (tuple(ids),), skip_special_tokens=skip), rules)
    return text


def test_ids_become_the_text_they_were_read_from(mini: TextRules) -> None:
    ids = BYTES.tokenizer.encode([NAUGHTY])[0].tolist()
    assert back(ids, BYTES, skip=True) == NAUGHTY
    assert back(ids, BYTES) == f"<bos>{NAUGHTY}<eos>"
    assert back([101, 7592, 2088, 102], mini) == "[CLS] hello world [SEP]"
    assert back([101, 7592, 14477, 20961, 102], mini, skip=True) == "hello unaffa"


@pytest.mark.parametrize("wrong", [-1, 263, 2**40])
def test_an_id_that_is_not_in_the_vocabulary_is_refused(wrong: int) -> None:
    with pytest.raises(TokenIdError, match="0 to 262") as caught:
        back([0, wrong], BYTES)
    assert caught.value.token == wrong


# Through the service.


async def test_the_service_asks_the_model_that_is_named() -> None:
    model = make_model(text=BYTES)
    card = card_of(model, FakeRunner(), name="m", aliases=("n",), backend="b", created=0)
    service = LocalService([Served(card, make_engine(model=model))])
    tokens = await service.tokenize(TokenizeRequest(model="n", inputs=(Input((Text("a"),)),)))
    assert tokens.model == "m"
    np.testing.assert_array_equal(tokens.inputs[0].ids, [260, BYTES.tokenizer.token_id("a"), 261])
    texts = await service.detokenize(DetokenizeRequest("n", ((260, 261), ())))
    assert texts.model == "m"
    assert texts.texts == ("<bos><eos>", "")


async def test_a_model_without_texts_has_no_tokens() -> None:
    model = make_model(text=None)
    card = card_of(model, FakeRunner(), name="m", aliases=(), backend="b", created=0)
    service = LocalService([Served(card, make_engine(model=model))])
    with pytest.raises(UnsupportedInputError):
        await service.tokenize(TokenizeRequest(model=None, inputs=(Input((Text("a"),)),)))
    with pytest.raises(UnsupportedInputError):
        await service.detokenize(DetokenizeRequest(None, ((1,),)))
