"""The engine without a server, for scripts and notebooks."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from polyvec.backends._base import BackendOptions
from polyvec.engine.load import RunOptions, load_service
from polyvec.engine.options import EngineOptions
from polyvec.engine.served import ServedModel
from polyvec.errors import NotReadyError
from polyvec.media.loaded import PillowImage, rgb_of
from polyvec.media.policy import MediaPolicy
from polyvec.models._options import ModelOptions
from polyvec.types import (
    Bytes,
    EmbedRequest,
    EmbedResult,
    File,
    Float32Array,
    FrameSampling,
    FrameVectors,
    Image,
    Input,
    ModelCard,
    Part,
    Pixels,
    Text,
    Video,
)

# Who calls from the same process may send as much at once as fits into memory.
_BULK = EngineOptions(max_inputs_per_request=1_000_000, max_queue_tokens=1_000_000_000)

Picture = bytes | NDArray[np.uint8] | PillowImage
"""An encoded file; uint8 (H, W), (H, W, 3) or (H, W, 4); or a Pillow image in any mode."""


class Embedder:
    """One model, loaded for as long as this object is open.

    Every method may be called from any thread; inputs of calls that run at the same time share
    batches, as they do in a server::

        with Embedder("CLIP/clip-vit-b-16") as embedder:
            texts = embedder.texts(["a cat", "a dog"])
            images = embedder.images([Path("cat.jpg").read_bytes()])

    Args:
        model: Folder, hub id, alias such as ``CLIP/clip-vit-b-16``, or ``polyvec-demo``.
        options: What to use instead of what the checkpoint says.
        backend: Runtime.
        device: Where and how precisely it runs.
        media: Which pictures and videos are accepted, and from where.

    Raises:
        CheckpointError: The model cannot be found, read or served.
        ConfigError: An option contradicts the checkpoint or this machine.
    """

    def __init__(
        self,
        model: str = "polyvec-demo",
        *,
        options: ModelOptions | None = None,
        backend: str = "openvino",
        device: BackendOptions | None = None,
        media: MediaPolicy | None = None,
    ) -> None:
        run = RunOptions(backend, device or BackendOptions(), _BULK, media or MediaPolicy())
        wanted = ServedModel(model, model, (), options or ModelOptions())
        self._service = load_service([wanted], run)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="polyvec-embedder", daemon=True
        )
        self._closing = threading.Lock()
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._service.start(), self._loop).result()

    @property
    def card(self) -> ModelCard:
        """What is known about the model."""
        return self._service.models()[0]

    def texts(
        self,
        texts: Sequence[str],
        *,
        prompt_name: str | None = None,
        dimensions: int | None = None,
        normalize: bool | None = None,
    ) -> Float32Array:
        """Vectors (N, D) of texts; those over the model's limit are cut at the end.

        Raises:
            InvalidInputError: A text cannot be embedded.
        """
        request = EmbedRequest(
            None,
            _inputs([Text(text) for text in texts], "texts"),
            dimensions=dimensions,
            normalize=normalize,
            truncate="end",
            prompt_name=prompt_name,
            outputs=("dense",),
        )
        return self._vectors(request)

    def images(
        self,
        images: Sequence[Picture],
        *,
        dimensions: int | None = None,
        normalize: bool | None = None,
    ) -> Float32Array:
        """Vectors (N, D) of pictures: encoded files, uint8 arrays or Pillow images.

        Raises:
            InvalidInputError: A picture cannot be decoded or embedded.
            TypeError: Something is no picture.
        """
        parts = [_image(picture, f"images[{index}]") for index, picture in enumerate(images)]
        request = EmbedRequest(
            None, _inputs(parts, "images"), dimensions=dimensions, normalize=normalize
        )
        return self._vectors(request)

    def video(self, video: bytes | str, sampling: FrameSampling | None = None) -> FrameVectors:
        """Vectors of a video's frames, with their places and times.

        Args:
            video: Encoded, or a path below one of the policy's roots.
            sampling: Which frames; the policy's default where None.

        Raises:
            InvalidInputError: It cannot be had or decoded.
        """
        source = File(video) if isinstance(video, str) else Bytes(video)
        part = Video(source, sampling or self.card.sampling)
        (found,) = self.embed(EmbedRequest(None, _inputs([part], "video"))).embeddings
        if found.frames is None:
            raise TypeError("a video has frames")
        return found.frames

    def embed(self, request: EmbedRequest) -> EmbedResult:
        """Everything that a server can answer, as `polyvec.service.Service.embed` has it.

        Raises:
            InvalidInputError: An input cannot be embedded; ``param`` says which.
            NotReadyError: Closed.
        """
        work = self._service.embed(replace(request, model=None))
        if not self._thread.is_alive():
            work.close()
            raise NotReadyError("the embedder is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Finish what runs and let the model go. May be called again."""
        with self._closing:
            if not self._thread.is_alive():
                return
            asyncio.run_coroutine_threadsafe(self._service.close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _vectors(self, request: EmbedRequest) -> Float32Array:
        if not request.inputs:
            return np.zeros((0, request.dimensions or self.card.dimensions), np.float32)
        return np.stack([found.vector for found in self.embed(request).embeddings])


def _image(picture: Picture, param: str) -> Image:
    if isinstance(picture, bytes):
        return Image(Bytes(picture))
    return Image(Pixels(rgb_of(picture, param=param)))


def _inputs(parts: Sequence[Part], name: str) -> tuple[Input, ...]:
    return tuple(Input((part,), f"{name}[{index}]") for index, part in enumerate(parts))
