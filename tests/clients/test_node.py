"""JavaScript clients, as they are published."""

import numpy as np
import pytest

from tests.clients.node_client import run_node
from tests.clients.serving import MINILM, MINILM_DIMENSIONS
from tests.clients.vectors import TEXTS, Reference, assert_same

OPENAI = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: url + "/v1", apiKey: "none", maxRetries: 0 });
"""
AI_SDK = """
import { embed, embedMany } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createCohere } from "@ai-sdk/cohere";
const kinds = {
  openai: createOpenAI({ baseURL: url + "/v1", apiKey: "none" }),
  compatible: createOpenAICompatible({ name: "polyvec", baseURL: url + "/v1" }),
  cohere: createCohere({ baseURL: url + "/v2", apiKey: "none" }),
};
const embedder = kinds[kind].textEmbeddingModel(model);
"""
HUGGING_FACE = """
import { InferenceClient } from "@huggingface/inference";
const client = new InferenceClient("", { endpointUrl: url });
"""
LANGCHAIN = """
import { OpenAIEmbeddings } from "@langchain/openai";
const client = new OpenAIEmbeddings({
  model, apiKey: "none", batchSize: 100, configuration: { baseURL: url + "/v1" },
});
"""


def test_c04_openai_node_asks_for_base64_and_gets_every_dimension(
    url: str, expected: Reference
) -> None:
    script = """
    const answer = await client.embeddings.create({ model, input: texts });
    console.log(JSON.stringify(answer.data.map((one) => one.embedding)));
    """
    rows = run_node(OPENAI + script, url=url, model=MINILM, texts=TEXTS)
    assert [len(row) for row in rows] == [MINILM_DIMENSIONS] * len(TEXTS)
    assert_same(rows, expected.rows(TEXTS))


def test_c64_node_parses_what_a_blank_text_gives(url: str) -> None:
    script = """
    const format = encoding ? { encoding_format: encoding } : {};
    const answer = await client.embeddings.create({ model, input: ["", "   "], ...format });
    console.log(JSON.stringify(answer.data.map((one) => one.embedding)));
    """
    # Left out, the client asks for base64 and decodes it.
    for encoding in ("float", None):
        rows = run_node(OPENAI + script, url=url, model=MINILM, encoding=encoding)
        # JSON.stringify writes NaN as null.
        assert np.isfinite(np.array(rows, float)).all()


@pytest.mark.parametrize("shape", ["one", "many"])
def test_c38_hub_javascript_extracts_features(url: str, expected: Reference, shape: str) -> None:
    inputs = TEXTS[0] if shape == "one" else list(TEXTS)
    script = "console.log(JSON.stringify(await client.featureExtraction({ inputs })));"
    rows = np.array(run_node(HUGGING_FACE + script, url=url, inputs=inputs), float)
    texts = TEXTS[:1] if shape == "one" else TEXTS
    assert_same(rows.reshape(len(texts), -1), expected.rows(texts))


def test_c38_hub_javascript_compares_sentences(url: str, expected: Reference) -> None:
    script = """
    const inputs = { source_sentence: texts[0], sentences: texts };
    console.log(JSON.stringify(await client.sentenceSimilarity({ inputs })));
    """
    scores = run_node(HUGGING_FACE + script, url=url, texts=TEXTS)
    rows = expected.rows(TEXTS)
    assert scores == pytest.approx((rows @ rows[0]).tolist(), abs=1e-4)


@pytest.mark.parametrize("kind", ["openai", "compatible", "cohere"])
def test_c50_ai_sdk_embeds_one_and_many(url: str, expected: Reference, kind: str) -> None:
    script = """
    const one = await embed({ model: embedder, value: texts[0] });
    const many = await embedMany({ model: embedder, values: texts });
    console.log(JSON.stringify([one.embedding, ...many.embeddings]));
    """
    rows = run_node(AI_SDK + script, url=url, model=MINILM, texts=TEXTS, kind=kind)
    assert_same(rows, expected.rows([TEXTS[0], *TEXTS]))


def test_c12_parallel_chunks_of_ai_sdk(url: str, expected: Reference) -> None:
    script = """
    const { embeddings } = await embedMany({ model: embedder, values: texts });
    console.log(JSON.stringify(embeddings));
    """
    texts = [f"chunk {i}" for i in range(300)]
    rows = run_node(AI_SDK + script, url=url, model=MINILM, texts=texts, kind="cohere")
    assert_same([rows[i] for i in (0, 96, 299)], expected.rows([texts[i] for i in (0, 96, 299)]))


def test_c12_parallel_chunks_of_langchain_js(url: str, expected: Reference) -> None:
    script = """
    const query = await client.embedQuery(texts[7]);
    const rows = await client.embedDocuments(texts);
    console.log(JSON.stringify([query, rows[0], rows[100], rows[999]]));
    """
    texts = [f"chunk {i}" for i in range(1000)]
    rows = run_node(LANGCHAIN + script, url=url, model=MINILM, texts=texts)
    assert_same(rows, expected.rows([texts[i] for i in (7, 0, 100, 999)]))


def test_cohere_node_gets_floats(url: str, expected: Reference) -> None:
    script = """
    import { CohereClientV2 } from "cohere-ai";
    const client = new CohereClientV2({ token: "none", environment: url });
    const answer = await client.embed({
      model, texts, inputType: "search_document", embeddingTypes: ["float"],
    });
    console.log(JSON.stringify(answer.embeddings.float));
    """
    rows = run_node(script, url=url, model=MINILM, texts=TEXTS)
    assert_same(rows, expected.rows(TEXTS))
