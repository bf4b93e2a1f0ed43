"""Whether a checkpoint is a late-interaction model, and how it reads queries and documents.

Three layouts are known: Stanford's (``HF_ColBERT`` and artifact.metadata), PyLate's, and
Sentence-Transformers' MultiVectorEncoder.
"""

import string
from collections.abc import Iterable, Mapping
from typing import Any

from polyvec.checkpoints.read import Checkpoint
from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError
from polyvec.models._family import Dense, Head, Projection
from polyvec.models._late_interaction import Expansion, LateInteractionRules, Reading
from polyvec.models._modules import read_token_projections
from polyvec.models._ops import Ops, Tensor
from polyvec.models._projections import project

STANFORD = "HF_ColBERT"
_KINDS = ("ColBERT", "MultiVectorEncoder")
_PYLATE_KEYS = frozenset(
    (
        "query_length",
        "document_length",
        "query_expansion",
        "do_query_expansion",
        "attend_to_expansion_tokens",
        "attend_to_mask_tokens",
        "query_prefix",
        "document_prefix",
        "skiplist_words",
    )
)
_MASK = "MultiVectorMask"
_USUAL_QUERY_LENGTH = 32
_PUNCTUATION = tuple(string.punctuation)


def is_late(checkpoint: Checkpoint) -> bool:
    """Whether the files make one vector of every token."""
    said = checkpoint.prompt_config
    return (
        checkpoint.architecture == STANFORD
        or said.get("model_type") in _KINDS
        or any(module.kind == _MASK for module in checkpoint.modules or ())
        or bool({"query_prefix", "document_prefix"} & said.keys())
    )


def late_head(checkpoint: Checkpoint, weights: Weights, width: int) -> Head:
    """States → token vectors.

    Args:
        checkpoint: One that `is_late`.
        weights: Hold the projection.
        width: Of the states.
    """
    steps: tuple[Projection, ...]
    normalize = True
    if checkpoint.architecture == STANFORD:
        size = weights.entry("linear.weight").shape[0]
        steps = (Dense("linear", bias=False, activation=None, dimensions=size),)
    else:
        steps = read_token_projections(checkpoint, weights)
        kinds = [module.kind for module in checkpoint.modules or ()]
        normalize = "Normalize" in kinds or _MASK not in kinds

    def forward(ops: Ops, _config: Any, x: Tensor) -> Tensor:
        return project(ops, x, steps)

    return Head(
        forward=forward,
        reads="tokens",
        gives="tokens",
        dimensions=steps[-1].dimensions if steps else width,
        normalize=normalize,
    )


def late_rules(
    checkpoint: Checkpoint, tokenizer: Tokenizer, max_input_tokens: int, max_positions: int
) -> LateInteractionRules:
    """How queries and documents are read.

    Source: sentence_transformers MultiVectorEncoder, which reads all three layouts.

    Args:
        checkpoint: One that `is_late`.
        tokenizer: The model's.
        max_input_tokens: Where the files give a role no length of its own.
        max_positions: No text is longer.

    Raises:
        CheckpointError: A file says what cannot be served.
    """
    said = _said(checkpoint)
    expansion = _expansion(said, tokenizer, checkpoint.tokenizer_config)
    roles = {}
    for role in ("query", "document"):
        length = said.get(f"{role}_length")
        if role == "query" and expansion is not None and said["strategy"] == "fixed":
            length = expansion.length
        limit = min(max_positions, max_input_tokens if length is None else _whole(length, role))
        marker, lead = _marker(str(said.get(role) or ""), tokenizer)
        words = said["skiplist_words"] if role in said["skiplist_tasks"] else ()
        roles[role] = Reading(
            marker=marker,
            lead=lead,
            limit=limit,
            expansion=expansion if role == "query" else None,
            left_out=_ids(words, tokenizer),
        )
    return LateInteractionRules(**roles)


def _whole(value: Any, role: str) -> int:
    if type(value) is not int or value < 1:
        raise CheckpointError(f"{role} length must be a whole number from 1 up, not {value!r}")
    return value


