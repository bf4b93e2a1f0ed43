"""Every example runs as it is and prints what its reader was promised."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import pytest

from tests.e2e.drawings import drawing
from tests.e2e.process import ServerProcess, environment, running

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTED = {
    "openai_client.py": r"polyvec-demo: 128 dimensions, \d+ tokens\n"
    r"\d\.\d{3}  a red circle\n(-?\d\.\d{3}  .+\n){2}",
    "mmes_client.py": r"health: healthy\npolyvec-demo embeds image and text\n"
    r"a text: one vector of 128 numbers\na list: 2 vectors of 128 numbers\n",
    "image_search.py": r"a red circle: 1\.png .+\na blue square: 2\.png .+\n"
    r"a green triangle: 3\.png .+\n",
}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running() as server:
        yield server


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*PRINTED, "media_search.py"}


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.parametrize("by_variable", [True, False], ids=["variable", "argument"])
def test_example_runs(server: ServerProcess, name: str, *, by_variable: bool) -> None:
    result = subprocess.run(
        [sys.executable, EXAMPLES / name, *([] if by_variable else [server.url])],
        env=environment({"EMBEDDINGS_URL": server.url} if by_variable else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(PRINTED[name], result.stdout), result.stdout


def search_media(*arguments: str) -> str:
    """What `examples/media_search.py` prints."""
    result = subprocess.run(
        [sys.executable, EXAMPLES / "media_search.py", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_media_search_finds_pictures_and_moments_by_itself(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    first = [line.partition(" (")[0] for line in search_media("--out", str(out)).splitlines()]
    assert re.fullmatch(
        r"a red circle: drawing-1\.png\na green triangle: drawing-3\.png\n"
        r"a yellow circle: shapes\.(mp4|gif) at 0:00\.0\n"
        r"a red square: shapes\.(mp4|gif) at 0:02\.0\ncontact sheet: .+",
        "\n".join(first),
    )
    with PIL.Image.open(out) as sheet:
        assert sheet.format == "PNG"
        rows = [sheet.getpixel((88, sheet.height * row // 4 + 100)) for row in range(4)]
    assert rows[0] == (255, 0, 0)
    assert rows[1] == (0, 128, 0)
    for pixel, colour in zip(rows[2:], ((255, 255, 0), (255, 0, 0)), strict=True):
        assert all(abs(a - b) < 16 for a, b in zip(pixel, colour, strict=True))


def test_media_search_asks_a_server_about_ones_own_files(
    server: ServerProcess, tmp_path: Path
) -> None:
    folder, video, out = tmp_path / "own", tmp_path / "own.gif", tmp_path / "sheet.png"
    folder.mkdir()
    drawing("a blue square").save(folder / "here.png")
    (folder / "notes.txt").write_text("no picture")
    scenes = [drawing("a red circle"), drawing("a green triangle")]
    scenes[0].save(video, save_all=True, append_images=scenes[1:], duration=2000)
    files = ["--folder", str(folder), "--video", str(video), "--out", str(out)]
    asked = ["--url", server.url, "--query", "a green triangle", "--query", "a blue square"]
    printed = search_media(*files, *asked, "--top", "1", "--every", "0.5").splitlines()
    assert re.fullmatch(r"a green triangle: own\.gif at 0:0\d\.\d \(0\.\d\d\)", printed[0])
    assert re.fullmatch(r"a blue square: here\.png \(0\.\d\d\)", printed[1])
    assert len(printed) == 3
    assert out.is_file()
