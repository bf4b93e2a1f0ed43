import asyncio
import base64
from dataclasses import replace

import numpy as np
import pytest

from polyvec.dialects._base import Call
from polyvec.dialects._ovms.requests import parse_embed, parse_rerank, parse_tokenize, task_of
from polyvec.dialects.ovms import render_config
from polyvec.errors import ConfigError, InputTooLongError, InvalidInputError, ModelNotFoundError
from polyvec.types import Text, Tokens
from tests.dialects.stub import CARD, TEXT_CARD, StubService, answer, get, post

WRAPPER = (
    "Mediapipe execution failed. MP status - INVALID_ARGUMENT: CalculatorGraph::Run() failed: \n"
    'Calculator::Process() for node "{}" failed: '
)


@pytest.mark.parametrize(
    "path",
    [
        "/v3", "/v3/", "/v3/embeddings", "/v3/embeddings/", "/v3/embeddings/embeddings",
        "/v3/v1/embeddings", "/v3/chat/completions", "/v3/a/b/c/d",
    ],
)  # fmt: skip
def test_any_path_below_the_prefix_embeds_with_the_model_of_the_body(path):
    service = StubService(cards=(CARD, TEXT_CARD))
    reply, body = post(path, {"model": "minilm", "input": ["a", "b"]}, service)
    assert reply.status == 200
    assert [one["index"] for one in body["data"]] == [0, 1]
    assert service.requests[0].model == "minilm"


def test_dimensions_are_ignored_whatever_they_are():
    for value in (1, 0, -5, "many", [2]):
        service = StubService()
        _, body = post("/v3/embeddings", {"input": "a", "dimensions": value}, service)
        assert len(body["data"][0]["embedding"]) == 3
        assert service.requests[0].dimensions is None


def test_a_body_without_a_model_goes_to_the_one_that_the_path_names():
    service = StubService(cards=(CARD, TEXT_CARD))
    post("/v3/minilm", {"model": "", "input": "a"}, service)
    post("/v3/embeddings", {"model": None, "input": "a"}, service)
    assert [request.model for request in service.requests] == ["minilm", None]


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("a", [Text("a")]),
        ("", [Text("")]),
        (["a", "b"], [Text("a"), Text("b")]),
        ([7, 8], [Tokens((7, 8))]),
        ([[7], [8, 9]], [Tokens((7,)), Tokens((8, 9))]),
    ],
)
def test_input_is_read_in_its_four_forms(value, parts):
    request, encoding = parse_embed({"input": value}, None)
    assert [item.parts for item in request.inputs] == [(part,) for part in parts]
    assert encoding == "float"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "input field is required"),
        ({"input": None}, "input field is required"),
        ({"input": {}}, "input should be string, array of strings or array of integers"),
        ({"input": 3}, "input should be string, array of strings or array of integers"),
        ({"input": []}, "input array should not be empty"),
        ({"input": [[]]}, "inner arrays in input should not be empty"),
        ({"input": ["a", 1]}, "input must be homogeneous"),
        ({"input": [[1], "a"]}, "input must be homogeneous"),
        ({"input": [[1, "a"]]}, "input must be homogeneous"),
        ({"input": [[1, True, "a"], [1]]}, "input must be homogeneous"),
        ({"input": [[1], ["a"], [1]]}, "input must be homogeneous"),
        ({"input": [[1], []]}, "inner arrays in input should not be empty"),
        ({"input": [True]}, "every element in input array should be either string or int"),
        ({"input": [1.5]}, "every element in input array should be either string or int"),
        ({"input": [2**31]}, "every element in input array should be either string or int"),
        ({"input": [-1]}, "token ids in input must not be negative"),
        (
            {"input": [["a"]]},
            "input must be either array of strings or array of array of integers",
        ),
        ({"input": "a", "encoding_format": 1}, "encoding_format should be string"),
        (
            {"input": "a", "encoding_format": "hex"},
            "encoding_format should either base64 or float",
        ),
    ],
)
def test_a_refused_body_gets_the_words_of_the_original(body, message):
    reply, answered = post("/v3/embeddings", body)
    assert reply.status == 400
    assert answered["error"] == WRAPPER.format("EmbeddingsExecutor") + message
    assert answered["detail"] == message


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "Cannot parse JSON body"),
        (b'{"input":', "Cannot parse JSON body"),
        (b"[" * 100 + b"]" * 100, "JSON body exceeds maximum nesting depth"),
        (b"[]", "JSON body must be an object"),
        (b'{"model":1}', "model field is not a string"),
    ],
)
def test_a_body_that_cannot_be_routed_is_412(body, why):
    reply, answered = post("/v3/embeddings", body)
    assert (reply.status, answered["error"]) == (412, f"The file is not valid json - {why}")


