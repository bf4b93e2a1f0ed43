"""Plain drawings as a person makes them to try a model: Pillow calls on a blank canvas.

Nothing here comes from :mod:`training.scenes`, so that the check does not test the renderer
against itself. Colours are Pillow's and a plotting library's, edges are not smoothed, canvases
have any size and shape.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

Box = tuple[float, float, float, float]
Painter = Callable[[ImageDraw.ImageDraw, Box, str], None]

NAMED = {
    "red": "red",
    "green": "green",
    "blue": "blue",
    "yellow": "yellow",
    "orange": "orange",
    "purple": "purple",
    "pink": "pink",
    "black": "black",
}
"""Pillow's own colour names."""

PLOTTED = {
    "red": "#d62728",
    "green": "#2ca02c",
    "blue": "#1f77b4",
    "yellow": "#ffd700",
    "orange": "#ff7f0e",
    "purple": "#9467bd",
    "pink": "#e377c2",
    "brown": "#8c564b",
    "grey": "#7f7f7f",
    "cyan": "#17becf",
}
"""The default cycle of a plotting library."""


@dataclass(frozen=True)
class Drawing:
    """A drawing and prompts that should find it.

    Attributes:
        image: RGB, 100 to 640 pixels on a side.
        prompts: Descriptions true of this drawing and of no other one in its set.
    """

    image: Image.Image
    prompts: tuple[str, ...]


def _circle(draw: ImageDraw.ImageDraw, box: Box, colour: str) -> None:
    draw.ellipse(box, fill=colour)


def _square(draw: ImageDraw.ImageDraw, box: Box, colour: str) -> None:
    draw.rectangle(box, fill=colour)


def _triangle(draw: ImageDraw.ImageDraw, box: Box, colour: str) -> None:
    left, top, right, bottom = box
    draw.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=colour)


def _star(draw: ImageDraw.ImageDraw, box: Box, colour: str) -> None:
    left, top, right, bottom = box
    x, y, radius = (left + right) / 2, (top + bottom) / 2, (right - left) / 2
    corners = []
    for i in range(10):
        reach = radius if i % 2 == 0 else radius * 0.4
        angle = math.pi * i / 5 - math.pi / 2
        corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    draw.polygon(corners, fill=colour)


def _diamond(draw: ImageDraw.ImageDraw, box: Box, colour: str) -> None:
    left, top, right, bottom = box
    x, y = (left + right) / 2, (top + bottom) / 2
    draw.polygon([(x, top), (right, y), (x, bottom), (left, y)], fill=colour)


PAINTERS: dict[str, Painter] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "diamond": _diamond,
}


def single_drawings(
    colours: dict[str, str],
    size: tuple[int, int] = (256, 256),
    share: float = 0.55,
    ground: str = "white",
) -> list[Drawing]:
    """Draws every shape in every colour, in the middle of a canvas.

    Args:
        colours: Colour names and what to fill with.
        size: Canvas width and height in pixels.
        share: The shape's share of the canvas's shorter side, in (0, 1).
        ground: Colour of the canvas, by name.

    Returns:
        ``len(PAINTERS) * len(colours)`` drawings.
    """
    drawings = []
    reach = min(size) * share / 2
    x, y = size[0] / 2, size[1] / 2
    for shape, paint in PAINTERS.items():
        for name, fill in colours.items():
            image = Image.new("RGB", size, ground)
            paint(ImageDraw.Draw(image), (x - reach, y - reach, x + reach, y + reach), fill)
            noun = f"{name} {shape}"
            article = "an" if name[0] in "aeiou" else "a"
            prompts = (
                f"{article} {noun}",
                noun,
                f"a photo of {article} {noun}",
                f"{article} {noun} on a {ground} background",
                f"A picture of {article} {noun}.",
            )
            drawings.append(Drawing(image, prompts))
    return drawings


def outlined_drawings(colours: dict[str, str]) -> list[Drawing]:
    """Draws every shape in every colour with a black edge, on a light canvas.

    Args:
        colours: Colour names and what to fill with.

    Returns:
        As many drawings as there are combinations, black left out.
    """
    drawings = []
    for shape, paint in PAINTERS.items():
        for name, fill in colours.items():
            if name == "black":
                continue
            image = Image.new("RGB", (320, 240), "whitesmoke")
            draw = ImageDraw.Draw(image)
            paint(draw, (90, 50, 230, 190), "black")
            inset = 12 if shape in ("star", "triangle") else 5
            paint(draw, (90 + inset, 50 + inset, 230 - inset, 190 - inset), fill)
            article = "an" if name[0] in "aeiou" else "a"
            drawings.append(Drawing(image, (f"{article} {name} {shape}", f"{name} {shape}")))
    return drawings


