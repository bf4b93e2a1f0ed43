from dataclasses import replace

import pytest

from polyvec.errors import InputTooLongError, InvalidInputError
from polyvec.types import EmbedRequest, Input, Text
from tests.dialects.stub import CARD, ROWS, TEXT_CARD, StubService, get, post

MINILM = replace(TEXT_CARD, name="minilm", max_input_tokens=256, dimensions=3)


def _requests(body, path="/api/embed", cards=(MINILM,)):
    service = StubService(cards)
    reply, answer = post(path, body, service)
    assert reply.status == 200, answer
    return service.requests


def _refused(body, path="/api/embed", service=None):
    reply, answer = post(path, body, service or StubService((MINILM,)))
    assert set(answer) == {"error"}
    return reply.status, answer["error"]


def test_a_text_is_cut_at_the_end_and_its_vector_has_unit_length():
    assert _requests({"model": "minilm", "input": "a"}) == [
        EmbedRequest(
            "minilm", (Input((Text("a"),)),), normalize=True, truncate="end", outputs=("dense",)
        )
    ]


def test_truncate_false_refuses_long_texts():
    assert _requests({"input": "a", "truncate": False})[0].truncate == "none"
    error = InputTooLongError("300 tokens, and this model reads 256", length=300, limit=256)
    status, message = _refused({"input": "a"}, service=StubService((MINILM,), error=error))
    assert status == 400
    assert message.startswith("the input length exceeds the context length")
    assert "256" in message


@pytest.mark.parametrize("name", ["minilm", "minilm:latest", "", None])
def test_the_tag_of_the_newest_model_may_stand_behind_a_name(name):
    assert _requests({"model": name, "input": "a"})[0].model == "minilm"


def test_a_name_that_ends_with_the_tag_is_found_as_it_is():
    tagged = replace(MINILM, name="minilm:latest")
    assert _requests({"model": "minilm:latest", "input": "a"}, cards=(CARD, tagged))[0].model == (
        "minilm:latest"
    )


def test_the_answer_names_the_model_as_the_caller_does():
    _, answer = post("/api/embed", {"model": "minilm:latest", "input": "a"}, StubService((MINILM,)))
    assert answer["model"] == "minilm:latest"
    assert answer["prompt_eval_count"] == 5
    assert answer["total_duration"] > 0


def test_another_tag_is_another_model():
    status, message = _refused({"model": "minilm:22m", "input": "a"})
    assert status == 404
    assert message.startswith('model "minilm:22m" not found, try pulling it first')
    assert "minilm" in message.partition("serves")[2]


def test_texts_keep_their_order_and_may_be_empty():
    inputs = _requests({"input": ["b", "", "a"]})[0].inputs
    assert [item.parts[0].text for item in inputs] == ["b", "", "a"]
    assert [item.param for item in inputs] == ["input[0]", "input[1]", "input[2]"]


@pytest.mark.parametrize("fields", [{}, {"input": None}, {"input": ""}, {"input": []}])
def test_no_input_gives_no_vectors(fields):
    service = StubService((MINILM,))
    reply, answer = post("/api/embed", {"model": "minilm", **fields}, service)
    assert (reply.status, answer) == (200, {"model": "minilm", "embeddings": []})
    assert not service.requests


def test_no_input_for_an_unknown_model_is_refused():
    assert _refused({"model": "nobody"})[0] == 404


@pytest.mark.parametrize(
    ("dimensions", "wanted"), [(2, 2), (3, None), (4, None), (0, None), (-1, None), (None, None)]
)
def test_dimensions_count_below_the_length_of_the_vector(dimensions, wanted):
    assert _requests({"input": "a", "dimensions": dimensions})[0].dimensions == wanted


def test_any_length_is_asked_of_a_model_that_is_not_loaded():
    unloaded = replace(MINILM, dimensions=0, state="unloaded")
    assert _requests({"input": "a", "dimensions": 3}, cards=(unloaded,))[0].dimensions == 3


@pytest.mark.parametrize(
    ("num_ctx", "limit"), [(64, 64), (256, None), (4096, None), (0, None), (None, None)]
)
@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings"])
def test_num_ctx_is_where_a_text_is_cut(path, num_ctx, limit):
    body = {"input": "a", "prompt": "a", "options": {"num_ctx": num_ctx, "seed": 1}}
    assert _requests(body, path)[0].max_tokens == limit


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 1}, "input"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [["a"]]}, "input[0]"),
        ({"input": "a", "truncate": "yes"}, "truncate"),
        ({"input": "a", "dimensions": True}, "dimensions"),
        ({"input": "a", "options": []}, "options"),
        ({"input": "a", "options": {"num_ctx": "8k"}}, "options.num_ctx"),
        ({"input": "a", "options": {"num_ctx": True}}, "options.num_ctx"),
        ({"input": "a", "model": 1}, "model"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(fields, param):
    status, message = _refused(fields)
    assert status == 400
    assert message.startswith(param)


def test_the_older_route_takes_one_prompt_and_leaves_its_vector_as_it_is():
    (request,) = _requests({"model": "minilm", "prompt": "a"}, "/api/embeddings")
    assert request == EmbedRequest(
        "minilm", (Input((Text("a"),), param="prompt"),), truncate="end", outputs=("dense",)
    )
    _, answer = post("/api/embeddings", {"prompt": "a"})
    assert answer == {"embedding": pytest.approx(ROWS[0].tolist())}


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": None}])
def test_the_older_route_gives_an_empty_vector_for_no_prompt(body):
    assert post("/api/embeddings", body)[1] == {"embedding": []}


def test_models_are_listed_with_a_tag():
    tagged = replace(MINILM, name="e5:small")
    _, answer = get("/api/tags", StubService((MINILM, tagged)))
    assert [model["name"] for model in answer["models"]] == ["minilm:latest", "e5:small"]
    assert len({model["digest"] for model in answer["models"]}) == 2


def test_only_loaded_models_run():
    unloaded = replace(MINILM, name="later", state="unloaded")
    _, answer = get("/api/ps", StubService((MINILM, unloaded)))
    assert [model["name"] for model in answer["models"]] == ["minilm:latest"]
    assert answer["models"][0]["context_length"] == 256


@pytest.mark.parametrize("field", ["model", "name"])
def test_a_model_is_shown_by_either_field(field):
    _, answer = post("/api/show", {field: "minilm:latest"}, StubService((CARD, MINILM)))
    assert answer["capabilities"] == ["embedding"]
    assert answer["model_info"]["bert.embedding_length"] == 3
    assert answer["model_info"]["bert.context_length"] == 256


def test_a_model_without_a_text_tower_has_no_context_length():
    pictures = replace(CARD, max_input_tokens=None)
    _, answer = post("/api/show", {}, StubService((pictures,)))
    assert "clip.context_length" not in answer["model_info"]


def test_faults_of_the_caller_have_their_own_words():
    error = InvalidInputError("input[0] is odd", param="input[0]")
    assert _refused({"input": "a"}, service=StubService(error=error)) == (400, "input[0] is odd")
