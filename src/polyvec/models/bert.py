"""BERT and its twins RoBERTa, XLM-RoBERTa, CamemBERT and ERNIE: post-norm text encoders.

The twins differ from BERT only in where positions start to count, and ERNIE in a table of tasks.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.models._bert_layers import post_norm_layers
from polyvec.models._config import activation, heads, read_config
from polyvec.models._family import Family, Head, Tower
from polyvec.models._heads import BGE_M3_FILES, bge_m3_heads, head_keys, is_scorer, score_heads
from polyvec.models._ops import Tensor, TextOps
from polyvec.types import Output

_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True, slots=True)
class BertConfig:
    """What the encoder reads from config.json; defaults are BertConfig's own."""

    model_type: str = "bert"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    position_embedding_type: str = "absolute"
    is_decoder: bool = False
    use_task_id: bool = False
    architecture: str = ""
    num_labels: int = 2
    type_vocab_size: int = 2

    @property
    def reads_segments(self) -> bool:
        """Whether the two texts of a pair are told apart: RoBERTa's tokenizers do not.

        Only cross-encoders read pairs; elsewhere every token is of the first text.
        """
        is_twin = self.model_type in _POSITIONS_AFTER_PADDING
        return is_scorer(self.architecture) and self.type_vocab_size > 1 and not is_twin

    @property
    def first_position(self) -> int:
        """Row of the position table that the first token takes.

        Source: transformers RobertaEmbeddings, which counts from ``padding_idx + 1``.
        """
        return self.pad_token_id + 1 if self.model_type in _POSITIONS_AFTER_PADDING else 0

    @property
    def has_tasks(self) -> bool:
        """Whether a row of the task table is added to every token: row 0, as no caller names one.

        Source: transformers ErnieEmbeddings.
        """
        return self.use_task_id and self.model_type == "ernie"


def _read_config(raw: Mapping[str, Any]) -> BertConfig:
    # RobertaConfig's defaults differ from BertConfig's in one key that forward reads.
    pad = 1 if raw.get("model_type") in _POSITIONS_AFTER_PADDING else 0
    found = {"pad_token_id": pad, **_without_none(raw), **head_keys(raw)}
    config = read_config(BertConfig, found)
    if config.position_embedding_type != "absolute":
        raise CheckpointError(
            f"config.json: position_embedding_type {config.position_embedding_type!r} is not "
            "supported; supported: absolute",
            param="position_embedding_type",
        )
    if config.is_decoder:
        raise CheckpointError(
            "config.json: is_decoder is true: attention to earlier tokens alone is not supported",
            param="is_decoder",
        )
    heads(config.hidden_size, config.num_attention_heads)
    return config


def _without_none(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if value is not None}


def forward(ops: TextOps, config: BertConfig) -> Tensor:
    """Embed, run the layers, pool.

    Source: https://arxiv.org/abs/1810.04805, transformers BertModel.
    """
    eps = config.layer_norm_eps
    x = ops.embedding(ops.token_ids(), "embeddings.word_embeddings", rows=config.vocab_size)
    places = ops.positions(offset=config.first_position)
    table = "embeddings.position_embeddings"
    x = ops.add(x, ops.embedding(places, table, rows=config.max_position_embeddings))
    x = ops.add(x, _segment_rows(ops, config))
    if config.has_tasks:
        x = ops.add(x, ops.first_row("embeddings.task_type_embeddings"))
    x = ops.layer_norm(x, "embeddings.LayerNorm", eps=eps)
    return post_norm_layers(ops, x, config, "encoder.layer")


def _segment_rows(ops: TextOps, config: BertConfig) -> Tensor:
    table = "embeddings.token_type_embeddings"
    if config.reads_segments:
        return ops.embedding(ops.segments(), table, rows=config.type_vocab_size)
    return ops.first_row(table)


def _score(ops: TextOps, config: BertConfig, rows: Tensor) -> Tensor:
    """Source: transformers BertForSequenceClassification, RobertaClassificationHead."""
    if config.architecture.startswith(("Bert", "Ernie")):
        hidden, out = "pooler.dense", "classifier"
    else:
        hidden, out = "classifier.dense", "classifier.out_proj"
    return ops.linear(ops.activation(ops.linear(rows, hidden), "tanh"), out)


def _logits(ops: TextOps, config: BertConfig, tokens: Tensor) -> Tensor:
    """Source: transformers BertLMPredictionHead, RobertaLMHead; both tie the table of words."""
    eps = config.layer_norm_eps
    if config.architecture.startswith(("Bert", "Ernie")):
        x = ops.linear(tokens, "cls.predictions.transform.dense")
        x = ops.activation(x, activation(config.hidden_act))
        x = ops.layer_norm(x, "cls.predictions.transform.LayerNorm", eps=eps)
        bias = "cls.predictions.bias"
    else:
        x = ops.activation(ops.linear(tokens, "lm_head.dense"), "gelu")
        x = ops.layer_norm(x, "lm_head.layer_norm", eps=eps)
        bias = "lm_head.bias"
    x = ops.linear(x, "embeddings.word_embeddings", bias=False)
    return ops.add(x, ops.parameter(bias))


def _heads(config: BertConfig, names: Collection[str]) -> Mapping[Output, Head]:
    if is_scorer(config.architecture):
        return score_heads(_score, config.num_labels, pooling="cls")
    return bge_m3_heads(config.hidden_size, names)


FAMILY = Family(
    name="bert",
    architectures=(
        "BertModel",
        "BertForMaskedLM",
        "RobertaModel",
        "RobertaForMaskedLM",
        "XLMRobertaModel",
        "XLMRobertaForMaskedLM",
        "CamembertModel",
        "CamembertForMaskedLM",
        "ErnieModel",
        "ErnieForMaskedLM",
        "HF_ColBERT",
        # vLLM's names, which its operators put into config.json by --hf-overrides.
        "BgeM3EmbeddingModel",
        "BertSpladeSparseEmbeddingModel",
        "BertForSequenceClassification",
        "RobertaForSequenceClassification",
        "XLMRobertaForSequenceClassification",
        "CamembertForSequenceClassification",
        "ErnieForSequenceClassification",
    ),
    read_config=_read_config,
    vocab_size=lambda config: config.vocab_size,
    towers={
        "text": Tower(
            forward=forward,
            dimensions=lambda config: config.hidden_size,
            max_positions=lambda config: config.max_position_embeddings - config.first_position,
            pooling="mean",
        )
    },
    key_prefixes=("bert.", "roberta.", "ernie."),
    # Files converted from TensorFlow, bert-base-uncased among them, keep its names.
    # Source: transformers conversion_mapping.
    key_endings={
        "LayerNorm.gamma": "LayerNorm.weight",
        "LayerNorm.beta": "LayerNorm.bias",
        "predictions.decoder.bias": "predictions.bias",  # the same tensor by another name
        "lm_head.decoder.bias": "lm_head.bias",
    },
    model_types={
        "bert": "BertModel",
        "roberta": "RobertaModel",
        "xlm-roberta": "XLMRobertaModel",
        "camembert": "CamembertModel",
        "ernie": "ErnieModel",
    },
    ignored_keys=(
        r"pooler\..*",
        r"cls\..*",
        r"lm_head\..*",
        r"embeddings\.(position|token_type)_ids",
    ),
    normalize=True,
    heads=_heads,
    logits=_logits,
    extra_files=BGE_M3_FILES,
    source="https://arxiv.org/abs/1810.04805",
    tiny={
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_act": "gelu",
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    },
)
