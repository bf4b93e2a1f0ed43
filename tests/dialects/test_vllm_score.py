from dataclasses import replace

import pytest

from polyvec.dialects._vllm.score import parse_rerank, parse_score
from polyvec.errors import InvalidInputError
from polyvec.types import DataUri, Image, Input, Text
from tests.dialects.stub import CARD, StubService, post

PNG = "data:image/png;base64,iVBORw0KGgo="
PICTURE = {"type": "image_url", "image_url": {"url": PNG}}


class _Service(StubService):
    """Documents that are not texts count as long as their texts are."""

    async def score(self, request):
        texts = [
            "".join(part.text for part in item.parts if isinstance(part, Text))
            if isinstance(item, Input)
            else item
            for item in request.documents
        ]
        self.scored.append(request)
        scored = StubService()
        return await scored.score(replace(request, documents=tuple(texts)))


@pytest.mark.parametrize(
    ("first", "second"),
    [("queries", "documents"), ("queries", "items"), ("text_1", "text_2"), ("data_1", "data_2")],
)
def test_pairs_come_under_any_of_the_known_names(first, second):
    request = parse_score({first: "q", second: ["a", {"text": "b"}, {"content": "c"}]})
    assert request.queries == ("q",)
    assert request.documents == ("a", "b", "c")


def test_contents_of_texts_are_one_text_and_others_an_input():
    content = {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    mixed = {"content": [PICTURE, {"type": "text", "text": "a"}]}
    request = parse_score({"data_1": content, "data_2": [mixed, PICTURE]})
    assert request.queries == ("a\nb",)
    assert request.documents == (
        Input((Image(DataUri(PNG)), Text("a")), "data_2[0]"),
        Input((Image(DataUri(PNG)),), "data_2[1]"),
    )


@pytest.mark.parametrize(
    ("queries", "documents", "is_right"),
    [(1, 1, True), (1, 3, True), (3, 3, True), (2, 3, False), (3, 1, False)],
)
def test_lengths_are_one_to_one_one_to_many_or_many_to_many(queries, documents, is_right):
    body = {"queries": ["q"] * queries, "documents": ["d"] * documents}
    if is_right:
        assert len(parse_score(body).documents) == documents
        return
    with pytest.raises(InvalidInputError, match=r"^Input lengths must be either 1:1, 1:N or N:N$"):
        parse_score(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"queries": [], "documents": "a"}, "At least one text element must be given"),
        ({"queries": "a", "documents": []}, "At least one text_pair element must be given"),
        (
            {"queries": "a", "documents": "b", "max_tokens_per_doc": -1},
            "max_tokens_per_doc must be a non-negative integer",
        ),
        (
            {"queries": "a", "documents": "b", "truncate_prompt_tokens": 0},
            "The decoder prompt cannot be empty",
        ),
    ],
)
def test_what_vllm_refuses_is_refused_in_its_words(body, message):
    with pytest.raises(InvalidInputError) as caught:
        parse_score(body)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"documents": ["a"]}, "queries"),
        ({"queries": ["a", 1], "documents": ["a", "b"]}, "queries[1]"),
        ({"queries": "q", "documents": [None]}, "documents"),
        ({"queries": "q", "documents": ["a", {}]}, "documents[1]"),
        ({"queries": "q", "documents": ["a", {"content": []}]}, "documents[1]"),
        ({"queries": "q", "documents": ["a", {"content": [5]}]}, "documents[1].content[0]"),
        ({"queries": "q", "documents": ["a"], "use_activation": 1}, "use_activation"),
        ({"queries": "q", "documents": ["a"], "truncate_prompt_tokens": -7},
         "truncate_prompt_tokens"),
        ({"queries": "q", "documents": ["a"], "max_tokens_per_query": "x"},
         "max_tokens_per_query"),
        ({"queries": "q", "documents": ["a"], "cache_salt": ""}, "cache_salt"),
    ],
)  # fmt: skip
def test_a_score_that_cannot_be_read_names_its_field(body, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_score(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": ["q"], "documents": ["a"]}, "query"),
        ({"query": "q"}, "documents"),
        ({"query": "q", "documents": ["a"], "top_n": -1}, "top_n"),
        ({"query": "q", "documents": ["a"], "top_n": "x"}, "top_n"),
        ({"query": "q", "documents": ["a"], "return_documents": 1}, "return_documents"),
        ({"query": "q", "documents": ["a"], "chat_template": "x"}, "chat_template"),
        ({"query": "q", "documents": ["a"], "chat_template_kwargs": {"x": 1}},
         "chat_template_kwargs"),
    ],
)  # fmt: skip
def test_a_rerank_that_cannot_be_read_names_its_field(body, param):
    with pytest.raises(InvalidInputError) as caught:
        parse_rerank(body)
    assert caught.value.param == param


