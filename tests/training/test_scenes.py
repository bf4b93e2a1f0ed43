"""Generated scenes: pure functions of a seed, split for good, truthfully captioned and drawn."""

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from transformers import CLIPImageProcessorPil

from training import captions, scenes
from training.captions import Caption, describe, truths
from training.evaluate import held_out_set
from training.scenes import Scene, Thing, draw_scene, encode, is_held_out, is_valid, preprocess
from training.tokenizer import build_merges, build_tokenizer, special_ids
from training.train import Batches, training_scenes

SEEDS = range(400)
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
COLOUR_NAMES = {"gray": "grey", "violet": "purple", "turquoise": "cyan"}
SHAPE_NAMES = {"disc": "circle", "disk": "circle", "rhombus": "diamond", "moon": "crescent"}


def drawn(seed: int, kind: str | None = None) -> tuple[Scene, Caption, random.Random]:
    rng = random.Random(seed)
    scene = draw_scene(rng, kind)
    return scene, describe(scene, rng), rng


def test_scene_caption_and_picture_follow_from_the_seed() -> None:
    for seed in range(60):
        (scene, caption, rng), (same, same_caption, same_rng) = drawn(seed), drawn(seed)
        assert (scene, caption) == (same, same_caption)
        assert scenes.render(scene, rng).tobytes() == scenes.render(same, same_rng).tobytes()


def test_a_batch_follows_from_its_number() -> None:
    first, second = Batches(16, 8)[3], Batches(16, 8)[3]
    assert first.pixels.equal(second.pixels)
    assert first.ids.equal(second.ids)


def test_training_never_draws_what_is_held_out() -> None:
    trained = {
        replace(scene, ground="plain", ground_colour="white")
        for seed in range(4)
        for scene in training_scenes(128, random.Random(seed))
    }
    tested = {
        replace(scene, ground="plain", ground_colour="white")
        for scene in held_out_set(100, random.Random(1))[0]
    }
    assert tested
    assert trained
    assert not trained & tested


def test_a_ground_does_not_move_a_scene_across_the_split() -> None:
    for seed in SEEDS:
        scene, _, _ = drawn(seed)
        if scene.kind != "empty":
            other = replace(scene, ground="noisy", ground_colour="cyan")
            assert is_held_out(scene) == is_held_out(other)


def test_about_the_stated_share_is_held_out() -> None:
    share = np.mean([is_held_out(drawn(seed, "relation")[0]) for seed in range(2000)])
    assert share == pytest.approx(1 / scenes.HELD_OUT_SHARE, abs=0.04)


def test_scenes_and_their_near_misses_are_valid() -> None:
    for seed in SEEDS:
        scene, _, rng = drawn(seed)
        near = scenes.vary(scene, rng)
        assert is_valid(scene)
        assert is_valid(near)
        assert near.kind == scene.kind


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_the_claims_of_a_caption_are_true_of_its_scene(kind: str) -> None:
    pairs = [drawn(seed, kind)[:2] for seed in SEEDS]
    codes = np.asarray([encode(scene) for scene, _ in pairs], np.int8)
    assert truths([caption for _, caption in pairs], codes).diagonal().all()


def mentions(text: str) -> list[str]:
    """The words of a caption, synonyms and plurals undone."""
    found = []
    for word in re.findall("[a-z]+|[0-9]", text.lower()):
        bare = COLOUR_NAMES.get(word, SHAPE_NAMES.get(word, word))
        single = bare.removesuffix("es") if bare in ("crosses", "rhombuses") else bare
        single = single.removesuffix("s") if single[:-1] in scenes.SHAPES else single
        found.append(COLOUR_NAMES.get(single, SHAPE_NAMES.get(single.removesuffix("s"), single)))
    return found


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_the_words_of_a_caption_name_only_what_is_there(kind: str) -> None:
    for seed in SEEDS:
        scene, caption, _ = drawn(seed, kind)
        words = mentions(caption.text)
        colours = {thing.colour for thing in scene.things} | {scene.ground_colour}
        shapes = {thing.shape for thing in scene.things}
        sizes = {thing.size for thing in scene.things}
        assert {word for word in words if word in scenes.COLOURS} <= colours, caption.text
        assert {word for word in words if word in scenes.SHAPES} <= shapes, caption.text
        assert {word for word in words if word in ("small", "large")} <= sizes, caption.text


def test_a_counting_caption_gives_the_number() -> None:
    for seed in SEEDS:
        scene, caption, _ = drawn(seed, "count")
        words = mentions(caption.text)
        numbers = {NUMBERS.get(word, word) for word in words if word in NUMBERS or word.isdigit()}
        assert {int(number) for number in numbers} <= {scene.count}, caption.text


