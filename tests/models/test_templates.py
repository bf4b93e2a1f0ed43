"""Every prompt template, letter by letter; none is put before a text unasked but GritLM's frame."""

from typing import Any

import pytest

from polyvec.models._templates import SEARCH_TASK, USAGES, usage_of

SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
CONFIGS: dict[str, dict[str, Any]] = {
    "GritLM": {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "auto_map": {"AutoModel": "modeling_gritlm7b.MistralModel"},
    },
    "voyage-4-nano": {
        "architectures": ["Qwen3ForEmbedding"],
        "model_type": "qwen3",
        "use_bidirectional_attention": True,
    },
    "Qwen3-Embedding": {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"},
    "gte-Qwen2": {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "is_causal": False,
        "auto_map": {"AutoModel": "modeling_qwen.Qwen2Model"},
    },
    "e5-mistral": {"architectures": ["MistralModel"], "model_type": "mistral"},
    "bge-multilingual-gemma2": {"architectures": ["Gemma2Model"], "model_type": "gemma2"},
    "EmbeddingGemma": {"architectures": ["Gemma3TextModel"], "model_type": "gemma3_text"},
    "nomic-embed-text": {"architectures": ["NomicBertModel"], "model_type": "nomic_bert"},
    "nomic-embed-text-v2": {
        "architectures": ["NomicBertModel"],
        "model_type": "nomic_bert",
        "num_experts": 8,
        "moe_every_n_layers": 2,
    },
    "llama-nemotron-embed": {
        "architectures": ["LlamaBidirectionalModel"],
        "model_type": "llama_bidirec",
    },
}
GOLDEN = {
    ("GritLM", "query"): f"<|user|>\n{SEARCH}\n<|embed|>\n",
    ("GritLM", "document"): "<|embed|>\n",
    ("voyage-4-nano", "query"): "Represent the query for retrieving supporting documents: ",
    ("voyage-4-nano", "document"): "Represent the document for retrieval: ",
    ("Qwen3-Embedding", "query"): f"Instruct: {SEARCH}\nQuery:",
    ("Qwen3-Embedding", "document"): "",
    ("gte-Qwen2", "query"): f"Instruct: {SEARCH}\nQuery: ",
    ("gte-Qwen2", "document"): "",
    ("e5-mistral", "query"): f"Instruct: {SEARCH}\nQuery: ",
    ("e5-mistral", "document"): "",
    ("bge-multilingual-gemma2", "query"): f"<instruct>{SEARCH}\n<query>",
    ("bge-multilingual-gemma2", "document"): "",
    ("EmbeddingGemma", "query"): "task: search result | query: ",
    ("EmbeddingGemma", "document"): "title: none | text: ",
    ("EmbeddingGemma", "BitextMining"): "task: search result | query: ",
    ("EmbeddingGemma", "Clustering"): "task: clustering | query: ",
    ("EmbeddingGemma", "Classification"): "task: classification | query: ",
    ("EmbeddingGemma", "InstructionRetrieval"): "task: code retrieval | query: ",
    ("EmbeddingGemma", "MultilabelClassification"): "task: classification | query: ",
    ("EmbeddingGemma", "PairClassification"): "task: sentence similarity | query: ",
    ("EmbeddingGemma", "Reranking"): "task: search result | query: ",
    ("EmbeddingGemma", "Retrieval"): "task: search result | query: ",
    ("EmbeddingGemma", "Retrieval-query"): "task: search result | query: ",
    ("EmbeddingGemma", "Retrieval-document"): "title: none | text: ",
    ("EmbeddingGemma", "STS"): "task: sentence similarity | query: ",
    ("EmbeddingGemma", "Summarization"): "task: summarization | query: ",
    ("nomic-embed-text", "search_query"): "search_query: ",
    ("nomic-embed-text", "search_document"): "search_document: ",
    ("nomic-embed-text", "clustering"): "clustering: ",
    ("nomic-embed-text", "classification"): "classification: ",
    ("nomic-embed-text-v2", "search_query"): "search_query: ",
    ("nomic-embed-text-v2", "search_document"): "search_document: ",
    ("nomic-embed-text-v2", "clustering"): "clustering: ",
    ("nomic-embed-text-v2", "classification"): "classification: ",
    ("llama-nemotron-embed", "query"): "query: ",
    ("llama-nemotron-embed", "document"): "passage: ",
}


def test_every_template_is_golden() -> None:
    found = {
        (usage.name, name): prompt for usage in USAGES for name, prompt in usage.prompts().items()
    }
    assert found == GOLDEN
    assert SEARCH_TASK == SEARCH


@pytest.mark.parametrize("name", CONFIGS)
def test_a_usage_is_known_by_config_json(name: str) -> None:
    usage = usage_of(CONFIGS[name])
    assert usage is not None
    assert usage.name == name


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["BertModel"], "model_type": "bert"},
        {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"},
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
        {"architectures": ["MistralForCausalLM"], "model_type": "mistral"},
        {},
    ],
)
def test_common_architectures_have_no_usage(config: dict[str, Any]) -> None:
    assert usage_of(config) is None


def test_only_gritlm_has_a_prompt_that_nobody_asked_for() -> None:
    assert {usage.name: usage.default for usage in USAGES if usage.default is not None} == {
        "GritLM": "document"
    }


def test_the_converted_gritlm_is_known_by_its_class() -> None:
    usage = usage_of({"architectures": ["GritLM"], "model_type": "mistral"})
    assert usage is not None
    assert usage.excludes_prompt


def test_no_template_holds_a_literal_backslash() -> None:
    assert not [prompt for usage in USAGES for prompt in usage.prompts().values() if "\\" in prompt]


def test_only_nomics_first_generation_standardizes_before_it_cuts() -> None:
    assert [usage.name for usage in USAGES if usage.standardizes] == ["nomic-embed-text"]
