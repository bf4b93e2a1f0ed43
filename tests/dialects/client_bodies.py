"""What clients send, who answers it, and where they look for the answer.

Bodies were captured from the clients, or are what their source builds; see docs/dialects.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Reader = Callable[[Any], Any]
PICTURE = "data:image/png;base64,iVBORw0KGgo="
TEXTS = ["aa", "b", "a c"]


@dataclass(frozen=True)
class Sent:
    """One request.

    Attributes:
        client: Who sends it.
        path: Without the query.
        body: As JSON.
        owner: Name of the dialect that answers.
        read: The client's way to the vectors (or scores, or tokens) in the answer.
        num: Vectors it must find there; None where it reads something else.
    """

    client: str
    path: str
    body: Any
    owner: str
    read: Reader
    num: int | None = 3


def data_floats(answer: Any) -> Any:
    assert [item["index"] for item in answer["data"]] == list(range(len(answer["data"])))
    return [item["embedding"] for item in answer["data"]]


def data_base64(answer: Any) -> Any:
    encoded = data_floats(answer)
    return [np.frombuffer(base64.b64decode(one, validate=True), "<f4").tolist() for one in encoded]


def itself(answer: Any) -> Any:
    return answer


def tensor_rows(answer: Any) -> Any:
    (output,) = answer["outputs"]
    return np.reshape(output["data"], output["shape"]).tolist()


def under(key: str) -> Reader:
    return lambda answer: answer[key]


def ranked(answer: Any) -> Any:
    """Milvus, Open WebUI and Cohere's clients: pairs of index and score, the best first."""
    return [(item["index"], item["relevance_score"]) for item in answer["results"]]


def ranked_bare(answer: Any) -> Any:
    return [(item["index"], item["score"]) for item in answer]


def ranked_data(answer: Any) -> Any:
    return [(item["index"], item["relevance_score"]) for item in answer["data"]]