FORWARD = re.compile(
    r"(.*?) (?:is )?(?:to the left (?:side )?of|on the left of|left of|above) (.*)"
)
BACKWARD = re.compile(
    r"(.*?) (?:is )?(?:to the right (?:side )?of|on the right of|right of|below|under) (.*)"
)


def test_the_words_of_a_relation_stand_in_the_right_order() -> None:
    checked = 0
    for seed in range(1500):
        scene, caption, _ = drawn(seed, "relation")
        first, second = scene.things
        if len({first.colour, second.colour, scene.ground_colour}) < 3:
            continue
        for pattern, before, after in ((FORWARD, first, second), (BACKWARD, second, first)):
            match = pattern.fullmatch(caption.text.lower())
            if match is None or " it" in f" {match[2]}":
                continue
            named = [mentions(part) for part in match.groups()]
            assert after.colour not in named[0], caption.text
            assert before.colour not in named[1], caption.text
            checked += 1
    assert checked > 200


def test_truths_tells_partial_and_unordered_captions() -> None:
    red, blue = Thing("circle", "red"), Thing("square", "blue")
    candidates = [
        Scene("single", red),
        Scene("count", red, count=2),
        Scene("relation", red, blue, axis="across"),
        Scene("relation", blue, red, axis="across"),
    ]
    codes = np.asarray([encode(scene) for scene in candidates], np.int8)
    wanted = {
        "something red": [True, True, True, True],
        "a red circle and a blue square": [False, False, True, True],
        "a red circle left of a blue square": [False, False, True, False],
        "a red circle": [True, False, False, False],
    }
    found: dict[str, Caption] = {}
    for seed in range(6000):
        rng = random.Random(seed)
        for scene in candidates:
            caption = describe(scene, rng)
            found.setdefault(caption.text, caption)
    for text, expected in wanted.items():
        assert truths([found[text]], codes)[0].tolist() == expected, text


@pytest.mark.parametrize("place", [(0, 0), (0, 2), (2, 0), (2, 2), (0, 1), (1, 2)])
def test_an_object_is_drawn_where_the_scene_says(place: tuple[int, int]) -> None:
    scene = Scene("single", Thing("square", "red"), place=place, ground_colour="white")
    for seed in range(25):
        pixels = preprocess(scenes.render(scene, random.Random(seed))).astype(int)
        rows, columns = np.nonzero(pixels[0] - pixels[2] > 110)
        thirds = np.asarray([rows.mean(), columns.mean()]) * 3 / scenes.IMAGE_SIZE
        assert np.abs(thirds - (np.asarray(place) + 0.5)).max() < 0.75


@pytest.mark.parametrize(("axis", "side"), [("across", 1), ("down", 0)])
def test_a_relation_is_drawn_in_order(axis: str, side: int) -> None:
    scene = Scene("relation", Thing("square", "red"), Thing("square", "blue"), axis=axis)
    for seed in range(25):
        pixels = preprocess(scenes.render(scene, random.Random(seed))).astype(int)
        red = np.nonzero(pixels[0] - pixels[2] > 90)
        blue = np.nonzero(pixels[2] - pixels[0] > 60)
        assert red[side].mean() + 8 < blue[side].mean()


@pytest.mark.parametrize("size", [(64, 64), (200, 131), (97, 300), (640, 480)])
def test_preprocess_does_what_the_shipped_processor_does(size: tuple[int, int]) -> None:
    scene, _, rng = drawn(5)
    image = scenes.render(scene, rng).resize(size)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, do_normalize=False
    )
    expected = processor(images=image, return_tensors="np")["pixel_values"][0] * 255
    np.testing.assert_allclose(preprocess(image), expected, atol=0.01)


def test_every_caption_word_is_one_token() -> None:
    tokenizer = build_tokenizer()
    start, end = special_ids(tokenizer)
    assert {start, end} == {tokenizer.get_vocab_size() - 2, tokenizer.get_vocab_size() - 1}
    assert end > start
    for word in captions.words():
        ids = tokenizer.encode(word).ids
        assert (len(ids), ids[0], ids[-1]) == (3, start, end), word


@pytest.mark.parametrize("text", ["Ein großes Rätsel", "日本語 🙂", "x" * 50, "\x00\x07", ""])
def test_any_text_encodes_without_unknown_tokens(text: str) -> None:
    tokenizer = build_tokenizer()
    ids = tokenizer.encode(text).ids
    assert ids.count(special_ids(tokenizer)[1]) == 1


def test_later_words_do_not_break_earlier_ones() -> None:
    merges = build_merges(["below", "yellow", "el", "low"])
    assert len(merges) == len(set(merges))
    assert "".join(merges[3]) == "below</w>"
