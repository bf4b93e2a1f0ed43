"""Scene specifications and their renderer.

A :class:`Scene` says what is in a picture (which shapes, in which colours, how many, where) and
nothing about how the picture looks in detail. :func:`render` turns it into a Pillow image; the
random stream given to it decides everything the specification leaves open (canvas size, exact
tints, exact positions, noise), so a scene has endlessly many pictures and all of them are pure
functions of the scene and the seed.
"""

from __future__ import annotations

import hashlib
import io
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

RGB = tuple[int, int, int]
Point = tuple[float, float]

SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross", "heart", "crescent")
COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
    "cyan",
)
SIZES = ("medium", "small", "large")
TEXTURES = ("solid", "hollow", "striped", "dotted", "checkered")
GROUNDS = ("plain", "gradient", "noisy")
KINDS = ("empty", "single", "relation", "count")
AXES = ("none", "across", "down")
MAX_COUNT = 5
IMAGE_SIZE = 64
HELD_OUT_SHARE = 5
"""One object part in this many is kept for evaluation."""

# Several tints per name: pure colours, Pillow's and CSS's reading of the name, and the default
# cycles of plotting libraries, because those are what people draw test pictures with.
_TINTS: dict[str, tuple[str, ...]] = {
    "red": ("ff0000", "ff0000", "d62728", "dc143c", "e41a1c", "c80000", "ff3030"),
    "orange": ("ffa500", "ffa500", "ff7f0e", "ff8c00", "ff7f00"),
    "yellow": ("ffff00", "ffff00", "ffd700", "ffe119", "ffeb3b", "f7dc2f"),
    "green": ("008000", "00ff00", "2ca02c", "228b22", "32cd32", "4daf4a", "006400"),
    "blue": ("0000ff", "0000ff", "1f77b4", "4169e1", "0000cd", "377eb8", "1e90ff", "000090"),
    "purple": ("800080", "800080", "9467bd", "8a2be2", "6a0dad", "984ea3", "9400d3"),
    "pink": ("ffc0cb", "ffc0cb", "ff69b4", "e377c2", "f781bf", "ffb6c1"),
    "brown": ("a52a2a", "8b4513", "8c564b", "964b00", "654321", "a0522d"),
    "black": ("000000", "000000", "111111", "1c1c1c"),
    "white": ("ffffff", "ffffff", "f5f5f5", "fafafa"),
    "grey": ("808080", "808080", "7f7f7f", "a9a9a9", "696969", "b8b8b8"),
    "cyan": ("00ffff", "00ffff", "17becf", "00ced1", "40e0d0", "00bcd4"),
}


