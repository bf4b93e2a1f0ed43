"""chromadb, lancedb, haystack and llama-index with the embedding functions they come with."""

import lancedb
import pytest
from chromadb.utils import embedding_functions as chroma
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.dataclasses import Document
from haystack.utils import Secret
from lancedb.embeddings import get_registry
from lancedb.pydantic import LanceModel, Vector
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.openai_like import OpenAILikeEmbedding

from tests.clients.serving import KNOWN, MINILM, MINILM_DIMENSIONS
from tests.clients.vectors import TEXTS, Reference, assert_same


def test_chroma_openai(url: str, expected: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    function = chroma.OpenAIEmbeddingFunction(model_name=MINILM, api_base=url + "/v1")
    assert_same(function(list(TEXTS)), expected.rows(TEXTS))


def test_chroma_hugging_face_server(url: str, expected: Reference) -> None:
    function = chroma.HuggingFaceEmbeddingServer(url=url + "/embed")
    assert_same(function(list(TEXTS)), expected.rows(TEXTS))


def test_chroma_ollama(url: str, expected: Reference) -> None:
    function = chroma.OllamaEmbeddingFunction(url=url, model_name=MINILM)
    assert_same(function(list(TEXTS)), expected.rows(TEXTS))


@pytest.mark.parametrize("options", [{}, {"dim": MINILM_DIMENSIONS}], ids=["no dim", "dim"])
def test_lancedb_openai(
    url: str, expected: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path, options
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    function = get_registry().get("openai").create(name=MINILM, base_url=url + "/v1", **options)
    assert_same(function.compute_source_embeddings(list(TEXTS)), expected.rows(TEXTS))


def test_lancedb_finds_a_row_by_its_text(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    create = get_registry().get("openai").create
    function = create(name=KNOWN, base_url=url + "/v1", dim=MINILM_DIMENSIONS)

    class Row(LanceModel):
        text: str = function.SourceField()
        vector: Vector(MINILM_DIMENSIONS) = function.VectorField()

    table = lancedb.connect(tmp_path).create_table("rows", schema=Row)
    table.add([{"text": text} for text in TEXTS])
    found = table.search("my package has not arrived").limit(1).to_list()
    assert found[0]["text"] == TEXTS[1]


def test_lancedb_ollama(url: str, expected: Reference) -> None:
    function = get_registry().get("ollama").create(name=MINILM, host=url)
    assert_same(function.compute_source_embeddings(list(TEXTS)), expected.rows(TEXTS))


def test_haystack_texts_and_documents(url: str, expected: Reference) -> None:
    options = {"api_key": Secret.from_token("none"), "api_base_url": url + "/v1", "model": MINILM}
    row = OpenAITextEmbedder(**options).run(TEXTS[0])["embedding"]
    documents = [Document(content=text) for text in TEXTS]
    found = OpenAIDocumentEmbedder(**options, progress_bar=False).run(documents)["documents"]
    rows = [row, *(one.embedding for one in found)]
    assert_same(rows, expected.rows([TEXTS[0], *TEXTS]))


@pytest.mark.parametrize("kind", [OpenAIEmbedding, OpenAILikeEmbedding])
def test_llama_index(url: str, expected: Reference, kind) -> None:
    client = kind(model_name=MINILM, api_base=url + "/v1", api_key="none", embed_batch_size=2)
    assert_same(client.get_text_embedding_batch(list(TEXTS)), expected.rows(TEXTS))
    assert_same(client.get_query_embedding(TEXTS[0]), expected.rows(TEXTS[:1]))


def test_llama_index_sends_an_empty_text(url: str, expected: Reference) -> None:
    client = OpenAILikeEmbedding(model_name=MINILM, api_base=url + "/v1", api_key="none")
    assert_same(client.get_text_embedding(""), expected.rows([""]))
