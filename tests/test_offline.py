"""The engine without a server, with the bundled model."""

import io
import threading
from collections.abc import Iterator

import numpy as np
import PIL.Image
import pytest

from polyvec.errors import InvalidInputError, NotReadyError
from polyvec.media.policy import MediaPolicy
from polyvec.offline import Embedder
from polyvec.types import FrameSampling

D = 128


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    root = str(tmp_path_factory.getbasetemp())
    with Embedder(media=MediaPolicy(roots=(root,))) as opened:
        yield opened


def encoded(*greys: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    first, *rest = (PIL.Image.new("RGB", (16, 16), (grey, 0, 90)) for grey in greys)
    more = {"save_all": True, "append_images": rest, "duration": 500} if rest else {}
    first.save(file, kind, **more)
    return file.getvalue()


def test_texts_and_pictures_have_vectors_in_one_space(embedder: Embedder) -> None:
    texts = embedder.texts(["a red circle", "a blue square"])
    images = embedder.images([encoded(200), encoded(20), encoded(200)])
    assert texts.shape == (2, D)
    assert images.shape == (3, D)
    np.testing.assert_allclose(np.linalg.norm(np.vstack([texts, images]), axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(images[0], images[2])


def test_a_picture_may_be_encoded_or_in_memory(embedder: Embedder) -> None:
    image = PIL.Image.new("RGB", (16, 16), (200, 0, 90))
    found = embedder.images([encoded(200), image, np.asarray(image)])
    np.testing.assert_allclose(found[1:], found[[0, 0]], atol=1e-6)
    with pytest.raises(TypeError, match=r"images\[1\] must be"):
        embedder.images([image, "a path"])


def test_nothing_gives_no_vectors(embedder: Embedder) -> None:
    assert embedder.texts([]).shape == embedder.images([]).shape == (0, D)


def test_a_long_text_is_cut(embedder: Embedder) -> None:
    assert embedder.texts(["a red circle " * 500]).shape == (1, D)


def test_a_videos_frames_have_vectors_and_times(
    embedder: Embedder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clip = encoded(10, 100, 200, kind="GIF")
    (tmp_path_factory.getbasetemp() / "clip.gif").write_bytes(clip)
    found = embedder.video(clip)
    assert found.vectors.shape == (3, D)
    assert found.timestamps_s.tolist() == [0.0, 0.5, 1.0]
    last = embedder.video("clip.gif", FrameSampling(indexes=(2,)))
    np.testing.assert_allclose(last.vectors[0], found.vectors[2], atol=1e-6)


def test_calls_of_many_threads_are_answered_each_with_its_own(embedder: Embedder) -> None:
    texts = [f"{number} red circles" for number in range(16)]
    alone = embedder.texts(texts)
    found: dict[int, np.ndarray] = {}

    def ask(number: int) -> None:
        found[number] = embedder.texts([texts[number]])[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(np.stack([found[n] for n in range(16)]), alone, atol=1e-6)


def test_what_cannot_be_embedded_is_named(embedder: Embedder) -> None:
    with pytest.raises(InvalidInputError, match=r"images\[1\]"):
        embedder.images([encoded(1), b"no picture"])


def test_a_closed_one_says_so() -> None:
    embedder = Embedder()
    embedder.close()
    embedder.close()
    with pytest.raises(NotReadyError):
        embedder.texts(["a"])
