import pytest

from polyvec.dialects._vllm.tokenize import parse_detokenize, parse_tokenize
from polyvec.errors import InvalidInputError
from polyvec.types import Chat, Input, Text
from tests.dialects.stub import StubService, post


def test_a_prompt_is_tokenised_with_special_tokens_unless_told_otherwise():
    request = parse_tokenize({"prompt": "a"})
    assert request.inputs == (Input((Text("a"),), "prompt"),)
    assert request.add_special_tokens is True
    assert parse_tokenize({"prompt": "a", "add_special_tokens": False}).add_special_tokens is False


def test_a_conversation_opens_the_assistants_turn_unless_told_otherwise():
    messages = [{"role": "user", "content": "a"}]
    chats = [
        parse_tokenize({"messages": messages, **fields}).inputs[0].parts[0]
        for fields in ({}, {"add_generation_prompt": False}, {"continue_final_message": True})
    ]
    assert all(isinstance(chat, Chat) for chat in chats)
    assert [chat.add_generation_prompt for chat in chats] == [True, False, False]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": [[{"role": "user", "content": "a"}]] * 2}, "messages"),
        ({"prompt": "a", "add_special_tokens": 1}, "add_special_tokens"),
    ],
)
def test_what_cannot_be_tokenised_is_refused_by_name(body, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_tokenize(body)
    assert caught.value.param == param


def test_texts_of_tokens_are_given_when_asked_for():
    _, body = post("/tokenize", {"prompt": "a b"})
    assert (body["count"], body["tokens"], body["token_strs"]) == (4, [1, 10, 11, 2], None)
    _, body = post("/tokenize", {"prompt": "a b", "return_token_strs": True})
    assert body["token_strs"] == ["[CLS]", "a", "b", "[SEP]"]


def test_a_flag_that_is_no_boolean_is_refused():
    reply, body = post("/tokenize", {"prompt": "a", "return_token_strs": "yes"})
    assert (reply.status, body["error"]["param"]) == (400, "return_token_strs")


def test_ids_become_a_text():
    service = StubService()
    _, body = post("/detokenize", {"tokens": [3, 4], "model": service.cards[0].name}, service)
    assert body == {"prompt": "w3 w4"}
    assert service.detokenized[0].ids == ((3, 4),)


@pytest.mark.parametrize(
    ("tokens", "param"),
    [
        (None, "tokens"),
        ("3", "tokens"),
        ([3, True], "tokens[1]"),
        ([3.5], "tokens[0]"),
        ([-1], "tokens[0]"),
        ([2**63], "tokens[0]"),
    ],
)
def test_what_is_no_token_id_is_refused_by_place(tokens, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_detokenize({"tokens": tokens})
    assert caught.value.param == param
