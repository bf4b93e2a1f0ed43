"""A model as the original's handlers offer it."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multimodal_embedding_serving._shared import shared_model
from multimodal_embedding_serving._tensors import tensor
from multimodal_embedding_serving._wanted import Asked, wanted
from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.errors import PolyvecError
from polyvec.media.loaded import PillowImage, rgb_of
from polyvec.offline import Embedder, Picture

_NUM_AXES_OF_A_STACK = 4


class ModelHandler:
    """Texts and pictures → vectors of unit length, by one model.

    It may be used from many threads at once. Handlers of one model with the same settings share it.

    Attributes:
        device: As it was asked for.
        ov_models_dir: Where quantised weights are kept; None for the user's own cache folder.
        use_openvino: Whether anything but exact float32 was allowed; OpenVINO computes either way.
        model_config: ``model_id``, ``model_name`` and the three above.

    Raises:
        ValueError: No model has this name, or a setting cannot be used.
    """

    def __init__(self, asked: Asked) -> None:
        self._shared = shared_model(wanted(asked))
        self.device = asked.device
        self.ov_models_dir = asked.ov_models_dir
        self.use_openvino = asked.use_openvino
        self.model_config: dict[str, Any] = {
            "model_id": asked.model_id,
            "model_name": self._shared.wanted.reference.rstrip("/").rpartition("/")[2],
            "device": self.device,
            "ov_models_dir": self.ov_models_dir,
            "use_openvino": self.use_openvino,
        }

    # What is known before the model is loaded.

    @property
    def supported_modalities(self) -> set[str]:
        """Some of ``text`` and ``image``."""
        return set(self._shared.model.modalities)

    def supports_text(self) -> bool:
        """Whether it embeds texts."""
        return "text" in self.supported_modalities

    def supports_image(self) -> bool:
        """Whether it embeds pictures."""
        return "image" in self.supported_modalities

    def supports_video(self) -> bool:
        """Whether it embeds videos, frame by frame, which every model of pictures does."""
        return self.supports_image()

    def get_embedding_dim(self) -> int:
        """Length of its vectors."""
        return self._shared.model.dimensions

    def get_max_text_tokens(self) -> int | None:
        """Longest text in tokens, special ones included; what is over it is cut off."""
        text = self._shared.model.text
        return None if text is None else text.max_input_tokens

    def prepare_query(self, text: str) -> str:
        """A text as the model reads a query: Qwen models get their instruction before it."""
        model = self._shared.model
        if model.text is None or not model.architecture.startswith("Qwen3"):
            return text
        return model.text.prompts.get("query", "") + text

    def prepare_documents(self, texts: list[str]) -> list[str]:
        """Texts as the model reads documents: as they are."""
        return texts

    def preprocess_image(self, image: Picture) -> Any:
        """What the model reads of a picture: a tensor (3, H, W), normalised.

        Raises:
            RuntimeError: The model reads no pictures.
            TypeError: It is no picture.
        """
        rules = self._shared.model.image
        if rules is None:
            raise _unsupported("Image")
        return tensor(rules.transform(rgb_of(image)))

    # What needs the model.

    def load_model(self) -> None:
        """Load the model, unless it is loaded.

        Raises:
            RuntimeError: It cannot be found, read or run.
        """
        self._shared.load()

    @property
    def model(self) -> Embedder | None:
        """What computes; None until it is loaded."""
        return self._shared.embedder

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Of polyvec; None until it is loaded, or without a text tower."""
        text = self._shared.model.text if self.model is not None else None
        return None if text is None else text.tokenizer

    @property
    def preprocess(self) -> Callable[[Picture], Any] | None:
        """`preprocess_image`; None until it is loaded, or without an image tower."""
        is_there = self.model is not None and self.supports_image()
        return self.preprocess_image if is_there else None

    @property
    def embedder(self) -> Embedder:
        """What computes.

        Raises:
            RuntimeError: It is not loaded.
        """
        if self.model is None:
            raise RuntimeError("Model not loaded. Call load_model() first.")
        return self.model

    def encode_text(self, texts: str | Sequence[str]) -> Any:
        """A tensor (N, D), with N = 1 for a lone text. Texts are read as they are.

        Raises:
            RuntimeError: Not loaded, or the model reads no texts.
            TypeError: Something is no text.
            polyvec.errors.PolyvecError: A text cannot be embedded.
        """
        embedder = self.embedder
        if not self.supports_text():
            raise _unsupported("Text")
        listed = [texts] if isinstance(texts, str) else list(texts)
        for text in listed:
            if not isinstance(text, str):
                raise TypeError(f"a text must be a str, not {type(text).__name__}")
        return tensor(embedder.texts(listed, prompt_name=self._shared.no_prompt, normalize=True))

    def encode_image(
        self,
        images: Picture | Iterable[Picture],
        metrics_out: bool = False,  # noqa: FBT001, FBT002 - the original's signature
    ) -> Any:
        """A tensor (N, D), with N = 1 for a lone picture.

        Args:
            images: Pillow images, uint8 arrays or encoded files; or one of them.
            metrics_out: Give ``embeddings`` in a dict with ``inference_time_s`` and
                ``processed_images``.

        Raises:
            RuntimeError: Not loaded, or the model reads no pictures.
            TypeError: Something is no picture.
            polyvec.errors.PolyvecError: A picture cannot be decoded or embedded.
        """
        embedder = self.embedder
        if not self.supports_image():
            raise _unsupported("Image")
        listed = _listed(images)
        started_s = time.perf_counter()
        vectors = embedder.images(listed, normalize=True)
        elapsed_s = time.perf_counter() - started_s
        if not metrics_out:
            return tensor(vectors)
        return {
            "embeddings": tensor(vectors),
            "inference_time_s": elapsed_s,
            "processed_images": len(listed),
        }

    def convert_to_openvino(self, ov_models_dir: str) -> tuple[None, str]:
        """Write a text model as an OpenVINO graph. Nothing here needs it: OpenVINO runs anyway.

        Args:
            ov_models_dir: Gets a folder of the model's name.

        Returns:
            No graph of pictures, and the path of the texts' graph.

        Raises:
            RuntimeError: The model reads pictures, which no graph is written for, or it cannot be
                written.
        """
        if self.supports_image():
            raise RuntimeError(
                "there is nothing to convert: the model is run by OpenVINO, compiled from its "
                "checkpoint when it is loaded; graphs are written of text models only"
            )
        from polyvec.tools.export import ExportOptions, export

        found = self._shared.wanted
        folder = Path(ov_models_dir) / self.model_config["model_name"]
        try:
            options = ExportOptions(folder=folder, name=folder.name, overwrite=True)
            export(found.reference, found.options, options)
        except PolyvecError as error:
            raise RuntimeError(f"Failed to convert model: {error.message}") from error
        return None, str(folder / "openvino_model.xml")


def _listed(images: Picture | Iterable[Picture]) -> list[Picture]:
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == _NUM_AXES_OF_A_STACK else [images]
    return [images] if isinstance(images, bytes | PillowImage) else list(images)


def _unsupported(what: str) -> RuntimeError:
    return RuntimeError(f"{what} embeddings are not supported by the active model")
