"""Videos through an engine: a byte of a test video is the grey of one frame, two a second."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from polyvec.engine.engine import Engine
from polyvec.engine.frame_reader import FRAMES_PER_LOT
from polyvec.engine.postprocess import normalized
from polyvec.engine.visual import FoundFrames, embedding_of
from polyvec.errors import InvalidInputError, MediaError, UnsupportedInputError
from polyvec.media.policy import MediaPolicy
from polyvec.types import Bytes, Embedding, File, FrameSampling, FramesManifest, Video
from tests.engine.doubles import (
    BROKEN,
    FakeRunner,
    InProcess,
    ask,
    expected_row,
    make_engine,
    make_model,
    png,
)
from tests.engine.test_engine import entered, held, running, until


def video(*greys: int, segment_s: float | None = None, indexes: tuple[int, ...] = ()) -> Video:
    sampling = FrameSampling(indexes=indexes or None)
    return Video(Bytes(bytes(greys)), sampling, segment_s)


def row_of(grey: int) -> np.ndarray:
    return expected_row(np.full((3, 2, 2), grey / 2, np.float32))


def frames_of(embedding: Embedding) -> tuple[np.ndarray, list[int], list[float]]:
    assert embedding.frames is not None
    frames = embedding.frames
    return frames.vectors, frames.indexes.tolist(), frames.timestamps_s.tolist()


async def test_a_video_has_a_vector_for_each_frame_in_order() -> None:
    async with running() as engine:
        (found,) = await engine.embed(ask(video(10, 20, 30)))
    vectors, indexes, times = frames_of(found)
    np.testing.assert_array_equal(vectors, np.stack([row_of(grey) for grey in (10, 20, 30)]))
    assert (indexes, times) == ([0, 1, 2], [0.0, 0.5, 1.0])
    assert (found.num_tokens, found.segments) == (0, None)


async def test_long_videos_keep_their_order() -> None:
    greys = [(grey * 37) % 250 for grey in range(5 * FRAMES_PER_LOT + 3)]
    async with running(FakeRunner(num_sessions=2)) as engine:
        (found,) = await engine.embed(ask(video(*greys)))
    vectors, indexes, _ = frames_of(found)
    np.testing.assert_array_equal(vectors, np.stack([row_of(grey) for grey in greys]))
    assert indexes == list(range(len(greys)))


async def test_only_the_frames_that_are_asked_for_are_embedded() -> None:
    runner = FakeRunner()
    async with running(runner) as engine:
        (found,) = await engine.embed(ask(video(10, 20, 30, 40, indexes=(1, 3))))
    assert frames_of(found)[1] == [1, 3]
    assert sum(map(len, runner.batches)) == 2


async def test_a_videos_own_vector_is_the_mean_of_its_frames_directions() -> None:
    async with running() as engine:
        (found,) = await engine.embed(ask(video(10, 200)))
    units = normalized(np.stack([row_of(10), row_of(200)]))
    np.testing.assert_allclose(found.vector, normalized(units.mean(axis=0)[None])[0], rtol=1e-6)


async def test_vectors_of_frames_are_cut_and_normalised_like_any_others() -> None:
    async with running() as engine:
        (found,) = await engine.embed(ask(video(10, 20), dimensions=2, normalize=True))
    vectors, _, _ = frames_of(found)
    assert vectors.shape == (2, 2)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert found.vector.shape == (2,)


async def test_segments_have_the_mean_of_their_frames() -> None:
    async with running() as engine:
        (found,) = await engine.embed(ask(video(10, 20, 30, 40, 50, segment_s=1.0)))
    assert found.segments is not None
    assert found.segments.starts_s.tolist() == [0.0, 1.0, 2.0]
    assert found.segments.ends_s.tolist() == [1.0, 2.0, 3.0]
    first = normalized(normalized(np.stack([row_of(10), row_of(20)])).mean(axis=0)[None])[0]
    np.testing.assert_allclose(found.segments.vectors[0], first, rtol=1e-6)


async def test_segments_without_a_frame_are_left_out() -> None:
    async with running() as engine:
        wanted = video(10, 20, 30, 40, 50, segment_s=0.5, indexes=(0, 4))
        (found,) = await engine.embed(ask(wanted))
    assert found.segments is not None
    assert found.segments.starts_s.tolist() == [0.0, 2.0]


async def test_videos_have_dense_vectors_only() -> None:
    towers = {"image": SimpleNamespace(num_vectors=lambda _config: 2)}
    model = make_model(family=SimpleNamespace(name="some", towers=towers))
    engine = make_engine(model=model)
    await engine.start()
    with pytest.raises(UnsupportedInputError, match="dense vectors only") as caught:
        await engine.embed(ask(video(10), outputs=("tokens",)))
    assert caught.value.param == "outputs"
    await engine.close()


async def test_texts_pictures_and_videos_share_a_request() -> None:
    async with running() as engine:
        text, clip = await engine.embed(ask("w10", video(10)))
    assert text.frames is None
    assert text.num_tokens == 3
    assert frames_of(clip)[1] == [0]


async def test_still_scenes_are_computed_once() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        task = asyncio.create_task(engine.embed(ask(video(10, 10, 10, 20))))
        await until(lambda: engine.metrics.joined == 2)
        runner.gate.set()
        (found,) = await task
    assert len(frames_of(found)[0]) == 4
    assert sum(map(len, runner.batches)) == 3  # one of them holds the worker


async def test_a_damaged_video_fails_its_request_and_no_other() -> None:
    decoder = InProcess()
    engine = make_engine(decoder=decoder)
    await engine.start()
    with pytest.raises(MediaError) as caught:
        await engine.embed(ask("w1", video(10, 20, BROKEN)))
    assert (caught.value.param, caught.value.code) == ("input[1]", "invalid_video")
    assert len(await engine.embed(ask(video(10)))) == 1
    await engine.close()
    assert decoder.num_closed == 2


async def test_a_video_without_frames_is_refused() -> None:
    decoder = InProcess()
    engine = make_engine(decoder=decoder)
    await engine.start()
    # Sampling that finds nothing is refused by the decoder; this is the last line.
    decoder.frames = lambda *_args, **_options: iter(())  # type: ignore[method-assign]
    with pytest.raises(MediaError, match="no frames"):
        await engine.embed(ask(video(10)))
    await engine.close()


async def test_decoding_runs_a_few_lots_ahead_and_stops_there() -> None:
    runner, decoder = FakeRunner(), InProcess()
    engine = make_engine(runner, decoder=decoder)
    runner.gate.clear()
    await engine.start()
    task = asyncio.create_task(engine.embed(ask(video(*range(250)))))
    await entered(runner)
    # Two lots in flight, one that is ready.
    await until(lambda: decoder.num_decoded == 3 * FRAMES_PER_LOT)
    for _ in range(100):
        await asyncio.sleep(0)
    assert decoder.num_decoded == 3 * FRAMES_PER_LOT
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.queue_depth == 0
    runner.gate.set()
    await engine.close()
    await until(lambda: decoder.num_closed == 1)
    assert decoder.num_decoded == 3 * FRAMES_PER_LOT


async def test_texts_overtake_the_frames_of_a_video() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        runner.batches.clear()
        clip = asyncio.create_task(engine.embed(ask(video(*range(1, 9)))))
        await until(lambda: engine.queue_depth == FRAMES_PER_LOT)
        text = asyncio.create_task(engine.embed(ask("w10")))
        await until(lambda: engine.queue_depth == FRAMES_PER_LOT + 1)
        runner.gate.set()
        await asyncio.gather(clip, text)
    assert runner.batches[0][0].shape == (3,)


async def test_only_so_many_videos_are_decoded_at_a_time() -> None:
    runner, decoder = FakeRunner(), InProcess()
    engine = make_engine(runner, decoder=decoder, max_videos=1)
    runner.gate.clear()
    await engine.start()
    clips = [video(*range(1, 40)), video(*range(50, 90))]
    task = asyncio.create_task(engine.embed(ask(*clips)))
    await until(lambda: decoder.num_decoded == 3 * FRAMES_PER_LOT)
    for _ in range(100):
        await asyncio.sleep(0)
    assert decoder.num_decoded == 3 * FRAMES_PER_LOT
    runner.gate.set()
    assert [len(frames_of(each)[0]) for each in await task] == [39, 40]
    await engine.close()


# Manifests.


@asynccontextmanager
async def with_folder(folder: Path) -> AsyncIterator[Engine]:
    """An engine that reads files of a folder."""
    engine = make_engine(policy=MediaPolicy(roots=(str(folder),)))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def manifest(folder: Path, **content: object) -> FramesManifest:
    (folder / "frames.json").write_text(json.dumps(content))
    return FramesManifest(File("frames.json"))


def entry(folder: Path, number: int, *, grey: int | None = None) -> dict[str, object]:
    path = folder / f"frame_{number}.png"
    if grey is not None:
        path.write_bytes(png(grey))
    return {
        "frame_number": number,
        "timestamp": number / 10,
        "type": "full_frame",
        "image_path": str(path),
    }


async def test_a_manifest_of_pictures_has_a_vector_for_each(tmp_path: Path) -> None:
    wanted = manifest(tmp_path, frames=[entry(tmp_path, 30, grey=20), entry(tmp_path, 5, grey=10)])
    async with with_folder(tmp_path) as engine:
        (found,) = await engine.embed(ask(wanted))
    vectors, indexes, times = frames_of(found)
    np.testing.assert_array_equal(vectors, np.stack([row_of(20), row_of(10)]))
    assert (indexes, times) == ([30, 5], [3.0, 0.5])


async def test_pictures_that_cannot_be_read_are_told_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "frame_2.png").write_bytes(b"no picture")
    entries = [entry(tmp_path, 1), entry(tmp_path, 2), entry(tmp_path, 3, grey=10)]
    async with with_folder(tmp_path) as engine:
        (found,) = await engine.embed(ask(manifest(tmp_path, frames=entries)))
    assert frames_of(found)[1] == [3]
    assert found.frames is not None
    assert list(found.frames.skipped) == [0, 1]
    assert "no file" in found.frames.skipped[0]


async def test_a_manifest_without_any_readable_picture_is_refused(tmp_path: Path) -> None:
    wanted = manifest(tmp_path, frames=[entry(tmp_path, 1)])
    async with with_folder(tmp_path) as engine:
        with pytest.raises(InvalidInputError, match="No valid frame images found in manifest"):
            await engine.embed(ask(wanted))


async def test_a_manifest_may_not_name_other_places(tmp_path: Path) -> None:
    wanted = manifest(
        tmp_path, frames=[{**entry(tmp_path, 1, grey=10), "image_path": "/etc/hostname"}]
    )
    async with with_folder(tmp_path) as engine:
        with pytest.raises(InvalidInputError, match="Path outside allowed directory: /etc/host"):
            await engine.embed(ask(wanted))


async def test_a_manifest_may_name_frames_of_a_video(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(bytes([10, 20, 30, 40]))
    entries = [entry(tmp_path, 3), entry(tmp_path, 1), entry(tmp_path, 3)]
    wanted = manifest(tmp_path, video_path="clip.mp4", frames=entries)
    async with with_folder(tmp_path) as engine:
        (found,) = await engine.embed(ask(wanted))
    vectors, indexes, _ = frames_of(found)
    np.testing.assert_array_equal(vectors, np.stack([row_of(20), row_of(40)]))
    assert indexes == [1, 3]


def test_a_frame_at_the_end_of_a_segment_is_the_next_ones_first() -> None:
    times_s = [0.0, 0.1, 0.2, 0.3, 0.3999, 0.45]  # 0.3 / 0.1 is less than 3
    rows = [row_of(value) for value in range(1, 7)]
    found = FoundFrames(rows, list(range(6)), times_s, segment_s=0.1)
    segments = embedding_of(found, normalized).segments
    assert segments is not None
    assert segments.starts_s == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
