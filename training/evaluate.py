"""Measures a checkpoint: recall on held-out scenes, and the ranking of plain drawings.

``python -m training.evaluate DIR`` prints the figures. Images and texts go through transformers'
own tokenizer, image processor and model, as they would for anybody who loads the folder.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from training import plain_drawings
from training.captions import Caption, describe, truths
from training.plain_drawings import Drawing
from training.scenes import Scene, draw_scene, encode, is_held_out, render

Vectors = NDArray[np.float32]


class Encoder:
    """A checkpoint with its tokenizer and image processor, on the CPU in float32."""

    def __init__(self, folder: Path) -> None:
        """Loads a checkpoint.

        Args:
            folder: A folder in the Hugging Face CLIP layout.
        """
        self._model = cast("Any", CLIPModel.from_pretrained(folder, dtype=torch.float32))
        self._model.eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._processor = CLIPImageProcessorPil.from_pretrained(folder)

    def images(self, images: Sequence[Image.Image]) -> Vectors:
        """Embeds images.

        Args:
            images: N RGB images of any size.

        Returns:
            float32 ``(N, D)``, rows of length 1.
        """
        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            return _unit(self._model.get_image_features(pixel_values=pixels))

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Embeds texts.

        Args:
            texts: N texts.

        Returns:
            float32 ``(N, D)``, rows of length 1.
        """
        encoded = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return _unit(self._model.get_text_features(**encoded))


def _unit(features: Any) -> Vectors:
    # Some releases of transformers return the features, others an output object that holds them.
    tensor = features if isinstance(features, torch.Tensor) else features.pooler_output
    normed: Vectors = torch.nn.functional.normalize(tensor, dim=-1).numpy()
    return normed


def held_out_set(
    count: int, rng: random.Random, kind: str | None = None
) -> tuple[list[Scene], list[Caption]]:
    """Draws candidates for one retrieval test.

    Args:
        count: How many.
        rng: Random stream.
        kind: A kind of scene, or ``None`` for the usual mixture.

    Returns:
        Distinct held-out scenes with a caption each; no caption is true of another's scene.
    """
    scenes: list[Scene] = []
    captions: list[Caption] = []
    while len(scenes) < count:
        scene = draw_scene(rng, kind)
        if not is_held_out(scene):
            continue
        caption = describe(scene, rng)
        codes = np.asarray([encode(one) for one in [*scenes, scene]], np.int8)
        table = truths([*captions, caption], codes)
        if table.sum() == len(codes):
            scenes.append(scene)
            captions.append(caption)
    return scenes, captions


def ranks(texts: Vectors, images: Vectors) -> NDArray[np.int64]:
    """Ranks each text's own image among all.

    Args:
        texts: float32 ``(N, D)``.
        images: float32 ``(N, D)``; row i belongs to text i.

    Returns:
        int64 ``(N,)``; 0 is first. Ties count against.
    """
    scores = texts @ images.T
    own = scores.diagonal()[:, None]
    better: NDArray[np.int64] = (scores >= own).sum(axis=1) - 1
    return better


def recall(
    encoder: Encoder,
    kind: str | None = None,
    *,
    draws: int = 10,
    count: int = 100,
    seed: int = 7,
    misses: list[str] | None = None,
) -> tuple[float, float]:
    """Measures text to image recall on held-out scenes.

    Args:
        encoder: The checkpoint.
        kind: A kind of scene, or ``None`` for the usual mixture.
        draws: Candidate sets to average over.
        count: Candidates in a set.
        seed: Seed of the first set.
        misses: Collects the captions that did not find their image first, if given.

    Returns:
        Mean recall at 1 and at 5, each in [0, 1].
    """
    found: list[NDArray[np.int64]] = []
    for draw in range(draws):
        rng = random.Random(seed * 1_000 + draw)
        scenes, captions = held_out_set(count, rng, kind)
        texts = [caption.text for caption in captions]
        images = encoder.images([render(scene, rng) for scene in scenes])
        order = ranks(encoder.texts(texts), images)
        found.append(order)
        if misses is not None:
            misses += [
                f"{text} | {scene}"
                for text, scene, rank in zip(texts, scenes, order, strict=True)
                if rank
            ]
    every = np.concatenate(found)
    return float((every < 1).mean()), float((every < 5).mean())