@dataclass(frozen=True)
class Thing:
    """One drawn object.

    Attributes:
        shape: One of ``SHAPES``.
        colour: One of ``COLOURS``.
        size: One of ``SIZES``; captions name only ``small`` and ``large``.
        texture: One of ``TEXTURES``.
    """

    shape: str
    colour: str
    size: str = "medium"
    texture: str = "solid"


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes:
        kind: One of ``KINDS``.
        first: The object; in a relation the left or the upper one; ``None`` if empty.
        second: The right or lower object of a relation, else ``None``.
        count: How many copies of ``first`` there are: 0 if empty, 1, or 2 to 5 for a count.
        place: Row and column (each 0 to 2) of a single object; ``(1, 1)`` elsewhere.
        axis: ``across`` or ``down`` for a relation, else ``none``.
        ground: Background kind, one of ``GROUNDS``.
        ground_colour: Background colour, one of ``COLOURS``.
    """

    kind: str
    first: Thing | None
    second: Thing | None = None
    count: int = 1
    place: tuple[int, int] = (1, 1)
    axis: str = "none"
    ground: str = "plain"
    ground_colour: str = "white"

    @property
    def things(self) -> list[Thing]:
        """The objects that there are, without their copies: none, one or two."""
        return [thing for thing in (self.first, self.second) if thing is not None]


def is_held_out(scene: Scene) -> bool:
    """Says whether a scene is kept for evaluation.

    The decision looks at the objects and their arrangement, never at the background, so no
    held-out combination of objects is seen in training on any ground.

    Args:
        scene: Any scene.

    Returns:
        ``True`` for about one object part in ``HELD_OUT_SHARE``; always ``False`` if empty.
    """
    if scene.kind == "empty":
        return False
    part = replace(scene, ground="plain", ground_colour="white")
    digest = hashlib.sha256(repr(part).encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_SHARE == 0


FIELDS = (
    "kind",
    "shape",
    "colour",
    "size",
    "texture",
    "row",
    "column",
    "count",
    "axis",
    "second_shape",
    "second_colour",
    "second_size",
    "ground",
    "ground_colour",
)
"""Names of the entries of :func:`encode`, in order."""

FIELD_VALUES: tuple[Sequence[object], ...] = (
    KINDS,
    SHAPES,
    COLOURS,
    SIZES,
    TEXTURES,
    range(3),
    range(3),
    range(MAX_COUNT + 1),
    AXES,
    SHAPES,
    COLOURS,
    SIZES,
    GROUNDS,
    COLOURS,
)
"""What the entries of :func:`encode` count, in order."""


def encode(scene: Scene) -> list[int]:
    """Writes a scene as small integers, to compare many scenes with many captions at once.

    Args:
        scene: Any scene.

    Returns:
        ``len(FIELDS)`` integers, each an index into the tuple of its names; -2 where the scene
        has no such object (so that it differs from every name and from the wildcard -1).
    """
    first = _encode_thing(scene.first)
    second = _encode_thing(scene.second)
    return [
        KINDS.index(scene.kind),
        *first,
        *scene.place,
        scene.count,
        AXES.index(scene.axis),
        *second[:3],
        GROUNDS.index(scene.ground),
        COLOURS.index(scene.ground_colour),
    ]


def _encode_thing(thing: Thing | None) -> list[int]:
    if thing is None:
        return [-2, -2, -2, -2]
    return [
        SHAPES.index(thing.shape),
        COLOURS.index(thing.colour),
        SIZES.index(thing.size),
        TEXTURES.index(thing.texture),
    ]


# --------------------------------------------------------------------------------------------
# Drawing specifications


def draw_scene(rng: random.Random, kind: str | None = None) -> Scene:
    """Draws a scene specification, held out or not.

    Args:
        rng: Random stream; the result is a pure function of it.
        kind: One of ``KINDS``, or ``None`` for the usual mixture.

    Returns:
        A valid scene (see :func:`is_valid`).
    """
    chosen = kind or rng.choices(KINDS, weights=(3, 38, 33, 26))[0]
    while True:
        scene = _draw_once(rng, chosen)
        if is_valid(scene):
            return scene


def _draw_once(rng: random.Random, kind: str) -> Scene:
    ground, ground_colour = _draw_ground(rng)
    if kind == "empty":
        return Scene(kind, None, count=0, ground=ground, ground_colour=ground_colour)
    first = _draw_thing(rng, with_texture=kind == "single", sized=kind == "single")
    if kind == "single":
        place = (1, 1) if rng.random() < 0.5 else (rng.randrange(3), rng.randrange(3))
        return Scene(kind, first, place=place, ground=ground, ground_colour=ground_colour)
    if kind == "count":
        count = rng.randint(2, MAX_COUNT)
        return Scene(kind, first, count=count, ground=ground, ground_colour=ground_colour)
    second = _draw_thing(rng, with_texture=False, sized=False)
    if rng.random() < 0.2:
        sizes = rng.choice((("small", "large"), ("large", "small")))
        first, second = replace(first, size=sizes[0]), replace(second, size=sizes[1])
    axis = rng.choice(AXES[1:])
    return Scene(
        kind, first, second, axis=axis, ground=ground, ground_colour=ground_colour, count=1
    )


def _draw_ground(rng: random.Random) -> tuple[str, str]:
    ground = rng.choices(GROUNDS, weights=(78, 12, 10))[0]
    if rng.random() < 0.35:
        return ground, "white"
    return ground, rng.choice(COLOURS)


def _draw_thing(rng: random.Random, *, with_texture: bool, sized: bool) -> Thing:
    size = rng.choices(SIZES, weights=(50, 25, 25))[0] if sized else "medium"
    texture = "solid"
    if with_texture and rng.random() < 0.3:
        texture = rng.choice(TEXTURES[1:])
    return Thing(rng.choice(SHAPES), rng.choice(COLOURS), size, texture)


def is_valid(scene: Scene) -> bool:
    """Says whether a scene can be drawn so that every one of its attributes can be seen.

    Args:
        scene: A candidate.

    Returns:
        ``False`` for an object in its background's colour, two equal objects in a relation, a
        texture too fine to see, or a large object away from the middle.
    """
    things = scene.things
    if any(thing.colour == scene.ground_colour for thing in things):
        return False
    if scene.kind == "relation":
        # Differing in size alone would make "a red circle above a red circle" the only caption.
        first, second = things
        return (first.shape, first.colour) != (second.shape, second.colour)
    if scene.kind == "single":
        thing = things[0]
        if thing.size == "small" and thing.texture != "solid":
            return False
        return thing.size != "large" or scene.place == (1, 1)
    return True


def vary(scene: Scene, rng: random.Random) -> Scene:
    """Changes one attribute of a scene, to make the near misses a model must tell apart.

    Args:
        scene: The scene to start from.
        rng: Random stream.

    Returns:
        A valid scene of the same kind; equal to ``scene`` only if no change was possible in a
        few tries.
    """
    for _ in range(8):
        changed = _vary_once(scene, rng)
        if changed != scene and is_valid(changed):
            return changed
    return scene


def _vary_once(scene: Scene, rng: random.Random) -> Scene:
    if scene.first is None or rng.random() < 0.1:
        return replace(scene, ground_colour=rng.choice(COLOURS))
    if scene.second is not None:
        return _vary_relation(scene, scene.first, scene.second, rng)
    if scene.kind == "count" and rng.random() < 0.6:
        step = rng.choice((-1, 1))
        return replace(scene, count=min(MAX_COUNT, max(2, scene.count + step)))
    if scene.kind == "single" and rng.random() < 0.5:
        return _vary_single(scene, scene.first, rng)
    return replace(scene, first=_vary_thing(scene.first, rng))


def _vary_relation(scene: Scene, first: Thing, second: Thing, rng: random.Random) -> Scene:
    roll = rng.random()
    if roll < 0.3:
        return replace(scene, first=second, second=first)
    if roll < 0.5:
        return replace(scene, axis="down" if scene.axis == "across" else "across")
    if roll < 0.7:
        return replace(
            scene,
            first=replace(first, colour=second.colour),
            second=replace(second, colour=first.colour),
        )
    if roll < 0.85:
        return replace(scene, second=_vary_thing(second, rng))
    return replace(scene, first=_vary_thing(first, rng))


def _vary_single(scene: Scene, thing: Thing, rng: random.Random) -> Scene:
    roll = rng.random()
    if roll < 0.45:
        return replace(scene, place=(rng.randrange(3), rng.randrange(3)))
    if roll < 0.75:
        return replace(scene, first=replace(thing, size=rng.choice(SIZES)))
    return replace(scene, first=replace(thing, texture=rng.choice(TEXTURES)))


def _vary_thing(thing: Thing, rng: random.Random) -> Thing:
    if rng.random() < 0.6:
        return replace(thing, shape=rng.choice(SHAPES))
    return replace(thing, colour=rng.choice(COLOURS))


# --------------------------------------------------------------------------------------------
# Rendering


def render(scene: Scene, rng: random.Random) -> Image.Image:
    """Draws a picture of a scene.

    Args:
        scene: What to draw.
        rng: Random stream; it decides whatever the scene leaves open.

    Returns:
        An RGB image, 48 to 480 pixels on its shorter side and up to twice that on the longer
        one. All objects lie inside the central square.
    """
    side = _canvas_side(rng)
    # Supersampling smooths the edges; without it Pillow leaves them jagged. Both must work.
    factor = 2 if side <= 160 and rng.random() < 0.6 else 1
    width, height = _canvas_shape(rng, side)
    tint = _tint(scene.ground_colour, rng)
    image = _paint_ground(scene.ground, tint, (width * factor, height * factor), rng)
    corner = ((width - side) * factor / 2, (height - side) * factor / 2)
    for thing, colour, border, spots in _tints_and_spots(scene, tint, rng):
        turn = _turn(thing.shape, rng)
        points = outline(thing.shape, rng)
        for spot in spots:
            moved = _place(points, spot, turn, side * factor, corner)
            _paint_thing(image, thing, moved, colour, border, rng)
    if factor > 1:
        image = image.reduce(factor)
    return _disturb(image, rng)


def _canvas_side(rng: random.Random) -> int:
    low, high = rng.choices(((48, 96), (96, 192), (192, 320), (320, 480)), (45, 40, 11, 4))[0]
    return rng.randint(low, high)


def _canvas_shape(rng: random.Random, side: int) -> tuple[int, int]:
    if rng.random() < 0.7:
        return side, side
    longer = round(side * rng.uniform(1.05, 2.0))
    return (longer, side) if rng.random() < 0.6 else (side, longer)


def _parse(tint: str) -> RGB:
    return int(tint[0:2], 16), int(tint[2:4], 16), int(tint[4:6], 16)


def _tint(name: str, rng: random.Random) -> RGB:
    """Draws an RGB value that people would call by the given colour name."""
    tints = _TINTS[name]
    start = _parse(rng.choice(tints))
    if rng.random() < 0.5:
        return start
    end, share = _parse(rng.choice(tints)), rng.random()
    jitter = 14
    mixed = [
        round(a + (b - a) * share) + rng.randint(-jitter, jitter)
        for a, b in zip(start, end, strict=True)
    ]
    red, green, blue = (min(255, max(0, value)) for value in mixed)
    return red, green, blue


def _distance(first: RGB, second: RGB) -> float:
    return math.dist(first, second)


def _visible_tint(name: str, against: RGB, rng: random.Random) -> RGB:
    tint = _tint(name, rng)
    for _ in range(6):
        if _distance(tint, against) >= 75:
            break
        tint = _tint(name, rng)
    return tint


Spot = tuple[float, float, float]
"""Centre x, centre y and diameter, as shares of the visible square's side."""

