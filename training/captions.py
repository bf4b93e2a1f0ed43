"""Captions for scene specifications, in many wordings.

A caption need not tell everything: "a circle" and "something red" are captions too. Each one
therefore carries its claims, in the integer form of :func:`training.scenes.encode`, so that
training and evaluation can tell which other pictures it is true of (:func:`truths`).

A caption speaks of the whole picture: "a red circle" is not true of two red circles, nor of a red
circle beside a blue square. Captions such as "something red" and "a circle and a square" say less,
and their claims say so.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.scenes import (
    AXES,
    COLOURS,
    FIELDS,
    GROUNDS,
    KINDS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    Thing,
)

ANY = -1
"""Wildcard of a claim: the caption does not speak of this field."""

Claim = tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """A caption and what it says.

    Attributes:
        text: The words.
        claims: Alternatives, at least one of which is true of every picture the caption fits;
            each has ``len(scenes.FIELDS)`` entries, ``ANY`` where nothing is said.
    """

    text: str
    claims: tuple[Claim, ...]


_SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circle", "circle", "circle", "disc", "disk"),
    "square": ("square",),
    "triangle": ("triangle",),
    "star": ("star",),
    "diamond": ("diamond", "diamond", "diamond", "rhombus"),
    "cross": ("cross", "cross", "cross", "plus"),
    "heart": ("heart",),
    "crescent": ("crescent", "crescent", "moon", "crescent moon"),
}
_PLURALS = {"cross": "crosses", "plus": "plus signs", "rhombus": "rhombuses"}
_COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "grey": ("grey", "gray"),
    "purple": ("purple", "purple", "purple", "violet"),
    "cyan": ("cyan", "cyan", "cyan", "turquoise"),
}
_SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "small", "little", "tiny"),
    "large": ("large", "large", "big", "huge"),
}
_TEXTURE_WORDS: dict[str, tuple[str, ...]] = {
    "solid": ("solid", "filled"),
    "hollow": ("hollow", "outlined", "empty"),
    "striped": ("striped",),
    "dotted": ("dotted", "spotted"),
    "checkered": ("checkered", "checked"),
}
_TEXTURE_TAILS: dict[str, tuple[str, ...]] = {
    "striped": ("with stripes",),
    "dotted": ("with dots", "with spots"),
    "checkered": ("with a checkered pattern", "with checks"),
}
_COUNT_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
_PLACES: dict[tuple[int, int], tuple[str, ...]] = {
    (0, 0): ("in the top left corner", "at the top left", "in the upper left corner", "top left"),
    (0, 2): (
        "in the top right corner",
        "at the top right",
        "in the upper right corner",
        "top right",
    ),
    (2, 0): (
        "in the bottom left corner",
        "at the bottom left",
        "in the lower left corner",
        "bottom left",
    ),
    (2, 2): (
        "in the bottom right corner",
        "at the bottom right",
        "in the lower right corner",
        "bottom right",
    ),
    (1, 1): ("in the middle", "in the centre", "in the center", "at the center"),
}
_EDGES: dict[tuple[int, int], tuple[str, ...]] = {
    (0, ANY): ("at the top", "near the top", "in the upper part of the image"),
    (2, ANY): ("at the bottom", "near the bottom", "in the lower part of the image"),
    (ANY, 0): ("on the left", "on the left side", "at the left", "near the left edge"),
    (ANY, 2): ("on the right", "on the right side", "at the right", "near the right edge"),
}
_RELATIONS: dict[str, tuple[str, ...]] = {
    # What stands between the first and the second object of an axis, and the other way round.
    "across": ("to the left of", "left of", "on the left of", "to the left side of"),
    "across back": ("to the right of", "right of", "on the right of", "to the right side of"),
    "down": ("above", "above", "over", "on top of"),
    "down back": ("below", "below", "under", "beneath", "underneath"),
}
_TAILS: dict[str, tuple[str, ...]] = {
    # What ends "a circle with a square ...".
    "across": ("to its right", "on its right"),
    "across back": ("to its left", "on its left"),
    "down": ("below it", "under it"),
    "down back": ("above it", "over it"),
}
_PAIRS: dict[str, tuple[str, str]] = {
    "across": ("on the left", "on the right"),
    "down": ("at the top", "at the bottom"),
}
_FRAMES = (
    "a photo of {}",
    "a photo of {}",
    "a photo of {}",
    "a picture of {}",
    "a picture of {}",
    "an image of {}",
    "an image of {}",
    "a drawing of {}",
    "a drawing of {}",
    "an illustration of {}",
    "a painting of {}",
    "a sketch of {}",
    "a rendering of {}",
    "a photograph of {}",
    "photo of {}",
    "picture of {}",
    "image of {}",
    "drawing of {}",
    "an image showing {}",
    "a picture with {}",
    "a scene with {}",
    "this is {}",
    "here is {}",
    "i see {}",
    "we can see {}",
    "it shows {}",
    "the image shows {}",
    "find {}",
    "show me {}",
    "a simple drawing of {}",
)
_THERE = ("there is {}", "there are {}")
_PLAIN_GROUNDS = (
    "on a {} background",
    "on a {} background",
    "on a {} background",
    "on {}",
    "against a {} background",
    "with a {} background",
    "over a {} background",
    "on a {} backdrop",
    "in front of a {} background",
)
_GROUND_KINDS: dict[str, tuple[str, ...]] = {
    "plain": ("on a plain {} background", "on a solid {} background", "on plain {}"),
    "gradient": ("on a {} gradient", "on a {} gradient background", "with a {} gradient"),
    "noisy": ("on a noisy {} background", "on a grainy {} background", "on {} noise"),
}
_ANY_COLOUR_GROUNDS: dict[str, tuple[str, ...]] = {
    "plain": ("on a plain background",),
    "gradient": ("on a gradient", "on a gradient background"),
    "noisy": ("on a noisy background", "on a grainy background"),
}
_EMPTY = (
    "a {} background",
    "an empty {} background",
    "an empty {} image",
    "a blank {} image",
    "a blank {} page",
    "nothing but {}",
    "just {}",
    "only a {} background",
    "a {} surface",
    "a {} canvas with nothing on it",
)
_EMPTY_KINDS: dict[str, tuple[str, ...]] = {
    "plain": ("a plain {} background", "plain {}", "solid {}", "a plain {} image"),
    "gradient": ("a {} gradient", "an empty {} gradient background"),
    "noisy": ("{} noise", "a noisy {} background", "a grainy {} image"),
}
_SOMETHING = ("something {}", "something {}", "a {} thing", "a {} object", "anything {}", "{}")
_COUNTED = ("{} {}", "{} {}", "{} {}", "exactly {} {}", "a group of {} {}", "a set of {} {}")
_BESIDE = ("next to", "beside", "side by side with")
_OTHER_TEXT = """
an and the of is are it its with without no not any one single pair pairs group plus signs sign
shape shapes object objects thing things colour color coloured colored round pointed corner side
dog cat car tree house person man woman people bird flower food water sun sky hello world
photo image picture text search query document passage what which where how many who why when
zero six seven eight nine ten many several few both
"""
"""Words outside the grammar that get a token of their own, so ordinary prompts stay short."""


def words() -> list[str]:
    """Lists every word that captions use, in a fixed order.

    Returns:
        Distinct lower-case words; the tokenizer makes each one token.
    """
    tables: list[Iterable[str]] = [
        *_SHAPE_WORDS.values(),
        [_plural(word) for options in _SHAPE_WORDS.values() for word in options],
        COLOURS,
        *_COLOUR_WORDS.values(),
        *_SIZE_WORDS.values(),
        *_TEXTURE_WORDS.values(),
        *_TEXTURE_TAILS.values(),
        _COUNT_WORDS.values(),
        *_PLACES.values(),
        *_EDGES.values(),
        *_RELATIONS.values(),
        *_TAILS.values(),
        _FRAMES,
        _THERE,
        _PLAIN_GROUNDS,
        *_GROUND_KINDS.values(),
        *_ANY_COLOUR_GROUNDS.values(),
        _EMPTY,
        *_EMPTY_KINDS.values(),
        _SOMETHING,
        _COUNTED,
        _BESIDE,
        [_OTHER_TEXT],
    ]
    found = [word for table in tables for text in table for word in re.findall("[a-z]+", text)]
    return list(dict.fromkeys(found))


def describe(scene: Scene, rng: random.Random) -> Caption:
    """Writes a caption that is true of a scene.

    Args:
        scene: Any valid scene.
        rng: Random stream; the caption is a pure function of the scene and it.

    Returns:
        A caption whose claims the scene meets. It may leave details out.
    """
    if scene.kind == "empty":
        phrase, claims = _empty_phrase(scene, rng)
    elif rng.random() < 0.04:
        phrase, claims = _something_phrase(scene, rng)
    else:
        phrase, claims = _object_phrase(scene, rng)
        if rng.random() < 0.4:
            phrase, said = _with_ground(phrase, scene, rng)
            claims = [{**claim, **said} for claim in claims]
    text = _styled(_framed(phrase, scene, rng), rng)
    return Caption(text, tuple(_as_claim(claim) for claim in claims))


Said = dict[str, int]
"""A claim while it is being put together: field name to value."""


def _as_claim(said: Said) -> Claim:
    return tuple(said.get(field, ANY) for field in FIELDS)


def _object_phrase(scene: Scene, rng: random.Random) -> tuple[str, list[Said]]:
    if scene.kind == "single":
        return _single_phrase(scene, rng)
    if scene.kind == "count":
        return _count_phrase(scene, rng)
    return _relation_phrase(scene, rng)


def _with_article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _plural(word: str) -> str:
    return _PLURALS.get(word, word + "s")


def _colour_word(colour: str, rng: random.Random) -> str:
    return rng.choice(_COLOUR_WORDS.get(colour, (colour,)))


def _noun(
    thing: Thing, rng: random.Random, *, plural: bool = False, full: float = 0.92
) -> tuple[str, Said]:
    """Names a thing, leaving the colour or the shape out of some of the names.

    Args:
        thing: What to name.
        rng: Random stream.
        plural: Whether there are several.
        full: Share of the names that give both colour and shape.

    Returns:
        The words without article, and what they say about the first object.
    """
    roll = rng.random()
    say_colour, say_shape = roll < full or roll % 0.02 < 0.01, True
    if roll >= full and say_colour:
        say_shape = False
    parts: list[str] = []
    said: Said = {}
    if thing.size != "medium" and rng.random() < 0.8:
        parts.append(rng.choice(_SIZE_WORDS[thing.size]))
        said["size"] = SIZES.index(thing.size)
    texture_first = rng.random() < 0.5
    texture = _texture_word(thing, rng)
    if texture:
        said["texture"] = TEXTURES.index(thing.texture)
    if texture and texture_first:
        parts.append(texture)
    if say_colour:
        parts.append(_colour_word(thing.colour, rng))
        said["colour"] = COLOURS.index(thing.colour)
    if texture and not texture_first:
        parts.append(texture)
    word = rng.choice(("shape", "object", "thing"))
    if say_shape:
        word = rng.choice(_SHAPE_WORDS[thing.shape])
        said["shape"] = SHAPES.index(thing.shape)
        if word == "plus" and not plural and rng.random() < 0.6:
            word = "plus sign"
    parts.append(_plural(word) if plural else word)
    return " ".join(parts), said


def _texture_word(thing: Thing, rng: random.Random) -> str:
    if rng.random() > (0.03 if thing.texture == "solid" else 0.85):
        return ""
    return rng.choice(_TEXTURE_WORDS[thing.texture])


def _single_phrase(scene: Scene, rng: random.Random) -> tuple[str, list[Said]]:
    (thing,) = scene.things
    noun, said = _noun(thing, rng)
    said["kind"] = KINDS.index("single")
    roll = rng.random()
    if roll < 0.8:
        phrase = _with_article(noun)
    elif roll < 0.88:
        phrase = f"{rng.choice(('one', '1', 'a single'))} {noun}"
    else:
        phrase = noun
    texture = thing.texture
    if "texture" not in said and texture in _TEXTURE_TAILS and rng.random() < 0.6:
        phrase = f"{phrase} {rng.choice(_TEXTURE_TAILS[texture])}"
        said["texture"] = TEXTURES.index(texture)
    central = scene.place == (1, 1)
    if rng.random() < (0.12 if central else 0.7):
        words, (row, column) = _place_words(scene.place, rng)
        phrase = f"{words}, {phrase}" if rng.random() < 0.08 else f"{phrase} {words}"
        said["row"], said["column"] = row, column
    return phrase, [said]


def _place_words(place: tuple[int, int], rng: random.Random) -> tuple[str, tuple[int, int]]:
    """Says where something is, exactly where a word for it exists, else by its side alone."""
    row, column = place
    if place in _PLACES:
        return rng.choice(_PLACES[place]), place
    side = (row, ANY) if row != 1 else (ANY, column)
    return rng.choice(_EDGES[side]), side


def _count_phrase(scene: Scene, rng: random.Random) -> tuple[str, list[Said]]:
    (thing,) = scene.things
    noun, said = _noun(thing, rng, plural=True)
    said["kind"] = KINDS.index("count")
    if rng.random() < 0.04:
        return noun, [said]
    said["count"] = scene.count
    if scene.count == 2 and rng.random() < 0.1:
        return f"a pair of {noun}", [said]
    number = str(scene.count) if rng.random() < 0.25 else _COUNT_WORDS[scene.count]
    phrase = rng.choice(_COUNTED).format(number, noun)
    return phrase, [said]


def _second(said: Said) -> Said:
    return {f"second_{field}": value for field, value in said.items()}


def _relation_phrase(scene: Scene, rng: random.Random) -> tuple[str, list[Said]]:
    left, right = scene.things
    first, first_said = _relation_noun(left, rng)
    second, second_said = _relation_noun(right, rng)
    kind: Said = {"kind": KINDS.index("relation")}
    said: Said = {
        **kind,
        **first_said,
        **_second(second_said),
        "axis": AXES.index(scene.axis),
    }
    swapped: Said = {**said, **second_said, **_second(first_said)}
    for field in ("shape", "colour", "size"):
        swapped.setdefault(f"second_{field}", ANY)
        if field not in second_said:
            swapped.pop(field, None)
        if field not in first_said:
            swapped.pop(f"second_{field}", None)
    roll = rng.random()
    back = rng.random() < 0.5
    if roll < 0.07:
        # "and" leaves order and axis open.
        phrase = f"{second} and {first}" if back else f"{first} and {second}"
        return phrase, [{**said, "axis": ANY}, {**swapped, "axis": ANY}]
    if roll < 0.11 and scene.axis == "across":
        one, other = (second, first) if back else (first, second)
        return f"{one} {rng.choice(_BESIDE)} {other}", [said, swapped]
    return _ordered_phrase(first, second, scene.axis, rng, back=back), [said]


def _relation_noun(thing: Thing, rng: random.Random) -> tuple[str, Said]:
    noun, said = _noun(thing, rng, full=0.96)
    # A relation's objects are always solid, and no claim has room for a second texture.
    said.pop("texture", None)
    return (_with_article(noun) if rng.random() < 0.9 else noun), said


def _ordered_phrase(first: str, second: str, axis: str, rng: random.Random, *, back: bool) -> str:
    if back:
        first, second = second, first
    key = f"{axis} back" if back else axis
    roll = rng.random()
    if roll < 0.68:
        joint = "is " if rng.random() < 0.12 else ""
        return f"{first} {joint}{rng.choice(_RELATIONS[key])} {second}"
    if roll < 0.84:
        return f"{first} with {second} {rng.choice(_TAILS[key])}"
    near, far = _PAIRS[axis]
    if back:
        near, far = far, near
    return f"{first} {near} and {second} {far}"


def _something_phrase(scene: Scene, rng: random.Random) -> tuple[str, list[Said]]:
    """Names one colour that the picture shows, or one shape, without saying how often."""
    thing = rng.choice(scene.things)
    colour = COLOURS.index(thing.colour)
    phrase = rng.choice(_SOMETHING).format(_colour_word(thing.colour, rng))
    # An empty ground of that colour is something of that colour as well.
    empty: Said = {"kind": KINDS.index("empty"), "ground_colour": colour}
    return phrase, [{"colour": colour}, {"second_colour": colour}, empty]


def _empty_phrase(scene: Scene, rng: random.Random) -> tuple[str, list[Said]]:
    said: Said = {
        "kind": KINDS.index("empty"),
        "ground_colour": COLOURS.index(scene.ground_colour),
    }
    template = rng.choice(_EMPTY)
    if rng.random() < 0.5:
        template = rng.choice(_EMPTY_KINDS[scene.ground])
        said["ground"] = GROUNDS.index(scene.ground)
    return _fill_with_colour(template, _colour_word(scene.ground_colour, rng)), [said]


def _with_ground(phrase: str, scene: Scene, rng: random.Random) -> tuple[str, Said]:
    said: Said = {}
    template = rng.choice(_PLAIN_GROUNDS)
    kind_share = 0.12 if scene.ground == "plain" else 0.75
    if rng.random() < kind_share:
        said["ground"] = GROUNDS.index(scene.ground)
        table = _ANY_COLOUR_GROUNDS if rng.random() < 0.25 else _GROUND_KINDS
        template = rng.choice(table[scene.ground])
    words = template
    if "{}" in template:
        said["ground_colour"] = COLOURS.index(scene.ground_colour)
        words = _fill_with_colour(template, _colour_word(scene.ground_colour, rng))
    if rng.random() < 0.06:
        return f"{words}, {phrase}", said
    return f"{phrase} {words}", said


def _fill_with_colour(template: str, colour: str) -> str:
    """Fills in a colour word and sets the article before it right ("a orange", "a grey")."""
    filled = template.format(colour)
    return re.sub(r"\ba (?=[aeiou])", "an ", filled)


def _framed(phrase: str, scene: Scene, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.45:
        return phrase
    if roll < 0.5 and phrase.startswith(("a ", "an ")):
        return _THERE[0].format(phrase)
    if roll < 0.56 and scene.kind == "count":
        return _THERE[1].format(phrase)
    return rng.choice(_FRAMES).format(phrase)


def _styled(text: str, rng: random.Random) -> str:
    if rng.random() < 0.2:
        text += "."
    roll = rng.random()
    if roll < 0.2:
        return text[0].upper() + text[1:]
    return text.upper() if roll < 0.22 else text


def truths(captions: Sequence[Caption], codes: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Says which captions are true of which scenes.

    Args:
        captions: The captions, T of them.
        codes: Encoded scenes, int8 of shape ``(S, len(FIELDS))``.

    Returns:
        bool of shape ``(T, S)``.
    """
    result = np.zeros((len(captions), len(codes)), np.bool_)
    rows = [i for i, caption in enumerate(captions) for _ in caption.claims]
    claims = np.asarray([claim for caption in captions for claim in caption.claims], np.int8)
    fits = np.ones((len(claims), len(codes)), np.bool_)
    for field in range(codes.shape[1]):
        column = claims[:, field, None]
        fits &= (column == ANY) | (column == codes[None, :, field])
    np.logical_or.at(result, rows, fits)
    return result
