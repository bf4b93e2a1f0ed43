"""Results → Text Embeddings Inference's answers, with the headers that tell what they cost. Pure.

Source: https://github.com/huggingface/text-embeddings-inference, router/src/lib.rs (headers) and
router/src/http/types.rs.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from polyvec import __version__
from polyvec.dialects._base import Reply
from polyvec.dialects._encode import json_reply, wire_vector
from polyvec.dialects._scores import best_first, names_of, short_numbers
from polyvec.dialects._tei.requests import Ask, RankAsk
from polyvec.dialects._tei.wire import (
    Info,
    ModelTypes,
    Prediction,
    Rank,
    SimpleToken,
    SparseValue,
)
from polyvec.types import (
    Embedding,
    EmbedResult,
    Float32Array,
    ModelCard,
    Output,
    ScoreResult,
    SparseVector,
    Tokenized,
    TokenizeResult,
)

_MS_PER_S: Final = 1000
# The word that TEI has for a pooling where it is not ours.
_POOLINGS: Final = {"last": "last_token"}


def cost_headers(
    card: ModelCard, *, num_chars: int, num_tokens: int, took_s: float
) -> Mapping[str, str]:
    """Return what an answer cost; times in whole milliseconds.

    Where the time went is not measured for one request, so all of it counts as inference.
    """
    took_ms = str(int(took_s * _MS_PER_S))
    return {
        "x-compute-type": "cpu" if card.device.lower().startswith("cpu") else "gpu+optimized",
        "x-compute-time": took_ms,
        "x-compute-characters": str(num_chars),
        "x-compute-tokens": str(num_tokens),
        "x-total-time": took_ms,
        "x-tokenization-time": "0",
        "x-queue-time": "0",
        "x-inference-time": took_ms,
    }


def vectors_reply(result: EmbedResult, output: Output, headers: Mapping[str, str]) -> Reply:
    """Return one vector, one matrix or one sparse vector for each input, always in an array."""
    return json_reply([_wire(each, output) for each in result.embeddings], headers=headers)


def _wire(embedding: Embedding, output: Output) -> Any:
    if output == "dense":
        return wire_vector(embedding.vector, "float")
    if output == "tokens":
        return _rows(embedding.token_vectors)
    return _sparse(embedding.sparse)


def _rows(vectors: Any) -> list[Any]:
    return [] if vectors is None else [wire_vector(vector, "float") for vector in vectors]


def _sparse(vector: SparseVector | None) -> list[SparseValue]:
    if vector is None:
        return []
    pairs = zip(vector.indexes.tolist(), short_numbers(vector.values), strict=True)
    return [SparseValue(index=index, value=value) for index, value in pairs]


def similarities_reply(result: EmbedResult, headers: Mapping[str, str]) -> Reply:
    """Return the cosine of the first input's vector and each other; all have unit length."""
    vectors = np.stack([each.vector for each in result.embeddings])
    return json_reply(wire_vector(vectors[1:] @ vectors[0], "float"), headers=headers)


def predictions_reply(
    result: EmbedResult, ask: Ask, card: ModelCard, headers: Mapping[str, str]
) -> Reply:
    """Return every label with its score, the best first; in an array for each input of a batch."""
    found = [_predictions(each, card.labels, ask) for each in result.embeddings]
    return json_reply(found[0] if ask.is_single else found, headers=headers)


def _predictions(embedding: Embedding, labels: tuple[str, ...], ask: Ask) -> list[Prediction]:
    scores = np.zeros(0, np.float32) if embedding.scores is None else embedding.scores
    if not ask.is_raw:
        scores = _softmax(scores) if len(scores) > 1 else _sigmoid(scores)
    names = names_of(labels, len(scores))
    values = short_numbers(scores)
    return [Prediction(score=values[index], label=names[index]) for index in best_first(scores)]


def ranks_reply(
    result: ScoreResult, ask: RankAsk, card: ModelCard, headers: Mapping[str, str]
) -> Reply:
    """Return the index and the score of every text, the best first.

    A cross-encoder's scores become probabilities; cosines stay what they are.
    """
    scores = result.scores
    if "score" in card.outputs and not ask.is_raw:
        scores = _sigmoid(scores)
    values = short_numbers(scores)
    ranks = []
    for index in best_first(scores):
        rank = Rank(index=index, score=values[index])
        text = ask.request.documents[index]
        if ask.with_text and isinstance(text, str):
            rank = Rank(index=index, text=text, score=values[index])
        ranks.append(rank)
    return json_reply(ranks, headers=headers)


# Source: core/src/infer.rs: one score goes through a sigmoid, several through a softmax.


def _sigmoid(scores: Float32Array) -> Float32Array:
    wide = np.clip(scores.astype(np.float64), -500, 500)
    squashed: Float32Array = (1 / (1 + np.exp(-wide))).astype(np.float32)
    return squashed


def _softmax(scores: Float32Array) -> Float32Array:
    powers = np.exp(scores.astype(np.float64) - scores.max())
    shares: Float32Array = (powers / powers.sum()).astype(np.float32)
    return shares


def tokens_reply(result: TokenizeResult) -> Reply:
    """Return the tokens of every input."""
    return json_reply([_tokens(found) for found in result.inputs])


def _tokens(found: Tokenized) -> list[SimpleToken]:
    tokens = []
    columns = (found.ids.tolist(), found.tokens, found.is_special.tolist(), found.spans.tolist())
    for token, spelling, is_special, (start, stop) in zip(*columns, strict=True):
        in_text = start >= 0 and not is_special
        tokens.append(
            SimpleToken(
                id=token,
                text=found.text[start:stop] if in_text else spelling,
                special=is_special,
                start=start if in_text else None,
                stop=stop if in_text else None,
            )
        )
    return tokens


def info(card: ModelCard) -> Info:
    """Return what a client asks of a server of one model.

    There are no limits of batches and of concurrent requests here, so theirs are the least that is
    always possible: one input of the greatest length, one request of the most inputs.
    """
    length = card.max_input_tokens or 0
    return Info(
        model_id=card.name,
        model_sha=None,
        model_dtype=card.dtype,
        served_model_name=card.name,
        model_type=_model_type(card),
        max_concurrent_requests=card.max_inputs,
        max_input_length=length,
        max_batch_tokens=length,
        max_batch_requests=None,
        max_client_batch_size=card.max_inputs,
        auto_truncate=card.truncate != "none",
        tokenization_workers=1,
        version=__version__,
        sha=None,
        docker_label=None,
    )


def _model_type(card: ModelCard) -> ModelTypes:
    if "score" not in card.outputs:
        return ModelTypes(embedding={"pooling": _pooling(card)})
    labels = card.labels or ("LABEL_0",)
    described: dict[str, dict[str, Any]] = {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    if len(labels) == 1:
        return ModelTypes(reranker=described)
    return ModelTypes(classifier=described)


def _pooling(card: ModelCard) -> str:
    if card.outputs[:1] == ("sparse",):
        return "splade"
    setting = card.settings.get("pooling")
    pooling = "mean" if setting is None else str(setting.value)
    return _POOLINGS.get(pooling, pooling)
