"""Every error a caller or an operator can meet.

The tree, most general first; no class knows an HTTP status, each dialect maps them to its own::

    PolyvecError
    ├── InvalidInputError        what the caller sent is wrong; ``param`` names the field
    │   ├── UnsupportedInputError   valid, but this model or server has no use for it
    │   ├── InputTooLongError       more tokens than the model reads, and truncation is off
    │   ├── DimensionsError         a vector length that the model was not trained for
    │   ├── PromptNotFoundError     the model has no prompt or task of this name
    │   ├── TokenIdError            a token id that is not in the model's vocabulary
    │   ├── TemplateError           a chat template that cannot be rendered with these messages
    │   ├── MediaError              an image that cannot be read
    │   └── UnprocessableInputError the model gives no finite vector for this input
    ├── PayloadTooLargeError     over a byte limit
    ├── ModelNotFoundError       no served model has this name
    ├── AuthenticationError      no key, or a wrong one
    ├── OverloadedError          queue full; ``retry_after_s`` says when to come back
    ├── NotReadyError            loading or draining
    ├── InferenceError           the runtime failed; a bug or a broken machine, not the caller
    ├── CheckpointError          a folder or hub id that cannot be served (operator's side)
    └── ConfigError              a flag, variable or config file value that cannot be used
"""


class PolyvecError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        message: For people: what was wrong, what was given, what is allowed.
        code: For programs: a stable snake_case word.
        param: The request field the error is about, or None.
    """

    code = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class InvalidInputError(PolyvecError):
    """What the caller sent is wrong."""

    code = "invalid_value"


class UnsupportedInputError(InvalidInputError):
    """A valid input that this model or server does not take, such as an image for a text model."""

    code = "unsupported_input"


class InputTooLongError(InvalidInputError):
    """A text with more tokens than the model reads, while truncation is off.

    Attributes:
        length: Of the text, in ``unit``.
        limit: What is allowed, in ``unit``.
        unit: ``tokens`` or ``characters``.
    """

    code = "context_length_exceeded"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        length: int = 0,
        limit: int = 0,
        unit: str = "tokens",
    ) -> None:
        super().__init__(message, param=param)
        self.length = length
        self.limit = limit
        self.unit = unit


class DimensionsError(InvalidInputError):
    """A vector length that the model was not trained for.

    Attributes:
        dimensions: What was asked for.
        native: The model's own length, which is always allowed.
        matryoshka: Lengths allowed beside it; empty when none.
        model: What the caller calls the model; empty where that does not matter.
    """

    code = "invalid_dimensions"

    def __init__(
        self,
        message: str,
        *,
        dimensions: int,
        native: int,
        matryoshka: tuple[int, ...] = (),
        model: str = "",
    ) -> None:
        super().__init__(message, param="dimensions")
        self.model = model
        self.dimensions = dimensions
        self.native = native
        self.matryoshka = matryoshka


class PromptNotFoundError(InvalidInputError):
    """The model has no prompt or task of this name.

    Attributes:
        name: What was asked for, shortened.
        known: What there is; empty when none.
    """

    code = "unknown_prompt"

    def __init__(
        self, message: str, *, param: str, name: str = "", known: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, param=param)
        self.name = name
        self.known = known


class TokenIdError(InvalidInputError):
    """A token id that is not in the model's vocabulary.

    Attributes:
        token: The id.
    """

    code = "invalid_token_id"

    def __init__(self, message: str, *, param: str | None = None, token: int = 0) -> None:
        super().__init__(message, param=param)
        self.token = token


class TemplateError(InvalidInputError):
    """A chat template that cannot be rendered with these messages, or in time."""

    code = "invalid_template"


class MediaError(InvalidInputError):
    """An image that is missing, corrupt, too large or of a format that is not accepted."""

    code = "invalid_image"


class UnprocessableInputError(InvalidInputError):
    """The model gave a vector that is not finite for this input; asking again will not help."""

    code = "non_finite_embedding"


class PayloadTooLargeError(PolyvecError):
    """A body over the server's byte limit."""

    code = "payload_too_large"


class ModelNotFoundError(PolyvecError):
    """No served model answers to the name.

    Attributes:
        name: What was asked for, shortened.
        served: Names that there are.
    """

    code = "model_not_found"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = "model",
        name: str = "",
        served: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, param=param)
        self.name = name
        self.served = served


class AuthenticationError(PolyvecError):
    """The API key is missing or wrong."""

    code = "invalid_api_key"


class OverloadedError(PolyvecError):
    """The queue is full.

    Attributes:
        retry_after_s: Seconds after which a retry is likely to be accepted.
    """

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReadyError(PolyvecError):
    """The server or the model is loading or draining, or cannot be loaded now.

    Attributes:
        retry_after_s: Seconds after which a retry may be accepted.
    """

    code = "not_ready"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InferenceError(PolyvecError):
    """The runtime failed on a batch."""

    code = "inference_failed"


class CheckpointError(PolyvecError):
    """A checkpoint that cannot be found, read or served."""

    code = "invalid_checkpoint"


class ConfigError(PolyvecError):
    """A setting that cannot be used; ``param`` names the flag or key."""

    code = "invalid_config"
