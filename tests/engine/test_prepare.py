from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from polyvec.engine.options import EngineOptions
from polyvec.engine.prepare import (
    LIKELY_FRAMES,
    PLAIN_IMAGE,
    Prepared,
    kinds_of,
    num_pictures,
    prepare_picture,
)
from polyvec.engine.prepare_text import prepare_texts
from polyvec.engine.prompts import prompt_of
from polyvec.errors import InputTooLongError, InvalidInputError, UnsupportedInputError
from polyvec.types import (
    Bytes,
    EmbedRequest,
    FrameSampling,
    FramesManifest,
    Image,
    Part,
    Text,
    Video,
)
from tests.engine.doubles import (
    CLS,
    NUM_PATCHES,
    SEP,
    VOCAB,
    WordTokenizer,
    ask,
    ids,
    make_model,
    make_text_rules,
)


def prepared(request: EmbedRequest, rules: Any = None, **options: Any) -> list[Prepared]:
    return prepare_texts(
        request, request.inputs, rules or make_text_rules(), EngineOptions(**options)
    )


def test_a_text_becomes_its_ids_with_special_tokens() -> None:
    (item,) = prepared(ask("w10 w11"))
    assert item.array.tolist() == ids(10, 11).tolist()
    assert (item.route.modality, item.cost, item.num_tokens) == ("text", 4, 4)


def test_all_texts_of_a_request_are_tokenised_in_one_call() -> None:
    tokenizer = WordTokenizer()
    prepared(ask("w1", (5, 6), "w2", "w3"), make_text_rules(tokenizer=tokenizer))
    assert tokenizer.calls == [["w1", "w2", "w3"]]


def test_texts_and_token_ids_keep_their_order() -> None:
    found = [item.array.tolist() for item in prepared(ask("w10", (5, 6), "w11"))]
    assert found == [ids(10).tolist(), [5, 6], ids(11).tolist()]


def test_an_empty_text_gives_the_special_tokens() -> None:
    assert prepared(ask(""))[0].array.tolist() == ids().tolist()


def test_a_text_without_any_token_is_refused() -> None:
    rules = make_text_rules(tokenizer=WordTokenizer(special=False))
    with pytest.raises(InvalidInputError, match=r"^The decoder prompt cannot be empty$") as caught:
        prepared(ask("w10", ""), rules)
    assert caught.value.param == "input[1]"


def test_the_prompt_asked_for_is_put_before_texts_but_not_before_token_ids() -> None:
    found = [item.array.tolist() for item in prepared(ask("w10", (5,), prompt_name="query"))]
    assert found == [ids(7, 10).tolist(), [5]]


def test_the_default_prompt_is_used_when_none_is_asked_for() -> None:
    rules = make_text_rules(default_prompt_name="passage")
    assert prepared(ask("w10"), rules)[0].array.tolist() == ids(8, 8, 10).tolist()


def test_an_unknown_prompt_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"'title'.*query, passage") as caught:
        prompt_of(ask("w1", prompt_name="title"), make_text_rules())
    assert caught.value.param == "prompt_name"


@pytest.mark.parametrize("rules", [None, make_text_rules(prompts={})])
def test_a_prompt_for_a_model_without_prompts_is_refused(rules: Any) -> None:
    with pytest.raises(InvalidInputError, match="defines none"):
        prompt_of(ask("w1", prompt_name="query"), rules)


def test_a_text_over_the_length_is_refused_with_both_numbers() -> None:
    with pytest.raises(InputTooLongError) as caught:
        prepared(ask("w1", "w9 " * 30))
    assert caught.value.message == (
        "input[1] has 32 tokens; the model reads at most 16: shorten it or ask for truncation"
    )
    assert caught.value.param == "input[1]"


