"""Pictures drawn with plain Pillow calls, as somebody who tries the demo model would."""

import base64
import io

from PIL import Image, ImageDraw

CAPTIONS = (
    "a red circle",
    "a blue square",
    "a green triangle",
    "a yellow circle",
    "a purple triangle",
    "a black square",
)


def drawing(caption: str, size: int = 256) -> Image.Image:
    """One shape in the middle of a white square, for a caption such as "a red circle"."""
    _, colour, shape = caption.split()
    picture = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    low, high = size * 0.22, size * 0.78
    if shape == "circle":
        draw.ellipse((low, low, high, high), fill=colour)
    elif shape == "square":
        draw.rectangle((low, low, high, high), fill=colour)
    else:
        draw.polygon([(size / 2, low), (high, high), (low, high)], fill=colour)
    return picture


def encoded(picture: Image.Image, kind: str = "PNG") -> str:
    """A picture as base64 of a file."""
    file = io.BytesIO()
    picture.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()
