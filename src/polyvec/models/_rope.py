"""config.json → rotary positions, in every published spelling and variant.

Source of all formulas, unless a function names another one: transformers modeling_rope_utils.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyvec.errors import CheckpointError
from polyvec.models._ops import Rope
from polyvec.types import Float32Array

_MOST = 1e38


@dataclass(frozen=True, slots=True)
class _Base:
    """What every variant starts from.

    Attributes:
        theta: Wavelengths grow from 2π to nearly ``2π * theta``.
        width: Numbers of a head that are turned.
        max_positions: ``max_position_embeddings`` of config.json, 0 where it says nothing.
        where: The key in config.json that holds the parameters.
    """

    theta: float
    width: int
    max_positions: int
    where: str

    def frequencies(self) -> Float32Array:
        """Of the plain variant, (width / 2,)."""
        return np.float32(1) / self.wavelengths()

    def wavelengths(self) -> Float32Array:
        """Divided by 2π, (width / 2,); in float32 like the reference, whose rounding is kept."""
        exponents = np.arange(0, self.width, 2, dtype=np.float32) / np.float32(self.width)
        grown: Float32Array = np.power(np.float32(self.theta), exponents, dtype=np.float32)
        return grown

    def number(self, parameters: Mapping[str, Any], key: str) -> float:
        """A parameter that must be there."""
        return positive(parameters.get(key), f"{self.where}.{key}")


def positive(value: Any, key: str, *, above: float = 0.0) -> float:
    """A value of config.json that must be a number.

    Raises:
        CheckpointError: It is none, or not between ``above`` and what float32 holds.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not above < value < _MOST:
        raise CheckpointError(
            f"config.json: {key} must be a number above {above:g}, not {value!r}",
            param=key.partition(".")[0],
        )
    return float(value)


def read_rope(
    raw: Mapping[str, Any],
    *,
    head_width: int,
    theta: float = 10_000.0,
    layer_type: str | None = None,
) -> Rope:
    """Rotary positions of a model, or of one kind of its layers.

    Reads ``rope_theta`` with ``rope_scaling`` as well as ``rope_parameters``, which may hold one
    set of parameters for each kind of layer.

    Args:
        raw: config.json.
        head_width: Numbers in a head; ``partial_rotary_factor`` says how many of them are turned.
        theta: The family's default.
        layer_type: Key in a ``rope_parameters`` that is divided so.

    Raises:
        CheckpointError: The variant is not supported, or a parameter of it is missing.
    """
    where = "rope_scaling" if raw.get("rope_scaling") else "rope_parameters"
    parameters = _parameters(raw, where, layer_type)
    kind = parameters.get("rope_type") or parameters.get("type") or "default"
    variant = _VARIANTS.get(kind) if isinstance(kind, str) else None
    if variant is None:
        raise CheckpointError(
            f"config.json: {where}.rope_type {kind!r} is not supported; supported: "
            f"{', '.join(sorted(_VARIANTS))}",
            param=where,
        )
    said = {**raw, **{key: value for key, value in parameters.items() if value is not None}}
    share = said.get("partial_rotary_factor")
    longest = said.get("rope_theta")
    base = _Base(
        theta=theta if longest is None else positive(longest, "rope_theta", above=1),
        width=int(head_width * (1 if share is None else positive(share, "partial_rotary_factor"))),
        max_positions=int(raw.get("max_position_embeddings") or 0),
        where=where,
    )
    if base.width < 2 or base.width % 2:  # noqa: PLR2004  (numbers are turned in pairs)
        raise CheckpointError(
            f"config.json: rotary positions need an even number of a head's numbers, not "
            f"{base.width}"
        )
    frequencies, scale = variant(base, parameters)
    return Rope(frequencies=tuple(frequencies.tolist()), scale=scale)


def _parameters(raw: Mapping[str, Any], where: str, layer_type: str | None) -> Mapping[str, Any]:
    found = raw.get(where) or {}
    if isinstance(found, Mapping) and layer_type is not None and layer_type in found:
        found = found[layer_type] or {}
    if not isinstance(found, Mapping):
        raise CheckpointError(f"config.json: {where} must be an object, not {found!r}", param=where)
    # Phi-3 and others keep the length of their first training beside the other parameters, and it
    # wins there.
    length = raw.get("original_max_position_embeddings")
    return found if length is None else {**found, "original_max_position_embeddings": length}


def original_length(raw: Mapping[str, Any]) -> int | None:
    """``original_max_position_embeddings`` of config.json, wherever it stands."""
    for where in ("rope_scaling", "rope_parameters"):
        if raw.get(where):
            value = _parameters(raw, where, None).get("original_max_position_embeddings")
            return value if isinstance(value, int) else None
    return None


