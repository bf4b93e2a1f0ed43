"""Quantised weights, made once and kept on disk; the graph reads them in place."""

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from polyvec import __version__
from polyvec.backends._quantize import (
    SCHEME_VERSION,
    Layout,
    Quantized,
    WeightDtype,
    layouts,
    quantize,
)
from polyvec.checkpoints.tensor_store import Spec, read_tensors, write_tensors
from polyvec.checkpoints.weights import Weights

_log = logging.getLogger(__name__)

_CODE_DTYPES = {"int8": "int8", "int4": "uint8"}


class QuantizedWeights:
    """Codes and scales of a model's matrices, by the weight's name.

    Arrays are views of a mapped file, or of memory where there is no cache; valid until `close`.

    Attributes:
        layouts: By name.
        origin: The file, or None.
    """

    def __init__(
        self,
        found: Collection[Layout],
        arrays: Weights | Mapping[str, NDArray[Any]],
        origin: Path | None,
    ) -> None:
        self.layouts = {layout.name: layout for layout in found}
        self.origin = origin
        self._arrays = arrays

    def get(self, name: str) -> Quantized | None:
        """Codes and scales of a matrix, or None for one that stays float."""
        layout = self.layouts.get(name)
        if layout is None:
            return None
        return Quantized(layout, self._array(_codes(name)), self._array(_scales(name)))

    def _array(self, name: str) -> NDArray[Any]:
        return self._arrays.array(name) if isinstance(self._arrays, Weights) else self._arrays[name]

    def release_pages(self) -> None:
        """Let mapped pages go; see `Weights.release_pages`."""
        if isinstance(self._arrays, Weights):
            self._arrays.release_pages()

    def close(self) -> None:
        """Give the memory back. Nothing may compute from it any more."""
        if isinstance(self._arrays, Weights):
            self._arrays.close()
        self._arrays = {}


def quantized_weights(
    weights: Weights, names: Collection[str], dtype: WeightDtype, folder: Path | None
) -> QuantizedWeights:
    """Those of the named matrices that are worth it, from the cache if they are in it.

    Args:
        weights: The checkpoint's.
        names: Matrices (out, in) that are multiplied with.
        dtype: Of the codes.
        folder: Of the cache; None for none.
    """
    found = layouts(weights, names, dtype)
    if folder is None:
        return QuantizedWeights(found, dict(_made(weights, found)), None)
    path = folder / "weights" / f"{_key(weights, found)}.safetensors"
    specs = _specs(found)
    cached = read_tensors(path, specs)
    if cached is None:
        _log.info("quantising %d matrices to %s; kept in %s", len(found), dtype, path)
        try:
            write_tensors(path, specs, _made(weights, found))
        except OSError as error:
            _log.warning("%s: cannot be written (%s); set --cache-dir", folder, error.strerror)
        cached = read_tensors(path, specs)
    if cached is None:
        return QuantizedWeights(found, dict(_made(weights, found)), None)
    return QuantizedWeights(found, cached, path)


def cache_folder(cache_dir: str | None) -> Path | None:
    """Where results are kept that are costly to make.

    Args:
        cache_dir: As set; empty for nowhere, None for the user's own cache folder.
    """
    if cache_dir == "":
        return None
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    place = Path(home, "polyvec") if cache_dir is None else Path(cache_dir)
    try:
        return place.expanduser()
    except RuntimeError:  # containers may run as a user that the system does not know
        _log.warning("%s: there is no home folder, so nothing is kept; set --cache-dir", place)
        return None


def _key(weights: Weights, found: Collection[Layout]) -> str:
    what = (__version__, SCHEME_VERSION, weights.fingerprint(), *found)
    return blake2b(repr(what).encode(), digest_size=16).hexdigest()


def _codes(name: str) -> str:
    return f"{name}:codes"


def _scales(name: str) -> str:
    return f"{name}:scales"


def _specs(found: Collection[Layout]) -> dict[str, Spec]:
    scales = {_scales(one.name): Spec("float32", one.scales_shape) for one in found}
    codes = {_codes(one.name): Spec(_CODE_DTYPES[one.dtype], one.codes_shape) for one in found}
    return scales | codes


def _made(weights: Weights, found: Collection[Layout]) -> Iterator[tuple[str, NDArray[Any]]]:
    for layout in found:
        made = quantize(weights, layout)
        yield _codes(layout.name), made.codes
        yield _scales(layout.name), made.scales
