"""One model: prepare → cache → schedule → run → postprocess.

Everything here runs on the event loop; batches run in one thread per session. A worker that is
free takes what waits, so a lone request never waits for company, and under load batches fill by
themselves.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import cast

import numpy as np

from polyvec.backends._base import Runner
from polyvec.engine.admission import Admission
from polyvec.engine.cache import VectorCache
from polyvec.engine.decoding import Decoder
from polyvec.engine.finishing import finished
from polyvec.engine.flights import Ask, Failure, Flight, Flights, Found
from polyvec.engine.metrics import EngineMetrics
from polyvec.engine.options import EngineOptions
from polyvec.engine.outputs import nothing_of
from polyvec.engine.parts import embed_split, split
from polyvec.engine.pool import PreparePool
from polyvec.engine.postprocess import check_dimensions
from polyvec.engine.prepare import (
    Kind,
    Prepared,
    Route,
    image_route_of,
    kinds_of,
    num_pictures,
    route_of,
)
from polyvec.engine.prompts import MAX_ECHOED_CHARS, prompt_of
from polyvec.engine.scheduler import Scheduler
from polyvec.engine.visual import FoundFrames, Visuals
from polyvec.engine.work_queue import WorkQueue
from polyvec.engine.worker import BatchReport, Worker, inference_failed
from polyvec.errors import (
    InvalidInputError,
    NotReadyError,
    OverloadedError,
    PolyvecError,
    UnsupportedInputError,
)
from polyvec.media.policy import MediaPolicy
from polyvec.models._model import Model
from polyvec.types import Embedding, EmbedRequest

logger = logging.getLogger(__name__)


class Engine:
    """Embeds the inputs of many requests with one loaded model.

    Args:
        model: What to prepare inputs for.
        runner: The same model, loaded and warm; the engine closes it.
        options: Limits and habits.
        policy: Which pictures and videos are accepted, and from where.
        decoder: Decodes them; several engines may share it, so it is not closed.
        name: What callers call the model; the checkpoint's name by default.

    Attributes:
        model: As given.
        name: As given.
        options: As given.
        metrics: What it has done so far.
    """

    def __init__(
        self,
        model: Model,
        runner: Runner,
        options: EngineOptions,
        policy: MediaPolicy,
        decoder: Decoder,
        *,
        name: str | None = None,
    ) -> None:
        self.model = model
        self.name = name or model.checkpoint.rstrip("/").rpartition("/")[2]
        self.metrics = EngineMetrics()
        self._runner = runner
        self.options = options
        self._pool = PreparePool(model, options, policy, decoder)
        self._visuals = Visuals(self._pool, options, self._found)
        self._cache = VectorCache(options.cache_bytes)
        self._flights = Flights()
        self._queue = WorkQueue(
            Scheduler(
                max_batch_tokens=options.max_batch_tokens,
                max_passed_over_batches=options.max_passed_over_batches,
            ),
            num_workers=runner.num_sessions,
        )
        self._admission = Admission(options.max_queue_tokens)
        self._threads: list[Thread] = []
        self._num_alive = 0
        self._num_active = 0
        self._is_closing = False
        self._changed = asyncio.Event()

    @property
    def queue_depth(self) -> int:
        """Inputs that wait for a worker."""
        return len(self._queue)

    def is_ready(self) -> bool:
        """True between start and close, as long as a worker lives."""
        return self._num_alive > 0 and not self._is_closing

    async def start(self) -> None:
        """Start the workers; the running event loop becomes the engine's."""
        self._loop = asyncio.get_running_loop()
        for number in range(self._runner.num_sessions):
            worker = Worker(
                self._runner.session(),
                self._queue,
                model=self.model,
                report=partial(self._call_on_loop, self._on_report),
                leave=partial(self._call_on_loop, self._on_leave),
            )
            self._threads.append(
                Thread(target=worker.serve, name=f"polyvec-worker-{number}", daemon=True)
            )
        self._num_alive = len(self._threads)
        for thread in self._threads:
            thread.start()

    async def close(self, *, drain: bool = True) -> None:
        """Stop. May be called again, to stop waiting for a drain.

        Args:
            drain: Whether accepted requests are finished first; otherwise they fail.
        """
        self._is_closing = True
        if drain:
            await self._until(lambda: self._num_active == 0)
        else:
            self._drop_all(lambda _: _closing())
        self._queue.close()
        await self._until(lambda: self._num_alive == 0)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._pool.close()
        self._runner.close()

    async def embed(self, request: EmbedRequest) -> list[Embedding]:
        """Embed all inputs of a request, in order, or fail with the first error.

        Raises:
            InvalidInputError: An input cannot be embedded.
            OverloadedError: The queue is full.
            NotReadyError: Not started, or closing.
            InferenceError: The runtime failed.
        """
        if not self.is_ready():
            raise _closing()
        self.metrics.requests += 1
        self.metrics.inputs += len(request.inputs)
        self._num_active += 1
        try:
            return await self._embed(request)
        except asyncio.CancelledError:
            self.metrics.cancelled += 1
            raise
        except OverloadedError:
            self.metrics.rejected += 1
            raise
        except PolyvecError:
            self.metrics.failed += 1
            raise
        finally:
            self._num_active -= 1
            self._changed.set()

    async def _embed(self, request: EmbedRequest) -> list[Embedding]:
        self._check(request)
        found = split(request, self.model, self.options, self.name)
        if found is None:
            return await self._embed_each(request)
        self._check_count(found.num_inputs)
        return await embed_split(found, self.model, self._embed_each)

    async def _embed_each(self, request: EmbedRequest) -> list[Embedding]:
        """Embed inputs of one part each."""
        kinds = kinds_of(request, self.model, self.name)
        texts = [i for i, kind in enumerate(kinds) if kind == "text"]
        route = self._route(request, texts=bool(texts))
        prepared = await self._pool.texts(request, [request.inputs[i] for i in texts], route)
        cost = sum(item.cost for item in prepared) + self._visual_cost(request)
        num_tokens = [0] * len(kinds)
        for i, item in zip(texts, prepared, strict=True):
            num_tokens[i] = item.num_tokens
        found: Sequence[Found | FoundFrames]
        with self._admission.admit(cost, tokens_per_s=self._tokens_per_s()):
            if len(texts) < len(kinds):
                found = await self._mixed(request, kinds, prepared)
            else:
                names = [item.param for item in request.inputs]
                found = await self._found(names, prepared, request.priority)
        self.metrics.tokens += sum(num_tokens)
        return finished(self.model, request, found, num_tokens)

    def _route(self, request: EmbedRequest, *, texts: bool) -> Route:
        if texts:
            return route_of(request, self.model)
        return image_route_of(request, self.model)

    def _check(self, request: EmbedRequest) -> None:
        """What can be refused before any work."""
        self._check_count(len(request.inputs))
        name = request.model or self.name
        native = self.model.dimensions
        any_length = tuple(range(1, native)) if request.any_dimensions else ()
        check_dimensions(
            request.dimensions,
            native=native,
            matryoshka=any_length or self.model.matryoshka,
            model=name[:MAX_ECHOED_CHARS],
        )
        prompt_of(request, self.model.text)

    def _check_count(self, num_inputs: int) -> None:
        limit = self.options.max_inputs_per_request
        if not 0 < num_inputs <= limit:
            raise InvalidInputError(
                f"the request has {num_inputs} inputs; 1 to {limit} are allowed", param="input"
            )

    def _visual_cost(self, request: EmbedRequest) -> int:
        """Patches of all pictures, and of as many frames as videos are expected to give."""
        if self.model.image is None:
            return 0
        parts = [part for item in request.inputs for part in item.parts]
        return self.model.image.num_patches * sum(map(num_pictures, parts))

    def _tokens_per_s(self) -> float:
        return self.metrics.tokens_per_s * self._num_alive

    async def _mixed(
        self,
        request: EmbedRequest,
        kinds: Sequence[Kind],
        prepared: Sequence[Prepared],
    ) -> list[Found | FoundFrames]:
        """Results of a request with pictures or videos: texts together, the rest one by one."""
        found: dict[int, Found | FoundFrames] = {}
        image_route = image_route_of(request, self.model)
        if "video" in kinds and not image_route.is_plain:
            raise UnsupportedInputError("videos have dense vectors only", param="outputs")
        texts = [index for index, kind in enumerate(kinds) if kind == "text"]

        async def fill_texts() -> None:
            names = [request.inputs[index].param for index in texts]
            results = await self._found(names, prepared, request.priority)
            found.update(zip(texts, results, strict=True))

        async def fill(index: int, kind: Kind) -> None:
            item = request.inputs[index]
            if kind == "video":
                found[index] = await self._visuals.video(request, item)
            else:
                found[index] = await self._visuals.picture(request, item, image_route)

        work = [fill(index, kind) for index, kind in enumerate(kinds) if kind != "text"]
        if texts:
            work.append(fill_texts())
        await _all_or_first_error([asyncio.ensure_future(each) for each in work])
        return [found[index] for index in range(len(kinds))]

    async def _found(
        self, names: Sequence[str], prepared: Sequence[Prepared], priority: int
    ) -> list[Found]:
        """Results as the model gives them, from the cache, another's flight, or a new one."""
        if self._num_alive == 0:
            raise _closing()
        ask = Ask(names, self._loop)
        started = self._board(ask, prepared, priority)
        if started:
            self._queue.put(started)
        try:
            if ask.num_missing:
                await ask.done
        finally:
            if ask.num_missing:
                for flight in self._queue.withdraw(self._flights.leave(ask)):
                    self._flights.forget(flight)
        return cast("list[Found]", ask.found)  # all have landed

    def _board(self, ask: Ask, prepared: Sequence[Prepared], priority: int) -> list[Flight]:
        """Find each input a vector or a flight; answers the flights that are new."""
        started = []
        now_s = time.monotonic()
        for index, item in enumerate(prepared):
            if not len(item.array):  # a static model's empty text
                ask.land(index, nothing_of(self.model, item.route))
                continue
            vector = self._cache.get(item.key)
            if vector is not None:
                self.metrics.cache_hits += 1
                ask.land(index, vector)
                continue
            flight = self._flights.find(item.key)
            if flight is None:
                flight = self._flights.start(item, priority=priority, now_s=now_s)
                started.append(flight)
            else:
                self.metrics.joined += 1
                if priority < flight.priority:
                    self._queue.hurry(flight, priority)
            flight.board(ask, index)
        return started

    def _on_report(self, report: BatchReport) -> None:
        """A batch has run."""
        self.metrics.count_batch(tokens=report.tokens, wait_s=report.wait_s, run_s=report.run_s)
        for flight, result in zip(report.flights, report.results, strict=True):
            if callable(result):
                self.metrics.lost_inputs += 1
            elif isinstance(result, np.ndarray):
                self._cache.put(flight.prepared.key, result)
            self._flights.land(flight, result)

    def _on_leave(self, unreported: Sequence[Flight]) -> None:
        """A worker thread has ended; without the last one nothing would ever land."""
        self._num_alive -= 1
        if unreported:
            logger.critical("a worker thread died; %d left", self._num_alive)
        for flight in unreported:
            self._flights.land(flight, inference_failed)
        if self._num_alive == 0:
            self._drop_all(inference_failed)
        self._changed.set()

    def _drop_all(self, failure: Failure) -> None:
        waiting = self._flights.all()
        self._queue.withdraw(waiting)
        for flight in waiting:
            self._flights.land(flight, failure)

    def _call_on_loop(self, callback: Callable[..., None], value: object) -> None:
        """From a worker: one wake-up of the loop per batch."""
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(callback, value)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


async def _all_or_first_error(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all; the first error, or being cancelled, ends the others."""
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _closing() -> NotReadyError:
    return NotReadyError("the model is not ready, or the server is shutting down")
