"""How much memory a model takes: estimated from its files, and measured while it is loaded.

The estimate is what its tensors take in the wanted precision. The measure is by how much memory
of the process (mapped files not counted) grew while the model was loaded; it has the runtime's
buffers too, but also what requests to other models took meanwhile, so it only counts up to a
multiple of the estimate.
"""

import ctypes
import gc
import sys
from pathlib import Path

from polyvec.models._model import Model

_BYTES_PER_VALUE = {
    "float32": 4.0,
    "bfloat16": 2.0,
    "float16": 2.0,
    "int8": 1.0,
    "int8-full": 1.0,
    "int4": 0.6,  # with the scales of its groups
}
_MAX_MEASURED = 3
_MIB = 1 << 20
# What a runtime takes for any model, however small.
_LEAST_BYTES = 8 * _MIB
_STATUS = Path("/proc/self/status")


def estimated_bytes(model: Model, dtype: str) -> int:
    """What a model will take when it is loaded in a precision; ``auto`` counts as float32."""
    if model.prebuilt is not None:
        return max(_LEAST_BYTES, sum(path.stat().st_size for path in _graph_files(model.prebuilt)))
    wanted = model.default_dtype if dtype == "auto" and model.default_dtype else dtype
    values = sum(_num_values(model.weights.entry(name).shape) for name in model.weights)
    return max(_LEAST_BYTES, round(values * _BYTES_PER_VALUE.get(wanted, 4.0)))


def measured_bytes(estimate: int, grown: int) -> int:
    """What a loaded model counts for: its estimate, or what the process grew by if that is more."""
    return max(estimate, min(grown, _MAX_MEASURED * max(estimate, 64 * _MIB)))


def process_bytes() -> int:
    """Memory of this process that no file backs; 0 where the system does not say."""
    try:
        lines = _STATUS.read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    found = (line.split()[1] for line in lines if line.startswith("RssAnon:"))
    return int(next(found, "0")) * 1024


def give_back() -> None:
    """Hand the memory of what was unloaded back to the system, where its allocator can be told."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _graph_files(graph: Path) -> list[Path]:
    return [path for path in graph.parent.glob(f"{graph.stem}*") if path.is_file()]


def _num_values(shape: tuple[int, ...]) -> int:
    number = 1
    for length in shape:
        number *= length
    return number
