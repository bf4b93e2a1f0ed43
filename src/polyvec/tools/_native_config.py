"""Checkpoints with Python files of their own, told to transformers in words that it knows.

Some repositories' code does what a class of transformers does with another setting. Loaded as they
are, they fail, or run causal where their authors see both directions.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def native_config(
    folder: Path, *, trust_remote_code: bool = False
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A checkpoint as transformers' own classes read it right.

    Args:
        folder: The checkpoint, which stays as it is.
        trust_remote_code: Whether the repository's code runs instead; then nothing is changed.

    Yields:
        A folder to load, and notes of what was changed.
    """
    path = folder / "config.json"
    config = json.loads(path.read_text()) if path.is_file() else {}
    changes = {} if trust_remote_code else changes_of(config)
    if not changes:
        yield folder, ()
        return
    rewritten = {key: value for key, value in config.items() if key != "auto_map"} | changes
    with tempfile.TemporaryDirectory(prefix="polyvec-") as name:
        place = Path(name)
        for item in folder.iterdir():
            if item.name != "config.json":
                (place / item.name).symlink_to(item.resolve())
        (place / "config.json").write_text(json.dumps(rewritten))
        shown = ", ".join(f"{key} {json.dumps(value)}" for key, value in changes.items())
        yield (
            place,
            (f"the reference reads config.json with {shown}, as the repository's code has",),
        )


def changes_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json must say for transformers' own class to do what the repository's code does.

    Source: the Python files of nvidia/llama-nemotron-embed-1b-v2, GritLM/GritLM-7B and
    voyageai/voyage-4-nano.
    """
    kind = config.get("model_type")
    own = str((config.get("auto_map") or {}).get("AutoModel", ""))
    if kind == "llama_bidirec":
        return {"model_type": "llama", "is_causal": False}
    if own.endswith("modeling_gritlm7b.MistralModel"):
        return {"is_causal": False, "sliding_window": None}
    if kind == "qwen3" and config.get("use_bidirectional_attention") is True:
        return {"is_causal": False}
    return {}