def first_rate(
    encoder: Encoder, drawings: Sequence[Drawing], misses: list[str] | None = None
) -> float:
    """Measures how often a prompt ranks its drawing first among a set.

    Args:
        encoder: The checkpoint.
        drawings: The candidates.
        misses: Collects the prompts that did not, with what came first, if given.

    Returns:
        Share of all prompts, in [0, 1].
    """
    owners = [i for i, drawing in enumerate(drawings) for _ in drawing.prompts]
    prompts = [prompt for drawing in drawings for prompt in drawing.prompts]
    images = encoder.images([drawing.image for drawing in drawings])
    best = (encoder.texts(prompts) @ images.T).argmax(axis=1)
    if misses is not None:
        misses += [
            f"{prompt} -> {drawings[found].prompts[0]}"
            for prompt, owner, found in zip(prompts, owners, best, strict=True)
            if owner != found
        ]
    return float((best == np.asarray(owners)).mean())


def partial_rate(
    encoder: Encoder, drawings: Sequence[Drawing], misses: list[str] | None = None
) -> float:
    """Measures prompts such as "a circle" and "something red" on a set of single drawings.

    Args:
        encoder: The checkpoint.
        drawings: The candidates, whose first prompt names colour and shape.
        misses: Collects the failing prompts, if given.

    Returns:
        Share of the prompts whose best drawing shows what was asked for.
    """
    partial = plain_drawings.partial_prompts()
    images = encoder.images([drawing.image for drawing in drawings])
    best = (encoder.texts([prompt for prompt, _ in partial]) @ images.T).argmax(axis=1)
    right = []
    for (prompt, word), found in zip(partial, best, strict=True):
        right.append(word in drawings[found].prompts[0].split())
        if misses is not None and not right[-1]:
            misses.append(f"{prompt} -> {drawings[found].prompts[0]}")
    return float(np.mean(right))


def drawing_sets() -> dict[str, list[Drawing]]:
    """Lists the sets of plain drawings that are ranked.

    Returns:
        Sets by name.
    """
    named, plotted = plain_drawings.NAMED, plain_drawings.PLOTTED
    single = plain_drawings.single_drawings
    return {
        "colour names, 256 x 256": single(named),
        "colour names, 128 x 128": single(named, (128, 128), 0.4),
        "colour names, 640 x 480": single(named, (640, 480), 0.7),
        "colour names, 300 x 500, small": single(named, (300, 500), 0.25),
        "plot colours, 400 x 400": single(plotted, (400, 400), 0.5),
        "plot colours, JPEG": plain_drawings.compressed(single(plotted, (200, 200))),
        "on lightgrey": single(named, ground="lightgrey"),
        "black edges": plain_drawings.outlined_drawings(named),
        "counts": plain_drawings.counted_drawings(),
        "relations": plain_drawings.pair_drawings(),
    }


def report(encoder: Encoder, draws: int, *, show_misses: bool = False) -> None:
    """Prints every figure.

    Args:
        encoder: The checkpoint.
        draws: Candidate sets for each recall figure.
        show_misses: Whether to print what went wrong, too.
    """
    misses: list[str] = []
    for kind in (None, "single", "relation", "count"):
        at_1, at_5 = recall(encoder, kind, draws=draws, misses=misses)
        print(f"held-out {kind or 'mixture':9} recall@1 {at_1:.3f} recall@5 {at_5:.3f}", flush=True)
    for name, drawings in drawing_sets().items():
        rate = first_rate(encoder, drawings, misses)
        print(f"drawings {name:32} {len(drawings):3} images, right first {rate:.3f}")
    rate = partial_rate(encoder, drawing_sets()["colour names, 256 x 256"], misses)
    print(f"drawings, shape or colour alone: right first {rate:.3f}")
    if show_misses:
        print("\n".join(misses))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--misses", action="store_true", help="print what was not found first")
    arguments = parser.parse_args()
    report(Encoder(arguments.folder), arguments.draws, show_misses=arguments.misses)


if __name__ == "__main__":
    main()
