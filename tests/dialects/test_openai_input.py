"""What a request has embedded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.dialects._openai.embed import parse
from polyvec.dialects._openai.encoding import PLAIN
from polyvec.errors import InvalidInputError, UnsupportedInputError
from polyvec.types import Chat, DataUri, EmbedRequest, Image, Input, Message, Text, Tokens, Url
from tests.dialects.stub import post

PNG = "data:image/png;base64,iVBORw0KGgo="


def _request(**fields):
    return parse({"input": "a", **fields}).request


def _refused(**fields):
    with pytest.raises(InvalidInputError) as caught:
        parse({"input": "a", **fields})
    return caught.value


def test_a_body_with_only_an_input_has_defaults():
    asked = parse({"input": "a"})
    assert asked.request == EmbedRequest(None, (Input((Text("a"),)),), outputs=("dense",))
    assert asked.encoding == PLAIN


@pytest.mark.parametrize("text", ["", " ", "\n", "\x00", "😀"])
def test_any_string_is_an_input(text):
    assert _request(input=text).inputs == (Input((Text(text),)),)
    assert _request(input=[text]).inputs == (Input((Text(text),), param="input[0]"),)


@given(st.lists(st.text(), min_size=1))
def test_strings_keep_their_order_and_place(texts):
    inputs = _request(input=texts).inputs
    assert [part.text for item in inputs for part in item.parts] == texts
    assert [item.param for item in inputs] == [f"input[{i}]" for i in range(len(texts))]


def test_a_list_of_integers_is_one_input_of_token_ids():
    assert _request(input=[5, 0, 2**63 - 1]).inputs == (Input((Tokens((5, 0, 2**63 - 1)),)),)


def test_lists_of_integers_are_inputs_of_token_ids():
    assert _request(input=[[1, 2], [3]]).inputs == (
        Input((Tokens((1, 2)),), param="input[0]"),
        Input((Tokens((3,)),), param="input[1]"),
    )


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "input"),
        (5, "input"),
        (True, "input"),
        (1.5, "input"),
        ({}, "input"),
        ({"a": 1}, "input"),
        ([None], "input[0]"),
        ([True], "input[0]"),
        ([1.5], "input[0]"),
        ([{"a": 1}], "input[0]"),
        (["a", "b", None], "input[2]"),
        (["a", 1], "input[1]"),
        ([1, "a"], "input[1]"),
        ([1, True], "input[1]"),
        ([1, 2.0], "input[1]"),
        ([[1], "a"], "input[1]"),
        ([[1], [2, None]], "input[1][1]"),
        ([["a"]], "input[0][0]"),
        ([[[1]]], "input[0][0]"),
    ],
)
def test_an_unusable_input_is_refused_by_place(value, param):
    error = _refused(input=value)
    assert error.param == param
    assert param in error.message


@pytest.mark.parametrize(
    ("value", "param", "message"),
    [
        ([], "input", "You must pass at least one prompt"),
        ([[]], "input[0]", "The decoder prompt cannot be empty"),
        ([[1], []], "input[1]", "The decoder prompt cannot be empty"),
        ([1, -1], "input[1]", "Token id -1 is out of vocabulary"),
        ([[1, 2**63]], "input[0][1]", "Token id 9223372036854775808 is out of vocabulary"),
    ],
)
def test_an_input_that_vllm_refuses_is_refused_in_its_words(value, param, message):
    error = _refused(input=value)
    assert (error.param, error.message) == (param, message)


def test_a_missing_input_is_refused_by_name():
    with pytest.raises(InvalidInputError, match="input is required"):
        parse({})


@pytest.mark.parametrize("digits", ["9223372036854775808", "18446744073709551616", "1" * 200])
def test_ids_beyond_64_bits_are_refused_on_the_wire(digits):
    reply, body = post("/v1/embeddings", f'{{"input": [1, {digits}]}}'.encode())
    assert reply.status == 400
    assert body["error"]["param"] == "input[1]"


# Content parts


def test_content_parts_are_one_input_each():
    parts = ["a", {"type": "image_url", "image_url": {"url": PNG}}, {"type": "text", "text": "b"}]
    assert _request(input=parts).inputs == (
        Input((Text("a"),), "input[0]"),
        Input((Image(DataUri(PNG)),), "input[1]"),
        Input((Text("b"),), "input[2]"),
    )


def test_one_content_part_is_one_input():
    part = {"type": "input_image", "image_url": "https://example.com/a.png"}
    assert _request(input=part).inputs == (Input((Image(Url("https://example.com/a.png")),)),)


@pytest.mark.parametrize("item", [None, 5, ["a"]])
def test_what_is_no_part_among_parts_is_refused_by_place(item):
    error = _refused(input=[{"type": "text", "text": "a"}, item])
    assert error.param == "input[1]"
    assert "input[1]" in error.message


def test_sound_is_refused():
    with pytest.raises(UnsupportedInputError):
        parse({"input": [{"type": "input_audio", "input_audio": {"data": "AAAA"}}]})


# Conversations


def _message(text, role="user"):
    return {"role": role, "content": text}


def test_messages_are_one_input_with_all_its_parts():
    content = [{"type": "image_url", "image_url": {"url": PNG}}, {"type": "text", "text": "a"}]
    body = {"messages": [_message("s", "system"), {"role": "user", "content": content}]}
    (found,) = parse(body).request.inputs
    assert found == Input(
        (
            Chat(
                (
                    Message("system", (Text("s"),)),
                    Message("user", (Image(DataUri(PNG)), Text("a"))),
                )
            ),
        ),
        "messages",
    )


@pytest.mark.parametrize("field", ["messages", "input"])
def test_arrays_of_messages_are_one_input_each(field):
    found = parse({field: [[_message("a")], [_message("b"), _message("c")]]}).request.inputs
    assert [item.param for item in found] == [f"{field}[0]", f"{field}[1]"]
    assert [len(item.parts[0].messages) for item in found] == [1, 2]


def test_messages_may_stand_in_input():
    assert parse({"input": [_message("a")]}).request.inputs == (
        Input((Chat((Message("user", (Text("a"),)),)),), "input"),
    )


def test_messages_win_over_input():
    (found,) = _request(messages=[_message("b")]).inputs
    assert isinstance(found.parts[0], Chat)


def test_fields_of_the_template_reach_the_conversation():
    fields = {
        "add_generation_prompt": True,
        "add_special_tokens": True,
        "chat_template": "{{ messages }}",
        "chat_template_kwargs": {"task": "x"},
    }
    chat = _request(messages=[_message("a")], **fields).inputs[0].parts[0]
    assert (chat.add_generation_prompt, chat.add_special_tokens) == (True, True)
    assert (chat.template, chat.template_variables) == ("{{ messages }}", {"task": "x"})


def test_a_template_among_the_variables_is_a_template():
    variables = {"chat_template": "boo", "task": "x"}
    chat = _request(messages=[_message("a")], chat_template_kwargs=variables).inputs[0].parts[0]
    assert (chat.template, chat.template_variables) == ("boo", {"task": "x"})


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        (
            {"messages": []},
            "messages",
            "Cannot apply chat template to an empty conversation. Provide at least one message.",
        ),
        (
            {"messages": [[_message("a")], []]},
            "messages[1]",
            "Cannot apply chat template to an empty conversation. Provide at least one message.",
        ),
        (
            {
                "messages": [_message("a")],
                "add_generation_prompt": True,
                "continue_final_message": True,
            },
            "continue_final_message",
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
        ),
    ],
)
def test_a_conversation_that_vllm_refuses_is_refused_in_its_words(fields, param, message):
    error = _refused(**fields)
    assert (error.param, error.message) == (param, message)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "a"}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [[_message("a")], 5]}, "messages[1]"),
        ({"messages": [{"role": 5, "content": "a"}]}, "messages[0].role"),
        ({"messages": [_message(5)]}, "messages[0].content"),
        ({"messages": [_message("a")], "chat_template": 5}, "chat_template"),
        ({"messages": [_message("a")], "chat_template_kwargs": 5}, "chat_template_kwargs"),
        (
            {"messages": [_message("a")], "chat_template_kwargs": {"chat_template": 5}},
            "chat_template_kwargs.chat_template",
        ),
        ({"messages": [_message("a")], "add_generation_prompt": 1}, "add_generation_prompt"),
    ],
)
def test_a_conversation_that_cannot_be_read_is_refused_by_place(fields, param):
    error = _refused(**fields)
    assert error.param == param
    assert param in error.message
