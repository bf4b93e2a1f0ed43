"""A server of the bundled model that may read a folder and fetch from a site of this machine."""

import base64
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.clients.pictures import PICTURES
from tests.clients.serving import PYTHON, ROOT
from tests.e2e.process import ServerProcess, running

FRAMES: Final = 8
_CLIP: Final = (
    "import base64\nfrom tests.e2e.clips import clip\n"
    f"print(base64.b64encode(clip(frames={FRAMES})).decode())"
)


@dataclass(frozen=True, slots=True)
class Demo:
    """A running server and what it may read.

    Attributes:
        server: Its process.
        root: Its media root, with ``picture.png`` and ``clip.mp4``.
        site: URL of the same folder.
    """

    server: ServerProcess
    root: Path
    site: str


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the tests' output is for failures."""


@cache
def clip_base64() -> str:
    """An MP4 of FRAMES pictures, made where FFmpeg is."""
    made = subprocess.run(
        [PYTHON, "-c", _CLIP], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


@contextmanager
def demo_serving(root: Path) -> Iterator[Demo]:
    """Serve the bundled model until the block ends."""
    PICTURES[0].save(root / "picture.png")
    (root / "clip.mp4").write_bytes(base64.b64decode(clip_base64()))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        flags = ("--media-root", str(root), "--allowed-media-network", "127.0.0.1/32")
        environ = {"POLYVEC_MEDIA_ALLOWED_PORTS": str(web.server_port)}
        with running(*flags, environ=environ, python=PYTHON) as server:
            yield Demo(server, root, f"http://127.0.0.1:{web.server_port}")
            assert server.stop() == 0
        web.shutdown()
