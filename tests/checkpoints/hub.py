"""A hub on loopback: enough of the real one's HTTP for huggingface_hub to download a repository."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves one folder as the repository ``acme/tiny``; counts what it is asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()
        )


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Keep test output quiet."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        self.server.requests.append(path)
        if path.startswith("/api/models/acme/tiny/tree/"):
            sizes = {
                name: (self.server.folder / name).stat().st_size for name in self.server.files()
            }
            tree = [
                {"type": "file", "path": name, "size": size, "oid": "0" * 40}
                for name, size in sizes.items()
            ]
            self._send(200, json.dumps(tree).encode(), with_body=with_body)
            return
        if path.startswith("/api/models/acme/tiny"):
            files = [{"rfilename": name} for name in self.server.files()]
            info = {
                "id": "acme/tiny",
                "sha": COMMIT,
                "siblings": files,
                "tags": [],
                "private": False,
            }
            self._send(200, json.dumps(info).encode(), with_body=with_body)
            return
        prefix = f"/acme/tiny/resolve/{COMMIT}/"
        file = self.server.folder / path.removeprefix(prefix)
        if path.startswith(prefix) and file.is_file():
            self._send(200, file.read_bytes(), with_body=with_body)
            return
        self._send(404, b"{}", with_body=with_body, error="RepoNotFound")

    def _send(self, status: int, body: bytes, *, with_body: bool, error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder)
    thread = Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join(10)