def _said(checkpoint: Checkpoint) -> dict[str, Any]:
    """What all layouts say, in one vocabulary; ``query`` and ``document`` are prefixes."""
    if checkpoint.architecture == STANFORD:
        return _of_stanford(checkpoint.read_json("artifact.metadata"))
    said = dict(checkpoint.prompt_config)
    prompts = said.get("prompts") or {}
    for role in ("query", "document"):
        prefix, prompt = said.get(f"{role}_prefix") or "", prompts.get(role) or ""
        said[role] = prefix + prompt.removeprefix(prefix)
    said |= {k: v for k, v in checkpoint.text_config.value.items() if k in _PYLATE_KEYS}
    if "query_expansion" not in said and _PYLATE_KEYS & said.keys():
        attend = said.get("attend_to_expansion_tokens", said.get("attend_to_mask_tokens"))
        length = said.get("query_length") or _USUAL_QUERY_LENGTH
        wanted = said.get("do_query_expansion") is not False
        fixed = {"strategy": "fixed", "attend": bool(attend), "length": length}
        said["query_expansion"] = fixed if wanted else None
    mask = next((one for one in checkpoint.modules or () if one.kind == _MASK), None)
    usual = () if mask is not None else _PUNCTUATION
    words = said.get("skiplist_words") if mask is None else mask.config.get("skiplist_words")
    tasks = ["document"] if mask is None else mask.config.get("skiplist_tasks") or ["document"]
    said["skiplist_words"] = usual if words is None else words
    said["skiplist_tasks"] = [tasks] if isinstance(tasks, str) else tasks
    said["strategy"] = (said.get("query_expansion") or {}).get("strategy")
    return said


def _of_stanford(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "query": f"{found.get('query_token_id') or '[unused0]'} ",
        "document": f"{found.get('doc_token_id') or '[unused1]'} ",
        "document_length": found.get("doc_maxlen"),
        "query_expansion": {
            "length": found.get("query_maxlen") or _USUAL_QUERY_LENGTH,
            "attend": bool(found.get("attend_to_mask_tokens")),
        },
        "strategy": "fixed",
        "skiplist_words": _PUNCTUATION if found.get("mask_punctuation", True) else (),
        "skiplist_tasks": ["document"],
    }


def _expansion(
    said: Mapping[str, Any], tokenizer: Tokenizer, config: Mapping[str, Any]
) -> Expansion | None:
    found = said.get("query_expansion")
    if found is None:
        return None
    if said["strategy"] not in ("fixed", "min"):
        raise CheckpointError(
            f"query_expansion: strategy {said['strategy']!r} is not known; known: fixed, min"
        )
    tokens = (found.get("token"), _token(config, "mask_token"), _token(config, "eos_token"))
    token = next((one for one in tokens if one is not None), "[MASK]")
    token_id = tokenizer.token_id(str(token))
    if token_id is None:
        raise CheckpointError(f"query_expansion: token {token!r} is not in the vocabulary")
    length = _whole(found.get("length"), "query")
    return Expansion(length, token_id, attended=bool(found.get("attend")))


def _token(config: Mapping[str, Any], key: str) -> Any:
    found = config.get(key)
    return found.get("content") if isinstance(found, Mapping) else found


def _marker(prefix: str, tokenizer: Tokenizer) -> tuple[tuple[int, ...], str]:
    """Ids of a prefix that is one token of the vocabulary, and the text after it."""
    for token in (prefix, *prefix.split(maxsplit=1)[:1]):
        found = tokenizer.token_id(token) if token.strip() else None
        if found is not None:
            return (found,), prefix.removeprefix(token)
    return (), prefix


def _ids(words: Iterable[str], tokenizer: Tokenizer) -> frozenset[int]:
    """Words that are a token of the vocabulary; others never stand in a text as one."""
    found = (tokenizer.token_id(str(word)) for word in words)
    return frozenset(one for one in found if one is not None)
