"""Vectors of another server, over an OpenAI-compatible API."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np

from polyvec.errors import ConfigError
from polyvec.types import Float32Array

_MAX_BATCH = 32
"""Inputs of one request; text-embeddings-inference takes no more by default."""
_TIMEOUT_S = 120.0
_MAX_SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An embeddings API.

    Attributes:
        url: Its full address, as `embeddings_url` makes it.
        model: Name to ask for.
        api_key: Sent as a bearer token; None for none.
    """

    url: str
    model: str
    api_key: str | None = None

    def embed(self, texts: Sequence[str]) -> Float32Array:
        """One vector per text, (B, D), from as few requests as most servers accept.

        Raises:
            ConfigError: There is no answer, or it is not one of the API.
        """
        parts = [
            self._ask(texts[start : start + _MAX_BATCH])
            for start in range(0, len(texts), _MAX_BATCH)
        ]
        return np.concatenate(parts)

    def _ask(self, texts: Sequence[str]) -> Float32Array:
        body = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        headers = {"Content-Type": "application/json", "User-Agent": "polyvec"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        answer = self._post(json.dumps(body).encode(), headers)
        try:
            rows = np.array(list(_vectors(json.loads(answer))), np.float32)
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{self.url} gave no list of embeddings: {_short(answer)}", param="against"
            ) from None
        if rows.ndim != 2 or len(rows) != len(texts):  # noqa: PLR2004  (rows and columns)
            raise ConfigError(
                f"{self.url} gave {len(rows)} vectors for {len(texts)} texts", param="against"
            )
        return rows

    def _post(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        request = Request(self.url, data=body, headers=dict(headers), method="POST")  # noqa: S310  (embeddings_url has looked)
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                answer: bytes = response.read()
                return answer
        except HTTPError as error:
            said = _short(error.read())
            raise ConfigError(
                f"{self.url} answered {error.code}: {said}", param="against"
            ) from None
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ConfigError(f"{self.url} cannot be reached: {reason}", param="against") from None


def embeddings_url(given: str, *, ovms: bool = False) -> str:
    """The address of the embeddings API that an operator means.

    Args:
        given: The whole address, or one that ends before ``embeddings``, ``v1/embeddings`` or,
            for OpenVINO Model Server, ``v3/embeddings``.
        ovms: Whether the server's root means OpenVINO Model Server's.

    Raises:
        ConfigError: It is not an HTTP address.
    """
    address = urlsplit(given)
    if address.scheme not in {"http", "https"} or not address.netloc:
        raise ConfigError(
            f"--against must be an http or https URL such as http://localhost:8000, not {given!r}",
            param="against",
        )
    path = address.path.rstrip("/")
    if not path:
        path = "/v3" if ovms else "/v1"
    if not path.endswith("/embeddings"):
        path += "/embeddings"
    return address._replace(path=path).geturl()


def _vectors(answer: Any) -> Iterator[Any]:
    for item in sorted(answer["data"], key=lambda item: item["index"]):
        vector = item["embedding"]
        if isinstance(vector, str):  # some servers know base64 only
            yield np.frombuffer(base64.b64decode(vector), np.dtype("<f4"))
        else:
            yield vector


def _short(answer: bytes) -> str:
    text = " ".join(answer.decode(errors="replace").split())
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…"
