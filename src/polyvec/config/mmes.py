"""What containers of Intel's Multimodal Embedding Serving are told, as settings of ours.

Source: ``docs/user-guide`` and ``setup.sh`` of the original's repository,
https://github.com/open-edge-platform/edge-ai-libraries. Its variables for batch sizes, worker
counts and OpenVINO's performance mode are not read: none changes a vector, and each has something
here that adapts by itself.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

MODEL_VARIABLE: Final = "EMBEDDING_MODEL_NAME"

_OFF: Final = frozenset(("false", "0", "no", "off"))


def _use_openvino(raw: str) -> dict[str, Any]:
    # The original then runs PyTorch in float32; ours runs OpenVINO, with the same vectors.
    return {"backend.dtype": "float32"} if raw.strip().lower() in _OFF else {}


VARIABLES: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "EMBEDDING_DEVICE": lambda raw: {"backend.device": raw},
    "EMBEDDING_USE_OV": _use_openvino,
    "EMBEDDING_OV_MODELS_DIR": lambda raw: {"backend.cache_dir": raw},
    "EMBEDDING_SERVER_PORT": lambda raw: {"server.port": raw},
    "DEFAULT_START_OFFSET_SEC": lambda raw: {"media.default_start_s": raw},
    "DEFAULT_CLIP_DURATION": lambda raw: {"media.default_duration_s": raw},
    "DEFAULT_NUM_FRAMES": lambda raw: {"media.default_num_frames": raw},
}
"""Variable → the settings that its text stands for."""


def defaults() -> dict[str, Any]:
    """What a container of it does unless told otherwise, by key."""
    temporary = Path(tempfile.gettempdir())
    videos = temporary / "videoQnA"
    # Bare names mean files of this folder; manifests name pictures anywhere below the other.
    videos.mkdir(mode=0o700, exist_ok=True)
    return {
        "server.host": "0.0.0.0",  # noqa: S104  (as containers do)
        "server.port": 8000,
        "server.limit_body_bytes": "512MiB",
        "media.urls": "public",
        "media.roots": [str(videos), str(temporary)],
        "media.trust_env_proxies": True,
    }


def proxy_exceptions(environ: Mapping[str, str]) -> str | None:
    """Hosts that ``no_proxy_env`` names, which is what the original calls ``no_proxy``.

    Returns:
        For ``no_proxy``, without empty entries (the original takes one for every host), or None.
    """
    named = [entry.strip() for entry in environ.get("no_proxy_env", "").split(",")]
    kept = ",".join(entry for entry in named if entry)
    return kept or None


def apply_proxy_exceptions() -> None:
    """Make ``no_proxy_env`` hold for this process, unless ``no_proxy`` is set."""
    found = proxy_exceptions(os.environ)
    if found and not (os.environ.get("no_proxy") or os.environ.get("NO_PROXY")):
        os.environ["no_proxy"] = found
