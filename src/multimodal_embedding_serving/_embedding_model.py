"""What applications do with a model: queries, documents, pictures and videos from anywhere."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from multimodal_embedding_serving._manifest import with_real_paths
from multimodal_embedding_serving._model_handler import ModelHandler
from polyvec.dialects._mmes.video import base64_of, parse_video
from polyvec.errors import InvalidInputError, MediaError, PolyvecError, UnsupportedInputError
from polyvec.offline import Picture
from polyvec.types import (
    Bytes,
    Embedding,
    EmbedRequest,
    File,
    FramesManifest,
    Image,
    Input,
    Part,
    Source,
    Url,
    Video,
)

Vector = list[float]
SegmentConfig = dict[str, Any]


class EmbeddingModel:
    """A handler's model with everything around it. All vectors have unit length.

    What is ``async`` works in a thread, so that the caller's event loop stays free.

    Attributes:
        handler: As given; its model must be loaded before anything is embedded.
    """

    def __init__(self, model_handler: ModelHandler) -> None:
        self.handler = model_handler
        self.model_config = model_handler.model_config
        self.device = model_handler.device
        self.use_openvino = model_handler.use_openvino

    @property
    def supported_modalities(self) -> set[str]:
        """Some of ``text`` and ``image``."""
        return self.handler.supported_modalities

    def get_supported_modalities(self) -> list[str]:
        """The same, sorted."""
        return sorted(self.supported_modalities)

    def supports_text(self) -> bool:
        """Whether the model embeds texts."""
        return self.handler.supports_text()

    def supports_image(self) -> bool:
        """Whether the model embeds pictures."""
        return self.handler.supports_image()

    def supports_video(self) -> bool:
        """Whether the model embeds videos."""
        return self.handler.supports_video()

    def get_embedding_length(self) -> int:
        """Length of the model's vectors."""
        return self.handler.get_embedding_dim()

    def check_health(self) -> bool:
        """Whether the model is loaded and computes."""
        try:
            if not self.supports_text():
                return self.handler.model is not None
            vectors = self.handler.encode_text("health check")
        except (RuntimeError, PolyvecError):
            return False
        return bool(np.isfinite(vectors.cpu().numpy()).all())

    # Texts.

    def embed_query(self, text: str) -> Vector:
        """Vector of a text that is searched with."""
        prepared = self.handler.prepare_query(text)
        return _vectors(self.handler.encode_text([prepared]))[0]

    def embed_documents(self, texts: list[str]) -> list[Vector]:
        """Vectors of texts that are searched in."""
        return _vectors(self.handler.encode_text(self.handler.prepare_documents(texts)))

    # Pictures.

    async def get_image_embedding_from_url(self, image_url: str) -> Vector:
        """Vector of a picture on the web.

        Raises:
            RuntimeError: It cannot be had, decoded or embedded.
        """
        return await asyncio.to_thread(self._image, Url(image_url), "URL")

    def get_image_embedding_from_base64(self, image_base64: str) -> Vector:
        """Vector of an encoded picture; what precedes the first comma is dropped.

        Raises:
            RuntimeError: It cannot be decoded or embedded.
        """
        return self._image(base64_of(image_base64), "base64")

    def _image(self, source: Source, origin: str) -> Vector:
        self._check("Image", supported=self.supports_image())
        with _as_runtime_error(f"image embedding from {origin}"):
            vector: Vector = self._embed(Image(source), "image").vector.tolist()
            return vector

    # Videos: a vector for each frame.

    def get_video_embeddings(self, frames_batch: Sequence[Sequence[Picture]]) -> list[Vector]:
        """Vectors of the frames of several videos, one after another.

        Raises:
            RuntimeError: A frame cannot be embedded.
        """
        self._check("Video", supported=self.supports_video())
        with _as_runtime_error("video embeddings"):
            frames = [frame for frames in frames_batch for frame in frames]
            return _vectors(self.handler.encode_image(frames))

    async def get_video_embedding_from_url(
        self, video_url: str, segment_config: SegmentConfig | None = None
    ) -> list[Vector]:
        """Vectors of frames of a video on the web.

        Args:
            video_url: Where it is.
            segment_config: Which frames; keys as in requests to the server.

        Raises:
            RuntimeError: It cannot be had, decoded or embedded.
        """
        return await asyncio.to_thread(self._video, Url(video_url), segment_config, "URL")

    def get_video_embedding_from_base64(
        self, video_base64: str, segment_config: SegmentConfig | None = None
    ) -> list[Vector]:
        """Vectors of frames of an encoded video; what precedes the first comma is dropped.

        Raises:
            RuntimeError: It cannot be decoded or embedded.
        """
        return self._video(base64_of(video_base64), segment_config, "base64")

    async def get_video_embedding_from_file(
        self, video_path: str, segment_config: SegmentConfig | None = None
    ) -> list[Vector]:
        """Vectors of frames of a video on this machine.

        Raises:
            FileNotFoundError: There is no such file.
            RuntimeError: It cannot be decoded or embedded.
        """
        self._check("Video", supported=self.supports_video())
        path = _existing(video_path, "Video file")
        return await asyncio.to_thread(self._video, File(path), segment_config, "file")

    async def get_video_embedding_from_frames_manifest(self, manifest_path: str) -> list[Vector]:
        """Vectors of the frames that a JSON file lists.

        Pictures that cannot be read have no vector, and are left out.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no manifest.
            RuntimeError: What it lists cannot be had, decoded or embedded.
        """
        self._check("Video", supported=self.supports_video())
        path = _existing(manifest_path, "Frames manifest file")
        return await asyncio.to_thread(self._manifest, path)

    def _video(
        self, source: Source, segment_config: SegmentConfig | None, origin: str
    ) -> list[Vector]:
        self._check("Video", supported=self.supports_video())
        with _as_runtime_error(f"video embedding from {origin}"):
            # The source is put in afterwards: the server's rules for paths are not ours.
            fields = {"video_url": "", "segment_config": segment_config or {}}
            sampling = self.handler.embedder.card.sampling
            (video,) = parse_video(fields, "video_url", ("input",), sampling).parts
            if not isinstance(video, Video):
                raise TypeError("a video was parsed")
            return _frame_vectors(self._embed(Video(source, video.sampling), "video"))

    def _manifest(self, path: str) -> list[Vector]:
        with _as_runtime_error("video embedding from frames manifest", passed=ValueError):
            source = Bytes(with_real_paths(Path(path).read_bytes()))
            try:
                found = self._embed(FramesManifest(source), "frames_manifest")
            except (MediaError, UnsupportedInputError):
                raise
            except InvalidInputError as error:
                raise ValueError(error.message) from error
            return _frame_vectors(found)

    def _embed(self, part: Part, name: str) -> Embedding:
        request = EmbedRequest(None, (Input((part,), name),), normalize=True)
        (found,) = self.handler.embedder.embed(request).embeddings
        return found

    def _check(self, what: str, *, supported: bool) -> None:
        if not supported:
            raise RuntimeError(f"{what} embeddings are not supported by the active model")


def _vectors(found: Any) -> list[Vector]:
    vectors: list[Vector] = found.tolist()
    return vectors


def _frame_vectors(found: Embedding) -> list[Vector]:
    return [] if found.frames is None else _vectors(found.frames.vectors)


def _existing(path: str, what: str) -> str:
    """The path without links, since a file is opened by its place below the root."""
    found = os.path.realpath(path)
    if not Path(found).is_file():
        raise FileNotFoundError(f"{what} not found: {path}")
    return found


@contextmanager
def _as_runtime_error(
    what: str, *, passed: type[Exception] | tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    try:
        yield
    except passed:
        raise
    except (PolyvecError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise RuntimeError(f"Failed to get {what}: {error}") from error
