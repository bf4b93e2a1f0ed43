"""One device with one precision: what every graph of a model is compiled for."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import openvino as ov

from polyvec.backends._base import BackendOptions
from polyvec.backends._openvino_build import Built
from polyvec.backends._quantize import WeightDtype
from polyvec.errors import ConfigError
from polyvec.types import Output

QUANTIZED = (*get_args(WeightDtype), "int8-full")
"""Wanted dtypes that say how weights are kept; what is computed in is then as with ``auto``."""

_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_DTYPES = {hint: dtype for dtype, hint in _HINTS.items()}
_GROUP_SIZE = "DYNAMIC_QUANTIZATION_GROUP_SIZE"


class Graph:
    """A compiled graph, the names of its inputs, and of its outputs."""

    def __init__(
        self, compiled: ov.CompiledModel, inputs: tuple[str, ...], outputs: tuple[Output, ...]
    ) -> None:
        self.compiled = compiled
        self.inputs = inputs
        self.outputs = outputs


class Device:
    """Compiles graphs.

    Args:
        options: As the operator set them.

    Attributes:
        core: The runtime.
        name: As the runtime calls the device.
        dtype: As wanted, ``auto`` excepted: then what the device computes in by nature.
        group_size: Neighbouring activations that share a scale when they are rounded to 8 bits for
            compressed weights; 0 for activations that are not rounded.

    Raises:
        ConfigError: There is no such device here.
    """

    def __init__(self, options: BackendOptions) -> None:
        self.core, available = _started()
        self.name = _device(available, options.device)
        is_quantized = options.dtype in QUANTIZED
        free = is_quantized or options.dtype == "auto"
        self._hint = self._native_hint() if free else _HINTS[options.dtype]
        self.dtype: str = options.dtype if is_quantized else _DTYPES[self._hint]
        self.group_size = options.activation_group_size if is_quantized else 0

    def compile(self, built: Built, *, streams: int) -> Graph:
        """Compile for this many requests at the same time."""
        compiled = self.core.compile_model(built.model, self.name, self._properties(streams))
        return Graph(compiled, built.inputs, built.outputs)

    def computes_in(self, graph: Graph) -> str:
        """Precision that a compiled graph really computes in."""
        hint = graph.compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        return _DTYPES.get(hint, "float32")

    def _native_hint(self) -> str:
        """Never left to the runtime, which takes bfloat16 silently where the CPU has it."""
        native: str = self.core.get_property(self.name, "INFERENCE_PRECISION_HINT").to_string()
        return native if native in _DTYPES else "f32"

    def _properties(self, streams: int) -> dict[str, Any]:
        properties = {"INFERENCE_PRECISION_HINT": self._hint}
        if _GROUP_SIZE in self.core.get_property(self.name, "SUPPORTED_PROPERTIES"):
            # Compressed weights would otherwise turn on 8-bit activations by themselves.
            properties[_GROUP_SIZE] = str(self.group_size)
        if self.name == "CPU":
            properties |= {"NUM_STREAMS": str(streams), "INFERENCE_NUM_THREADS": str(num_cores())}
        return properties


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _started() -> tuple[ov.Core, list[str]]:
    """A runtime, and the devices that it has here.

    The CPU's plugin gives the thread that starts it a stack for signals, and unmaps that stack when
    the model is unloaded, in whatever thread: the next signal to the first one would end the
    process. So it is started in a thread that ends at once.

    Source: https://github.com/openvinotoolkit/openvino/blob/master/src/plugins/intel_cpu/src/plugin.cpp
    """

    def start() -> tuple[ov.Core, list[str]]:
        core = ov.Core()
        return core, core.available_devices

    with ThreadPoolExecutor(1, "polyvec-runtime") as threads:
        return threads.submit(start).result()


def _device(available: list[str], wanted: str) -> str:
    device = wanted.upper()
    if device not in available and device not in {name.split(".")[0] for name in available}:
        raise ConfigError(
            f"device {wanted!r} is not here; here are: {', '.join(available).lower()}",
            param="device",
        )
    return device
