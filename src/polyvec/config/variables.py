"""Variables of Text Embeddings Inference and of Infinity, which are their flags in capitals.

Those of the former have no prefix, so they only count where MODEL_ID is set, which is how its
containers are told what to serve.
"""

import re
from collections.abc import Mapping
from typing import Final

from polyvec.config.definitions import DEFINITIONS
from polyvec.config.foreign import Foreign, Given, means
from polyvec.config.foreign_flags import INFINITY, ROWS, TEI

MODEL_ID: Final = "MODEL_ID"
_PREFIX: Final = "INFINITY_"
_ADDRESS: Final = re.compile(r"[0-9.]+|[0-9a-fA-F:]+:[0-9a-fA-F:]*")
_OURS: Final[Mapping[str, Foreign]] = {
    name: means(name, one.key)
    for one in DEFINITIONS
    if one.flag is not None
    for name in (one.flag, *one.aliases)
}
_TEI_OURS: Final = (
    *("revision", "dtype", "served-model-name", "pooling", "max-batch-tokens"),
    *("max-client-batch-size", "default-prompt-name", "port", "api-key"),
)
_INFINITY_OURS: Final = (
    *("revision", "dtype", "served-model-name", "trust-remote-code", "device", "host", "port"),
    *("log-level", "api-key", "max-client-batch-size"),
)


def given_variables(environ: Mapping[str, str]) -> list[Given]:
    """What is set of them, in the order of our tables; what has no effect is left out."""
    found: list[Given] = []
    if environ.get(MODEL_ID):
        for row in _rows(TEI, _TEI_OURS):
            found += _given(environ, row, "")
    for row in (ROWS["model-id"], *_rows(INFINITY, _INFINITY_OURS)):
        found += _given(environ, row, _PREFIX)
    return found


def _rows(table: tuple[Foreign, ...], ours: tuple[str, ...]) -> list[Foreign]:
    return [*(row for row in table if not row.is_noted), *(_OURS[name] for name in ours)]


def _given(environ: Mapping[str, str], row: Foreign, prefix: str) -> list[Given]:
    found = []
    for name in (row.name, *row.aliases):
        variable = prefix + name.upper().replace("-", "_")
        text = environ.get(variable)
        # Every container has a HOSTNAME; only an address is meant for listening.
        if text and (variable != "HOSTNAME" or _ADDRESS.fullmatch(text)):
            found.append(Given(variable, row, text))
    return found