# Variants: (base, parameters) → frequencies, factor on turned numbers.


def _plain(base: _Base, _parameters: Mapping[str, Any]) -> tuple[Float32Array, float]:
    """As published first; ``dynamic`` too, which changes only beyond ``max_position_embeddings``.

    Source: https://arxiv.org/abs/2104.09864.
    """
    return base.frequencies(), 1.0


def _linear(base: _Base, parameters: Mapping[str, Any]) -> tuple[Float32Array, float]:
    return base.frequencies() / np.float32(base.number(parameters, "factor")), 1.0


def _ntk(base: _Base, parameters: Mapping[str, Any]) -> tuple[Float32Array, float]:
    """Fixed NTK scaling, as GTE v1.5 has it.

    Source: https://huggingface.co/Alibaba-NLP/new-impl modeling.py, NTKScalingRotaryEmbedding.
    """
    if parameters.get("mixed_b") is not None:
        raise CheckpointError(
            f"config.json: {base.where}.mixed_b {parameters['mixed_b']!r} is not supported; "
            "supported: null",
            param=base.where,
        )
    factor = base.number(parameters, "factor")
    grown = _Base(base.theta * factor, base.width, base.max_positions, base.where)
    return grown.frequencies() / np.float32(factor ** (2 / base.width)), 1.0


def _llama3(base: _Base, parameters: Mapping[str, Any]) -> tuple[Float32Array, float]:
    """Long waves slowed down, short ones kept, a slope between."""
    factor = np.float32(base.number(parameters, "factor"))
    low = base.number(parameters, "low_freq_factor")
    high = base.number(parameters, "high_freq_factor")
    length = _original_length(base, parameters)
    plain = base.frequencies()
    waves = np.float32(2 * math.pi) / plain
    share = (np.float32(length) / waves - np.float32(low)) / np.float32(high - low)
    sloped = (1 - share) * plain / factor + share * plain
    slow = np.where(waves > length / low, plain / factor, plain)
    between = (waves >= length / high) & (waves <= length / low)
    return np.where(between, sloped, slow).astype(np.float32), 1.0


def _yarn(base: _Base, parameters: Mapping[str, Any]) -> tuple[Float32Array, float]:
    """YaRN: long waves slowed down, short ones kept, a ramp between; scores grow.

    Source: https://arxiv.org/abs/2309.00071.
    """
    length = _original_length(base, parameters)
    if parameters.get("factor") is None:
        factor = base.max_positions / length
    else:
        factor = base.number(parameters, "factor")
    waves = base.wavelengths()
    kept = 1 - _ramp(base, parameters, length)
    frequencies = (1 / (np.float32(factor) * waves)) * (1 - kept) + (1 / waves) * kept
    return frequencies.astype(np.float32), _attention_factor(base, parameters, factor)


def _ramp(base: _Base, parameters: Mapping[str, Any], length: float) -> Float32Array:
    """0 for waves that turn often within the trained length, 1 for those that turn little."""
    ends = [
        base.width * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(base.theta))
        for turns in (
            base.number({key: parameters.get(key) or default}, key)
            for key, default in (("beta_fast", 32), ("beta_slow", 1))
        )
    ]
    if parameters.get("truncate", True):
        ends = [math.floor(ends[0]), math.ceil(ends[1])]
    low, high = max(ends[0], 0), min(ends[1], base.width - 1)
    if low == high:
        high += 0.001  # as the reference has it
    steps = np.arange(base.width // 2, dtype=np.float32)
    ramp: Float32Array = np.clip((steps - np.float32(low)) / np.float32(high - low), 0, 1)
    return ramp


def _attention_factor(base: _Base, parameters: Mapping[str, Any], factor: float) -> float:
    if parameters.get("attention_factor") is not None:
        return base.number(parameters, "attention_factor")

    def growth(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    if not (parameters.get("mscale") and parameters.get("mscale_all_dim")):
        return growth(1.0)
    top, bottom = (base.number(parameters, key) for key in ("mscale", "mscale_all_dim"))
    return growth(top) / growth(bottom)


def _original_length(base: _Base, parameters: Mapping[str, Any]) -> float:
    if parameters.get("original_max_position_embeddings") is None and base.max_positions:
        return float(base.max_positions)
    return base.number(parameters, "original_max_position_embeddings")


_VARIANTS: dict[str, Callable[[_Base, Mapping[str, Any]], tuple[Float32Array, float]]] = {
    "default": _plain,
    "dynamic": _plain,
    "linear": _linear,
    "llama3": _llama3,
    "ntk": _ntk,
    "yarn": _yarn,
}
