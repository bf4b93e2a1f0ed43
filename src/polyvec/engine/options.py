"""What an operator can set about the engine."""

from dataclasses import dataclass, fields
from typing import Literal

from polyvec.errors import ConfigError
from polyvec.types import Truncate

TokenIds = Literal["auto", "model", "cl100k"]
Fuse = Literal["none", "mean"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits and habits of one model's engine.

    "tokens" are tokens of a text or patches of a picture.

    Attributes:
        max_batch_tokens: Most tokens of one batch; a longer input runs alone. A few hundred keep a
            batch's activations in a core's own cache.
        max_inputs_per_request: Most inputs of one request.
        max_queue_tokens: Most tokens of all unfinished requests; a request beyond it is refused.
            The default holds a burst of 4,096 requests of 488 tokens each.
        max_text_chars: Longest text in characters, prompt not counted.
        max_inline_chars: A request with no more text than this is tokenised on the event loop: the
            way to a thread and back takes longer than the work.
        max_decoded_images: Most decoded pictures in memory; further ones wait encoded.
        max_videos: Videos that are decoded at the same time; further ones wait encoded.
        max_passed_over_batches: Batches of better priority that may overtake waiting inputs in a
            row.
        cache_bytes: Memory for finished vectors; 0 keeps none. Off by default, since vectors reveal
            the texts they were made from.
        truncate: What happens to an over-long text when a request does not say.
        token_ids: What token ids mean: the model's own, OpenAI's cl100k, which is put back to text,
            or cl100k where an OpenAI client sent them and they are not evidently the model's.
        fuse: What one input with both texts and pictures, or several pictures, becomes on a model
            with a tower for each: refused, or the mean of its parts' vectors.
        trust_request_chat_template: Whether requests may bring a chat template of their own.
        self_test: Whether a model is checked when it is loaded; see `polyvec.engine.self_test`.
        prepare_threads: Threads that tokenise long texts and wait for decoded pictures.
        fetch_threads: Pictures and videos that may be downloaded at the same time.
    """

    max_batch_tokens: int = 512
    max_inputs_per_request: int = 2048
    max_queue_tokens: int = 2_000_000
    max_text_chars: int = 1_000_000
    max_inline_chars: int = 2_000
    max_decoded_images: int = 64
    max_videos: int = 2
    max_passed_over_batches: int = 16
    cache_bytes: int = 0
    truncate: Truncate = "none"
    token_ids: TokenIds = "auto"  # noqa: S105  (tokens of texts)
    fuse: Fuse = "none"
    trust_request_chat_template: bool = False
    self_test: bool = True
    prepare_threads: int = 4
    fetch_threads: int = 16

    def __post_init__(self) -> None:
        """Refuse values that would stall the engine.

        Raises:
            ConfigError: A limit is below 1, or below 0 where 0 has a meaning.
        """
        for option in fields(self):
            least = 0 if option.name in {"cache_bytes", "max_inline_chars"} else 1
            value = getattr(self, option.name)
            if type(value) is int and value < least:
                raise ConfigError(
                    f"{option.name} is {value}; it must be at least {least}", param=option.name
                )
        if self.truncate not in {"end", "start", "none"}:
            raise ConfigError(
                f"truncate is {self.truncate!r}; it must be end, start or none", param="truncate"
            )
        if self.fuse not in {"none", "mean"}:
            raise ConfigError(f"fuse is {self.fuse!r}; it must be none or mean", param="fuse")
        if self.token_ids not in {"auto", "model", "cl100k"}:
            raise ConfigError(
                f"token_ids is {self.token_ids!r}; it must be auto, model or cl100k",
                param="token_ids",
            )
