"""A folder, a bundled name or a hub id → a local folder.

A model that is already on this machine never touches the network.
"""

import logging
from importlib.resources import files
from pathlib import Path
from typing import Any

from polyvec.checkpoints.open_clip import WEIGHTS as OPEN_CLIP_WEIGHTS
from polyvec.checkpoints.read import read_checkpoint
from polyvec.errors import CheckpointError

DEMO = "polyvec-demo"
"""Name of the small CLIP that ships in the package."""

# Weights are safetensors, so that a repository's other formats are never downloaded. The rest is
# small: the settings of ColBERT, and the heads of bge-m3, which are published pickled only.
_PATTERNS: dict[str, Any] = {
    "allow_patterns": [
        *("*.json", "*.txt", "*.jinja", "*.safetensors"),
        *("artifact.metadata", "sparse_linear.pt", "colbert_linear.pt"),
    ],
    "ignore_patterns": [
        *("onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*", "original/*", ".*"),
        OPEN_CLIP_WEIGHTS,
    ],
}

# The same weights again, in repositories that transformers can read as well.
_OPEN_CLIP_PATTERNS = {"allow_patterns": [OPEN_CLIP_WEIGHTS]}

# Converted graphs are fetched only from repositories without weights, the better format first.
_GRAPH_PATTERNS: tuple[dict[str, Any], ...] = (
    {"allow_patterns": ["openvino_model.*", "openvino/openvino_model.*"]},
    {"allow_patterns": ["onnx/model.onnx", "onnx/model.onnx_data", "model.onnx*"]},
)

_CLIP_TOKENIZER = "openai/clip-vit-base-patch32"

_log = logging.getLogger(__name__)


def locate(reference: str, *, revision: str | None = None) -> Path:
    """Find a checkpoint, downloading it if need be.

    Args:
        reference: A folder, ``polyvec-demo``, or a hub id such as ``BAAI/bge-small-en-v1.5``.
        revision: Branch, tag or commit of a hub id.

    Raises:
        CheckpointError: There is no such folder or repository, or the hub cannot be reached.
    """
    if reference == DEMO:
        return Path(str(files("polyvec.checkpoints") / "demo"))
    folder = Path(reference).expanduser()
    if reference and folder.is_dir():
        return folder
    if not _is_hub_id(reference):
        raise CheckpointError(
            f"{reference!r} is neither a folder nor a hub id of the form 'owner/name'",
            param="model",
        )
    return _cached(reference, revision) or _download(reference, revision)


def is_local(reference: str, *, revision: str | None = None) -> bool:
    """Whether `locate` answers without the network; also when all it has to say is an error."""
    if reference == DEMO or (reference and Path(reference).expanduser().is_dir()):
        return True
    return not _is_hub_id(reference) or _cached(reference, revision) is not None


def locate_clip_tokenizer() -> Path:
    """A folder with CLIP's tokenizer.json, for checkpoints that are published without it.

    Raises:
        CheckpointError: It is not on this machine, and the hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(_CLIP_TOKENIZER, "tokenizer.json")).parent
    except (HfHubHTTPError, OSError, ValueError):  # being offline is one or the other of them
        raise CheckpointError(
            "the checkpoint has no tokenizer of its own: put CLIP's tokenizer.json, as in "
            f"{_CLIP_TOKENIZER}, into its folder",
            param="tokenizer",
        ) from None


def _is_hub_id(reference: str) -> bool:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if reference.startswith((".", "/", "~")) or reference.count("/") != 1:
        return False
    try:
        validate_repo_id(reference)
    except HFValidationError:
        return False
    return True


def _cached(repo_id: str, revision: str | None) -> Path | None:
    """The cached snapshot if it is complete, without a network call."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(repo_id, revision=revision, local_files_only=True, **_PATTERNS)
    except LocalEntryNotFoundError:
        return None
    # Snapshots made by other programs, or by an interrupted download, may lack their weights.
    return Path(folder) if _is_complete(Path(folder)) else None


def _is_complete(folder: Path) -> bool:
    try:
        checkpoint = read_checkpoint(folder)
        if checkpoint.has_weights or checkpoint.graph_file is None:
            checkpoint.weight_files()
    except CheckpointError:
        return False
    return True


def _download(repo_id: str, revision: str | None) -> Path:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    _log.info("downloading %s", repo_id)
    try:
        return _fetched(repo_id, revision)
    except GatedRepoError:
        raise _failed(repo_id, "its owner asks for an agreement first; set HF_TOKEN") from None
    except RepositoryNotFoundError:
        raise _failed(repo_id, "there is no such repository, or HF_TOKEN is needed") from None
    except RevisionNotFoundError:
        raise _failed(repo_id, f"it has no revision {revision!r}") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise _failed(
            repo_id,
            "it is not in the local cache and the hub cannot be reached (or offline mode is on)",
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise _failed(repo_id, f"the download failed ({type(error).__name__})") from None


def _fetched(repo_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(repo_id, revision=revision, **_PATTERNS))
    for patterns in (_OPEN_CLIP_PATTERNS, *_pickle_patterns(folder), *_GRAPH_PATTERNS):
        if _is_complete(folder):
            break
        snapshot_download(repo_id, revision=revision, **patterns)
    return folder


def _pickle_patterns(folder: Path) -> list[dict[str, Any]]:
    try:
        checkpoint = read_checkpoint(folder)
    except CheckpointError:
        return []
    if checkpoint.pickle_pattern is None:
        return []
    place = checkpoint.root.relative_to(folder) / checkpoint.pickle_pattern
    return [{"allow_patterns": [place.as_posix()]}]


def _failed(repo_id: str, why: str) -> CheckpointError:
    return CheckpointError(f"cannot get {repo_id!r}: {why}", param="model")