def compressed(drawings: list[Drawing], quality: int = 40) -> list[Drawing]:
    """Passes drawings through JPEG.

    Args:
        drawings: Any drawings.
        quality: JPEG quality, 1 to 95.

    Returns:
        The same prompts with the compressed images.
    """
    result = []
    for drawing in drawings:
        buffer = io.BytesIO()
        drawing.image.save(buffer, "JPEG", quality=quality)
        buffer.seek(0)
        result.append(Drawing(Image.open(buffer).convert("RGB"), drawing.prompts))
    return result


_NUMBERS = ("", "one", "two", "three", "four", "five")


def counted_drawings() -> list[Drawing]:
    """Draws one to five circles, squares and triangles in a row, in three colours.

    Returns:
        45 drawings, 400 by 300 pixels.
    """
    drawings = []
    for shape in ("circle", "square", "triangle"):
        for colour in ("red", "green", "blue"):
            for count in range(1, 6):
                image = Image.new("RGB", (400, 300), "white")
                draw = ImageDraw.Draw(image)
                pitch = 300 / count
                half = min(40.0, pitch * 0.4)
                for i in range(count):
                    x = 50 + pitch * (i + 0.5)
                    PAINTERS[shape](draw, (x - half, 150 - half, x + half, 150 + half), colour)
                plural = "" if count == 1 else "s"
                prompts = (
                    f"{_NUMBERS[count]} {colour} {shape}{plural}",
                    f"{count} {colour} {shape}{plural}",
                    f"a picture of {_NUMBERS[count]} {colour} {shape}{plural}",
                )
                drawings.append(Drawing(image, prompts))
    return drawings


def pair_drawings() -> list[Drawing]:
    """Draws two objects beside or above one another, in both orders.

    Returns:
        48 drawings, 300 by 300 pixels, whose prompts name the relation from both ends.
    """
    pairs = [
        (("green", "triangle"), ("yellow", "circle")),
        (("red", "circle"), ("blue", "square")),
        (("black", "star"), ("red", "square")),
        (("blue", "circle"), ("orange", "circle")),
        (("purple", "diamond"), ("green", "square")),
        (("blue", "triangle"), ("blue", "star")),
        (("red", "triangle"), ("green", "circle")),
        (("yellow", "square"), ("purple", "star")),
        (("orange", "diamond"), ("black", "circle")),
        (("pink", "circle"), ("black", "triangle")),
        (("red", "star"), ("yellow", "star")),
        (("green", "diamond"), ("red", "diamond")),
    ]
    return [
        _pair_drawing(first, second, axis)
        for one, two in pairs
        for first, second in ((one, two), (two, one))
        for axis in ("across", "down")
    ]


def _pair_drawing(first: tuple[str, str], second: tuple[str, str], axis: str) -> Drawing:
    image = Image.new("RGB", (300, 300), "white")
    draw = ImageDraw.Draw(image)
    near, far, level = (25, 125), (175, 275), (100, 200)
    first_box: Box = (near[0], level[0], near[1], level[1])
    second_box: Box = (far[0], level[0], far[1], level[1])
    if axis == "down":
        first_box = (level[0], near[0], level[1], near[1])
        second_box = (level[0], far[0], level[1], far[1])
    for (colour, shape), box in ((first, first_box), (second, second_box)):
        PAINTERS[shape](draw, box, colour)
    a, b = (f"{'an' if c[0] in 'aeiou' else 'a'} {c} {s}" for c, s in (first, second))
    if axis == "across":
        prompts = (f"{a} to the left of {b}", f"{b} to the right of {a}", f"{a} left of {b}")
    else:
        prompts = (f"{a} above {b}", f"{b} below {a}", f"a photo of {b} under {a}")
    return Drawing(image, prompts)


def partial_prompts() -> list[tuple[str, str]]:
    """Lists prompts that name a shape or a colour alone.

    Returns:
        Pairs of a prompt and the word that the best drawing's first prompt must contain.
    """
    shapes = [(f"a {shape}", shape) for shape in PAINTERS]
    colours = [(f"something {name}", name) for name in NAMED]
    return shapes + colours
