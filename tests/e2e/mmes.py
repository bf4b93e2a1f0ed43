"""A server that stands in for Multimodal Embedding Serving, as its clients see it."""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

from tests.e2e.clips import Rgb, png
from tests.e2e.process import ServerProcess, running
from tests.media.web import Site, redirect, response, site

NAME = "CLIP/clip-vit-b-16"
DIMENSIONS = 128

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mmes:
    """A running server, a folder that it may read, and a web site that it may fetch from.

    Attributes:
        server: Its process.
        http: A client of it.
        root: Its media root.
        web: Serves the files of that folder; ``/hops/N/FILE`` leads there over N redirects.
    """

    server: ServerProcess
    http: httpx2.Client
    root: Path
    web: Site

    def post(self, value: Any, **fields: Any) -> httpx2.Response:
        """Ask as all known clients do."""
        body = {"model": NAME, "input": value, "encoding_format": "float", **fields}
        return self.http.post("/embeddings", json=body)

    def answer(self, value: Any, **fields: Any) -> dict[str, Any]:
        """The body of a good answer."""
        found = self.post(value, **fields)
        assert found.status_code == 200, found.text
        body: dict[str, Any] = found.json()
        return body

    def vectors(self, value: Any) -> Vectors:
        """What clients read of an answer, and all there is in it."""
        body = self.answer(value)
        assert list(body) == ["embedding"]
        return np.array(body["embedding"], np.float32)

    def refusal(self, value: Any, status: int = 422, **fields: Any) -> Any:
        """The ``detail`` of an error, which tells nothing about the server."""
        found = self.post(value, **fields)
        assert found.status_code == status, found.text
        assert list(found.json()) == ["detail"]
        leaks = ("0x", "BytesIO", "Traceback", "/site-packages", "/src/", "Errno", str(self.root))
        # What the caller wrote may come back, if it is short.
        said = found.text.replace(json.dumps(value)[1:-1], "")
        assert [leak for leak in leaks if leak in said] == []
        return found.json()["detail"]

    def health(self) -> None:
        """A probe with the time limit of a strict orchestrator."""
        answer = httpx2.get(f"{self.server.url}/health", timeout=5, trust_env=False)
        assert answer.json() == {"status": "healthy"}


@contextmanager
def mmes(root: Path, *flags: str, environ: dict[str, str] | None = None) -> Iterator[Mmes]:
    """Serve the demo model under an id of the original, with a folder and a site."""
    with site(_files(root)) as web:
        own = {"POLYVEC_MEDIA_ALLOWED_PORTS": str(web.port)}
        opened = ("--served-model-name", NAME, "--media-root", str(root))
        network = ("--allowed-media-network", "127.0.0.1/32")
        with (
            running("polyvec-demo", *opened, *network, *flags, environ=own | (environ or {})) as on,
            httpx2.Client(base_url=on.url, timeout=60, trust_env=False) as http,
        ):
            yield Mmes(on, http, root, web)


def _files(root: Path) -> Any:
    def script(connection: socket.socket, request: str) -> None:
        path = request.split(" ")[1]
        parts = path.strip("/").split("/")
        if parts[0] == "hops":
            hops, name = int(parts[1]), parts[2]
            leads_to = f"/hops/{hops - 1}/{name}" if hops > 1 else f"/{name}"
            connection.sendall(redirect(leads_to))
            return
        file = root / parts[0]
        found = file.is_file()
        connection.sendall(response(file.read_bytes() if found else b"", status=_status(found)))

    return script


def _status(found: object) -> str:
    return "200 OK" if found else "404 Not Found"


def text_of(data: bytes) -> str:
    """A file as base64."""
    return base64.b64encode(data).decode()


def picture(pixels: Rgb) -> dict[str, str]:
    """A typed input object of a picture."""
    return {"type": "image_base64", "image_base64": text_of(png(pixels))}


def video_file(name: str, **config: Any) -> dict[str, Any]:
    """A typed input object of a video below the media root."""
    return {"type": "video_file", "video_path": name, "segment_config": config}


def video_base64(data: bytes, **config: Any) -> dict[str, Any]:
    """A typed input object of a video."""
    return {"type": "video_base64", "video_base64": text_of(data), "segment_config": config}


def manifest(root: Path, name: str, content: Any) -> dict[str, str]:
    """Write a manifest and return the typed input object that names it."""
    text = content if isinstance(content, str) else json.dumps(content)
    (root / name).write_text(text)
    return {"type": "frames_batch", "frames_manifest_path": name}


def nearest(vectors: Vectors, references: Vectors) -> list[int]:
    """Which reference each vector is most like."""
    places: list[int] = (vectors @ references.T).argmax(axis=1).tolist()
    return places
