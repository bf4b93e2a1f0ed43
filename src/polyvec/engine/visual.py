"""Pictures and videos in an engine: decoded while others run, and bounded in memory."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from polyvec.engine.flights import Found
from polyvec.engine.frame_reader import PreparedFrame
from polyvec.engine.options import EngineOptions
from polyvec.engine.pool import PreparePool
from polyvec.engine.postprocess import normalized
from polyvec.engine.prepare import PLAIN_IMAGE, Prepared, Route
from polyvec.engine.scheduler import BULK_PRIORITY
from polyvec.errors import InvalidInputError, MediaError
from polyvec.media.manifest import ManifestPicture
from polyvec.types import (
    Embedding,
    EmbedRequest,
    File,
    Float32Array,
    FrameSampling,
    FramesManifest,
    FrameVectors,
    Image,
    Input,
    SegmentVectors,
    Video,
)

Find = Callable[[Sequence[str], Sequence[Prepared], int], Awaitable[list[Found]]]
"""Names of inputs for messages, the inputs, their priority → their results."""

_MAX_LOTS_IN_FLIGHT = 2
"""While one lot of frames ends, the next one has begun."""

_CLOCK_S = 5e-4
"""Containers count thousandths of a second: a frame this near to the next segment is its first."""


@dataclass(slots=True)
class FoundFrames:
    """A video's rows as the model gives them, in the video's order.

    Attributes:
        rows: One (D,) for each frame.
        indexes: Its place in the video.
        timestamps_s: Its time.
        skipped: Entries of a manifest that have no row, and why.
        segment_s: As the video's input says.
    """

    rows: list[Float32Array] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    timestamps_s: list[float] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)
    segment_s: float | None = None

    def add(self, row: Found, index: int, timestamp_s: float) -> None:
        """Append a frame."""
        if not isinstance(row, np.ndarray):
            raise TypeError("a frame has its dense row only")
        self.rows.append(row)
        self.indexes.append(index)
        self.timestamps_s.append(timestamp_s)


class Visuals:
    """Prepares what is not text and has it embedded.

    Args:
        pool: Decodes.
        options: Bounds what is in memory.
        find: Embeds.
    """

    def __init__(self, pool: PreparePool, options: EngineOptions, find: Find) -> None:
        self._pool = pool
        self._find = find
        self._decoded = asyncio.Semaphore(options.max_decoded_images)
        self._videos = asyncio.Semaphore(options.max_videos)

    async def picture(self, request: EmbedRequest, item: Input, route: Route) -> Found:
        """The result of one picture."""
        part = item.parts[0]
        if not isinstance(part, Image):
            raise TypeError(f"{item.param} is no picture")
        return await self._picture(request, part, item.param, route, request.priority)

    async def _picture(
        self, request: EmbedRequest, image: Image, param: str, route: Route, priority: int
    ) -> Found:
        # Holds the slot until the vector is there, which bounds decoded pictures in memory.
        async with self._decoded:
            prepared = await self._pool.image(
                image.source, route, param=param, salt=request.cache_salt
            )
            (found,) = await self._find([param], [prepared], priority)
            return found

    async def video(self, request: EmbedRequest, item: Input) -> FoundFrames:
        """The results of a video, or of a manifest of frames."""
        part = item.parts[0]
        if isinstance(part, FramesManifest):
            manifest = await self._pool.manifest(part.source, param=item.param)
            if manifest.pictures:
                return await self._pictures(request, manifest.pictures, item.param)
            sampling = FrameSampling(indexes=manifest.frame_numbers)
            part = Video(File(manifest.video_path or ""), sampling)
        if not isinstance(part, Video):
            raise TypeError(f"{item.param} is no video")
        async with self._videos:
            return await self._frames(request, part, item.param)

    async def _frames(self, request: EmbedRequest, video: Video, param: str) -> FoundFrames:
        encoded = await self._pool.video(video.source, param=param)
        lots = self._pool.frames(encoded, video.sampling, param=param, salt=request.cache_salt)
        found = FoundFrames(segment_s=video.segment_s)
        async with aclosing(lots), aclosing(self._embedded(request, lots, param)) as results:
            async for lot, rows in results:
                for frame, row in zip(lot, rows, strict=True):
                    found.add(row, frame.index, frame.timestamp_s)
        if not found.rows:
            raise MediaError(f"{param}: the video has no frames", param=param, code="invalid_video")
        return found

    async def _embedded(
        self, request: EmbedRequest, lots: AsyncIterator[list[PreparedFrame]], param: str
    ) -> AsyncGenerator[tuple[list[PreparedFrame], list[Found]], None]:
        """Every lot with its results, in order; a new one begins before the last one has ended."""
        priority = request.priority + BULK_PRIORITY
        running: deque[tuple[list[PreparedFrame], asyncio.Task[list[Found]]]] = deque()
        try:
            async for lot in lots:
                names = [param] * len(lot)
                work = self._find(names, [frame.prepared for frame in lot], priority)
                running.append((lot, asyncio.ensure_future(work)))
                if len(running) == _MAX_LOTS_IN_FLIGHT:
                    first, task = running.popleft()
                    yield first, await task
            while running:
                first, task = running.popleft()
                yield first, await task
        finally:
            tasks = [task for _, task in running]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # Manifests.

    async def _pictures(
        self, request: EmbedRequest, pictures: Sequence[ManifestPicture], param: str
    ) -> FoundFrames:
        """Results of the pictures that a manifest lists; those that cannot be read are reported."""
        priority = request.priority + BULK_PRIORITY

        async def one(number: int, picture: ManifestPicture) -> Found | MediaError:
            image, name = Image(File(picture.path)), f"{param}[{number}]"
            try:
                return await self._picture(request, image, name, PLAIN_IMAGE, priority)
            except MediaError as error:
                return error

        tasks = [asyncio.ensure_future(one(*entry)) for entry in enumerate(pictures)]
        try:
            results = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        found = FoundFrames()
        for number, (picture, result) in enumerate(zip(pictures, results, strict=True)):
            if isinstance(result, MediaError):
                found.skipped[number] = result.message
            else:
                found.add(result, picture.frame_number, picture.timestamp_s)
        if not found.rows:
            raise InvalidInputError("No valid frame images found in manifest", param=param)
        return found


def embedding_of(found: FoundFrames, finish: Callable[[Float32Array], Float32Array]) -> Embedding:
    """What a caller gets of a video.

    Args:
        found: Its frames as the model gave them.
        finish: Rows (F, D) → vectors as the request wants them.
    """
    vectors = finish(np.stack(found.rows))
    timestamps_s = np.array(found.timestamps_s, np.float64)
    frames = FrameVectors(vectors, np.array(found.indexes, np.int64), timestamps_s, found.skipped)
    segments = None
    if found.segment_s is not None:
        segments = _segments(vectors, timestamps_s, found.segment_s)
    return Embedding(_mean(vectors), 0, frames=frames, segments=segments)


def _mean(vectors: Float32Array) -> Float32Array:
    """Mean of the directions of (F, D), as a unit vector (D,)."""
    mean = normalized(vectors).mean(axis=0, dtype=np.float64).astype(np.float32)
    unit: Float32Array = normalized(mean[None])[0]
    return unit


def _segments(
    vectors: Float32Array, timestamps_s: NDArray[np.float64], length_s: float
) -> SegmentVectors:
    numbers = np.floor((timestamps_s + _CLOCK_S) / length_s)
    present: NDArray[np.float64] = np.unique(numbers)
    means = np.stack([_mean(vectors[numbers == number]) for number in present])
    starts_s: NDArray[np.float64] = present * length_s
    ends_s: NDArray[np.float64] = starts_s + length_s
    return SegmentVectors(means, starts_s, ends_s)