OPENAI = {"input": TEXTS, "model": "m"}
RERANK = {"model": "m", "query": "q", "documents": TEXTS}
MESSAGES = [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
DIFY_MESSAGES = [
    {"role": "system", "content": [{"type": "text", "text": "Represent the input."}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]},
    {"role": "assistant", "content": [{"type": "text", "text": ""}]},
]
WEAVIATE_ONE = {"text": "aa", "dims": 0, "vector": None, "error": "", "config": {}}
QDRANT_INPUTS = [
    {"data": text, "data_type": "text", "model": "m", "options": None} for text in TEXTS
]
QDRANT = {"inputs": QDRANT_INPUTS, "inference": "update", "token": None}
VOYAGE = {
    "input": TEXTS, "model": "m", "input_type": None, "truncation": True, "output_dtype": None,
    "output_dimension": None, "encoding_format": "base64",
}  # fmt: skip

VECTORS = [
    Sent("openai-python", "/v1/embeddings", {**OPENAI, "encoding_format": "base64"}, "openai",
         data_base64),
    Sent("AnythingLLM", "/v1/embeddings", {**OPENAI, "encoding_format": "base64"}, "openai",
         data_base64),
    Sent("LanceDB without dim", "/v1/embeddings",
         {**OPENAI, "encoding_format": "base64", "dimensions": None}, "openai", data_base64),
    Sent("LanceDB with dim", "/v1/embeddings",
         {**OPENAI, "encoding_format": "base64", "dimensions": 3}, "openai", data_base64),
    Sent("langchain-openai", "/v1/embeddings",
         {"input": [[15339], [65], [66]], "model": "m", "encoding_format": "base64"}, "openai",
         data_base64),
    Sent("AI SDK", "/v1/embeddings", {**OPENAI, "encoding_format": "float"}, "openai",
         data_floats),
    Sent("OpenSearch", "/v1/embeddings", OPENAI, "openai", data_floats),
    Sent("Open WebUI", "/v1/embeddings", OPENAI, "openai", data_floats),
    Sent("Open WebUI with a prefix field", "/v1/embeddings", {**OPENAI, "my_prefix": "query: "},
         "openai", data_floats),
    Sent("Open WebUI on Azure", "/openai/deployments/m/embeddings", {"input": TEXTS}, "openai",
         data_floats),
    Sent("litellm", "/embeddings", OPENAI, "openai", data_floats),
    Sent("pymilvus-model for TEI", "/v1/embeddings", {"input": TEXTS}, "openai", data_floats),
    Sent("Milvus for vLLM", "/v1/embeddings", {"input": TEXTS, "encoding_format": "float"},
         "openai", data_floats),
    Sent("mteb", "/v1/embeddings",
         {"model": "m", "messages": [MESSAGES, MESSAGES], "encoding_format": "float"}, "openai",
         data_floats, num=2),
    Sent("Dify", "/v1/embeddings", {"input": TEXTS, "model": "m", "encoding_format": "float"},
         "openai", data_floats),
    Sent("Dify with pictures", "/v1/embeddings",
         {"model": "m", "messages": DIFY_MESSAGES, "encoding_format": "float",
          "continue_final_message": True, "add_special_tokens": True}, "openai", data_floats,
         num=1),
    Sent("Milvus for TEI", "/embed",
         {"inputs": TEXTS, "truncate": True, "truncation_direction": "Right"}, "tei", itself),
    Sent("llama-index for TEI", "/embed", {"inputs": TEXTS, "truncate": True}, "tei", itself),
    Sent("Elasticsearch", "/", {"inputs": TEXTS}, "tei", itself),
    Sent("huggingface_hub", "/", {"inputs": "aa"}, "tei", itself, num=1),
    Sent("HuggingFaceEmbeddingServer of chromadb", "/embed", {"inputs": TEXTS}, "tei", itself),
    Sent("cohere 7, ClientV2", "/v2/embed",
         {"texts": TEXTS, "model": "m", "input_type": "search_document",
          "embedding_types": ["float"]}, "cohere", lambda answer: answer["embeddings"]["float"]),
    Sent("langchain-cohere", "/v1/embed",
         {"texts": TEXTS, "model": "m", "input_type": "search_document", "truncate": None,
          "embedding_types": ["float"]}, "cohere", lambda answer: answer["embeddings"]["float"]),
    Sent("voyageai", "/v1/embeddings", VOYAGE, "voyage", data_base64),
    Sent("voyageai at the root", "/embeddings", VOYAGE, "voyage", data_base64),
    Sent("Jina's body of LanceDB", "/v1/embeddings",
         {"model": "m", "input": [{"text": "a"}, {"image": "iVBORw0KGgo="}], "normalized": True},
         "jina", data_floats, num=2),
    Sent("SGLang", "/v1/embeddings", {"model": "m", "input": [{"text": "a"}, {"image": PICTURE}]},
         "sglang", data_floats, num=2),
    Sent("SGLang, native", "/encode", {"text": TEXTS}, "sglang",
         lambda answer: [one["embedding"] for one in answer]),
    Sent("OpenRouter", "/v1/embeddings",
         {"model": "m", "input": [{"content": [{"type": "text", "text": "a"}]}]}, "sglang",
         data_floats, num=1),
    Sent("OpenRouter, contents without parts", "/v1/embeddings",
         {"model": "m", "input": [{"content": "a"}, {"content": "b"}]}, "sglang",
         data_floats, num=2),
    Sent("benchmark_embeddings.py of OVMS", "/v3/embeddings",
         {**OPENAI, "encoding_format": "base64"}, "ovms", data_base64),
    Sent("ovms_mteb.py of OVMS", "/v3/embeddings/embeddings",
         {**OPENAI, "encoding_format": "float", "dimensions": 1}, "ovms", data_floats),
    Sent("litellm for Triton", "/v2/models/m/infer",
         {"inputs": [{"name": "input_text", "shape": [3], "datatype": "BYTES", "data": TEXTS}]},
         "kserve", tensor_rows),
    Sent("Infinity", "/embeddings", {"model": "m", "input": [PICTURE], "modality": "image"},
         "infinity", data_floats, num=1),
    Sent("Multimodal Embedding Serving", "/embeddings",
         {"model": "m", "input": {"type": "text", "text": TEXTS}, "encoding_format": "float"},
         "mmes", under("embedding")),
    Sent("ollama-python", "/api/embed", {"model": "m", "input": TEXTS}, "ollama",
         under("embeddings")),
    Sent("Open WebUI for Ollama", "/api/embed",
         {"model": "m:latest", "input": TEXTS, "truncate": True}, "ollama", under("embeddings")),
    Sent("Weaviate", "/vectors", WEAVIATE_ONE, "weaviate",
         lambda answer: [answer["vector"]], num=1),
    Sent("Weaviate, batches", "/vectors", {"texts": TEXTS, "config": {"task_type": "passage"}},
         "weaviate", under("vectors")),
    Sent("Weaviate multi2vec-clip", "/vectorize", {"texts": TEXTS, "images": None}, "weaviate",
         under("textVectors")),
    Sent("Qdrant", "/qdrant/inference", QDRANT, "qdrant", under("embeddings")),
    Sent("Qdrant at the root", "/", QDRANT, "qdrant", under("embeddings")),
    Sent("SageMaker as OpenAI", "/invocations", OPENAI, "vllm", data_floats),
    Sent("SageMaker as TEI", "/invocations", {"inputs": TEXTS}, "tei", itself),
    Sent("Vertex AI", "/vertex", {"instances": [{"inputs": TEXTS}]}, "tei",
         lambda answer: [vector for one in answer["predictions"] for vector in one]),
]  # fmt: skip

RANKINGS = [
    Sent("Milvus for vLLM", "/rerank", {"query": "q", "documents": TEXTS}, "vllm", ranked),
    Sent("Milvus for TEI", "/rerank", {"query": "q", "texts": TEXTS, "truncate": True}, "tei",
         ranked_bare),
    Sent("Open WebUI", "/v1/rerank", {**RERANK, "top_n": 3}, "vllm", ranked),
    Sent("cohere", "/v2/rerank", {**RERANK, "top_n": 3}, "vllm", ranked),
    Sent("litellm", "/rerank", {**RERANK, "return_documents": True}, "vllm", ranked),
    Sent("litellm for Hugging Face", "/rerank",
         {"query": "q", "texts": TEXTS, "raw_scores": False, "return_text": False,
          "truncation_direction": "Right"}, "tei", ranked_bare),
    Sent("voyageai", "/v1/rerank", {**RERANK, "top_k": 3, "truncation": True}, "voyage",
         ranked_data),
    Sent("SGLang", "/v1/rerank", {**RERANK, "instruct": None, "top_n": 3}, "sglang",
         ranked_bare),
    Sent("OVMS", "/v3/rerank", RERANK, "ovms", ranked),
]  # fmt: skip
