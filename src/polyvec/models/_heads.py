"""Heads that several families share: what they compute, and the keys of config.json they need."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from polyvec.models._family import Head, Pooling
from polyvec.models._ops import Tensor, TextOps
from polyvec.types import Output

BGE_M3_FILES = {"sparse_linear": "sparse_linear.", "colbert_linear": "colbert_linear."}
"""Where bge-m3 keeps two layers of its own; see `Family.extra_files`."""
_DEFAULT_LABELS = 2
"""Of transformers' PreTrainedConfig."""


def is_scorer(architecture: str) -> bool:
    """Whether an architecture is a cross-encoder: its main output is a pair's scores."""
    return architecture.endswith("ForSequenceClassification")


def head_keys(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What heads need of config.json: ``architecture`` and ``num_labels``."""
    names = raw.get("architectures")
    first = names[0] if isinstance(names, list) and names else ""
    return {"architecture": first, "num_labels": _num_labels(raw)}


def _num_labels(raw: Mapping[str, Any]) -> int:
    """Source: transformers PreTrainedConfig."""
    labels = raw.get("id2label")
    if isinstance(labels, Mapping) and labels:
        return len(labels)
    count = raw.get("num_labels")
    return count if isinstance(count, int) and count > 0 else _DEFAULT_LABELS


def score_heads(
    forward: Callable[[Any, Any, Tensor], Tensor], num_labels: int, *, pooling: Pooling
) -> Mapping[Output, Head]:
    """A cross-encoder's one output.

    Args:
        forward: Pooled rows → logits (B, ``num_labels``).
        num_labels: Numbers of a score; a single one goes through a sigmoid, as in
            sentence_transformers.CrossEncoder, unless the checkpoint says otherwise.
        pooling: How rows are pooled.
    """
    head = Head(
        forward=forward,
        reads="rows",
        gives="rows",
        dimensions=num_labels,
        activation="sigmoid" if num_labels == 1 else None,
        pooling=pooling,
    )
    return {"score": head}


def answer_heads(table: str, true_id: int, false_id: int | None) -> Mapping[Output, Head]:
    """A language model's verdict: how much likelier it says one token than the other.

    Source: sentence_transformers LogitScore. Its sigmoid is the softmax over the two answers.

    Args:
        table: Rows by token, of the layer that makes vocabulary scores.
        true_id: The token that says a pair fits.
        false_id: The one that says it does not; None to take the first one's score alone.
    """

    def forward(ops: TextOps, _config: Any, rows: Tensor) -> Tensor:
        yes = ops.linear(rows, table, bias=False, rows=(true_id, true_id + 1))
        if false_id is None:
            return yes
        no = ops.linear(rows, table, bias=False, rows=(false_id, false_id + 1))
        return ops.add(yes, ops.scale(no, -1.0))

    return score_heads(forward, 1, pooling="last")


def splade_head(
    logits: Callable[[Any, Any, Tensor], Tensor], vocab_size: int, *, summed: bool, twice: bool
) -> Head:
    """Vocabulary scores of every token → one weight per vocabulary entry.

    Source: https://arxiv.org/abs/2109.10086 (maximum), https://arxiv.org/abs/2107.05720 (sum),
    https://arxiv.org/abs/2504.14839 (the logarithm taken twice).

    Args:
        logits: See `Family.logits`.
        vocab_size: Entries.
        summed: Sum over a text's tokens, otherwise their maximum.
        twice: Saturate twice.
    """

    def saturate(ops: TextOps, x: Tensor) -> Tensor:
        x = ops.log1p_relu(x)
        return ops.log1p_relu(x) if twice else x

    def forward(ops: TextOps, config: Any, x: Tensor) -> Tensor:
        scores = logits(ops, config, x)
        if summed:
            return ops.sum_over_tokens(saturate(ops, scores))
        # Saturation rises with its argument, so it may follow the maximum, on far fewer numbers.
        return saturate(ops, ops.max_over_tokens(scores))

    return Head(forward=forward, reads="tokens", gives="rows", dimensions=vocab_size)


def plain_dense(dimensions: int) -> Head:
    """The pooled row itself, for models that give it beside other outputs."""
    return Head(
        forward=lambda _ops, _config, x: x, reads="rows", gives="rows", dimensions=dimensions
    )


def bge_m3_heads(width: int, names: Collection[str]) -> Mapping[Output, Head]:
    """The three outputs of bge-m3 where the checkpoint holds its two extra layers.

    Source: https://arxiv.org/abs/2402.03216, FlagEmbedding's BGEM3Model.
    """
    if "sparse_linear.weight" not in names or "colbert_linear.weight" not in names:
        return {}

    def sparse(ops: TextOps, _config: Any, x: Tensor) -> Tensor:
        return ops.activation(ops.linear(x, "sparse_linear"), "relu")

    def tokens(ops: TextOps, _config: Any, x: Tensor) -> Tensor:
        return ops.linear(x, "colbert_linear")

    return {
        "dense": plain_dense(width),
        "sparse": Head(forward=sparse, reads="tokens", gives="tokens", dimensions=1),
        "tokens": Head(
            forward=tokens,
            reads="tokens",
            gives="tokens",
            dimensions=width,
            normalize=True,
            drops_first=True,
        ),
    }
