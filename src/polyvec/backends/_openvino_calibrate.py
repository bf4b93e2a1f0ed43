"""``int8-full``: activations in 8 bits too, their ranges learnt from texts by nncf (an extra)."""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

import openvino as ov

from polyvec import __version__
from polyvec.backends._base import BackendOptions
from polyvec.backends._openvino_build import Built
from polyvec.backends._packing import pack, tokens_of
from polyvec.backends._sample_texts import CALIBRATION
from polyvec.backends._weight_cache import cache_folder
from polyvec.errors import ConfigError
from polyvec.models._model import Model
from polyvec.types import Modality

_log = logging.getLogger(__name__)

_SCHEME_VERSION = 1
_MAX_TOKENS = 256
_GRAPH, _WEIGHTS, _SUMS = "graph.xml", "graph.bin", "sums.json"


def calibrated(
    model: Model, graphs: Mapping[Modality, Built], options: BackendOptions
) -> dict[Modality, Built]:
    """The text tower's graph with quantised activations, from the cache if it is there.

    Pictures are left to weights in 8 bits: polyvec brings no photographs to learn from.

    Raises:
        ConfigError: nncf is not installed, or the file of texts cannot be read.
    """
    built = graphs.get("text")
    if built is None:
        return {}
    texts = _texts(options.calibration_file)
    folder = cache_folder(options.cache_dir)
    place = None if folder is None else folder / "calibrated" / _key(model, built, texts)
    found = None if place is None else _read(place)
    if found is None:
        found = _quantized(built, list(_batches(model, built, texts)))
        if place is not None:
            _keep(found, place)
    built.model = found
    return {"text": built}


def _texts(path: str | None) -> tuple[str, ...]:
    if path is None:
        return CALIBRATION
    try:
        lines = Path(path).expanduser().read_text("utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    texts = tuple(line for line in lines if line.strip())
    if not texts:
        raise ConfigError(
            f"calibration_file {path!r} must be a readable UTF-8 file with a text on every line",
            param="calibration_file",
        )
    return texts


def _batches(model: Model, built: Built, texts: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Graph inputs, one text at a time."""
    assert model.text is not None  # noqa: S101  (there is a graph of it)
    eos = model.family.towers["text"].eos_token_id(model.config)
    limit = min(model.text.max_input_tokens, _MAX_TOKENS)
    for ids in model.text.tokenizer.encode(list(texts)):
        kept = model.text.filled(model.text.tokenizer.truncate(ids, limit, "end"))
        arrays = pack(tokens_of([kept]), model.text.poolings, eos)
        yield {name: arrays[name] for name in built.inputs}


def _quantized(built: Built, batches: list[dict[str, Any]]) -> ov.Model:
    try:
        import nncf
    except ImportError:
        raise ConfigError(
            "dtype int8-full needs nncf; install it with: pip install 'polyvec[nncf]'",
            param="dtype",
        ) from None
    _log.info("learning the range of activations from %d texts", len(batches))
    return nncf.quantize(
        built.model,
        nncf.Dataset(batches),
        subset_size=len(batches),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        # Moving outliers from activations into weights made vectors worse, not better.
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=-1)
        ),
    )


# Cache: a folder with the graph, its weights and their digests; complete or absent.


def _key(model: Model, built: Built, texts: tuple[str, ...]) -> str:
    assert model.text is not None  # noqa: S101  (there is a graph of it)
    rules = (repr(model.config), model.text.poolings, model.dense, built.inputs)
    made_by = (__version__, _SCHEME_VERSION, ov.get_version())
    what = repr((made_by, model.weights.fingerprint(), rules, texts))
    return blake2b(what.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _keep(graph: ov.Model, place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    except OSError as error:
        _log.warning("%s: cannot be written (%s); set --cache-dir", place, error.strerror)
        return
    try:
        ov.save_model(graph, beside / _GRAPH, compress_to_fp16=False)
        sums = {name: _digest(beside / name) for name in (_GRAPH, _WEIGHTS)}
        (beside / _SUMS).write_text(json.dumps(sums))
        shutil.rmtree(place, ignore_errors=True)  # damaged, or it would have been used
        with suppress(OSError):  # another process was faster
            beside.rename(place)
    except (OSError, RuntimeError):
        _log.warning("%s: cannot be written; set --cache-dir", place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _read(place: Path) -> ov.Model | None:
    if not place.is_dir():
        return None
    try:
        sums = json.loads((place / _SUMS).read_text())
        if all(sums[name] == _digest(place / name) for name in (_GRAPH, _WEIGHTS)):
            return ov.Core().read_model(place / _GRAPH)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        _log.debug("reading %s failed", place, exc_info=True)
    _log.warning("%s is damaged and will be made again", place)
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
