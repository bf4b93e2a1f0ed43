"""Search a few sentences with openai-python: `python examples/openai_client.py [BASE_URL]`.

The address may also stand in EMBEDDINGS_URL; the first model that is served there is used.
"""

import os
import sys

import numpy as np
from openai import OpenAI

DEFAULT_URL = "http://127.0.0.1:8000"
SENTENCES = ["a red circle", "two blue squares", "a green triangle above a yellow star"]
QUESTION = "red circles"


def main() -> None:
    """Embed sentences and a question, and print the sentences by similarity."""
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EMBEDDINGS_URL", DEFAULT_URL)
    with OpenAI(base_url=f"{url}/v1", api_key=os.environ.get("OPENAI_API_KEY", "none")) as client:
        model = client.models.list().data[0].id
        answer = client.embeddings.create(model=model, input=[QUESTION, *SENTENCES])
    vectors = np.array([one.embedding for one in answer.data])
    print(f"{model}: {vectors.shape[1]} dimensions, {answer.usage.total_tokens} tokens")
    scores = vectors[1:] @ vectors[0]  # unit length, so this is the cosine
    for index in np.argsort(-scores):
        print(f"{scores[index]:.3f}  {SENTENCES[index]}")


if __name__ == "__main__":
    main()
