"""The fields of a request beside its input."""

import pytest

from polyvec.dialects._openai.embed import parse
from polyvec.errors import InvalidInputError
from tests.dialects.stub import post


def _request(**fields):
    return parse({"input": "a", **fields}).request


def _refused(**fields):
    with pytest.raises(InvalidInputError) as caught:
        parse({"input": "a", **fields})
    return caught.value


@pytest.mark.parametrize("model", [None, ""])
def test_no_model_means_the_servers_first(model):
    assert _request(model=model).model is None


@pytest.mark.parametrize(
    ("written", "dimensions"), [(1, 1), (384, 384), (2**40, 2**40), ("64", 64), (64.0, 64)]
)
def test_dimensions_may_be_written_as_vllm_reads_them(written, dimensions):
    assert _request(dimensions=written).dimensions == dimensions


@pytest.mark.parametrize("dimensions", [True, False, "x", "6 4", "1e3", "", 64.5, [], {}, 2**63])
def test_dimensions_that_are_no_integer_are_refused(dimensions):
    error = _refused(dimensions=dimensions)
    assert error.param == "dimensions"
    assert "integer" in error.message


@pytest.mark.parametrize("dimensions", [0, -1])
def test_dimensions_below_one_are_refused_in_vllms_words(dimensions):
    reply, body = post("/v1/embeddings", {"input": "a", "dimensions": dimensions})
    assert reply.status == 400
    assert body["message"] == (
        f"Model 'CLIP/clip-vit-b-16' only supports dimensions in range [1, 3], got {dimensions}."
    )
    assert body["error"]["allowed"] == [3]


@pytest.mark.parametrize(
    ("fields", "truncate"),
    [
        ({}, None),
        ({"truncate": "end"}, "end"),
        ({"truncate": "start"}, "start"),
        ({"truncate": "none"}, "none"),
        ({"truncate": True}, "end"),
        ({"truncate": False}, "none"),
        ({"truncate": True, "truncation_side": "left"}, "start"),
        ({"truncate": "end", "truncation_side": "left"}, "end"),
        ({"truncation_side": "left"}, None),
        ({"truncate_prompt_tokens": -1}, "end"),
        ({"truncate_prompt_tokens": -1, "truncation_side": "right"}, "end"),
        ({"truncate_prompt_tokens": -1, "truncation_side": "left"}, "start"),
        ({"truncate_prompt_tokens": -1, "truncate": "start"}, "start"),
        ({"truncate_prompt_tokens": 5}, "end"),
        ({"truncate_prompt_tokens": "5", "truncation_side": "left"}, "start"),
    ],
)
def test_truncation_is_joined_from_three_fields(fields, truncate):
    assert _request(**fields).truncate == truncate


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"truncate": "END"}, "truncate"),
        ({"truncate": 1}, "truncate"),
        ({"truncate": {}}, "truncate"),
        ({"truncate": "none", "truncate_prompt_tokens": -1}, "truncate"),
        ({"truncate": False, "truncate_prompt_tokens": -1}, "truncate"),
        ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": 5.5}, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": True}, "truncate_prompt_tokens"),
        ({"padding": "longest"}, "padding"),
        ({"add_special_tokens": 1}, "add_special_tokens"),
        ({"use_activation": "yes"}, "use_activation"),
        ({"request_id": 5}, "request_id"),
        ({"mm_processor_kwargs": []}, "mm_processor_kwargs"),
        ({"late_chunking_params": {"chunk_size": 8}}, "late_chunking_params"),
        ({"truncation_side": "both"}, "truncation_side"),
        ({"model": 5}, "model"),
        ({"encoding_format": 5}, "encoding_format"),
        ({"prompt_name": ["query"]}, "prompt_name"),
        ({"priority": True}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": 2**63}, "priority"),
        ({"cache_salt": ""}, "cache_salt"),
        ({"cache_salt": "s" * 129}, "cache_salt"),
        ({"cache_salt": "a/b"}, "cache_salt"),
        ({"cache_salt": 7}, "cache_salt"),
    ],
)
def test_a_field_that_cannot_be_honoured_is_refused_by_name(fields, param):
    error = _refused(**fields)
    assert error.param == param
    assert param in error.message


