"""Encoded pictures and videos → pixels, in processes that may die of them."""

import logging
import os
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from polyvec.errors import InferenceError
from polyvec.media._decoder_answers import Task, frame_of, refusal_of
from polyvec.media._decoder_pool import Pool, closing
from polyvec.media._decoder_wire import Message, WireError, pixels_of, transform_text
from polyvec.media._decoder_worker import Worker, WorkerLostError
from polyvec.media.decoder_options import DecoderOptions
from polyvec.media.encoded import Encoded
from polyvec.media.frame import Frame
from polyvec.media.policy import MediaPolicy
from polyvec.media.rgb import RgbArray
from polyvec.media.transform import ImageTransform
from polyvec.types import FrameSampling

_log = logging.getLogger(__name__)
_MIN_IMAGE_PROCESSES = 2
_MAX_IMAGE_PROCESSES = 8


@dataclass(frozen=True, slots=True)
class DecoderStats:
    """What has become of the decoding processes so far.

    Attributes:
        started: Processes in all.
        died: Ended by themselves, or said something that is no answer.
        timed_out: Ended because a picture or a video took too long.
    """

    started: int = 0
    died: int = 0
    timed_out: int = 0


class Decoders:
    """Decodes in processes of its own: a file that kills or stalls one fails alone.

    Safe to call from several threads; every call blocks. Processes start when they are first
    needed, and are replaced when they die, take too long, or have done their share of jobs.
    """

    def __init__(self, policy: MediaPolicy, options: DecoderOptions | None = None) -> None:
        self._policy = policy
        self._options = options or DecoderOptions()
        self._stats = DecoderStats()
        self._counting = threading.Lock()
        # A process dies with the thread that started it, so that none outlives the server.
        self._starter = ThreadPoolExecutor(1, "polyvec-decoder-starter")
        self._images = self._pool(_num_image_processes(self._options), is_for_video=False)
        self._videos = self._pool(self._options.video_processes, is_for_video=True)

    def start(self) -> None:
        """Start the processes for pictures now, so that the first pictures need not wait.

        Raises:
            InferenceError: One does not start.
        """
        self._images.fill()

    def image(self, encoded: Encoded, transform: ImageTransform, *, param: str) -> RgbArray:
        """One picture as ``decode_image`` and ``transform.fitted`` give it.

        Args:
            encoded: The file; it is not closed.
            transform: Resizes and crops.
            param: Where the caller wrote it, for messages.

        Returns:
            uint8 (h, w, 3).

        Raises:
            MediaError: As ``decode_image``; ``media_timeout`` when it takes too long,
                ``invalid_image`` also when the process dies of it.
            NotReadyError: Closed.
            InferenceError: No process can be started.
        """
        task = Task("image", param)
        job = {"kind": "image", "param": param, "transform": transform_text(transform)}
        timeout_s = self._options.image_timeout_s
        with self._lend(self._images, task) as worker, _descriptor(encoded) as file:
            worker.begin(job, file, timeout_s=timeout_s)
            message = _reply(worker, task, timeout_s)
            pixels = pixels_of(message)
            worker.finish()
            return pixels

    def frames(
        self, encoded: Encoded, sampling: FrameSampling, transform: ImageTransform, *, param: str
    ) -> "Frames":
        """The wanted frames of a video as they are decoded; nothing starts before the first.

        The process runs ahead by a few frames at most. Close the result in every case, best by
        ``with``: it ends the job.

        Args:
            encoded: The file; it must stay open until the first frame is there, and is not closed.
            sampling: Which frames.
            transform: Resizes and crops each.
            param: Where the caller wrote it, for messages.

        Returns:
            An iterator; what follows is raised when it is asked for a frame.

        Raises:
            InvalidInputError: No frame of this video is wanted, or too many are.
            MediaError: As ``sample_frames``; ``media_timeout`` when it takes too long,
                ``invalid_video`` also when the process dies of it.
            NotReadyError: Closed.
            InferenceError: No process can be started.
        """
        job = {
            "kind": "video",
            "param": param,
            "transform": transform_text(transform),
            "sampling": asdict(sampling),
            "cpu_s": self._options.video_cpu_s,
        }
        return Frames(self._frames(encoded, job, Task("video", param)))

    @property
    def stats(self) -> DecoderStats:
        """What has become of the processes so far."""
        return self._stats

    @property
    def pids(self) -> frozenset[int]:
        """Of the processes that run."""
        return self._images.pids | self._videos.pids

    def close(self) -> None:
        """End all processes; whoever waits for an answer gets NotReadyError."""
        self._images.close()
        self._videos.close()
        self._starter.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _frames(
        self, encoded: Encoded, job: dict[str, Any], task: Task
    ) -> Generator[Frame, None, None]:
        timeout_s = self._options.video_timeout_s
        with self._lend(self._videos, task) as worker:
            with _descriptor(encoded) as file:
                worker.begin(job, file, timeout_s=timeout_s)
            while (message := _reply(worker, task, timeout_s)).head != {"end": True}:
                frame = frame_of(message)
                try:
                    yield frame
                except GeneratorExit:
                    worker.cancel()
                    raise
            worker.finish()

    @contextmanager
    def _lend(self, pool: Pool, task: Task) -> Iterator[Worker]:
        """A worker, whose loss is the task's fault."""
        try:
            with pool.lend() as worker:
                yield worker
        except (InferenceError, WorkerLostError, WireError) as error:
            if pool.is_closed:
                raise closing() from None
            if isinstance(error, InferenceError):
                self._count(died=True)
                raise
            timed_out = isinstance(error, WorkerLostError) and error.timed_out
            self._count(timed_out=timed_out, died=not timed_out)
            _log.warning(
                "a decoding process %s on a %s", "timed out" if timed_out else "died", task.noun
            )
            raise (task.too_slow() if timed_out else task.undecodable()) from None

    def _pool(self, size: int, *, is_for_video: bool) -> Pool:
        make = partial(Worker, self._policy, self._options, is_for_video=is_for_video)

        def start() -> Worker:
            try:
                worker = self._starter.submit(make).result()
            except RuntimeError:  # shut down since
                raise closing() from None
            self._count(started=True)
            return worker

        return Pool(size, start, partial(self._count, died=True))

    def _count(self, *, started: bool = False, died: bool = False, timed_out: bool = False) -> None:
        with self._counting:
            self._stats = replace(
                self._stats,
                started=self._stats.started + started,
                died=self._stats.died + died,
                timed_out=self._stats.timed_out + timed_out,
            )


class Frames(Iterator[Frame]):
    """Frames of one video. To be closed, which ends the job; leaving a ``with`` does it."""

    def __init__(self, frames: Generator[Frame, None, None]) -> None:
        self._frames = frames

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """No further frame is wanted."""
        self._frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _num_image_processes(options: DecoderOptions) -> int:
    if options.image_processes is not None:
        return options.image_processes
    num_cores = len(os.sched_getaffinity(0))
    return min(max(num_cores, _MIN_IMAGE_PROCESSES), _MAX_IMAGE_PROCESSES)


def _reply(worker: Worker, task: Task, timeout_s: float) -> Message:
    """The next message, unless it is a refusal."""
    message = worker.reply(timeout_s=timeout_s)
    refusal = refusal_of(message, task)
    if refusal is None:
        return message
    worker.finish()
    raise refusal


@contextmanager
def _descriptor(encoded: Encoded) -> Iterator[int]:
    """An open file with these bytes, whose position is its own."""
    if isinstance(encoded, bytes):
        descriptor = os.memfd_create("polyvec-media", os.MFD_CLOEXEC)
    else:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(f"/proc/self/fd/{encoded.fileno()}", flags)
    try:
        if isinstance(encoded, bytes):
            _write(descriptor, encoded)
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