Group = tuple[Thing, RGB, RGB | None, list[Spot]]


def _tints_and_spots(scene: Scene, ground: RGB, rng: random.Random) -> list[Group]:
    if scene.first is None:
        return []
    border: RGB | None = None
    if rng.random() < 0.12:
        border = (0, 0, 0) if rng.random() < 0.7 else (60, 60, 60)
    groups: list[Group] = []
    spots = _spots(scene, rng)
    per_thing = [spots] if scene.second is None else [spots[:1], spots[1:]]
    for thing, own in zip(scene.things, per_thing, strict=True):
        tint = _visible_tint(thing.colour, ground, rng)
        groups.append((thing, tint, None if thing.texture == "hollow" else border, own))
    return groups


def _spots(scene: Scene, rng: random.Random) -> list[Spot]:
    if scene.kind == "relation":
        first, second = scene.things
        return _relation_spots(first, second, scene.axis, rng)
    if scene.kind == "count":
        return _count_spots(scene.count, rng)
    (thing,) = scene.things
    return [_single_spot(thing, scene.place, rng)]


def _single_spot(thing: Thing, place: tuple[int, int], rng: random.Random) -> Spot:
    low, high = {"small": (0.15, 0.24), "medium": (0.34, 0.54), "large": (0.64, 0.92)}[thing.size]
    diameter = rng.uniform(low, min(high, 0.92 if place == (1, 1) else 0.42))
    slack = 0.07 if diameter < 0.7 else 0.02

    def coordinate(step: int) -> float:
        if step == 1:
            return 0.5 + rng.uniform(-slack, slack)
        near = diameter / 2 + rng.uniform(0.02, 0.3 - diameter / 2 + 0.02)
        return near if step == 0 else 1 - near

    y, x = coordinate(place[0]), coordinate(place[1])
    return x, y, diameter


