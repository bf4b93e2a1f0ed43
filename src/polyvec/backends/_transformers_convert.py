"""A class of transformers → an OpenVINO graph, compared with torch before it is trusted, and kept.

A folder of the cache has the layout that optimum and OpenVINO Model Server read, with a
``conversion.json`` beside the graph that says what was measured.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import openvino as ov
import torch
import transformers
from numpy.typing import NDArray

from polyvec import __version__
from polyvec.backends._transformers_class import States, quiet
from polyvec.models._foreign import ForeignConfig

_log = logging.getLogger(__name__)

GRAPH = "openvino_model.xml"
_RECORD = "conversion.json"
_SCHEME_VERSION = 1
MAX_DIFFERENCE = 1e-4
"""Largest difference of a state that passes, for states of size 1."""
_INPUTS = ("input_ids", "attention_mask")
_OUTPUT = "last_hidden_state"
# Batch and length of what is compared; the graph is made from another shape.
_SHAPES = ((1, 1), (1, 5), (2, 12), (4, 33))
_TRACED_SHAPE = (2, 9)
_CHUNK_BYTES = 1 << 22
_MAX_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was tried for a checkpoint.

    Attributes:
        route: What made the graph; empty when none could be trusted.
        max_difference: Largest difference of a state from torch's.
        tried: What each route that failed said.
        digests: File name → digest of its bytes.
    """

    route: str
    max_difference: float
    tried: tuple[str, ...] = ()
    digests: dict[str, str] | None = None


Route = Callable[[States, dict[str, torch.Tensor], Any], ov.Model]


def converted(
    config: ForeignConfig, fingerprint: str, cache: Path, load: Callable[[], States]
) -> tuple[Path | None, Conversion]:
    """The graph of a checkpoint, from the cache or made now.

    Two processes may do this at once: each makes its own folder, and the first one stays.

    Args:
        config: The checkpoint.
        fingerprint: Of its weights.
        cache: Where folders are kept.
        load: Loads the class; called only where it is needed.

    Returns:
        The graph's file, or None where no conversion equals torch; and what was tried.
    """
    folder = cache / "converted" / _key(config, fingerprint)
    record = _kept(folder)
    if record is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            record = _convert(load(), config, made)
            record = _put(made, folder, record)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return (folder / GRAPH if record.route else None), record


def _convert(states: States, config: ForeignConfig, folder: Path) -> Conversion:
    """Try each route; write the first graph that equals torch into a folder."""
    tried = []
    for name, route in ROUTES.items():
        try:
            with quiet():
                _save(route(states, _traced(config), _dynamic(config)), folder)
            worst = _difference(states, config, folder / GRAPH)
        except Exception as error:  # noqa: BLE001  (converters raise anything)
            _log.debug("converting by %s failed", name, exc_info=error)
            tried.append(f"{name}: {' '.join(str(error).split())[:200]}")
            continue
        if worst <= MAX_DIFFERENCE:  # not so for NaN
            return Conversion(name, worst, tuple(tried), _digests(folder))
        tried.append(f"{name}: differs from torch by {worst:.2g}")
    return Conversion("", 0.0, tuple(tried))


def _by_exporter(states: States, inputs: dict[str, torch.Tensor], dynamic: Any) -> ov.Model:
    from transformers.exporters import OpenVINOConfig, OpenVINOExporter

    wanted = OpenVINOConfig(dynamic=True, dynamic_shapes=dict.fromkeys(inputs, dynamic))
    return OpenVINOExporter().export(states.encoder, inputs, wanted).program


def _by_torch_export(states: States, inputs: dict[str, torch.Tensor], dynamic: Any) -> ov.Model:
    program = torch.export.export(
        states, (), inputs, dynamic_shapes=dict.fromkeys(inputs, dynamic), strict=False
    )
    return ov.convert_model(program)


ROUTES: dict[str, Route] = {
    "transformers OpenVINOExporter": _by_exporter,
    "torch.export": _by_torch_export,
}
"""Ways to a graph, in the order in which they are tried."""


def _traced(config: ForeignConfig) -> dict[str, torch.Tensor]:
    rows, width = _TRACED_SHAPE
    mask = torch.ones(rows, min(width, config.max_positions), dtype=torch.long)
    mask[-1, -1] = 0
    return {"input_ids": torch.full_like(mask, min(5, config.vocab_size - 1)), _INPUTS[1]: mask}


