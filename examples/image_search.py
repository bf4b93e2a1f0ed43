"""Draw a few pictures and find them by words: `python examples/image_search.py [BASE_URL]`.

Needs a model that embeds texts and images, such as the bundled one. Needs Pillow and numpy.
"""

import base64
import io
import json
import os
import sys
import urllib.request
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

DEFAULT_URL = "http://127.0.0.1:8000"


def draw_pictures() -> dict[str, Image.Image]:
    """Three pictures by file name."""
    pictures = {name: Image.new("RGB", (256, 256), "white") for name in ("1.png", "2.png", "3.png")}
    ImageDraw.Draw(pictures["1.png"]).ellipse((60, 60, 196, 196), fill="red")
    ImageDraw.Draw(pictures["2.png"]).rectangle((60, 60, 196, 196), fill="blue")
    ImageDraw.Draw(pictures["3.png"]).polygon([(128, 60), (196, 196), (60, 196)], fill="green")
    return pictures


def image_input(picture: Image.Image) -> dict[str, str]:
    """A picture as an input of `POST /embeddings`."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return {"type": "image_base64", "image_base64": base64.b64encode(file.getvalue()).decode()}


def embed(url: str, model: str, value: dict[str, Any]) -> Any:
    """A unit-length vector, or a row of them for each text of a list."""
    request = urllib.request.Request(
        f"{url}/embeddings",
        data=json.dumps({"model": model, "input": value}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return np.array(json.load(answer)["embedding"])


def main() -> None:
    """Index the pictures, then rank them for each query."""
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EMBEDDINGS_URL", DEFAULT_URL)
    with urllib.request.urlopen(f"{url}/model/current", timeout=30) as answer:
        model = json.load(answer)["model"]
    pictures = draw_pictures()
    index = np.stack([embed(url, model, image_input(picture)) for picture in pictures.values()])
    queries = ["a red circle", "a blue square", "a green triangle"]
    vectors = embed(url, model, {"type": "text", "text": queries})
    for query, scores in zip(queries, vectors @ index.T, strict=True):
        ranked = sorted(zip(scores, pictures, strict=True), reverse=True)
        print(f"{query}:", ", ".join(f"{name} ({score:.2f})" for score, name in ranked))


if __name__ == "__main__":
    main()
