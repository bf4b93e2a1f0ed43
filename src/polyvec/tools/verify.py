"""``polyvec verify``: are our vectors those of the reference, or of another server?"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvec.checkpoints.locate import locate
from polyvec.engine.engine import Engine
from polyvec.engine.load import RunOptions, backend_named, load_model
from polyvec.engine.prompts import prompt_of
from polyvec.engine.served import ServedModel
from polyvec.errors import ConfigError
from polyvec.media.decoders import Decoders
from polyvec.models._model import Model, TextRules
from polyvec.models._registry import aliases
from polyvec.models._resolve import resolve
from polyvec.tools._endpoint import Endpoint
from polyvec.tools._reference import Reference, reference_library
from polyvec.tools._sample import SAMPLE
from polyvec.types import EmbedRequest, Float32Array, Input, IntArray, Text

Float64Array = NDArray[np.float64]

MIN_COSINE = 0.9999
"""Vectors of equal meaning in any precision that is called float32."""
_SAME_NORM = 1e-3
# OpenVINO Model Server's own tolerances. Source:
# https://github.com/openvinotoolkit/model_server/blob/main/demos/embeddings/compare_results.py
OVMS_ATOL = 1e-2
OVMS_MAX_NORM = 0.06


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What to compare, and how.

    Attributes:
        texts: To embed; None for the built-in sample.
        prompt_name: One of the checkpoint's prompts; None for none.
        against: Another server; None for the reference library.
        min_cosine: Least cosine of a text that is the same.
        ovms: Whether OpenVINO Model Server's tolerance decides instead.
    """

    texts: tuple[str, ...] | None = None
    prompt_name: str | None = None
    against: Endpoint | None = None
    min_cosine: float = MIN_COSINE
    ovms: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """Two vectors of one text, both brought to unit length.

    Attributes:
        cosine: Their cosine; NaN where either is not finite.
        max_abs: Largest absolute difference of two numbers.
        norm: Length of their difference.
        is_close: Whether they are within OpenVINO Model Server's tolerance.
    """

    cosine: float
    max_abs: float
    norm: float
    is_close: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One text's comparison.

    Attributes:
        text: Without the prompt.
        num_tokens: What polyvec reads of it.
        alone: Embedded by itself.
        batch: Embedded together with all others.
    """

    text: str
    num_tokens: int
    alone: Difference
    batch: Difference


@dataclass(frozen=True, slots=True)
class Report:
    """What came out.

    Attributes:
        subject: What polyvec ran.
        against: What it was compared with.
        notes: What a reader should know about the comparison.
        rows: One per text.
        min_cosine: As in `VerifyOptions`.
        ovms: As in `VerifyOptions`.
    """

    subject: str
    against: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    min_cosine: float
    ovms: bool = False

    def passes(self, difference: Difference) -> bool:
        """Whether two vectors count as the same."""
        return difference.is_close if self.ovms else difference.cosine >= self.min_cosine

    @property
    def is_same(self) -> bool:
        """Whether every text passes, alone and in the batch."""
        return all(self.passes(row.alone) and self.passes(row.batch) for row in self.rows)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Texts that both sides take, and their ids, cut to the model's length."""

    texts: tuple[str, ...]
    ids: tuple[IntArray, ...]
    prompt: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Side:
    """Vectors (B, D) of the sample, each text alone and all as one batch."""

    title: str
    alone: Float32Array
    batch: Float32Array
    notes: tuple[str, ...] = ()


def verify(served: ServedModel, run: RunOptions, options: VerifyOptions) -> Report:
    """Embed texts with polyvec in this process and elsewhere, and compare.

    Args:
        served: The model.
        run: How it is run; texts over its length are cut at the end.
        options: The comparison.

    Raises:
        CheckpointError: polyvec or the reference cannot load the model.
        ConfigError: The model gives no vectors of texts, the reference library is not installed, or
            the other server does not answer.
    """
    resolved = resolve(served.reference, served.options)
    rules = resolved.text
    if rules is None or "dense" not in resolved.outputs:
        raise ConfigError(f"{served.name} gives no vectors of texts, so there is nothing to verify")
    request = EmbedRequest(model=None, inputs=(), prompt_name=options.prompt_name)
    sample = _choose(options, rules, prompt_of(request, _without_default_prompt(resolved).text))
    if options.against is None:
        reference_library()  # its absence is worth saying before minutes of loading
    ours = _ours(served, run, sample.texts, options.prompt_name)
    theirs = _of_server(sample, options.against) if options.against else None
    if theirs is None:
        theirs = _of_reference(sample, served, resolved)
    rows = zip(
        sample.texts,
        sample.ids,
        compare(ours.alone, theirs.alone),
        compare(ours.batch, theirs.batch),
        strict=True,
    )
    default = _default_prompt_note(rules, options)
    return Report(
        subject=f"{served.name}: {ours.title}",
        against=theirs.title,
        notes=(*sample.notes, *default, *theirs.notes, *_norm_note(ours.alone, theirs.alone)),
        rows=tuple(Row(text, len(ids), alone, batch) for text, ids, alone, batch in rows),
        min_cosine=options.min_cosine,
        ovms=options.ovms,
    )


def compare(ours: Float32Array, theirs: Float32Array) -> list[Difference]:
    """Row by row, at unit length.

    Raises:
        ConfigError: The vectors are not equally long.
    """
    if ours.shape != theirs.shape:
        raise ConfigError(
            f"polyvec's vectors have {ours.shape[1]} numbers, the other's {theirs.shape[1]}: "
            "these are not the same model"
        )
    return [_difference(*pair) for pair in zip(_unit(ours), _unit(theirs), strict=True)]


