"""An encoded picture, video or manifest on its way to a decoder, and what is wrong with it."""

from dataclasses import dataclass
from typing import BinaryIO

from polyvec.errors import MediaError
from polyvec.media.policy import MediaKind, MediaPolicy

Encoded = bytes | BinaryIO
"""Bytes, or an open, readable, seekable file with a real descriptor. Whoever gets it closes it."""

_NOUNS: dict[MediaKind, str] = {"image": "picture", "video": "video", "manifest": "manifest"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a source is opened for.

    Attributes:
        kind: Which limit and which error codes.
        policy: The limits.
        param: Where the caller wrote it; every message begins with it.
    """

    kind: MediaKind
    policy: MediaPolicy
    param: str

    @property
    def noun(self) -> str:
        """For messages."""
        return _NOUNS[self.kind]

    @property
    def limit_bytes(self) -> int:
        """Most encoded bytes."""
        return self.policy.limit_of(self.kind)

    def too_large(self) -> MediaError:
        """It is over its limit."""
        return self.error(
            f"the encoded {self.noun} is over the limit of {self.limit_bytes} bytes",
            f"{self.kind}_too_large",
        )

    def empty(self) -> MediaError:
        """There are no bytes."""
        return self.error(f"the {self.noun} is empty", f"invalid_{self.kind}")

    def error(self, what: str, code: str) -> MediaError:
        """Something is wrong."""
        return MediaError(f"{self.param}: {what}", param=self.param, code=code)
