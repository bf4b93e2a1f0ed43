"""Which outputs a checkpoint makes, by its modules, its weights and what its config.json says."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyvec.checkpoints.pair_encoding import PairEncoding
from polyvec.checkpoints.pickled_tensors import read_pickled_tensors
from polyvec.checkpoints.read import Checkpoint, Module
from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError
from polyvec.models._family import Family, Head, Pooling
from polyvec.models._heads import answer_heads, is_scorer, splade_head
from polyvec.models._model import TextRules
from polyvec.models._rerank_templates import JudgePairs, judge_template
from polyvec.models._resolve_late import is_late, late_head, late_rules
from polyvec.types import Output

_ACTIVATIONS: dict[str, Literal["sigmoid", "softmax"] | None] = {
    "sigmoid": "sigmoid",
    "identity": None,
}

_WORD_TABLE = "embeddings.word_embeddings.weight"
_VOCABULARY_TABLES = (
    "predictions.decoder.weight",
    "lm_head.decoder.weight",
    "vocab_projector.weight",
)
_SPLADE = "BertSpladeSparseEmbeddingModel"
"""What operators of vLLM call a plain masked language model that is to be pooled as SPLADE."""


def resolve_heads(
    checkpoint: Checkpoint, family: Family, config: Any, weights: Weights
) -> Mapping[Output, Head]:
    """Outputs beside or instead of the pooled row, the main one first.

    Args:
        checkpoint: What the files say.
        family: Computes the model.
        config: The family's own.
        weights: As the family names them.

    Raises:
        CheckpointError: A module or an activation is asked for that is not supported.
    """
    splade = _module(checkpoint, "SpladePooling")
    if splade is None and checkpoint.architecture == _SPLADE:
        splade = Module("SpladePooling", "")
    if splade is not None:
        _check_tied(weights)
        return {"sparse": _splade(splade, family, config)}
    if is_late(checkpoint):
        width = family.towers["text"].dimensions(config)
        return {"tokens": late_head(checkpoint, weights, width)}
    names = tuple(weights)
    heads = family.heads(config, names) or _verdict(checkpoint, names)
    score = heads.get("score")
    if score is None:
        _check_scores(checkpoint, names)
        return heads
    score = replace(score, text_activation=_text_activation(checkpoint, score.dimensions))
    return {**heads, "score": _with_activation(score, checkpoint)}


def labels_of(checkpoint: Checkpoint, heads: Mapping[Output, Head]) -> tuple[str, ...]:
    """What a classifier's scores stand for; empty for any other model.

    Source: transformers PreTrainedConfig, which numbers labels that have no names.
    """
    if "score" not in heads or not is_scorer(checkpoint.architecture or ""):
        return ()
    said = checkpoint.config.get("id2label")
    said = said if isinstance(said, Mapping) else {}
    return tuple(
        str(said.get(str(number), f"LABEL_{number}")) for number in range(heads["score"].dimensions)
    )


def with_extra_files(weights: Weights, checkpoint: Checkpoint, family: Family) -> Weights:
    """The weights and those of files that a family reads where they are there.

    Raises:
        CheckpointError: Such a file is damaged or holds more than tensors.
    """
    arrays: dict[str, NDArray[np.float32]] = {}
    for name, prefix in family.extra_files.items():
        safe, pickled = (checkpoint.root / f"{name}{end}" for end in (".safetensors", ".pt"))
        if safe.is_file():
            own = Weights.open({safe: ""})
            found = {inner: own.float32(inner) for inner in own}
        elif pickled.is_file():
            found = read_pickled_tensors(pickled)
        else:
            continue
        arrays |= {prefix + inner: array for inner, array in found.items()}
    return weights.joined(arrays) if arrays else weights


def replaces_pooling(checkpoint: Checkpoint) -> bool:
    """Whether the modules after the model make something else than a pooled row."""
    kinds = ("SpladePooling", "LogitScore")
    return is_late(checkpoint) or any(_module(checkpoint, kind) is not None for kind in kinds)


def poolings_of(heads: Mapping[Output, Head]) -> tuple[Pooling, ...] | None:
    """How rows are pooled where the heads decide; None where the checkpoint does."""
    for head in heads.values():
        if head.pooling is not None:
            return (head.pooling,)
    reads_rows = any(head.reads == "rows" for head in heads.values())
    return None if reads_rows or not heads else ("cls",)


def _module(checkpoint: Checkpoint, kind: str) -> Module | None:
    return next((one for one in checkpoint.modules or () if one.kind == kind), None)


def with_readings(
    rules: TextRules, checkpoint: Checkpoint, heads: Mapping[Output, Head], max_positions: int
) -> TextRules:
    """The rules, with how pairs, or queries and documents, are read where the model reads such."""
    if "score" in heads:
        return replace(rules, pairs=_pair_encoding(checkpoint, rules.tokenizer))
    if not is_late(checkpoint):
        return rules
    late = late_rules(checkpoint, rules.tokenizer, rules.max_input_tokens, max_positions)
    return replace(rules, late=late)


# SPLADE.


def _splade(module: Module, family: Family, config: Any) -> Head:
    """Source: sentence_transformers SpladePooling."""
    if family.logits is None:
        raise CheckpointError(
            f"modules.json: SpladePooling needs a masked language model; {family.name} has no head "
            "for one"
        )
    strategy = module.config.get("pooling_strategy", "max")
    if strategy not in ("max", "sum"):
        raise _unknown(module, "pooling_strategy", strategy, "max, sum")
    kind = module.config.get("activation_function", "relu")
    if kind not in ("relu", "log1p_relu"):
        raise _unknown(module, "activation_function", kind, "relu, log1p_relu")
    return splade_head(
        family.logits,
        family.vocab_size(config),
        summed=strategy == "sum",
        twice=kind == "log1p_relu",
    )


def _check_tied(weights: Weights) -> None:
    """Vocabulary scores are computed with the word table, as nearly all checkpoints mean it.

    Raises:
        CheckpointError: This one has another table for them.
    """
    tables = [name for name in weights if name.endswith(_VOCABULARY_TABLES)]
    for own in tables if _WORD_TABLE in weights else ():
        if not np.array_equal(weights.array(own), weights.array(_WORD_TABLE)):
            raise CheckpointError(
                f"{own} differs from {_WORD_TABLE}: a SPLADE model with a table of its own for "
                "vocabulary scores is not supported"
            )


def _unknown(module: Module, key: str, value: Any, allowed: str) -> CheckpointError:
    return CheckpointError(
        f"{module.path}/config.json: {key} {value!r} is not known; known: {allowed}", param=key
    )


# Cross-encoders.


def _check_scores(checkpoint: Checkpoint, names: Collection[str]) -> None:
    """Refuse a cross-encoder without its classifier, which would be served as an embedder.

    Raises:
        CheckpointError: It is one.
    """
    name = checkpoint.architecture or ""
    if names and is_scorer(name) and not checkpoint.pools:
        raise CheckpointError(
            f"{name} gives scores, but the weights of its classifier are missing; to embed with "
            "its states, name its base class with --architecture",
            param="architectures",
        )


def _pair_encoding(checkpoint: Checkpoint, tokenizer: Tokenizer) -> PairEncoding:
    """How the two texts of a pair are put together.

    Raises:
        CheckpointError: tokenizer.json says it in a way that is not supported.
    """
    template = judge_template(checkpoint.config)
    return tokenizer.pairs() if template is None else JudgePairs(tokenizer, template)


def _verdict(checkpoint: Checkpoint, names: Collection[str]) -> Mapping[Output, Head]:
    """The score of a language model that answers yes or no, where the files ask for one.

    They do so by a LogitScore module, or by config.json's ``classifier_from_token``, which servers
    of the original Qwen3-Reranker are started with.
    """
    module = _module(checkpoint, "LogitScore")
    answers = checkpoint.config.get("classifier_from_token")
    if module is None and answers is None:
        return {}
    table = next((one for one in ("lm_head", "embed_tokens") if f"{one}.weight" in names), None)
    if table is None:
        raise CheckpointError("a score from vocabulary tokens needs a language model's weights")
    if module is not None:
        true_id, false_id = (module.config.get(f"{one}_token_id") for one in ("true", "false"))
        if type(true_id) is not int or not (false_id is None or type(false_id) is int):
            raise CheckpointError(
                f"{module.path}/config.json: true_token_id and false_token_id must be token ids, "
                f"not {true_id!r} and {false_id!r}"
            )
        return answer_heads(table, true_id, false_id)
    return answer_heads(table, *_answer_ids(checkpoint, answers))


def _answer_ids(checkpoint: Checkpoint, answers: Any) -> tuple[int, int]:
    """Ids of the tokens for yes and for no; config.json names no first."""
    tokenizer = Tokenizer.open(checkpoint.root / "tokenizer.json")
    if isinstance(answers, list | tuple) and len(answers) == 2:  # noqa: PLR2004  (no and yes)
        no, yes = (tokenizer.token_id(str(token)) for token in answers)
        if no is not None and yes is not None:
            return yes, no
    raise CheckpointError(
        "config.json: classifier_from_token must name two tokens of the vocabulary, such as "
        f'["no", "yes"], not {answers!r}',
        param="classifier_from_token",
    )


def _text_activation(
    checkpoint: Checkpoint, num_labels: int
) -> Literal["sigmoid", "softmax"] | None:
    """What makes probabilities of a single text's logits.

    Source: transformers TextClassificationPipeline, by ``problem_type``.
    """
    kind = checkpoint.config.get("problem_type")
    if kind == "regression":
        return None
    several = num_labels > 1 and kind != "multi_label_classification"
    return "softmax" if several else "sigmoid"


def _with_activation(head: Head, checkpoint: Checkpoint) -> Head:
    """The head with the activation that the checkpoint names, if it names one.

    Source: sentence_transformers CrossEncoder.get_default_activation_fn.
    """
    own = checkpoint.config.get("sentence_transformers")
    own = own.get("activation_fn") if isinstance(own, Mapping) else None
    found = {
        "config_sentence_transformers.json: activation_fn": checkpoint.prompt_config.get(
            "activation_fn"
        ),
        "config.json: sentence_transformers.activation_fn": own,
        "config.json: sbert_ce_default_activation_function": checkpoint.config.get(
            "sbert_ce_default_activation_function"
        ),
    }
    for origin, value in found.items():
        if value is None:
            continue
        name = str(value).rsplit(".", 1)[-1].lower()
        if name not in _ACTIVATIONS:
            known = ", ".join(_ACTIVATIONS)
            raise CheckpointError(f"{origin} {value!r} is not supported; supported: {known}")
        return replace(head, activation=_ACTIVATIONS[name])
    return head