def _relation_spots(first: Thing, second: Thing, axis: str, rng: random.Random) -> list[Spot]:
    ranges = {"small": (0.15, 0.21), "medium": (0.22, 0.4), "large": (0.36, 0.48)}
    if rng.random() < 0.5 and first.size == second.size:
        one = other = rng.uniform(*ranges[first.size])
    else:
        one, other = rng.uniform(*ranges[first.size]), rng.uniform(*ranges[second.size])
    gap = rng.uniform(0.03, max(0.04, min(0.3, 0.96 - one - other)))
    start = rng.uniform(0.01, max(0.012, 0.99 - one - other - gap))
    along = (start + one / 2, start + one + gap + other / 2)
    # The offset across the axis stays well under the distance along it, or "left of" would be
    # as true as "above".
    middle, reach = rng.uniform(0.36, 0.64), 0.22 * (along[1] - along[0])
    across = (middle + rng.uniform(-reach, reach), middle + rng.uniform(-reach, reach))
    if rng.random() < 0.4:
        across = (middle, middle)
    across = (_inside(across[0], one), _inside(across[1], other))
    if axis == "across":
        return [(along[0], across[0], one), (along[1], across[1], other)]
    return [(across[0], along[0], one), (across[1], along[1], other)]


def _inside(centre: float, diameter: float) -> float:
    return min(1 - diameter / 2 - 0.01, max(diameter / 2 + 0.01, centre))


