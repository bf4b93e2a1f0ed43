"""Where inputs are prepared: short texts on the event loop, all else in threads."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from polyvec.engine.cache import content_key
from polyvec.engine.decoding import Decoder
from polyvec.engine.frame_reader import FrameReader, PreparedFrame
from polyvec.engine.options import EngineOptions
from polyvec.engine.prepare import Prepared, Route, num_chars, prepare_picture
from polyvec.engine.prepare_text import prepare_texts
from polyvec.media.files import check_place
from polyvec.media.manifest import Manifest, read_manifest
from polyvec.media.policy import MediaPolicy
from polyvec.media.rgb import RgbArray
from polyvec.media.source import Encoded, open_source
from polyvec.models._model import ImageRules, Model
from polyvec.types import EmbedRequest, FrameSampling, Input, Pixels, Source, Url

T = TypeVar("T")


class PreparePool:
    """Threads that prepare the inputs of one model.

    Downloads have threads of their own, so that a slow web server holds up no other input, and so
    have videos.
    """

    def __init__(
        self, model: Model, options: EngineOptions, policy: MediaPolicy, decoder: Decoder
    ) -> None:
        self._model = model
        self._options = options
        self._policy = policy
        self._decoder = decoder
        self._workers = ThreadPoolExecutor(options.prepare_threads, "polyvec-prepare")
        self._fetchers = ThreadPoolExecutor(options.fetch_threads, "polyvec-fetch")
        self._videos = ThreadPoolExecutor(options.max_videos, "polyvec-video")

    async def texts(
        self, request: EmbedRequest, inputs: Sequence[Input], route: Route
    ) -> list[Prepared]:
        """Prepare the texts of a request; see `prepare_texts`."""
        rules = self._model.text
        if rules is None or not inputs:
            return []
        if num_chars(inputs) <= self._options.max_inline_chars:
            return prepare_texts(request, inputs, rules, self._options, route)
        work = partial(prepare_texts, request, inputs, rules, self._options, route)
        return await _in(self._workers, work)

    async def image(
        self, source: Source | Pixels, route: Route, *, param: str, salt: str
    ) -> Prepared:
        """Read, decode and transform a picture.

        Raises:
            MediaError: It cannot be read or decoded.
            InvalidInputError: Its source is not allowed.
        """
        if isinstance(source, Pixels):
            return await _in(self._workers, partial(self._fitted, source.rgb, route, salt))
        open_ = partial(open_source, source, self._policy, kind="image", param=param)
        decode = partial(self._decoded, route=route, param=param, salt=salt)
        if isinstance(source, Url):
            data = await _in(self._fetchers, open_)
            return await _in(self._workers, partial(decode, data))
        return await _in(self._workers, lambda: decode(open_()))

    async def video(self, source: Source, *, param: str) -> Encoded:
        """Open a video; whoever calls this closes it.

        Raises:
            MediaError: It cannot be had.
            InvalidInputError: Its source is not allowed.
        """
        open_ = partial(open_source, source, self._policy, kind="video", param=param)
        return await _in(self._threads_for(source), open_)

    async def manifest(self, source: Source, *, param: str) -> Manifest:
        """Read a manifest of frames.

        Raises:
            MediaError: It cannot be had.
            InvalidInputError: Its source is not allowed, or it is none.
        """
        policy = self._policy

        def read() -> Manifest:
            data = open_source(source, policy, kind="manifest", param=param)
            manifest = read_manifest(data, max_frames=policy.max_frames, param=param)
            for picture in manifest.pictures:
                check_place(picture.path, policy, param=param)
            return manifest

        return await _in(self._threads_for(source), read)

    async def frames(
        self, encoded: Encoded, sampling: FrameSampling, *, param: str, salt: str
    ) -> AsyncGenerator[list[PreparedFrame], None]:
        """Decode a video's frames, a few at a time, one lot ahead of who takes them.

        Closing the generator ends the decoding, and closes the file as soon as it has ended.

        Raises:
            MediaError: The video cannot be decoded.
            InvalidInputError: It has none of the wanted frames.
        """
        rules = self._rules()
        found = self._decoder.frames(encoded, sampling, rules.transform, param=param)
        reader = FrameReader(encoded, found, rules, salt=salt)
        loop = asyncio.get_running_loop()
        ahead = loop.run_in_executor(self._videos, reader.read)
        try:
            while lot := await asyncio.shield(ahead):
                ahead = loop.run_in_executor(self._videos, reader.read)
                yield lot
        finally:
            reader.stop()
            ahead.cancel()
            ahead.add_done_callback(_forget)
            loop.run_in_executor(self._videos, reader.close)

    def close(self) -> None:
        """Let the threads end once their work is done; does not wait for it."""
        for threads in (self._workers, self._fetchers, self._videos):
            threads.shutdown(wait=False)

    def _threads_for(self, source: Source) -> ThreadPoolExecutor:
        return self._fetchers if isinstance(source, Url) else self._workers

    def _decoded(self, data: bytes, route: Route, param: str, salt: str) -> Prepared:
        rules = self._rules()
        pixels = self._decoder.image(data, rules.transform, param=param)
        key = content_key("image", data, salt=salt, route=route.name)
        return prepare_picture(pixels, rules, key, route)

    def _fitted(self, rgb: RgbArray, route: Route, salt: str) -> Prepared:
        rules = self._rules()
        pixels = rules.transform.fitted(rgb)
        content = f"{rgb.shape}".encode() + rgb.tobytes()
        key = content_key("image", content, salt=salt, route=f"pixels {route.name}")
        return prepare_picture(pixels, rules, key, route)

    def _rules(self) -> ImageRules:
        rules = self._model.image
        if rules is None:
            raise TypeError("the model has no image tower")
        return rules


async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def _forget(future: "asyncio.Future[Any]") -> None:
    """Whatever came of it, nobody waits for it any more."""
    if not future.cancelled():
        future.exception()
