"""Static token vectors, model2vec among them: the mean of a table's rows, without any layer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from polyvec.checkpoints.static_embedding import MODULE, folded
from polyvec.models._config import read_config
from polyvec.models._family import Family, Head, Tower
from polyvec.models._heads import plain_dense
from polyvec.models._ops import Tensor, TextOps
from polyvec.types import Output

_MAX_TOKENS = 1_000_000
"""No position ends a text; model2vec's own config.json writes this limit."""


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """Size of the table, as the weights have it.

    Attributes:
        vocab_size: Rows.
        hidden_size: Width.
        normalize: model2vec's flag.
    """

    vocab_size: int
    hidden_size: int
    normalize: bool = False


def forward(ops: TextOps, config: StaticConfig) -> Tensor:
    """Look up and pool.

    Source: sentence_transformers StaticEmbedding.
    """
    return ops.pool(ops.embedding(ops.token_ids(), "embedding", rows=config.vocab_size))


def _heads(config: StaticConfig, _names: Collection[str]) -> Mapping[Output, Head]:
    # The mean is what the model is, not a setting that a file may leave open.
    return {"dense": replace(plain_dense(config.hidden_size), pooling="mean")}


def _read_config(raw: Mapping[str, Any]) -> StaticConfig:
    return read_config(StaticConfig, raw)


FAMILY = Family(
    name="static",
    architectures=(MODULE, "StaticModel"),
    model_types={"model2vec": MODULE},
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.hidden_size,
            max_positions=lambda _config: _MAX_TOKENS,
            pooling="mean",
            mixes_tokens=False,
            special_tokens=False,
        )
    },
    key_prefixes=(),
    ignored_keys=(),
    normalize=False,
    heads=_heads,
    fold=folded,
    source="https://github.com/MinishLab/model2vec",
    tiny={
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "tokenizer_name": "bert-base-uncased",
        "apply_pca": 32,
        "apply_zipf": True,
        "hidden_dim": 32,
        "seq_length": 1_000_000,
        "normalize": True,
        # In no published file: what `static_config` adds.
        "vocab_size": 200,
        "hidden_size": 32,
    },
)
