"""Every error a caller or an operator can meet.

The tree, most general first; no class knows an HTTP status, each dialect maps them to its own::

    PolyvecError
    ├── InvalidInputError        what the caller sent is wrong; ``param`` names the field
    │   ├── UnsupportedInputError   valid, but this model or server has no use for it
    │   ├── InputTooLongError       more tokens than the model reads, and truncation is off
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
    """A text with more tokens than the model reads, while truncation is off."""

    code = "context_length_exceeded"


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
    """No served model answers to the name."""

    code = "model_not_found"


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
    """The server is loading or draining."""

    code = "not_ready"


class InferenceError(PolyvecError):
    """The runtime failed on a batch."""

    code = "inference_failed"


class CheckpointError(PolyvecError):
    """A checkpoint that cannot be found, read or served."""

    code = "invalid_checkpoint"


class ConfigError(PolyvecError):
    """A setting that cannot be used; ``param`` names the flag or key."""

    code = "invalid_config"
