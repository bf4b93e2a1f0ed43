"""Vectors as the original returns them: tensors of torch, or arrays that answer like them."""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class ArrayTensor(np.ndarray[Any, np.dtype[np.float32]]):
    """A numpy array with the methods of a tensor that callers of the original use.

    It stands in where torch is not installed. Whatever numpy does, it does as well; ``size`` is a
    method, as a tensor's is.
    """

    def detach(self) -> Self:
        """Itself: there is no gradient."""
        return self

    def cpu(self) -> Self:
        """Itself: it is in main memory."""
        return self

    def to(self, *_where: Any, **_how: Any) -> Self:
        """Itself: there is one place and one type."""
        return self

    def float(self) -> Self:
        """Itself: it is float32."""
        return self

    def numpy(self) -> Array:
        """The same numbers as a plain array."""
        return self.view(np.ndarray)

    def size(self, dim: int | None = None) -> Any:  # type: ignore[override]
        """The shape, or the length along one axis."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """How many axes it has."""
        return self.ndim

    def norm(self, p: int = 2, dim: int | None = None, keepdim: bool = False) -> Self:  # noqa: FBT001, FBT002 - a tensor's own signature
        """Length of the vectors along an axis, or of all numbers together."""
        flat = self.numpy().ravel() if dim is None else self.numpy()
        axis = -1 if dim is None else dim
        found = np.linalg.norm(flat, ord=p, axis=axis, keepdims=keepdim and dim is not None)
        return np.asarray(found, np.float32).view(type(self))

    def unsqueeze(self, dim: int) -> Self:
        """With one more axis of length 1."""
        return np.expand_dims(self, dim)  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Any]:
        """Rows, each a tensor too; the numbers of one row."""
        return (self[index] for index in range(len(self)))


@cache
def has_torch() -> bool:
    """Whether torch is installed."""
    return find_spec("torch") is not None


def tensor(values: Array, *, as_torch: bool | None = None) -> Any:
    """A ``torch.Tensor``, or an `ArrayTensor` where torch is not installed.

    Args:
        values: Any shape.
        as_torch: Which of them; None for what is installed.
    """
    owned = np.array(values, dtype=np.float32, order="C")
    if has_torch() if as_torch is None else as_torch:
        import torch

        return torch.from_numpy(owned)
    return owned.view(ArrayTensor)
