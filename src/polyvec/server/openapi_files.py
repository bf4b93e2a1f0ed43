"""The OpenAPI document and the page that shows it; `polyvec.tools.openapi` writes both."""

from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
DOCUMENT: Final = "openapi.json"
PAGE: Final = "docs.html"


@cache
def read_file(name: str) -> bytes:
    """Return `DOCUMENT` or `PAGE`, read once."""
    return (FOLDER / name).read_bytes()