def test_a_text_that_is_too_long_is_told_in_the_words_of_the_original():
    error = InputTooLongError("too long", length=617, limit=512)
    reply, body = post("/v3/embeddings", {"input": "a"}, StubService(error=error))
    assert reply.status == 400
    assert body["error"].endswith("failed: Input length 617 longer than allowed 512")


def test_texts_are_read_as_far_as_the_model_has_positions():
    service = StubService()
    post("/v3/embeddings", {"input": "a"}, service)
    assert service.requests[0].whole_positions


def test_an_unknown_model_is_404_and_the_answer_says_what_is_served():
    error = ModelNotFoundError("model 'x' is not served; served: minilm", name="x")
    reply, body = post("/v3/embeddings", {"model": "x", "input": "a"}, StubService(error=error))
    assert reply.status == 404
    assert body["error"] == "Mediapipe graph definition with requested name is not found"
    assert "served: minilm" in body["detail"]


@pytest.mark.parametrize(
    ("rest", "body", "task"),
    [
        ("embeddings", {}, "embed"),
        ("tokenize", {"input": "a"}, "tokenize"),
        ("v1/tokenize", {"text": "a"}, "tokenize"),
        ("rerank", {}, "rerank"),
        ("rerank", {"input": "a"}, "embed"),
        ("x", {"query": "q", "documents": []}, "rerank"),
        ("x", {"input": "a", "query": "q"}, "embed"),
    ],
)
def test_body_and_end_of_path_say_what_is_wanted(rest, body, task):
    assert task_of(rest, body) == task


def test_documents_are_strings_or_objects_and_cut_when_too_long():
    request, ranking = parse_rerank({"query": "q", "documents": ["a", "b"]}, None)
    assert (request.queries, request.documents) == (("q",), ("a", "b"))
    assert request.truncate == "end"
    assert (ranking.top_n, ranking.with_documents) == (2, False)
    request, _ = parse_rerank({"query": "q", "documents": [{"title": "t", "text": "a"}]}, None)
    assert request.documents == ("a",)


def test_a_ranking_is_sorted_and_cut():
    body = {"query": "q", "documents": ["1", "333", "22"], "top_n": 2, "return_documents": True}
    _, answered = post("/v3/v1/rerank", body)
    assert [one["index"] for one in answered["results"]] == [1, 2]
    assert answered["results"][0]["document"] == {"text": "333"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"documents": ["a"]}, "query field is missing in request"),
        ({"query": 1, "documents": ["a"]}, "query is not a string"),
        ({"query": "q"}, "documents field is missing in request"),
        ({"query": "q", "documents": "a"}, "documents is not an array"),
        (
            {"query": "q", "documents": [1]},
            "documents array element is neither string nor object",
        ),
        (
            {"query": "q", "documents": ["a", {"text": "b"}]},
            "all documents have to be the same type (string or objects)",
        ),
        ({"query": "q", "documents": ["a"], "top_n": "1"}, "top_n accepts integer values"),
        ({"query": "q", "documents": ["a"], "top_n": True}, "top_n accepts integer values"),
        (
            {"query": "q", "documents": ["a"], "return_documents": 1},
            "return_documents accepts boolean values",
        ),
    ],
)
def test_a_refused_ranking_gets_the_words_of_the_original(body, message):
    reply, answered = post("/v3/rerank", body)
    assert reply.status == 400
    assert answered["error"] == WRAPPER.format("RerankExecutor") + message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "text field is required"),
        ({"text": 1}, "text should be string, array of strings or array of integers"),
        ({"text": []}, "text array should not be empty"),
        ({"text": ["a", 1]}, "text must be homogeneous"),
        ({"text": "a", "max_length": 0}, "max_length should be greater than 0"),
        ({"text": "a", "max_length": -1}, "max_length should be unsigned integer"),
        ({"text": "a", "max_length": "8"}, "max_length should be unsigned integer"),
        ({"text": "a", "pad_to_max_length": 1}, "pad_to_max_length should be boolean"),
        ({"text": "a", "add_special_tokens": 1}, "add_special_tokens should be boolean"),
        ({"text": "a", "padding_side": "up"}, "padding_side should be either left or right"),
        (
            {"text": "a", "padding_side": 42},
            "padding_side should be string, either left or right",
        ),
    ],
)
def test_a_refused_text_gets_the_words_of_the_original(body, message):
    with pytest.raises(InvalidInputError) as caught:
        parse_tokenize(body, None)
    assert caught.value.message == message


