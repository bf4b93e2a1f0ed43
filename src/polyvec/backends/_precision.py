"""How far a model's vectors are from those of another precision, on inputs brought along."""

import logging
from dataclasses import dataclass

import numpy as np

from polyvec.backends._base import Batch, ImageBatch, Runner, Session
from polyvec.backends._packing import tokens_of
from polyvec.backends._sample_texts import VERIFIED
from polyvec.models._model import ImageRules, Model, TextRules
from polyvec.types import Float32Array, IntArray, Modality, Setting

_log = logging.getLogger(__name__)

MIN_COSINE = 0.99
"""Below it rankings change so much that an operator must be told."""

_EPSILON = np.float32(1e-12)
_MAX_TOKENS = 512
_NUM_PICTURES = 6


@dataclass(frozen=True, slots=True)
class Precision:
    """Distance from the reference, over vectors of unit length.

    Attributes:
        min_cosine: Of the worst input.
        mean_cosine: Over all inputs.
        max_difference: Largest absolute difference of one number.
        num_inputs: How many texts or pictures.
    """

    min_cosine: float
    mean_cosine: float
    max_difference: float
    num_inputs: int

    def settings(self, modality: Modality, dtype: str) -> dict[str, Setting]:
        """For the model's card."""
        origin = f"--verify-precision: {self.num_inputs} {modality}s, {dtype} against float32"
        values = {
            f"precision_{modality}_min_cosine": self.min_cosine,
            f"precision_{modality}_mean_cosine": self.mean_cosine,
            f"precision_{modality}_max_difference": self.max_difference,
        }
        return {name: Setting(round(value, 6), origin) for name, value in values.items()}


def compare(model: Model, runner: Runner, reference: Runner) -> dict[Modality, Precision]:
    """Embed the same texts and pictures with both.

    A warning is logged where the worst cosine is below `MIN_COSINE`.

    Returns:
        By modality of the model.
    """
    ours, exact = runner.session(), reference.session()
    found = {
        modality: distance(_vectors(ours, modality, batches), _vectors(exact, modality, batches))
        for modality, batches in _batches(model).items()
    }
    for modality, precision in found.items():
        _report(f"{model.checkpoint} in {runner.dtype}", modality, precision)
    return found


def _report(name: str, modality: Modality, found: Precision) -> None:
    level = logging.INFO if found.min_cosine >= MIN_COSINE else logging.WARNING
    _log.log(
        level,
        "%s against float32, %d %ss: cosine min %.5f, mean %.5f; max difference %.2e%s",
        name,
        found.num_inputs,
        modality,
        found.min_cosine,
        found.mean_cosine,
        found.max_difference,
        "" if level == logging.INFO else f". BELOW {MIN_COSINE}: use another --dtype",
    )


def distance(found: Float32Array, expected: Float32Array) -> Precision:
    """Distance between rows (B, D) of two precisions; what is not finite counts as cosine -1."""
    ours, theirs = _unit(found), _unit(expected)
    cosines = np.nan_to_num((ours * theirs).sum(-1), nan=-1.0)
    return Precision(
        min_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
        max_difference=float(np.nan_to_num(np.abs(ours - theirs), nan=np.inf).max()),
        num_inputs=len(found),
    )


def _batches(model: Model) -> dict[Modality, list[Batch]]:
    """One input in each batch."""
    batches: dict[Modality, list[Batch]] = {}
    if model.text is not None:
        batches["text"] = [tokens_of([ids]) for ids in _token_ids(model.text)]
    if model.image is not None:
        batches["image"] = [ImageBatch(array[None]) for array in _pictures(model.image)]
    return batches


def _pictures(rules: ImageRules) -> list[Float32Array]:
    """What the tower reads of pictures with waves of different lengths in every channel."""
    layout = rules.layout
    pictures = _waves(rules.shape[1] if layout is None else layout.table_side * layout.patch_size)
    return list(pictures) if layout is None else [layout.arranged(one) for one in pictures]


def _waves(side: int) -> Float32Array:
    """(N, 3, side, side)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / np.float32(side)
    waves = rng.uniform(-20, 20, (2, _NUM_PICTURES, 3, 1, 1)).astype(np.float32)
    phases = rng.uniform(0, 6, (_NUM_PICTURES, 3, 1, 1)).astype(np.float32)
    pictures: Float32Array = np.float32(2) * np.sin(waves[0] * x + waves[1] * y + phases)
    return pictures


def _token_ids(text: TextRules) -> list[IntArray]:
    limit = min(text.max_input_tokens, _MAX_TOKENS)
    encoded = text.tokenizer.encode(list(VERIFIED))
    return [text.filled(text.tokenizer.truncate(ids, limit, "end")) for ids in encoded]


def _vectors(session: Session, modality: Modality, batches: list[Batch]) -> Float32Array:
    """One row for each batch; of outputs per token, their mean."""
    return np.stack([session.run(modality, batch).mean(axis=0) for batch in batches])


def _unit(rows: Float32Array) -> Float32Array:
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit: Float32Array = rows / np.maximum(norms, _EPSILON)
    return unit