def test_extensions_reach_the_request():
    request = _request(prompt_name="query", priority=-5, cache_salt="tenant")
    assert (request.prompt_name, request.priority, request.cache_salt) == ("query", -5, "tenant")


def test_special_tokens_activation_and_a_token_limit_reach_the_request():
    request = _request(add_special_tokens=False, use_activation=False, truncate_prompt_tokens=9)
    assert (request.add_special_tokens, request.normalize) == (False, False)
    assert (request.truncate, request.max_tokens) == ("end", 9)
    assert _request(truncate_prompt_tokens=-1).max_tokens is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"truncate_prompt_tokens": 0}, "The decoder prompt cannot be empty"),
        (
            {"normalize": False},
            (
                "Parameter `normalize` was removed; use `use_activation` instead. "
                "(parameter=normalize)"
            ),
        ),
        (
            {"task": "score"},
            "`score` task was removed; use `classify` instead. (parameter=task)",
        ),
        (
            {"task": "encode"},
            (
                "`encode` task was removed; use `token_embed` or `token_classify` instead. "
                "(parameter=task)"
            ),
        ),
        (
            {"cache_salt": ""},
            "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)",
        ),
        (
            {"cache_salt": "a@b"},
            (
                "Parameter 'cache_salt' must be at most 128 characters and must not contain '@', "
                "'/', '\\\\', or NUL. (parameter=cache_salt)"
            ),
        ),
        (
            {"media_io_kwargs": {"video": {}}},
            (
                "Per-request media_io_kwargs are disabled by default because they can change "
                "multimodal media loading resource usage. Start the server with "
                "--trust-request-mm-kwargs only when clients are trusted. "
                "(parameter=media_io_kwargs)"
            ),
        ),
        (
            {"encoding_format": "hex"},
            "encoding_format: Input should be 'float', 'base64', 'bytes' or 'bytes_only'",
        ),
        ({"truncation_side": "both"}, "truncation_side: Input should be 'left' or 'right'"),
        ({"padding": "x"}, "padding: Input should be 'max_length' or 'do_not_pad'"),
    ],
)
def test_vllms_refusals_are_word_for_word(fields, message):
    assert _refused(**fields).message == message


@pytest.mark.parametrize(("limit", "status"), [(77, 200), (78, 400)])
def test_a_text_cannot_be_cut_to_more_than_the_model_reads(limit, status):
    reply, body = post("/v1/embeddings", {"input": "a", "truncate_prompt_tokens": limit})
    assert reply.status == status
    if status == 400:
        assert body["message"] == (
            "truncate_prompt_tokens value is greater than max_model_len. "
            "Please request a smaller truncation size."
        )


def test_null_means_absent_in_every_optional_field():
    names = [
        "model", "dimensions", "encoding_format", "user", "prompt_name", "truncate",
        "truncate_prompt_tokens", "truncation_side", "priority", "cache_salt", "unknown",
        "messages", "embed_dtype", "endianness", "use_activation", "padding", "request_id",
        "add_special_tokens", "mm_processor_kwargs", "media_io_kwargs", "task", "outputs",
        "input_type", "normalize", "late_chunking_params",
    ]  # fmt: skip
    assert parse({"input": "a"} | dict.fromkeys(names)) == parse({"input": "a"})


def test_user_and_unknown_fields_are_ignored():
    assert _request(user=7, unknown={"a": 1}) == _request()


@pytest.mark.parametrize("body", [[], "a", None, 5])
def test_a_body_that_is_no_object_is_refused(body):
    reply, answered = post("/v1/embeddings", body)
    assert reply.status == 400
    assert "JSON object" in answered["error"]["message"]