def _count_spots(count: int, rng: random.Random) -> list[Spot]:
    if rng.random() < 0.5:
        return _row_spots(count, rng)
    return _scattered_spots(count, rng)


def _row_spots(count: int, rng: random.Random) -> list[Spot]:
    """Lays objects out regularly: in a row, in a column, or as the pips of a die."""
    layout = rng.random()
    if layout < 0.55:
        pitch = rng.uniform(0.17 if count > 3 else 0.22, 0.96 / count)
        diameter = min(0.44, pitch * rng.uniform(0.72, 0.92))
        middle = _inside(rng.uniform(0.3, 0.7), diameter)
        start = 0.5 - pitch * (count - 1) / 2
        line = [(start + pitch * step, middle, diameter) for step in range(count)]
        if layout < 0.38:
            return line
        return [(y, x, size) for x, y, size in line]
    low, high = rng.uniform(0.2, 0.29), rng.uniform(0.71, 0.8)
    pips: dict[int, list[Point]] = {
        2: [(low, low), (high, high)],
        3: [(low, low), (0.5, 0.5), (high, high)],
        4: [(low, low), (high, low), (low, high), (high, high)],
        5: [(low, low), (high, low), (0.5, 0.5), (low, high), (high, high)],
    }
    if count == 3 and rng.random() < 0.5:
        pips[3] = [(low, high), (0.5, low), (high, high)]
    diameter = rng.uniform(0.18, 0.3 if count % 2 else 0.4)
    flip = rng.random() < 0.5
    return [((1 - x) if flip else x, y, diameter) for x, y in pips[count]]


def _scattered_spots(count: int, rng: random.Random) -> list[Spot]:
    largest = {2: 0.42, 3: 0.36, 4: 0.31, 5: 0.28}[count]
    diameter = rng.uniform(0.15, largest)
    while True:
        spots: list[Spot] = []
        for _ in range(60):
            x = rng.uniform(diameter / 2 + 0.01, 0.99 - diameter / 2)
            y = rng.uniform(diameter / 2 + 0.01, 0.99 - diameter / 2)
            if all(math.dist((x, y), spot[:2]) > diameter * 1.12 for spot in spots):
                spots.append((x, y, diameter))
            if len(spots) == count:
                return spots
        diameter *= 0.9