def test_limits_and_instruction_reach_the_service():
    fields = {
        "truncate_prompt_tokens": 9,
        "truncation_side": "left",
        "max_tokens_per_query": 3,
        "max_tokens_per_doc": 0,
        "chat_template_kwargs": {"instruction": "find"},
        "priority": 4,
        "cache_salt": "s",
    }
    request = parse_score({"queries": "q", "documents": "d", **fields})
    assert (request.truncate, request.max_tokens) == ("start", 9)
    assert (request.max_query_tokens, request.max_document_tokens) == (3, None)
    assert (request.instruction, request.priority, request.cache_salt) == ("find", 4, "s")


def test_logits_are_asked_for_without_the_activation():
    body = {"queries": "q", "documents": "d"}
    assert parse_score(body).activate is True
    assert parse_score({**body, "use_activation": False}).activate is False
    assert parse_rerank({"query": "q", "documents": "d", "raw_scores": True}).request.activate is (
        False
    )


@pytest.mark.parametrize("field", ["max_tokens_per_doc", "max_tokens_per_query"])
def test_a_text_may_not_fill_the_whole_model(field):
    reply, body = post("/score", {"queries": "q", "documents": "d", field: 77})
    assert reply.status == 400
    assert body["message"] == f"{field} (77) must be less than max_model_len (77)."


def test_reranking_sorts_by_score_and_returns_all_without_a_limit():
    _, body = post("/rerank", {"query": "q", "documents": ["1", "333", "22"], "top_n": 0})
    assert [result["index"] for result in body["results"]] == [1, 2, 0]
    scores = [result["relevance_score"] for result in body["results"]]
    assert scores == sorted(scores, reverse=True)


def test_equal_scores_keep_the_callers_order():
    _, body = post("/rerank", {"query": "q", "documents": ["a", "b", "c"]})
    assert [result["index"] for result in body["results"]] == [0, 1, 2]


def test_texts_can_be_left_out_of_a_ranking():
    _, body = post("/rerank", {"query": "q", "documents": ["1"], "return_documents": False})
    assert "document" not in body["results"][0]


def test_pictures_are_not_sent_back():
    mixed = {"content": [PICTURE, {"type": "text", "text": "caption"}]}
    reply, body = post("/rerank", {"query": "q", "documents": [mixed, PICTURE]}, _Service())
    assert [result["document"]["text"] for result in body["results"]] == ["caption", None]
    assert b"iVBOR" not in reply.body


@pytest.mark.parametrize(("path", "version"), [("/v1/rerank", "1"), ("/v2/rerank", "2")])
def test_coheres_clients_read_the_version_of_their_path(path, version):
    _, body = post(path, {"query": "q", "documents": ["1"]})
    assert body["meta"]["api_version"] == {"version": version}
    assert body["meta"]["billed_units"] == {"search_units": 1}


def test_scores_are_written_with_the_digits_of_float32():
    _, body = post("/score", {"queries": "q", "documents": ["12345678", "1"]})
    assert [item["score"] for item in body["data"]] == [1.0, 0.125]


def test_a_model_of_sparse_vectors_alone_scores_nothing():
    service = StubService(cards=(replace(CARD, outputs=("sparse",)),))
    reply, body = post("/score", {"queries": "q", "documents": "d"}, service)
    assert (reply.status, body["message"]) == (400, "The model does not support Score API")
