"""Find pictures and moments of a video by words; the best go on a contact sheet.

    python examples/media_search.py
    python examples/media_search.py --folder photos --video clip.mp4 --query "a dog" --out dogs.png

The model runs in this process (--model), or in a server (--url). Without --folder and --video there
are a few drawings and a short video, which the bundled model understands. Videos other than GIFs
need `pip install 'polyvec[video]'`.
"""

import argparse
import base64
import json
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from polyvec.offline import Embedder
from polyvec.types import FrameSampling

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
TILE, LINE = 160, 18
Vectors = NDArray[np.float32]


# Two ways to the vectors: the model in this process, or a server.


class Model(Protocol):
    """Unit-length vectors of what is searched, and of what it is searched by."""

    def texts(self, texts: Sequence[str]) -> Vectors:
        """One row for each text."""

    def images(self, paths: Sequence[Path]) -> Vectors:
        """One row for each picture."""

    def video(self, path: Path, every_s: float) -> tuple[Vectors, list[int], list[float]]:
        """Rows, numbers and seconds of a video's frames, one frame for every so many seconds."""


class Local:
    """The model runs here."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def texts(self, texts: Sequence[str]) -> Vectors:
        """One row for each text."""
        return self._embedder.texts(texts, normalize=True)

    def images(self, paths: Sequence[Path]) -> Vectors:
        """One row for each picture."""
        return self._embedder.images([path.read_bytes() for path in paths], normalize=True)

    def video(self, path: Path, every_s: float) -> tuple[Vectors, list[int], list[float]]:
        """Rows, numbers and seconds of a video's frames."""
        found = self._embedder.video(path.read_bytes(), FrameSampling(fps=1 / every_s))
        return found.vectors, found.indexes.tolist(), found.timestamps_s.tolist()


