"""Talk to `POST /embeddings` as a Multimodal Embedding Serving client does, with nothing installed.

`python examples/mmes_client.py [BASE_URL]`; the address may also stand in EMBEDDINGS_URL.
"""

import json
import os
import sys
import urllib.request
from typing import Any

DEFAULT_URL = "http://127.0.0.1:8000"


def get(url: str) -> Any:
    """The JSON at an address."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def embed(url: str, model: str, text: str | list[str]) -> Any:
    """The vector of a text, or the list of vectors of a list of texts."""
    body = {
        "model": model,
        "input": {"type": "text", "text": text},
        "encoding_format": "float",
    }
    request = urllib.request.Request(
        f"{url}/embeddings",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["embedding"]


def main() -> None:
    """Ask what is served, then embed one text and several."""
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EMBEDDINGS_URL", DEFAULT_URL)
    print("health:", get(f"{url}/health")["status"])
    model = get(f"{url}/model/current")["model"]
    print(f"{model} embeds", " and ".join(get(f"{url}/model/capabilities")["modalities"]))
    flat = embed(url, model, "a red circle")
    print(f"a text: one vector of {len(flat)} numbers")
    nested = embed(url, model, ["a red circle", "a blue square"])
    print(f"a list: {len(nested)} vectors of {len(nested[0])} numbers")


if __name__ == "__main__":
    main()
