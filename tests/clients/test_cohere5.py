"""cohere 5 and langchain-cohere, as they are published."""

from tests.clients.cohere5 import run_cohere5
from tests.clients.serving import MINILM
from tests.clients.vectors import TEXTS, Reference, assert_same


def test_c30_cohere5_gets_floats(url: str, expected: Reference) -> None:
    script = """
import cohere
client = cohere.ClientV2(api_key="none", base_url=url)
answer = client.embed(
    model=model, texts=texts, input_type="search_document", embedding_types=["float"]
)
print(json.dumps(answer.embeddings.float_))
"""
    assert_same(run_cohere5(script, url=url, model=MINILM, texts=TEXTS), expected.rows(TEXTS))


def test_c31_langchain_cohere_embeds_documents_and_queries(url: str, expected: Reference) -> None:
    script = """
from langchain_cohere import CohereEmbeddings
client = CohereEmbeddings(model=model, cohere_api_key="none", base_url=url)
print(json.dumps([*client.embed_documents(texts), client.embed_query(texts[0])]))
"""
    rows = run_cohere5(script, url=url, model=MINILM, texts=TEXTS)
    assert_same(rows, expected.rows([*TEXTS, TEXTS[0]]))


def test_c36_langchain_cohere_reranks(url: str) -> None:
    script = """
from langchain_cohere import CohereRerank
client = CohereRerank(model=model, cohere_api_key="none", base_url=url, top_n=1)
print(json.dumps(client.rerank(["A dog runs.", "The parcel is here."], "Where is my parcel?")))
"""
    assert run_cohere5(script, url=url, model=MINILM)[0]["index"] == 1
