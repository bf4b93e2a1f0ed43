"""Pictures that a request only names: fetched and opened as far as the operator lets them be."""

import base64
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tests.e2e.drawings import drawing, encoded
from tests.e2e.process import ServerProcess, running
from tests.media.web import Site, response, site

pytestmark = pytest.mark.e2e

PICTURE = encoded(drawing("a red circle"))
FILE = base64.b64decode(PICTURE)


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    """A web server on an address that is allowed; it has one picture."""

    def script(connection: socket.socket, request: str) -> None:
        found = request.startswith("GET /cat.png ")
        connection.sendall(response(FILE) if found else response(status="404 Not Found"))

    with site(script) as served:
        yield served


@pytest.fixture(scope="module")
def inner() -> Iterator[Site]:
    """A web server on an address that is not."""
    with site(response(FILE), host="127.0.0.2") as found:
        yield found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media root with a picture, and a link to one outside."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "media").mkdir()
    (folder / "media" / "cat.png").write_bytes(FILE)
    (folder / "secret.png").write_bytes(FILE)
    (folder / "media" / "out.png").symlink_to(folder / "secret.png")
    return folder / "media"


@pytest.fixture(scope="module")
def server(web: Site, inner: Site, root: Path) -> Iterator[ServerProcess]:
    """Serves the demo model, and opens what the fixtures above say."""
    ports = {"POLYVEC_MEDIA_ALLOWED_PORTS": f"{web.port},{inner.port}"}
    flags = ("--allowed-media-network", "127.0.0.1", "--media-root", str(root))
    with running(*flags, environ=ports) as found:
        yield found


def ask(server: ServerProcess, **value: str) -> httpx2.Response:
    body = {"model": "polyvec-demo", "input": value, "encoding_format": "float"}
    return httpx2.post(f"{server.url}/embeddings", json=body, timeout=60, trust_env=False)


def vector(answer: httpx2.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["embedding"], np.float32)


def test_a_picture_has_one_vector_wherever_it_comes_from(server: ServerProcess, web: Site) -> None:
    sent = vector(ask(server, type="image_base64", image_base64=PICTURE))
    fetched = vector(ask(server, type="image_url", image_url=web.url("/cat.png")))
    opened = vector(ask(server, type="image_file", image_path="cat.png"))
    assert (fetched == sent).all()
    assert (opened == sent).all()


def test_forbidden_and_missing_urls_get_one_answer(
    server: ServerProcess, web: Site, inner: Site
) -> None:
    urls = [
        inner.url(),
        inner.url(host="0x7f000002"),
        web.url("/missing.png"),
        web.url("/cat.png", host="127.0.0.3"),
        "http://127.0.0.1:22/",
        "http://169.254.169.254/latest/meta-data/",
        "http://no-such-host.invalid/",
    ]
    answers = [ask(server, type="image_url", image_url=url) for url in urls]
    assert {answer.status_code for answer in answers} == {422}
    assert len({answer.text for answer in answers}) == 1
    assert "could not be fetched" in answers[0].text
    assert inner.requests == []


def test_files_outside_of_the_root_are_not_found(server: ServerProcess, root: Path) -> None:
    for path in ("out.png", "../secret.png", str(root.parent / "secret.png"), "/etc/hostname"):
        answer = ask(server, type="image_file", image_path=path)
        assert answer.status_code in {404, 422}, answer.text
        assert "Traceback" not in answer.text
    assert ask(server, type="image_file", image_path="out.png").status_code == 404


def test_nothing_is_opened_unless_the_operator_says_so(demo: ServerProcess, web: Site) -> None:
    asked = len(web.requests)
    answer = ask(demo, type="image_url", image_url=web.url("/cat.png"))
    assert answer.status_code == 400
    assert "--allow-media-urls" in answer.text
    answer = ask(demo, type="image_file", image_path="cat.png")
    assert 400 <= answer.status_code < 500
    assert "--media-root" in answer.text
    assert len(web.requests) == asked
