"""Which weights a model's forward functions read, and whether that is all of them."""

import re

from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError
from polyvec.models._model import Model

_SHOWN = 5
_FLOATS = ("F32", "BF16", "F16", "F64")


class Parameters:
    """The weights of a model, remembering which were asked for."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._used: set[str] = set()

    def use(self, name: str) -> str:
        """Mark a tensor as read and give its name back.

        Raises:
            CheckpointError: There is none of this name, or it holds whole numbers: the codes of a
                quantised checkpoint, whose scales are elsewhere.
        """
        dtype = self.weights.entry(name).dtype
        if dtype not in _FLOATS:
            raise CheckpointError(
                f"the weight {name!r} has dtype {dtype}; quantised checkpoints are not supported: "
                f"use one in {', '.join(_FLOATS)} (--dtype int8 quantises it here)"
            )
        self._used.add(name)
        return name

    def check_all_used(self, model: Model) -> None:
        """Refuse a checkpoint that holds weights the forward functions do not know.

        A projection head or an adapter that is left out gives well-shaped wrong vectors.

        Raises:
            CheckpointError: Tensors are left over that the family does not list as needless.
        """
        needless = re.compile(
            "|".join(f"(?:{key})" for key in model.family.ignored_keys) or r"(?!)"
        )
        unknown = [n for n in self.weights if n not in self._used and not needless.fullmatch(n)]
        if unknown:
            shown = ", ".join(sorted(unknown)[:_SHOWN])
            raise CheckpointError(
                f"the weights hold {len(unknown)} tensors that {model.architecture} does not know "
                f"({shown}{', …' if len(unknown) > _SHOWN else ''}): this is another architecture "
                "than config.json says"
            )


def check_rows(name: str, found: int, needed: int, *, exact: bool = False) -> None:
    """Hold a table to what config.json says of it.

    Args:
        name: The table's.
        found: Rows that it has.
        needed: Rows that config.json says it has.
        exact: Whether more are wrong as well, as of a table with a row for each part of a picture.

    Raises:
        CheckpointError: It has fewer rows, so some ids would read beyond its end.
    """
    if found < needed or (exact and found > needed):
        raise CheckpointError(
            f"the weights do not fit config.json: {name} has {found} rows and should have {needed}"
        )


def check_vector_length(found: int, model: Model) -> None:
    """Hold what a tower gives to what the model's card says.

    Raises:
        CheckpointError: Its vectors have another length.
    """
    if found != model.dimensions:
        raise CheckpointError(
            f"the weights do not fit the config files: they give vectors of {found} numbers, the "
            f"files say {model.dimensions}"
        )
