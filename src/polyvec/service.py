"""The one door into the engine. Dialects, the server and offline use all go through it."""

from typing import Protocol

from polyvec.types import (
    DetokenizeRequest,
    DetokenizeResult,
    EmbedRequest,
    EmbedResult,
    ModelCard,
    ScoreRequest,
    ScoreResult,
    TokenizeRequest,
    TokenizeResult,
)


class Service(Protocol):
    """Names to embeddings; who computes them, and where, is hidden behind it."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed every input of a request, or none: the first failing input fails the request.

        Cancelling the call takes its waiting inputs out of the queue.

        Raises:
            ModelNotFoundError: No served model has the request's name.
            InvalidInputError: An input cannot be embedded; ``param`` says which.
            OverloadedError: The queue is full.
            NotReadyError: Loading or draining.
            InferenceError: The runtime failed.
        """
        ...

    async def score(self, request: ScoreRequest) -> ScoreResult:
        """Score documents against queries with one model.

        Raises:
            The errors of `embed`.
        """
        ...

    async def tokenize(self, request: TokenizeRequest) -> TokenizeResult:
        """Say which tokens a model reads; nothing is too long for it.

        Raises:
            ModelNotFoundError: No served model has the request's name.
            InvalidInputError: An input cannot be tokenised.
            UnsupportedInputError: The model reads no text.
        """
        ...

    async def detokenize(self, request: DetokenizeRequest) -> DetokenizeResult:
        """Put token ids together to texts.

        Raises:
            ModelNotFoundError: No served model has the request's name.
            TokenIdError: An id is not in the model's vocabulary.
            UnsupportedInputError: The model reads no text.
        """
        ...

    def models(self) -> tuple[ModelCard, ...]:
        """Every served model; the first one answers requests that name none."""
        ...

    def find(self, name: str | None) -> ModelCard:
        """The card of the model that a request of this name goes to.

        Raises:
            ModelNotFoundError: No served model has the name.
        """
        ...

    async def reload(self) -> bool:
        """Read the list of served models again, where there is one; what runs goes on running.

        Returns:
            Whether anything changed.

        Raises:
            ConfigError: It cannot be read; nothing has changed.
        """
        ...

    def known_models(self) -> tuple[str, ...]:
        """Aliases that this build can resolve, served or not, such as ``CLIP/clip-vit-b-16``."""
        ...

    def is_ready(self) -> bool:
        """True when every model is loaded and warm and the server is not draining."""
        ...
