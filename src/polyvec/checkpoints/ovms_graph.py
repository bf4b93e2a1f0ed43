"""graph.pbtxt of an OpenVINO Model Server repository: what it says of an embedding model.

Source: https://github.com/openvinotoolkit/model_server/blob/main/docs/embeddings/reference.md
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = "graph.pbtxt"
CALCULATOR = "EmbeddingsCalculatorOV"

_POOLINGS = {"CLS": "cls", "MEAN": "mean", "LAST": "lasttoken"}
"""Its names → those of a Pooling module."""
_FIELD = re.compile(r'\b(\w+)\s*:\s*("[^"]*"|[\w.+-]+)')


@dataclass(frozen=True, slots=True)
class OvmsGraph:
    """Options of the embedding calculator.

    Attributes:
        pooling: ``cls``, ``mean`` or ``lasttoken``.
        normalize: Whether vectors have unit length.
    """

    pooling: str = "cls"
    normalize: bool = True


def read_ovms_graph(folder: Path) -> OvmsGraph | None:
    """Read the options, or None where the folder has no such graph.

    Unset ones have the server's own defaults.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    text = "\n".join(
        line.split("#", 1)[0] for line in path.read_text("utf-8", "replace").splitlines()
    )
    if CALCULATOR not in text:
        return None
    found: Mapping[str, str] = dict(_FIELD.findall(text))
    return OvmsGraph(
        pooling=_POOLINGS.get(found.get("pooling", "CLS").upper(), "cls"),
        normalize=found.get("normalize_embeddings", "true").lower() != "false",
    )
