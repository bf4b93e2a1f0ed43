"""Whose body is it? The marks that tell dialects apart on the paths they share.

At most one of the functions about one path says yes to any body; what none of them knows goes to
the owner of the rest. They take any JSON value.
"""

from typing import Any, Final

_JINA_FIELDS: Final = frozenset(
    ("embedding_type", "normalized", "late_chunking", "return_multivector", "encoding_type")
)
_JINA_TASKS: Final = (
    "retrieval.query", "retrieval.passage", "text-matching", "code.query", "code.passage",
    "separation", "nl2code.query", "nl2code.passage", "classification", "clustering",
)  # fmt: skip
# What a body holds that only its task shows to be Jina's.
_JINA_PLAIN: Final = frozenset(("model", "input", "task", "dimensions", "truncate"))
_VOYAGE_FIELDS: Final = frozenset(("output_dtype", "output_dimension", "truncation"))
_SGLANG_KEYS: Final = frozenset(("text", "image", "video"))
# SGLang would ignore them, and whoever sends them means something by it.
_NOT_SGLANG: Final = frozenset(
    ("outputs", "prompt_name", "input_type", "task", "truncate", "truncate_prompt_tokens")
)


# /v1/embeddings and /embeddings.


def is_openai(body: Any) -> bool:
    """OpenAI's and vLLM's embeddings: ``input`` as string or array, or ``messages``."""
    if not isinstance(body, dict) or is_infinity(body) or is_jina(body) or is_voyage(body):
        return False
    has_input = isinstance(body.get("input"), str | list) or isinstance(body.get("messages"), list)
    return has_input and not is_sglang(body)


def is_infinity(body: Any) -> bool:
    """Infinity's embeddings name the modality of all inputs."""
    return isinstance(body, dict) and isinstance(body.get("modality"), str)


def is_jina(body: Any) -> bool:
    """Jina's embeddings, by a field or a task that only they have."""
    if not isinstance(body, dict) or is_infinity(body) or "input" not in body:
        return False
    return not _JINA_FIELDS.isdisjoint(body) or _names_jina_task(body)


def _names_jina_task(body: dict[str, Any]) -> bool:
    """Whether a task makes it Jina's: OpenAI's bodies may name one as well, beside other fields."""
    task, items = body.get("task"), body["input"]
    if not isinstance(task, str) or task not in _JINA_TASKS or not body.keys() <= _JINA_PLAIN:
        return False
    is_ids = isinstance(items, list) and any(isinstance(item, int | list) for item in items)
    return not is_ids and not isinstance(body.get("truncate"), str)


def is_voyage(body: Any) -> bool:
    """Voyage's embeddings: its client sends these fields, null or not."""
    if not isinstance(body, dict) or _VOYAGE_FIELDS.isdisjoint(body) or "input" not in body:
        return False
    return not is_infinity(body) and not is_jina(body)


def is_sglang(body: Any) -> bool:
    """SGLang's multimodal items: objects of ``text``, ``image`` and ``video``, without a type.

    OpenRouter's ``{"content": […]}`` items belong to it as well.
    """
    items = body.get("input") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items or not all(map(_is_item, items)):
        return False
    if not _NOT_SGLANG.isdisjoint(body):
        return False
    return not is_infinity(body) and not is_jina(body) and not is_voyage(body)


def _is_item(item: Any) -> bool:
    if not isinstance(item, dict) or "type" in item or "role" in item:
        return False
    return bool(item.keys() & _SGLANG_KEYS) or isinstance(item.get("content"), str | list)


# /rerank and its versions.


def is_tei_rerank(body: Any) -> bool:
    """TEI calls documents ``texts``."""
    return isinstance(body, dict) and "texts" in body and "documents" not in body


def is_voyage_rerank(body: Any) -> bool:
    """Voyage calls the number of results ``top_k``."""
    return isinstance(body, dict) and "documents" in body and "top_k" in body


def is_sglang_rerank(body: Any) -> bool:
    """SGLang's instruction is ``instruct``; it answers with a bare array."""
    if not isinstance(body, dict) or is_tei_rerank(body) or is_voyage_rerank(body):
        return False
    return "instruct" in body


def is_infinity_rerank(body: Any) -> bool:
    """Infinity has a switch for raw scores."""
    if not isinstance(body, dict) or is_voyage_rerank(body) or is_sglang_rerank(body):
        return False
    return "documents" in body and "raw_scores" in body


# /score and /v1/score.


def is_sglang_score(body: Any) -> bool:
    """SGLang scores ``items`` against one ``query``."""
    return isinstance(body, dict) and "query" in body and "items" in body


# /v1/tokenize and /v1/detokenize.


def is_sglang_tokenize(body: Any) -> bool:
    """SGLang calls what it tokenises ``prompt``; Cohere calls it ``text``."""
    return isinstance(body, dict) and "prompt" in body and "text" not in body


def is_sglang_detokenize(body: Any) -> bool:
    """Cohere puts together one text at a time, and leaves no tokens out."""
    if not isinstance(body, dict):
        return False
    tokens = body.get("tokens")
    has_several = isinstance(tokens, list) and bool(tokens) and isinstance(tokens[0], list)
    return has_several or "skip_special_tokens" in body


# /tokenize, /classify, /invocations and /.


def is_tei(body: Any) -> bool:
    """TEI and the Hugging Face tasks call what they read ``inputs``."""
    return isinstance(body, dict) and "inputs" in body and not is_qdrant(body)


def is_qdrant(body: Any) -> bool:
    """Qdrant's inference hook: ``inputs`` are objects with ``data``."""
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        return False
    inputs = body["inputs"]
    return bool(inputs) and all(isinstance(item, dict) and "data" in item for item in inputs)


def is_infinity_classify(body: Any) -> bool:
    """Infinity's classification has a switch for raw scores."""
    return isinstance(body, dict) and "raw_scores" in body and "input" in body