class Remote:
    """A server is asked, by `POST /embeddings`."""

    def __init__(self, url: str) -> None:
        self._url = url
        with urllib.request.urlopen(f"{url}/model/current", timeout=30) as answer:
            self._name = json.load(answer)["model"]

    def texts(self, texts: Sequence[str]) -> Vectors:
        """One row for each text."""
        return np.array(self._ask({"type": "text", "text": texts})["embedding"], np.float32)

    def images(self, paths: Sequence[Path]) -> Vectors:
        """One row for each picture."""
        inputs = [{"type": "image_base64", "image_base64": _base64(path)} for path in paths]
        return np.array([self._ask(value)["embedding"] for value in inputs], np.float32)

    def video(self, path: Path, every_s: float) -> tuple[Vectors, list[int], list[float]]:
        """Rows, numbers and seconds of a video's frames."""
        value = {
            "type": "video_base64",
            "video_base64": _base64(path),
            "segment_config": {"extraction_fps": 1 / every_s},
        }
        found = self._ask(value, include=["frames"])
        indexes = [frame["index"] for frame in found["frames"]]
        seconds = [frame["timestamp"] for frame in found["frames"]]
        return np.array(found["embedding"], np.float32), indexes, seconds

    def _ask(self, value: dict[str, Any], **more: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._url}/embeddings",
            data=json.dumps({"model": self._name, "input": value, **more}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@contextmanager
def opened(model: str, url: str | None) -> Iterator[Model]:
    """The server where there is a URL, else the model."""
    if url is not None:
        yield Remote(url.rstrip("/"))
        return
    with Embedder(model) as embedder:
        yield Local(embedder)


# The index: what can be found, and a vector for each.


@dataclass(frozen=True)
class Item:
    """A picture, or a frame of a video."""

    path: Path
    frame: int | None = None
    second: float = 0.0

    @property
    def time(self) -> str:
        """When in the video; empty for a picture."""
        minutes, seconds = divmod(self.second, 60)
        return "" if self.frame is None else f"at {minutes:.0f}:{seconds:04.1f}"

    def picture(self) -> Image.Image:
        """It, to look at."""
        if self.frame is None or self.path.suffix.lower() == ".gif":
            image = Image.open(self.path)
            image.seek(self.frame or 0)
            return ImageOps.exif_transpose(image).convert("RGB")
        import av

        with av.open(str(self.path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index == self.frame:
                    return frame.to_image()
        raise ValueError(f"{self.path.name} has no frame {self.frame}")


def index(
    model: Model, folder: Path | None, video: Path | None, every_s: float
) -> tuple[list[Item], Vectors]:
    """Everything that can be found, and the vector of each."""
    items: list[Item] = []
    vectors: list[Vectors] = []
    if folder is not None:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        items += [Item(path) for path in paths]
        vectors += [model.images(paths)] if paths else []
    if video is not None:
        rows, numbers, seconds = model.video(video, every_s)
        items += [Item(video, *frame) for frame in zip(numbers, seconds, strict=True)]
        vectors.append(rows)
    if not items:
        raise SystemExit("there is nothing to search in")
    return items, np.concatenate(vectors)


Hits = list[tuple[float, Item]]


def search(query: Vectors, items: Sequence[Item], vectors: Vectors, top: int) -> Hits:
    """The items nearest to a query, with their cosines."""
    scores = vectors @ query
    best = np.argsort(-scores, kind="stable")[:top]
    return [(float(scores[number]), items[number]) for number in best]


def contact_sheet(found: dict[str, Hits]) -> Image.Image:
    """A row for each query: its words, and thumbnails with names and scores below."""
    columns = max(len(hits) for hits in found.values())
    height = TILE + 4 * LINE
    sheet = Image.new("RGB", (columns * (TILE + 8) + 8, len(found) * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for row, (query, hits) in enumerate(found.items()):
        draw.text((8, row * height + 2), query, "black", ImageFont.load_default(size=15))
        for column, (score, item) in enumerate(hits):
            x, y = 8 + column * (TILE + 8), row * height + LINE + 4
            sheet.paste(ImageOps.pad(item.picture(), (TILE, TILE), color="gainsboro"), (x, y))
            caption = f"{item.path.name}\n{score:.2f}  {item.time}"
            draw.text((x, y + TILE + 2), caption, "dimgray", font)
    return sheet


# Something to search in, for who has nothing at hand.

DRAWINGS = ("red circle", "blue square", "green triangle", "purple square", "black circle")
SCENES = ("yellow circle", "blue triangle", "red square", "green circle")
QUERIES = ("a red circle", "a green triangle", "a yellow circle", "a red square")
FPS = 10


def drawing(name: str, shift: int = 0) -> Image.Image:
    """A shape in a colour, such as "red circle", a little to the right of the middle."""
    colour, shape = name.split()
    picture = Image.new("RGB", (256, 256), "white")
    left, top, right, bottom = 60 + shift, 60, 196 + shift, 196
    draw = ImageDraw.Draw(picture)
    if shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=colour)
    elif shape == "square":
        draw.rectangle((left, top, right, bottom), fill=colour)
    else:
        draw.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=colour)
    return picture


def make_examples(folder: Path) -> Path:
    """Put drawings into a folder, and a video beside it, whose path is the answer."""
    folder.mkdir()
    for number, name in enumerate(DRAWINGS, start=1):
        drawing(name).save(folder / f"drawing-{number}.png")
    frames = [drawing(name, 2 * step) for name in SCENES for step in range(FPS)]
    if find_spec("av") is None:
        path = folder.parent / "shapes.gif"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // FPS)
        return path
    import av

    path = folder.parent / "shapes.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", FPS)
        stream.width, stream.height, stream.bit_rate = 256, 256, 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())
    return path


def main() -> None:
    """Index, search, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="of pictures")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--query", action="append", help="may be given several times")
    parser.add_argument("--out", type=Path, default=Path("contact_sheet.png"))
    parser.add_argument("--top", type=int, default=4, help="hits for each query")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between frames")
    parser.add_argument("--model", default="polyvec-demo", help="folder, hub id or alias")
    parser.add_argument("--url", help="of a server, such as http://127.0.0.1:8000")
    given = parser.parse_args()
    queries = given.query or list(QUERIES)
    with tempfile.TemporaryDirectory() as scratch, opened(given.model, given.url) as model:
        folder, video = given.folder, given.video
        if folder is None and video is None:
            folder = Path(scratch) / "drawings"
            video = make_examples(folder)
        items, vectors = index(model, folder, video, given.every)
        wanted = zip(queries, model.texts(queries), strict=True)
        found = {query: search(row, items, vectors, given.top) for query, row in wanted}
        contact_sheet(found).save(given.out)
    for query, hits in found.items():
        shown = (
            f"{item.path.name} {item.time}".strip() + f" ({score:.2f})" for score, item in hits
        )
        print(f"{query}:", ", ".join(shown))
    print("contact sheet:", given.out)


if __name__ == "__main__":
    main()
