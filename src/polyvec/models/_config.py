"""config.json → the typed config of a model file."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from polyvec.errors import CheckpointError
from polyvec.models._ops import Activation

C = TypeVar("C")

# Names in config.json → ours. Source: transformers.activations.ACT2FN.
_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
}


def read_config(cls: type[C], raw: Mapping[str, Any], *, where: str = "config.json") -> C:
    """Fill a config dataclass from JSON; keys it does not name are left alone.

    A missing key takes the field's default, which is the published class's own default.

    Raises:
        CheckpointError: A key without default is missing, or a value has the wrong type.
    """
    values: dict[str, Any] = {}
    for spec in fields(cls):  # type: ignore[arg-type]
        value = raw.get(spec.name)
        if value is None:
            if spec.default is MISSING:
                raise CheckpointError(f"{where} lacks {spec.name!r}", param=spec.name)
            continue
        values[spec.name] = _checked(value, type(spec.default), f"{where}: {spec.name}")
    return cls(**values)


def _checked(value: Any, kind: type, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise CheckpointError(f"{where} must be a whole number from 0 up, not {value!r}")
    if kind in (float, str, bool) and not isinstance(value, kind):
        raise CheckpointError(f"{where} must be a {kind.__name__}, not {value!r}")
    return value


def activation(name: str, *, where: str = "config.json") -> Activation:
    """The activation that a file calls ``name``.

    Raises:
        CheckpointError: It is not one of ours.
    """
    try:
        return _ACTIVATIONS[name]
    except KeyError:
        known = ", ".join(sorted(_ACTIVATIONS))
        raise CheckpointError(
            f"{where}: activation {name!r} is not known; known: {known}"
        ) from None


def heads(width: int, count: int) -> int:
    """Check that ``width`` splits evenly between ``count`` attention heads.

    Raises:
        CheckpointError: It does not.
    """
    if count < 1 or width % count:
        raise CheckpointError(f"config.json: hidden_size {width} does not split into {count} heads")
    return count


def check_patches(image_size: int, patch_size: int) -> None:
    """Refuse pictures that hold no patch.

    Raises:
        CheckpointError: ``patch_size`` is 0 or over ``image_size``.
    """
    if not patch_size or image_size < patch_size:
        raise CheckpointError(
            f"config.json: patch_size {patch_size} must be from 1 to image_size, {image_size}"
        )