@pytest.mark.parametrize(("truncate", "first", "last"), [("end", 100, 113), ("start", 106, 119)])
def test_truncation_keeps_the_special_tokens(truncate: Any, first: int, last: int) -> None:
    text = " ".join(f"w{number}" for number in range(100, 120))
    (item,) = prepared(ask(text, truncate=truncate))
    assert item.array.tolist() == ids(*range(first, last + 1)).tolist()
    assert item.num_tokens == 16


@pytest.mark.parametrize(("truncate", "kept"), [("end", range(16)), ("start", range(4, 20))])
def test_token_ids_are_cut_plainly(truncate: Any, kept: range) -> None:
    (item,) = prepared(ask(tuple(range(20)), truncate=truncate))
    assert item.array.tolist() == list(kept)


def test_the_servers_default_truncation_holds_when_the_request_says_nothing() -> None:
    assert prepared(ask("w9 " * 30), truncate="end")[0].cost == 16


def test_a_request_may_turn_the_default_truncation_off() -> None:
    with pytest.raises(InputTooLongError):
        prepared(ask("w9 " * 30, truncate="none"), truncate="end")


def test_over_long_token_ids_are_refused() -> None:
    with pytest.raises(InputTooLongError, match=r"input\[0\] has 17 tokens"):
        prepared(ask(tuple(range(17))))


def test_no_token_ids_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no token ids"):
        prepared(ask(()))


@pytest.mark.parametrize("bad", [-1, VOCAB, 2**80])
def test_a_token_id_out_of_range_is_named(bad: int) -> None:
    with pytest.raises(InvalidInputError, match=rf"id {bad} at position 1; .* 0 to {VOCAB - 1}$"):
        prepared(ask((3, bad, 4)))


def test_a_word_beyond_the_models_table_is_refused() -> None:
    rules = make_text_rules(vocab_size=20)
    assert [item.num_tokens for item in prepared(ask("w10"), rules)] == [3]
    with pytest.raises(InvalidInputError, match="tokenizer knows and its model does not") as caught:
        prepared(ask("w10", "w25"), rules)
    assert caught.value.param == "input[1]"


def test_an_endless_prompt_name_is_not_echoed_whole() -> None:
    request = replace(ask("w1"), prompt_name="a" * 100_000)
    with pytest.raises(InvalidInputError) as caught:
        prompt_of(request, make_text_rules())
    assert len(caught.value.message) < 1000


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="surrogate at character 3") as caught:
        prepared(ask("ok", "ab \udfff"))
    assert caught.value.param == "input[1]"


def test_a_text_over_the_character_limit_is_refused() -> None:
    with pytest.raises(InputTooLongError, match="11 characters; at most 10"):
        prepared(ask("x" * 11), max_text_chars=10)


def test_keys_tell_apart_what_must_get_different_vectors() -> None:
    keys = [
        prepared(ask("w10"))[0].key,
        prepared(ask("w11"))[0].key,
        prepared(ask("w10", prompt_name="query"))[0].key,
        prepared(ask("w10", cache_salt="a"))[0].key,
    ]
    assert len(set(keys)) == 4
    assert prepared(ask((1, 10, 2)))[0].key == keys[0]


def test_modalities_follow_the_wire_type() -> None:
    request = ask("a", (1,), b"p", Video(Bytes(b"")), FramesManifest(Bytes(b"")))
    kinds = ["text", "text", "image", "video", "video"]
    assert kinds_of(request, make_model()) == kinds


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a", "^Text inputs are not supported by the active model"),
        (b"p", "^mini is not a multimodal model$"),
        (Video(Bytes(b"")), "^mini is not a multimodal model$"),
    ],
)
def test_a_modality_without_a_tower_is_refused(content: Any, message: str) -> None:
    model = make_model(text=None) if content == "a" else make_model(image=None)
    with pytest.raises(UnsupportedInputError, match=message) as caught:
        kinds_of(ask(content), model, "mini")
    assert caught.value.param == "input[0]"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_tokens": 4, "truncate": "end"}, [CLS, 101, 102, SEP]),
        ({"max_tokens": 4, "truncate": "start"}, [CLS, 103, 104, SEP]),
        ({"max_tokens": 6}, [CLS, 101, 102, 103, 104, SEP]),
        ({"max_tokens": 99}, [CLS, 101, 102, 103, 104, SEP]),
    ],
)
def test_a_request_may_want_shorter_texts(changes: Any, expected: list[int]) -> None:
    (item,) = prepared(ask("w101 w102 w103 w104", **changes))
    assert item.array.tolist() == expected