def _difference(ours: Float64Array, theirs: Float64Array) -> Difference:
    apart = ours - theirs
    norm = float(np.linalg.norm(apart))
    is_close = bool(np.allclose(ours, theirs, atol=OVMS_ATOL)) and norm < OVMS_MAX_NORM
    return Difference(float(ours @ theirs), float(np.abs(apart).max()), norm, is_close)


def _unit(rows: Float32Array) -> Float64Array:
    wide = rows.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Float64Array = wide / np.where(norms == 0, 1, norms)
    return unit


def _ours(
    served: ServedModel, run: RunOptions, texts: Sequence[str], prompt_name: str | None
) -> _Side:
    """What polyvec gives; loads the model and frees it."""
    options = replace(
        run.engine,
        truncate="end",
        cache_bytes=0,
        max_inputs_per_request=max(len(texts), 1),
        self_test=False,  # a wrong model is to be shown, not refused
    )
    backend = backend_named(run.backend)
    model, runner = load_model(served, backend, replace(run, engine=options))
    decoders = Decoders(run.media)
    engine = Engine(_without_default_prompt(model), runner, options, run.media, decoders)
    engine_used = runner.settings.get("engine")  # of a class that is not built in
    computed_by = backend.name if engine_used is None else engine_used.value
    subject = f"{model.architecture}, {runner.dtype} on {runner.device}, {computed_by}"

    async def embed(some: Sequence[str]) -> Float32Array:
        inputs = tuple(Input((Text(text),), param=f"text {n}") for n, text in enumerate(some, 1))
        request = EmbedRequest(
            model=None, inputs=inputs, prompt_name=prompt_name, outputs=("dense",)
        )
        return np.stack([embedding.vector for embedding in await engine.embed(request)])

    async def both() -> tuple[Float32Array, Float32Array]:
        await engine.start()
        try:
            alone = np.concatenate([await embed([text]) for text in texts])
            return alone, await embed(texts)
        finally:
            await engine.close()

    return _Side(subject, *asyncio.run(both()))


def _without_default_prompt(model: Model) -> Model:
    """No prompt stands before a text unless the comparison names one: the other side has none."""
    if model.text is None:
        return model
    return replace(model, text=replace(model.text, default_prompt_name=None))


def _of_server(sample: _Sample, server: Endpoint) -> _Side:
    texts = [sample.prompt + text for text in sample.texts]
    alone = np.concatenate([server.embed([text]) for text in texts])
    return _Side(f"{server.url} (model {server.model})", alone, server.embed(texts))


def _of_reference(sample: _Sample, served: ServedModel, model: Model) -> _Side:
    trusted = served.options.trust_remote_code
    reference = Reference(_folder(served), model, trust_remote_code=trusted)
    rows = reference.embed(sample.texts, sample.ids, sample.prompt)
    notes = reference.notes + _token_notes(reference, sample)
    return _Side(reference.title, rows, rows, notes)


def _choose(options: VerifyOptions, rules: TextRules, prompt: str) -> _Sample:
    """The wanted texts, less those that one side may refuse.

    Raises:
        ConfigError: None is left.
    """
    wanted = SAMPLE if options.texts is None else options.texts
    limit = rules.max_input_tokens
    ids = rules.tokenizer.encode([prompt + text for text in wanted]) if wanted else []
    reasons: list[tuple[str, Callable[[str, IntArray], bool]]] = [
        ("give no tokens", lambda _text, ids: len(ids) == 0),
    ]
    if options.against is not None:  # servers differ in what they refuse
        reasons += [
            ("are empty", lambda text, _ids: not text.strip()),
            (f"have more than {limit} tokens", lambda _text, ids: len(ids) > limit),
        ]
    chosen = list(zip(wanted, ids, strict=True))
    notes = []
    for reason, applies in reasons:
        kept = [pair for pair in chosen if not applies(*pair)]
        if len(kept) < len(chosen):
            notes.append(f"left out: {len(chosen) - len(kept)} texts that {reason}")
        chosen = kept
    if not chosen:
        raise ConfigError("there are no texts to compare: " + "; ".join(notes or ["none given"]))
    return _Sample(
        texts=tuple(text for text, _ in chosen),
        ids=tuple(rules.filled(rules.tokenizer.truncate(ids, limit, "end")) for _, ids in chosen),
        prompt=prompt,
        notes=tuple(notes),
    )


def _default_prompt_note(rules: TextRules, options: VerifyOptions) -> tuple[str, ...]:
    name = rules.default_prompt_name
    if name is None or options.prompt_name is not None:
        return ()
    return (f"the default prompt {name!r} is left off on both sides; --prompt-name {name} puts it",)


def _token_notes(reference: Reference, sample: _Sample) -> tuple[str, ...]:
    others = [
        str(number)
        for number, (text, ids) in enumerate(zip(sample.texts, sample.ids, strict=True), 1)
        if reference.reads_others(text, ids, sample.prompt)
    ]
    if not others:
        return ()
    return (f"the reference's tokenizer gives other tokens for texts {', '.join(others)}",)


def _norm_note(ours: Float32Array, theirs: Float32Array) -> tuple[str, ...]:
    first, second = (float(np.linalg.norm(rows, axis=1).mean()) for rows in (ours, theirs))
    if abs(first - second) <= _SAME_NORM * max(first, second):
        return ()
    return (
        f"mean length of a vector: {first:.4g} here, {second:.4g} there; both were brought to 1",
    )


def _folder(served: ServedModel) -> Path:
    lowered = {alias.lower(): repo for alias, repo in aliases().items()}
    reference = lowered.get(served.reference.lower(), served.reference)
    return locate(reference, revision=served.options.revision)