def test_a_list_of_one_text_has_a_flat_list_of_tokens():
    _, one = post("/v3/tokenize", {"text": ["hello world"]})
    _, two = post("/v3/tokenize", {"text": ["hello world", "a"], "add_special_tokens": False})
    assert one == {"tokens": [1, 10, 11, 2]}
    assert two == {"tokens": [[10, 11], [10]]}


def test_max_length_truncates():
    request, fill = parse_tokenize({"text": "a", "max_length": 8}, "m")
    assert (request.truncate, request.max_tokens, fill) == ("end", 8, None)


class _Padded(StubService):
    async def detokenize(self, request):
        result = await super().detokenize(request)
        texts = ["[PAD]" if ids == (3,) else "w" for ids in request.ids]
        return type(result)(result.model, tuple(texts))


def test_texts_are_filled_up_with_the_padding_token_to_the_length_or_the_longest():
    body = {"text": ["hello world", "a"], "pad_to_max_length": True}
    _, longest = post("/v3/tokenize", body, _Padded())
    _, fixed = post("/v3/tokenize", {**body, "max_length": 6, "padding_side": "left"}, _Padded())
    assert longest == {"tokens": [[1, 10, 11, 2], [1, 10, 2, 3]]}
    assert fixed == {"tokens": [[3, 3, 1, 10, 11, 2], [3, 3, 3, 1, 10, 2]]}


def test_a_vocabulary_without_a_padding_token_is_filled_up_with_the_last_token():
    _, body = post("/v3/tokenize", {"text": "a", "pad_to_max_length": True, "max_length": 5})
    assert body == {"tokens": [1, 10, 2, 2, 2]}


def test_padding_does_not_multiply_a_body():
    body = {"text": ["a"] * 200, "pad_to_max_length": True, "max_length": 32_000}
    reply, answered = post("/v3/tokenize", body)
    assert reply.status == 400
    assert "too many to pad" in answered["detail"]


def test_the_state_of_the_models_is_laid_out_byte_for_byte():
    assert render_config(()) == b"{}"
    assert render_config((TEXT_CARD,)).decode() == (
        '{\n"minilm" : \n{\n "model_version_status": [\n  {\n   "version": "1",\n'
        '   "state": "AVAILABLE",\n   "status": {\n    "error_code": "OK",\n'
        '    "error_message": "OK"\n   }\n  }\n ]\n}\n}'
    )


def test_several_models_are_sorted_and_each_has_its_state():
    service = StubService(cards=(TEXT_CARD, _in_state("failed", "b"), _in_state("loading", "a")))
    reply, body = get("/v1/config", service)
    assert reply.body.count(b",\n") == 2 + 3 * 3
    states = {name: one["model_version_status"][0] for name, one in body.items()}
    assert list(states) == ["a", "b", "minilm"]
    assert [one["state"] for one in states.values()] == ["LOADING", "LOADING", "AVAILABLE"]
    assert states["b"]["status"]["error_code"] == "FAILED_PRECONDITION"


def _in_state(state, name):
    return replace(CARD, name=name, state=state)


class _Reloading(StubService):
    def __init__(self, outcome):
        super().__init__()
        self.outcome = outcome

    async def reload(self):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(("changed", "status"), [(True, 201), (False, 200)])
def test_a_reload_says_whether_anything_changed(changed, status):
    reply, body = post("/v1/config/reload", b"", _Reloading(changed))
    assert reply.status == status
    assert list(body) == [CARD.name]


def test_a_reload_that_fails_is_told_without_paths():
    service = _Reloading(ConfigError("/srv/secret/config.json is broken"))
    reply = asyncio.run(answer(Call("POST", "/v1/config/reload"), service))
    assert reply.status == 412
    assert reply.body == (
        b'{\n\t"error": "Reloading config file failed. Check server logs for more info."\n}'
    )


@pytest.mark.parametrize("path", ["/v3/models", "/v3/v1/models"])
def test_models_are_listed_and_found_by_any_of_their_names(path):
    assert [one["id"] for one in get(path)[1]["data"]] == [CARD.name]
    assert get(f"{path}/{CARD.aliases[0]}")[1]["id"] == CARD.name
    reply, body = get(f"{path}/none/such")
    assert (reply.status, body["error"]) == (404, "Model not found")


def test_base64_holds_the_floats_in_little_endian():
    _, body = post("/v3/embeddings", {"input": "a", "encoding_format": "base64"})
    raw = body["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(raw), "<f4").tolist()[1:] == [-0.25, 1.0]
