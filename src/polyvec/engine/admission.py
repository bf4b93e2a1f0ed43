"""A bound on accepted work, in tokens. A request is accepted whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager

from polyvec.errors import OverloadedError

# The OpenAI clients ignore a Retry-After of more than two minutes.
MAX_RETRY_AFTER_S = 120.0
MIN_RETRY_AFTER_S = 1.0


class Admission:
    """Counts the tokens of unfinished requests.

    Attributes:
        admitted_tokens: Tokens and patches of all requests let in and not finished.
    """

    def __init__(self, limit_tokens: int) -> None:
        self._limit_tokens = limit_tokens
        self.admitted_tokens = 0

    @contextmanager
    def admit(self, tokens: int, *, tokens_per_s: float) -> Iterator[None]:
        """Let a request in for the length of the block.

        A request larger than the limit comes in when nothing else is there, since waiting would not
        make it smaller.

        Args:
            tokens: What it costs.
            tokens_per_s: Recent throughput, 0 when unknown; for the advice when to come back.

        Raises:
            OverloadedError: It does not fit.
        """
        excess = self.admitted_tokens + tokens - self._limit_tokens
        if excess > 0 and self.admitted_tokens:
            raise OverloadedError(
                f"the queue is full: {self.admitted_tokens} of {self._limit_tokens} tokens are "
                f"taken and this request has {tokens}; try again later",
                retry_after_s=retry_after_s(min(excess, self.admitted_tokens), tokens_per_s),
            )
        self.admitted_tokens += tokens
        try:
            yield
        finally:
            self.admitted_tokens -= tokens


def retry_after_s(tokens: int, tokens_per_s: float) -> float:
    """Seconds until ``tokens`` are done at this throughput, within what clients obey."""
    if tokens_per_s <= 0:
        return MIN_RETRY_AFTER_S
    return min(max(tokens / tokens_per_s, MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S)