def _dynamic(config: ForeignConfig) -> dict[int, Any]:
    return {
        0: torch.export.Dim("batch", min=1, max=_MAX_BATCH),
        1: torch.export.Dim("length", min=2, max=max(config.max_positions, 3)),
    }


def _save(graph: ov.Model, folder: Path) -> None:
    """Name the ports as optimum does, and write graph and weights, float32.

    Raises:
        ValueError: The graph has other inputs, or no states.
    """
    names = [next((n for n in _INPUTS if n in port.get_names()), None) for port in graph.inputs]
    if sorted(map(str, names)) != sorted(_INPUTS):
        raise ValueError(f"the graph's inputs are {[port.get_names() for port in graph.inputs]}")
    states = [
        port for port in graph.outputs if port.get_partial_shape().rank.get_length() == len("BLD")
    ]
    named = [port for port in states if _OUTPUT in port.get_names()] or states[:1]
    if not named:
        raise ValueError("the graph has no states of tokens")
    kept = ov.Model([named[0].get_node()], graph.get_parameters(), "states")
    kept.outputs[0].get_tensor().set_names({_OUTPUT})
    ov.save_model(kept, folder / GRAPH, compress_to_fp16=False)


def _difference(states: States, config: ForeignConfig, path: Path) -> float:
    """Largest difference of a state, relative where states are large; NaN where one is not finite.

    Compares several shapes, texts of mixed lengths in a batch, filled up on the right and the left.
    """
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    worst = 0.0
    for arrays in _probes(config):
        with torch.inference_mode(), quiet():
            feed = {name: torch.from_numpy(array) for name, array in arrays.items()}
            expected = states(**feed).numpy()
        found = compiled(arrays)[0]
        inside = arrays["attention_mask"] == 1
        apart = np.abs(found[inside] - expected[inside]).max()
        worst = float(np.maximum(worst, apart / max(1.0, np.abs(expected[inside]).max())))
    return worst


def _probes(config: ForeignConfig) -> Iterator[dict[str, NDArray[np.int64]]]:
    random = np.random.default_rng(0)
    for rows, wanted in _SHAPES:
        width = min(wanted, config.max_positions)
        lengths = np.maximum(width - np.arange(rows) * max(1, width // rows), 1)
        ids = random.integers(0, config.vocab_size, (rows, width))
        right = np.arange(width) < lengths[:, None]
        for mask in (right, right[:, ::-1]):
            yield {
                "input_ids": np.where(mask, ids, config.pad_token_id),
                "attention_mask": mask.astype(np.int64),
            }


# The cache.


def _key(config: ForeignConfig, fingerprint: str) -> str:
    what = (
        __version__,
        _SCHEME_VERSION,
        transformers.__version__,
        torch.__version__,
        ov.__version__,
        fingerprint,
        json.dumps(config.published, sort_keys=True, default=str),
        _code(config) if config.trust_remote_code else "",
    )
    return blake2b(repr(what).encode(), digest_size=16).hexdigest()


def _code(config: ForeignConfig) -> str:
    digest = blake2b(digest_size=16)
    for path in sorted(config.folder.glob("**/*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept(folder: Path) -> Conversion | None:
    """What the cache has, or None where it has nothing that is whole."""
    try:
        raw = json.loads((folder / _RECORD).read_text())
        record = Conversion(**{**raw, "tried": tuple(raw["tried"])})
        if not record.route or record.digests == _digests(folder):
            return record
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.debug("%s cannot be read", folder, exc_info=error)
    _log.warning("%s is damaged and is made again", folder)
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _put(made: Path, folder: Path, record: Conversion) -> Conversion:
    """Give a finished folder its name, unless another process was faster."""
    if not record.route:
        for path in made.iterdir():
            path.unlink()
    (made / _RECORD).write_text(json.dumps(asdict(record), indent=2))
    made.chmod(0o755)
    try:
        os.rename(made, folder)  # noqa: PTH104  (Path.rename says less of what fails)
    except OSError:
        other = _kept(folder)
        if other is None:
            raise
        return other
    return record


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in (folder / GRAPH, (folder / GRAPH).with_suffix(".bin")):
        digest = blake2b(digest_size=16)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        found[path.name] = digest.hexdigest()
    return found
