"""Where inputs are prepared: short texts on the event loop, all else in threads."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from polyvec.engine.options import EngineOptions
from polyvec.engine.prepare import Prepared, Route, num_chars, prepare_image
from polyvec.engine.prepare_text import prepare_texts
from polyvec.media.policy import MediaPolicy
from polyvec.media.source import read_source
from polyvec.models._model import Model
from polyvec.types import EmbedRequest, Image, Input, Url


class PreparePool:
    """Threads that prepare the inputs of one model.

    Downloads have threads of their own, so that a slow web server holds up no other input.
    """

    def __init__(self, model: Model, options: EngineOptions, policy: MediaPolicy) -> None:
        self._model = model
        self._options = options
        self._policy = policy
        self._workers = ThreadPoolExecutor(options.prepare_threads, "polyvec-prepare")
        self._fetchers = ThreadPoolExecutor(options.fetch_threads, "polyvec-fetch")

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
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    async def image(self, item: Input, *, salt: str) -> Prepared:
        """Read, decode and transform the picture of an input.

        Raises:
            MediaError: It cannot be read or decoded.
            InvalidInputError: Its source is not allowed.
        """
        loop = asyncio.get_running_loop()
        if _is_remote(item):
            data = await loop.run_in_executor(self._fetchers, partial(self._read, item))
            return await loop.run_in_executor(
                self._workers, partial(self._decode, data, item.param, salt)
            )
        return await loop.run_in_executor(self._workers, partial(self._read_and_decode, item, salt))

    def close(self) -> None:
        """Let the threads end once their work is done; does not wait for it."""
        self._workers.shutdown(wait=False)
        self._fetchers.shutdown(wait=False)

    def _read(self, item: Input) -> bytes:
        part = item.parts[0]
        if not isinstance(part, Image):
            raise TypeError(f"{item.param} is not a picture")
        return read_source(part.source, self._policy, param=item.param)

    def _decode(self, data: bytes, param: str, salt: str) -> Prepared:
        rules = self._model.image
        if rules is None:
            raise TypeError("the model has no image tower")
        return prepare_image(data, rules, self._policy, param=param, salt=salt)

    def _read_and_decode(self, item: Input, salt: str) -> Prepared:
        return self._decode(self._read(item), item.param, salt)


def _is_remote(item: Input) -> bool:
    part = item.parts[0]
    return isinstance(part, Image) and isinstance(part.source, Url)