_UNIT_CIRCLE = [(math.cos(math.tau * i / 40), math.sin(math.tau * i / 40)) for i in range(40)]


def outline(shape: str, rng: random.Random) -> list[Point]:
    """Draws the outline of a shape.

    Args:
        shape: One of ``SHAPES``.
        rng: Random stream, for proportions that differ between drawings.

    Returns:
        Corner points as ``(x, y)`` in about [-1, 1], y downwards, not closed.
    """
    return _OUTLINES[shape](rng)


def _circle(_: random.Random) -> list[Point]:
    return list(_UNIT_CIRCLE)


def _square(rng: random.Random) -> list[Point]:
    half = rng.uniform(0.8, 0.92)
    return [(-half, -half), (half, -half), (half, half), (-half, half)]


def _triangle(rng: random.Random) -> list[Point]:
    roll = rng.random()
    top = rng.uniform(-1.0, -0.8)
    if roll < 0.8:
        apex = rng.uniform(-0.15, 0.15) if rng.random() < 0.4 else 0.0
        points: list[Point] = [(apex, top), (0.95, 0.85), (-0.95, 0.85)]
    else:
        points = [(-0.85, top), (0.9, 0.85), (-0.85, 0.85)]
    if rng.random() < 0.12:
        points = [(x, -y) for x, y in points]
    if rng.random() < 0.5:
        points = [(-x, y) for x, y in points]
    return points


def _star(rng: random.Random) -> list[Point]:
    radii = [1.0, rng.uniform(0.37, 0.5)] * 5
    step = math.tau / len(radii)
    return [
        (radius * math.sin(step * i), -radius * math.cos(step * i))
        for i, radius in enumerate(radii)
    ]


def _diamond(rng: random.Random) -> list[Point]:
    wide = rng.uniform(0.68, 1.0)
    return [(0, -1), (wide, 0), (0, 1), (-wide, 0)]


def _cross(rng: random.Random) -> list[Point]:
    arm = rng.uniform(0.2, 0.36)
    quarter = [(-arm, -0.95), (arm, -0.95), (arm, -arm)]
    return [point for turn in range(4) for point in _quarter_turns(quarter, turn)]


def _heart(_: random.Random) -> list[Point]:
    return [_heart_point(math.tau * i / 30) for i in range(30)]


def _quarter_turns(points: list[Point], turns: int) -> list[Point]:
    for _ in range(turns):
        points = [(-y, x) for x, y in points]
    return points


def _heart_point(angle: float) -> Point:
    x = 16 * math.sin(angle) ** 3
    y = 13 * math.cos(angle) - 5 * math.cos(2 * angle) - 2 * math.cos(3 * angle)
    return x / 17, -(y - math.cos(4 * angle) + 2.5) / 17


def _crescent(rng: random.Random) -> list[Point]:
    """The unit disc less a disc of nearly the same size moved to one side."""
    shift, radius = rng.uniform(0.42, 0.6), rng.uniform(0.78, 0.92)
    # The two circles meet where x = (1 - radius^2 + shift^2) / (2 shift).
    meet = math.acos((1 - radius**2 + shift**2) / (2 * shift))
    outer = [meet + (math.tau - 2 * meet) * i / 24 for i in range(25)]
    points: list[Point] = [(math.cos(a), math.sin(a)) for a in outer]
    edge = math.atan2(math.sin(meet), math.cos(meet) - shift)
    inner = [-edge - (math.tau - 2 * edge) * i / 18 for i in range(1, 18)]
    points += [(shift + radius * math.cos(a), radius * math.sin(a)) for a in inner]
    if rng.random() < 0.4:
        points = [(-x, y) for x, y in points]
    return points


