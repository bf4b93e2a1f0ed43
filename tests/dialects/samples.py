"""A good body of every dialect, and where its errors differ from the usual.

A new dialect adds itself here; tests/dialects/test_contract.py holds it to what holds for all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from polyvec import errors
from tests.dialects.stub import CARD

SECRET = "/srv/secret/weights.bin at 0x7f00deadbeef"

USUAL = [
    (errors.InvalidInputError("bad", param="input"), 400),
    (errors.InvalidInputError("bad", code="invalid_json"), 400),
    (errors.UnsupportedInputError("no images", param="input"), 400),
    (errors.InputTooLongError("too long", param="input[1]", length=9, limit=8), 400),
    (errors.DimensionsError("not trained for it", dimensions=7, native=3), 400),
    (errors.PromptNotFoundError("no such prompt", param="prompt_name", name="x"), 400),
    (errors.TokenIdError("out of range", param="input", token=99), 400),
    (errors.TemplateError("boo", param="messages"), 400),
    (errors.MediaError("not an image", param="input"), 400),
    (errors.UnprocessableInputError("not finite", param="input"), 422),
    (errors.PayloadTooLargeError("over the limit"), 413),
    (errors.ModelNotFoundError("no such model", name="x", served=("a",)), 404),
    (errors.AuthenticationError("no key"), 401),
    (errors.OverloadedError("full", retry_after_s=2.5), 503),
    (errors.NotReadyError("loading"), 503),
    (errors.InferenceError(SECRET), 500),
    (errors.CheckpointError(SECRET), 500),
    (errors.ConfigError(SECRET), 500),
    (errors.PolyvecError(SECRET), 500),
]
"""Every error, and the status that most dialects give it."""


@dataclass(frozen=True)
class Sample:
    """One dialect.

    Attributes:
        path: Where it takes bodies.
        body: One that it accepts.
        message: Where its error bodies hold the text.
        statuses: Name of an error's class → status, where it is not the usual one. A class stands
            for those below it that are not named themselves.
        json_status: Of a body that is not JSON, where it is not the usual one.
    """

    path: str
    body: Any
    message: Callable[[Any], str] = lambda answer: answer["detail"]
    statuses: Mapping[str, int] = field(default_factory=dict)
    json_status: int | None = None

    def status_of(self, error: errors.PolyvecError, usual: int) -> int:
        if error.code == "invalid_json" and self.json_status is not None:
            return self.json_status
        for kind in type(error).__mro__:
            if kind.__name__ in self.statuses:
                return self.statuses[kind.__name__]
        return usual


SAMPLES = {
    "openai": Sample("/v1/embeddings", {"input": "a"}),
    "vllm": Sample("/score", {"queries": "a", "documents": ["b"]}),
    "mmes": Sample(
        "/embeddings",
        {"model": CARD.name, "input": {"type": "text", "text": "a"}},
        statuses={
            "InvalidInputError": 422,
            "UnsupportedInputError": 400,
            "ModelNotFoundError": 400,
        },
    ),
    "ollama": Sample(
        "/api/embed", {"model": CARD.name, "input": "a"}, message=lambda answer: answer["error"]
    ),
    "weaviate": Sample("/vectors", {"text": "a"}, message=lambda answer: answer["error"]),
    "qdrant": Sample(
        "/qdrant/inference",
        {"inputs": [{"data": "a", "data_type": "text", "model": CARD.name, "options": None}]},
        message=lambda answer: answer["error"],
        statuses={"InvalidInputError": 400, "ModelNotFoundError": 400},
    ),
    "cohere": Sample(
        "/v2/embed",
        {"texts": ["a"], "input_type": "search_query"},
        message=lambda answer: answer["message"],
    ),
    "jina": Sample("/v1/embeddings", {"input": "a", "normalized": True}),
    "voyage": Sample("/v1/embeddings", {"input": ["a"], "truncation": True}),
    "infinity": Sample(
        "/embeddings",
        {"input": ["a"], "modality": "text"},
        message=lambda answer: answer["error"]["message"],
        statuses={"ModelNotFoundError": 400, "OverloadedError": 429},
        json_status=422,
    ),
    "kserve": Sample(
        f"/v2/models/{CARD.name}/infer",
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]},
        message=lambda answer: answer["error"],
    ),
    "ovms": Sample(
        "/v3/embeddings",
        {"model": CARD.name, "input": "a"},
        statuses={"InvalidInputError": 400},
        json_status=412,
    ),
    "sglang": Sample("/v1/embeddings", {"input": [{"text": "a"}]}),
    "tei": Sample(
        "/embed",
        {"inputs": "a"},
        message=lambda answer: answer["error"],
        statuses={
            "InvalidInputError": 422,
            "UnsupportedInputError": 424,
            "UnprocessableInputError": 424,
            "OverloadedError": 429,
            "InferenceError": 424,
        },
        json_status=400,
    ),
}
