"""Prompts as the authors of an architecture write them, for checkpoints that carry none.

They are offered by name and never put before a text unasked, with one exception: GritLM's frame is
part of its format. An architecture is known by its config.json, never by a repository's name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from polyvec.models._family import Pooling

QUERY_NAMES = ("query", "search_query", "retrieval.query", "web_search_query")
"""What checkpoints call the prompt of queries, the likeliest first."""
DOCUMENT_NAMES = ("document", "passage", "search_document", "retrieval.passage")
"""What checkpoints call the prompt of documents, the likeliest first."""

SEARCH_TASK = "Given a web search query, retrieve relevant passages that answer the query"
"""The task that most authors name for searching."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How the authors of an architecture use it.

    Attributes:
        name: For origins.
        templates: Prompt name → prefix; ``{task}`` stands for an instruction.
        applies: Whether config.json is of this kind.
        default: Prompt of requests that name none, only where the format demands one.
        excludes_prompt: Pooling leaves the prompt out.
        pooling: Where the checkpoint's files say nothing.
        standardizes: Vectors get zero mean and unit variance before they are cut.
        task: What most requests want.
    """

    name: str
    templates: Mapping[str, str]
    applies: Callable[[Mapping[str, Any]], bool]
    default: str | None = None
    excludes_prompt: bool = False
    pooling: Pooling | None = None
    standardizes: bool = False
    task: str = SEARCH_TASK

    def prompts(self) -> dict[str, str]:
        """Prompt name → prefix, with the usual task filled in."""
        return {name: text.replace("{task}", self.task) for name, text in self.templates.items()}


def usage_of(config: Mapping[str, Any]) -> Usage | None:
    """The usage that a config.json is known for, or None."""
    return next((usage for usage in USAGES if usage.applies(config)), None)


def _names(config: Mapping[str, Any]) -> str:
    """Every class name that config.json mentions."""
    listed = config.get("architectures")
    mapped = config.get("auto_map")
    names = [*(listed if isinstance(listed, list) else ())]
    names += mapped.values() if isinstance(mapped, Mapping) else ()
    return " ".join(map(str, names))


def _is(config: Mapping[str, Any], *words: str) -> bool:
    return any(word in _names(config) for word in words)


def _is_bidirectional(config: Mapping[str, Any]) -> bool:
    return config.get("is_causal") is False or config.get("use_bidirectional_attention") is True


def _has_experts(config: Mapping[str, Any]) -> bool:
    return bool(config.get("num_experts") or config.get("moe_every_n_layers"))


_CODE = "task: code retrieval | query: "
_SEARCH = "task: search result | query: "
_SIMILAR = "task: sentence similarity | query: "
_SORT = "task: classification | query: "
_TITLE = "title: none | text: "
_NOMIC = {
    "search_query": "search_query: ",
    "search_document": "search_document: ",
    "clustering": "clustering: ",
    "classification": "classification: ",
}

USAGES: tuple[Usage, ...] = (
    Usage(
        name="GritLM",  # https://github.com/ContextualAI/gritlm, encode()
        applies=lambda config: _is(config, "GritLM", "gritlm"),
        templates={
            "query": "<|user|>\n{task}\n<|embed|>\n",
            "document": "<|embed|>\n",
        },
        default="document",
        excludes_prompt=True,
        pooling="mean",
    ),
    Usage(
        name="voyage-4-nano",
        applies=lambda config: (
            config.get("model_type") == "qwen3"
            and (_is_bidirectional(config) or _is(config, "Qwen3ForEmbedding", "VoyageQwen3"))
        ),
        templates={
            "query": "Represent the query for retrieving supporting documents: ",
            "document": "Represent the document for retrieval: ",
        },
        pooling="mean",
    ),
    Usage(
        name="Qwen3-Embedding",  # no space before the query
        applies=lambda config: (
            config.get("model_type") == "qwen3" and _is(config, "Qwen3ForCausalLM", "Qwen3Model")
        ),
        templates={"query": "Instruct: {task}\nQuery:", "document": ""},
    ),
    Usage(
        name="gte-Qwen2",
        applies=lambda config: (
            config.get("model_type") == "qwen2"
            and (_is_bidirectional(config) or _is(config, "modeling_qwen."))
        ),
        templates={"query": "Instruct: {task}\nQuery: ", "document": ""},
    ),
    Usage(
        name="e5-mistral",
        applies=lambda config: (
            config.get("model_type") == "mistral" and _is(config, "MistralModel")
        ),
        templates={"query": "Instruct: {task}\nQuery: ", "document": ""},
    ),
    Usage(
        name="bge-multilingual-gemma2",
        applies=lambda config: _is(config, "Gemma2Model"),
        templates={"query": "<instruct>{task}\n<query>", "document": ""},
    ),
    Usage(
        name="EmbeddingGemma",
        applies=lambda config: _is(config, "Gemma3TextModel"),
        templates={
            "query": _SEARCH,
            "document": _TITLE,
            "BitextMining": _SEARCH,
            "Clustering": "task: clustering | query: ",
            "Classification": _SORT,
            "InstructionRetrieval": _CODE,
            "MultilabelClassification": _SORT,
            "PairClassification": _SIMILAR,
            "Reranking": _SEARCH,
            "Retrieval": _SEARCH,
            "Retrieval-query": _SEARCH,
            "Retrieval-document": _TITLE,
            "STS": _SIMILAR,
            "Summarization": "task: summarization | query: ",
        },
        pooling="mean",
    ),
    Usage(
        name="nomic-embed-text-v2",
        applies=lambda config: _is(config, "NomicBertModel") and _has_experts(config),
        templates=_NOMIC,
    ),
    Usage(
        name="nomic-embed-text",  # https://huggingface.co/nomic-ai/nomic-embed-text-v1.5
        applies=lambda config: _is(config, "NomicBertModel"),
        templates=_NOMIC,
        standardizes=True,
    ),
    Usage(
        name="llama-nemotron-embed",
        applies=lambda config: _is(config, "LlamaBidirectional"),
        templates={"query": "query: ", "document": "passage: "},
    ),
)
"""The first that applies counts."""