_OUTLINES: dict[str, Callable[[random.Random], list[Point]]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "diamond": _diamond,
    "cross": _cross,
    "heart": _heart,
    "crescent": _crescent,
}


def _turn(shape: str, rng: random.Random) -> float:
    """Draws a rotation in radians; a square turned too far would be a diamond."""
    if rng.random() < 0.45:
        return 0.0
    most = {"square": 9, "diamond": 7, "cross": 14, "circle": 0, "triangle": 18}.get(shape, 22)
    return math.radians(rng.uniform(-most, most))


def _place(
    points: Sequence[Point], spot: Spot, turn: float, side: int, corner: Point
) -> list[Point]:
    """Turns an outline and moves it to its spot, in pixels."""
    x, y, diameter = spot
    half = diameter * side / 2
    cosine, sine = math.cos(turn) * half, math.sin(turn) * half
    left, top = corner[0] + x * side, corner[1] + y * side
    return [(left + px * cosine - py * sine, top + px * sine + py * cosine) for px, py in points]


def _paint_thing(
    image: Image.Image,
    thing: Thing,
    points: list[Point],
    colour: RGB,
    border: RGB | None,
    rng: random.Random,
) -> None:
    draw = ImageDraw.Draw(image)
    extent = max(x for x, _ in points) - min(x for x, _ in points)
    closed = [*points, points[0], points[1]]
    if thing.texture == "hollow":
        # Below about a pixel and a half at model resolution the colour would wash out.
        stroke = max(2, round(extent * rng.uniform(0.08, 0.14)))
        draw.line(closed, fill=colour, width=stroke, joint="curve")
        return
    if thing.texture == "solid":
        draw.polygon(points, fill=colour)
    else:
        _paint_pattern(image, thing.texture, points, colour, rng)
    if border is not None:
        draw.line(closed, fill=border, width=max(1, round(extent * 0.05)), joint="curve")


def _paint_pattern(
    image: Image.Image, texture: str, points: list[Point], colour: RGB, rng: random.Random
) -> None:
    left, top = (math.floor(min(p[axis] for p in points)) for axis in (0, 1))
    right, bottom = (math.ceil(max(p[axis] for p in points)) + 1 for axis in (0, 1))
    width, height = right - left, bottom - top
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in points], fill=255)
    patch = Image.new("RGB", (width, height), colour)
    second = _second_tint(colour, rng)
    period = max(width, height) * rng.uniform(0.2, 0.32)
    if texture == "striped":
        _paint_stripes(patch, second, period, rng)
    elif texture == "dotted":
        _paint_dots(patch, second, period)
    else:
        _paint_checks(patch, second, period * 0.75)
    image.paste(patch, (left, top), mask)


def _second_tint(colour: RGB, rng: random.Random) -> RGB:
    bright = sum(colour) / 3
    options: list[RGB] = [(255, 255, 255), (255, 255, 255), (0, 0, 0)]
    usable = [option for option in options if abs(sum(option) / 3 - bright) > 90]
    return rng.choice(usable)


def _paint_stripes(patch: Image.Image, tint: RGB, period: float, rng: random.Random) -> None:
    draw = ImageDraw.Draw(patch)
    width, height = patch.size
    slant = rng.choice((0.0, 0.0, 1.0, -1.0))
    upright = slant != 0.0 or rng.random() < 0.5
    thick = period * 0.42
    position = -height - rng.uniform(0, period)
    while position < max(width, height) + height:
        if upright:
            lean = slant * height
            draw.polygon(
                [
                    (position, 0),
                    (position + thick, 0),
                    (position + thick + lean, height),
                    (position + lean, height),
                ],
                fill=tint,
            )
        else:
            draw.rectangle((0, position, width, position + thick), fill=tint)
        position += period


