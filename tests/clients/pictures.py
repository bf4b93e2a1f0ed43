"""Pictures for clients that send them, and the vectors that the bundled model gives them."""

import base64
import io
from typing import Final

import httpx
import numpy as np
from PIL import Image

from tests.clients.serving import DEMO
from tests.clients.vectors import Rows
from tests.e2e.drawings import drawing

CAPTIONS: Final = ("a red circle", "a blue square", "a green triangle")
PICTURES: Final = tuple(drawing(caption) for caption in CAPTIONS)


def encoded(picture: Image.Image, kind: str = "PNG") -> str:
    """Base64 of a picture file."""
    file = io.BytesIO()
    picture.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def data_uri(picture: Image.Image) -> str:
    """A picture as a PNG in a URL."""
    return "data:image/png;base64," + encoded(picture)


def picture_rows(http: httpx.Client) -> Rows:
    """A row for each of PICTURES, by the dialect of Multimodal Embedding Serving."""
    rows = []
    for picture in PICTURES:
        value = {"type": "image_base64", "image_base64": encoded(picture)}
        answer = http.post("/embeddings", json={"model": DEMO, "input": value})
        rows.append(answer.raise_for_status().json()["embedding"])
    found = np.array(rows, np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)
