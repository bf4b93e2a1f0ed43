"""Rows of the model → vectors as a request wants them; nothing else normalises vectors."""

import numpy as np
from numpy.typing import NDArray

from polyvec.errors import DimensionsError, UnprocessableInputError
from polyvec.types import Float32Array

EPSILON = 1e-12
"""Smallest norm that is divided by, so a zero vector stays zero.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html (``eps``).
"""

LAYER_NORM_EPSILON = 1e-5
"""Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.layer_norm.html."""


def check_dimensions(
    dimensions: int | None, *, native: int, matryoshka: tuple[int, ...], model: str
) -> None:
    """Refuse a vector length that the model was not trained for.

    Args:
        dimensions: Wanted, or None for the native length.
        native: Always allowed.
        matryoshka: Allowed beside it.
        model: What the caller calls the model.

    Raises:
        DimensionsError: Neither the native length nor one of ``matryoshka``.
    """
    if dimensions is None or dimensions == native or dimensions in matryoshka:
        return
    if not matryoshka:
        # Word for word what vLLM says, on every route: its users search for it.
        raise DimensionsError(
            f'Model "{model}" does not support matryoshka representation, changing output '
            "dimensions will lead to poor results.",
            dimensions=dimensions,
            native=native,
            model=model,
        )
    allowed = sorted({*matryoshka, native})
    is_every = allowed == list(range(1, native + 1))
    lengths = (
        f"dimensions in range [1, {native}]" if is_every else f"Matryoshka dimensions {allowed}"
    )
    raise DimensionsError(
        f"Model '{model}' only supports {lengths}, got {dimensions}.",
        dimensions=dimensions,
        native=native,
        matryoshka=matryoshka,
    )


def finite_rows(rows: Float32Array) -> NDArray[np.bool_]:
    """Which of the rows (B, D) have no NaN and no infinity; shape (B,)."""
    finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(rows), axis=1)
    return finite


def not_finite(param: str) -> UnprocessableInputError:
    """The error for an input whose row is not finite."""
    return UnprocessableInputError(
        f"the model gives no finite vector for {param}; sending it again will not help", param=param
    )


def finish(
    rows: Float32Array, *, dimensions: int | None, normalize: bool, standardize: bool = False
) -> Float32Array:
    """Cut, then normalise.

    Args:
        rows: Shape (B, D), finite.
        dimensions: Leading values to keep, or None for all.
        normalize: Whether the kept values are brought to unit length.
        standardize: Whether a row that is cut is brought to zero mean and unit variance before.

    Returns:
        Shape (B, dimensions), contiguous.
    """
    if standardize and dimensions is not None and dimensions < rows.shape[1]:
        rows = _standardized(rows)
    kept = np.ascontiguousarray(rows[:, :dimensions])
    return normalized(kept) if normalize else kept


def _standardized(rows: Float32Array) -> Float32Array:
    """Rows (B, D), each with zero mean and unit variance, as torch's layer_norm makes them."""
    wide = rows.astype(np.float64)
    spread = np.sqrt(wide.var(axis=1, keepdims=True) + LAYER_NORM_EPSILON)
    standardized: Float32Array = ((wide - wide.mean(axis=1, keepdims=True)) / spread).astype(
        np.float32
    )
    return standardized


def normalized(rows: Float32Array) -> Float32Array:
    """Rows (B, D) brought to unit length; a zero row stays zero."""
    norms = np.maximum(_norms(rows), EPSILON)
    vectors: Float32Array = (rows / norms[:, None]).astype(np.float32, copy=False)
    return vectors


def _norms(rows: Float32Array) -> NDArray[np.floating]:
    """Euclidean norms (B,) of rows (B, D), finite for finite rows: float64 if that takes it."""
    with np.errstate(over="ignore"):
        squares: NDArray[np.floating] = np.vecdot(rows, rows)
    if np.isinf(squares).any():
        wide = rows.astype(np.float64)
        squares = np.vecdot(wide, wide)
    norms: NDArray[np.floating] = np.sqrt(squares)
    return norms