def _paint_dots(patch: Image.Image, tint: RGB, period: float) -> None:
    draw = ImageDraw.Draw(patch)
    radius = period * 0.3
    for row in range(math.ceil(patch.height / period) + 1):
        for column in range(math.ceil(patch.width / period) + 1):
            x, y = (column + 0.5 * (row % 2)) * period, row * period
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tint)


def _paint_checks(patch: Image.Image, tint: RGB, cell: float) -> None:
    draw = ImageDraw.Draw(patch)
    for row in range(math.ceil(patch.height / cell)):
        for column in range(row % 2, math.ceil(patch.width / cell), 2):
            x, y = column * cell, row * cell
            draw.rectangle((x, y, x + cell - 1, y + cell - 1), fill=tint)


def _paint_ground(ground: str, tint: RGB, size: tuple[int, int], rng: random.Random) -> Image.Image:
    if ground == "plain":
        return Image.new("RGB", size, tint)
    pixels = np.empty((size[1], size[0], 3), np.float32)
    pixels[:] = tint
    if ground == "gradient":
        pixels += _gradient(tint, size, rng)
    else:
        pixels += _noise(size, rng)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")


def _gradient(tint: RGB, size: tuple[int, int], rng: random.Random) -> NDArray[np.float32]:
    """Fades a tint towards white or black, whichever leaves more room.

    Returns:
        What to add to the tint, float32 of shape ``(height, width, 3)``.
    """
    target = 255.0 if sum(tint) < 384 else 0.0
    depth = rng.uniform(0.45, 0.7)
    width, height = size
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    share = rng.choice((across, down, (across + down) / 2)) * np.ones((height, width), np.float32)
    if rng.random() < 0.5:
        share = 1 - share
    room = np.asarray([target - value for value in tint], np.float32)
    return (share[..., None] * room * depth).astype(np.float32)


def _noise(size: tuple[int, int], rng: random.Random) -> NDArray[np.float32]:
    """Coarse-grained noise that survives the resize to the model's resolution.

    Returns:
        Signed offsets, float32 of shape ``(height, width, 3)``.
    """
    width, height = size
    generator = np.random.default_rng(rng.getrandbits(32))
    grain = max(1, round(min(size) / rng.choice((24, 40, 64))))
    shape = (-(-height // grain), -(-width // grain), 3 if rng.random() < 0.5 else 1)
    coarse = generator.normal(0, rng.uniform(28, 50), shape).astype(np.float32)
    fine = coarse.repeat(grain, axis=0).repeat(grain, axis=1)[:height, :width]
    return np.ascontiguousarray(np.broadcast_to(fine, (height, width, 3)))


def _disturb(image: Image.Image, rng: random.Random) -> Image.Image:
    """Adds the marks of cameras and file formats to some of the images."""
    roll = rng.random()
    if roll < 0.15:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(25, 90))
        buffer.seek(0)
        return Image.open(buffer).convert("RGB")
    if roll < 0.19:
        return image.filter(ImageFilter.GaussianBlur(min(image.size) / 64 * rng.uniform(0.3, 0.8)))
    if roll < 0.24:
        generator = np.random.default_rng(rng.getrandbits(32))
        pixels = np.asarray(image, np.float32)
        grain = generator.standard_normal(pixels.shape, np.float32) * rng.uniform(3, 14)
        return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8), "RGB")
    return image


def preprocess(image: Image.Image) -> NDArray[np.uint8]:
    """Resizes and crops as the checkpoint's ``preprocessor_config.json`` says.

    Args:
        image: Any RGB image.

    Returns:
        uint8 pixels of shape ``(3, IMAGE_SIZE, IMAGE_SIZE)``, before rescaling and normalising.
    """
    width, height = image.size
    short = min(width, height)
    size = (IMAGE_SIZE * width // short, IMAGE_SIZE * height // short)
    resized = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - IMAGE_SIZE) // 2, (size[1] - IMAGE_SIZE) // 2
    cropped = resized.crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE))
    return np.ascontiguousarray(np.asarray(cropped).transpose(2, 0, 1))