def test_shorter_texts_hold_for_token_ids_and_a_longer_one_is_refused_without_truncation() -> None:
    (item,) = prepared(ask((5, 6, 7), max_tokens=2, truncate="start"))
    assert item.array.tolist() == [6, 7]
    with pytest.raises(InputTooLongError) as caught:
        prepared(ask("w101 w102 w103 w104", max_tokens=5))
    assert (caught.value.length, caught.value.limit) == (6, 5)


@pytest.mark.parametrize("side", ["end", "start"])
def test_nothing_is_left_of_a_text_of_no_tokens(side: Any) -> None:
    for content in ("w1 w2", (5, 6)):
        with pytest.raises(InvalidInputError, match=r"^The decoder prompt cannot be empty$"):
            prepared(ask(content, max_tokens=0, truncate=side))


def test_texts_without_special_tokens_are_those_of_the_bare_tokenizer() -> None:
    request = ask("w101 w102", add_special_tokens=False, prompt_name="query")
    assert prepared(request)[0].array.tolist() == [7, 101, 102]
    cut = ask("w101 w102", add_special_tokens=False, max_tokens=1, truncate="start")
    assert prepared(cut)[0].array.tolist() == [102]
    with pytest.raises(InvalidInputError, match=r"^The decoder prompt cannot be empty$"):
        prepared(ask("", add_special_tokens=False))


def test_a_picture_becomes_pixels_at_the_cost_of_its_patches() -> None:
    rules = make_model().image
    assert rules is not None
    pixels = np.full((2, 2, 3), 200, np.uint8)
    item = prepare_picture(pixels, rules, b"key", PLAIN_IMAGE)
    np.testing.assert_array_equal(item.array, np.full((3, 2, 2), 100, np.float32))
    assert (item.route.modality, item.cost, item.num_tokens) == ("image", NUM_PATCHES, 0)
    assert item.key == b"key"


@pytest.mark.parametrize(
    ("part", "count"),
    [
        (Text("a"), 0),
        (Image(Bytes(b"")), 1),
        (Video(Bytes(b"")), 64),
        (Video(Bytes(b""), FrameSampling(num_frames=5)), 5),
        (Video(Bytes(b""), FrameSampling(num_frames=0)), LIKELY_FRAMES),
        (Video(Bytes(b""), FrameSampling(indexes=(1, 2))), 2),
        (FramesManifest(Bytes(b"")), LIKELY_FRAMES),
    ],
)
def test_a_video_counts_for_the_frames_that_are_likely(part: Part, count: int) -> None:
    assert num_pictures(part) == count


def test_texts_are_read_as_far_as_positions_go_where_that_is_asked_for() -> None:
    rules = make_text_rules(max_input_tokens=4, max_positions=6)
    (item,) = prepared(ask("w1 w2 w3 w4", whole_positions=True), rules)
    assert item.array.tolist() == ids(1, 2, 3, 4).tolist()
    with pytest.raises(InputTooLongError) as caught:
        prepared(ask("w1 w2 w3 w4 w5", whole_positions=True), rules)
    assert (caught.value.length, caught.value.limit) == (7, 6)


def test_the_limit_of_an_operator_holds_whatever_is_asked_for() -> None:
    rules = make_text_rules(max_input_tokens=4, max_positions=None)
    with pytest.raises(InputTooLongError):
        prepared(ask("w1 w2 w3 w4", whole_positions=True), rules)
