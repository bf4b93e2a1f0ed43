"""Content → vector, bounded in bytes.

Only exact repetitions hit: the key covers all that reaches the model, and vectors are kept as the
model gave them, so requests for other dimensions or another normalisation share an entry.
"""

from collections import OrderedDict
from hashlib import blake2b

from polyvec.types import Float32Array, Modality

ENTRY_BYTES = 256
"""What an entry takes besides its vector: key, array header, table slot."""


def content_key(modality: Modality, content: bytes, *, salt: str = "", route: str = "") -> bytes:
    """Digest that two inputs share only if the model must give both the same vector.

    Args:
        modality: Which tower reads the content.
        content: Token ids (L,) int64 as bytes, or an encoded picture.
        salt: Keeps results of one tenant from another.
        route: Whatever else decides what the model computes; empty for its main output.

    Returns:
        32 bytes.
    """
    salt_bytes = salt.encode("utf-8", "surrogatepass")
    digest = blake2b(digest_size=32, person=modality.encode())
    # The length in front tells the parts apart, wherever one ends and the other starts.
    for part in (salt_bytes, route.encode()):
        digest.update(len(part).to_bytes(8, "little") + part)
    digest.update(content)
    return digest.digest()


class VectorCache:
    """Finished vectors, least recently used leaves first.

    Attributes:
        limit_bytes: Most memory; 0 keeps nothing.
        size_bytes: Memory in use.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._vectors: OrderedDict[bytes, Float32Array] = OrderedDict()

    def __len__(self) -> int:
        """Vectors kept."""
        return len(self._vectors)

    def get(self, key: bytes) -> Float32Array | None:
        """The vector (D,), or None; read only."""
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: bytes, vector: Float32Array) -> None:
        """Keep a copy, unless it alone is over the limit."""
        size = vector.nbytes + ENTRY_BYTES
        if size > self.limit_bytes:
            return
        replaced = self._vectors.pop(key, None)
        if replaced is not None:
            self.size_bytes -= replaced.nbytes + ENTRY_BYTES
        # A row is a view of its whole batch, which it would keep alive.
        kept = vector.copy()
        kept.setflags(write=False)
        self._vectors[key] = kept
        self.size_bytes += size
        while self.size_bytes > self.limit_bytes:
            _, dropped = self._vectors.popitem(last=False)
            self.size_bytes -= dropped.nbytes + ENTRY_BYTES
