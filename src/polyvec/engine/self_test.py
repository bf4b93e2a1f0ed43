"""Cheap checks of a loaded model, made before it is served.

Every one stands for a fault that gives well-shaped wrong vectors and no error: attention that looks
the wrong way, a vector that depends on its neighbours in a batch, numbers that are not finite.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from polyvec.backends._base import ImageBatch, Runner, Session
from polyvec.backends._packing import tokens_of
from polyvec.engine.postprocess import finish
from polyvec.errors import CheckpointError
from polyvec.models._model import ImageRules, Model, TextRules
from polyvec.types import Float32Array, IntArray, Setting

_log = logging.getLogger(__name__)

_TEXTS = (
    "a",
    "What is the capital of France?",
    "The quick brown fox jumps over the lazy dog. " * 3,
)
_MAX_PROBE_TOKENS = 48
_PADDING = "padding does not matter"
_PICTURE = (32, 32, 3)
_ATTENTION_TOKENS = 8
"""Few enough for the last to be within reach of the first in the first layers, windows or not."""

_MIN_COSINE = {"float32": 0.99999}
_MIN_REDUCED_COSINE = 0.99
"""Reduced precisions round other numbers in a batch of another shape."""
_REACTION = 1e-6
"""Relative change of a state below which a token is said not to see another."""


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: Such as ``alone = in a batch``.
        detail: What was found.
        passed: Whether that is as it should be.
    """

    name: str
    detail: str
    passed: bool


def run_checks(model: Model, runner: Runner) -> dict[str, Setting]:
    """Check a loaded model.

    Returns:
        By name of the check, what was found, for `ModelCard.settings`.

    Raises:
        CheckpointError: A check failed, so its vectors would be wrong.
    """
    checks = tuple(_checks(model, runner))
    failed = [check for check in checks if not check.passed]
    if failed:
        raise CheckpointError(
            "the model does not pass its self-test: "
            + "; ".join(f"{check.name}: {check.detail}" for check in failed)
            + " (--no-self-test serves it all the same)"
        )
    return {f"check: {check.name}": Setting(check.detail, "self-test") for check in checks}


def _checks(model: Model, runner: Runner) -> Iterator[Check]:
    session = runner.session()
    yield Check("weights", "all tensors known and used", passed=True)  # or loading had refused
    if model.text is not None:
        texts = _probe_ids(model.text)
        attention = _attention(model, runner, texts[-1][:_ATTENTION_TOKENS])
        if attention is not None:
            yield attention
        yield from _vectors(
            model,
            runner.dtype,
            [session.run("text", tokens_of([ids])) for ids in texts],
            session.run("text", tokens_of(texts)),
        )
    if model.image is not None:
        for check in _images(model, model.image, runner.dtype, session):
            # A model of texts and pictures has a check of the same name for texts.
            named = check.name if model.text is None else f"pictures: {check.name}"
            yield replace(check, name=named)


def _probe_ids(rules: TextRules) -> list[IntArray]:
    """Three texts of different length as the tokenizer cuts them."""
    limit = min(rules.max_input_tokens, _MAX_PROBE_TOKENS)
    encoded = rules.tokenizer.encode(_TEXTS)
    known = [np.minimum(ids, rules.vocab_size - 1) for ids in encoded]
    cut = [rules.tokenizer.truncate(ids, limit, "end") for ids in known]
    return [rules.filled(ids) if len(ids) else np.zeros(1, np.int64) for ids in cut]


def _attention(model: Model, runner: Runner, ids: IntArray) -> Check | None:
    """Change the last token and look whether the first one notices."""
    tower = model.family.towers["text"]
    if len(ids) < 2:  # noqa: PLR2004  (a first and a last token)
        return None
    changed = ids.copy()
    changed[-1] = ids[0] if ids[-1] != ids[0] else ids[-2]
    states = None if (changed == ids).all() else runner.probe(tokens_of([ids, changed]))
    if states is None or not np.isfinite(states).all():
        return None
    reacts = _relative_change(states[0], states[len(ids)]) > _REACTION
    found = "bidirectional" if reacts else "causal"
    wanted = "causal" if tower.causal(model.config) else "bidirectional"
    if not tower.mixes_tokens:
        return Check("attention", "none" if not reacts else found, passed=not reacts)
    detail = found if found == wanted else f"{found}, but the checkpoint says {wanted}"
    return Check("attention", detail, passed=found == wanted)


def _relative_change(before: Float32Array, after: Float32Array) -> float:
    return float(np.abs(after - before).max() / max(float(np.abs(before).max()), 1e-30))


def _vectors(
    model: Model, dtype: str, alone: list[Float32Array], together: Float32Array
) -> Iterator[Check]:
    """What the main output of the probe texts must be like."""
    from_batch = _by_text(together, [len(rows) for rows in alone])
    finite = [bool(np.isfinite(rows).all()) for rows in alone]
    if not all(finite):
        yield _not_finite(finite)
        return
    yield Check("finite", "yes", passed=True)
    least = min(map(_cosine, alone, from_batch))
    wanted = _MIN_COSINE.get(dtype, _MIN_REDUCED_COSINE)
    yield Check("alone = in a batch", f"cosine {least:.7f}", passed=least >= wanted)
    # Its longer neighbours are the padding of the shortest text, where a runtime pads at all.
    padded = _cosine(alone[0], from_batch[0])
    yield Check(_PADDING, f"cosine {padded:.7f}", passed=padded >= wanted)
    if model.outputs[0] == "sparse":  # a runtime's relu may turn NaN into zero
        counts = [np.count_nonzero(rows) for rows in alone]
        yield Check("words with a weight", f"{min(counts)} to {max(counts)}", passed=any(counts))
    if model.outputs[0] != "dense":
        return
    length = together.shape[1]
    yield Check("dimensions", str(length), passed=length == model.dimensions)
    if model.normalize:
        norms = np.linalg.norm(finish(together, dimensions=None, normalize=True), axis=1)
        yield Check(
            "unit norm", f"{norms.min():.6f} to {norms.max():.6f}", passed=bool(_is_unit(norms))
        )


def _not_finite(finite: list[bool]) -> Check:
    """A model that has some finite vectors is served: requests for the others get an error."""
    detail = f"NaN or infinite numbers for {finite.count(False)} of {len(finite)} inputs"
    if any(finite):
        _log.warning("self-test: %s; such inputs will be refused", detail)
    return Check("finite", detail, passed=any(finite))


def _is_unit(norms: Float32Array) -> np.bool_:
    return np.bool_(np.abs(norms - 1).max() < 1e-5)  # noqa: PLR2004  (float32's own rounding)


def _by_text(rows: Float32Array, lengths: list[int]) -> list[Float32Array]:
    return np.split(rows, np.cumsum(lengths)[:-1])


def _cosine(first: Float32Array, second: Float32Array) -> float:
    a, b = first.astype(np.float64).ravel(), second.astype(np.float64).ravel()
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else float(np.array_equal(a, b))


def _images(model: Model, rules: ImageRules, dtype: str, session: Session) -> Iterator[Check]:
    noise = np.random.default_rng(0).integers(0, 256, (2, *_PICTURE), np.uint8)
    pixels = np.stack([rules.read(rules.transform.fitted(one)) for one in noise])
    alone = [session.run("image", ImageBatch(pixels[i : i + 1])) for i in range(len(pixels))]
    checks = _vectors(model, dtype, alone, session.run("image", ImageBatch(pixels)))
    yield from (check for check in checks if check.name != _PADDING)
