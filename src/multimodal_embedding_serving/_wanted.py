"""What an application and its environment ask for, as settings of ours."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from polyvec.backends._base import BackendOptions
from polyvec.checkpoints.locate import DEMO
from polyvec.config.compose import compose
from polyvec.config.load import MMES_VARIABLE, Config, Value, load_config
from polyvec.config.mmes import MODEL_VARIABLE, VARIABLES
from polyvec.dialects.mmes import FAMILIES
from polyvec.errors import ConfigError
from polyvec.media.policy import MediaPolicy
from polyvec.models._options import ModelOptions
from polyvec.models._registry import alias_named

DEFAULT_MODEL: Final = "CLIP/clip-vit-b-16"
_MIB: Final = 1 << 20

# Who calls from the same process may open whatever the process may, and owns its memory.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "media.urls": "public",
    "media.trust_env_proxies": True,
    "media.roots": ("/",),
    "media.limit_bytes": 256 * _MIB,
    "media.limit_manifest_bytes": 256 * _MIB,
    "media.limit_video_bytes": 16 * 1024 * _MIB,
    "media.max_frames": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One model and how to run it.

    Attributes:
        reference: Alias with its family, hub id, folder, or ``polyvec-demo``.
        options: What the operator says instead of the checkpoint.
        backend: Runtime.
        device: Where and how precisely it runs.
        media: What may be opened.
    """

    reference: str
    options: ModelOptions
    backend: str
    device: BackendOptions
    media: MediaPolicy


@dataclass(frozen=True, slots=True)
class Asked:
    """What the application said, with the environment's answers where it said nothing.

    Attributes:
        model_id: As it was written.
        device: As it was written.
        ov_models_dir: Where quantised weights are kept; None for the user's own cache folder.
        use_openvino: False for exact float32.
    """

    model_id: str
    device: str
    ov_models_dir: str | None
    use_openvino: bool


def asked(
    model_id: str | None = None,
    device: str | None = None,
    ov_models_dir: str | None = None,
    use_openvino: bool | None = None,  # noqa: FBT001 - the original's signature
) -> Asked:
    """What was said, and what the original's variables say about the rest."""
    environ = os.environ
    if use_openvino is None:
        use_openvino = not VARIABLES["EMBEDDING_USE_OV"](environ.get("EMBEDDING_USE_OV", ""))
    return Asked(
        model_id=model_id or environ.get(MODEL_VARIABLE) or DEFAULT_MODEL,
        device=device or environ.get("EMBEDDING_DEVICE") or "CPU",
        ov_models_dir=ov_models_dir or environ.get("EMBEDDING_OV_MODELS_DIR") or None,
        use_openvino=use_openvino,
    )


def wanted(question: Asked) -> Wanted:
    """The settings that this stands for. polyvec's own variables and its config file win.

    Raises:
        ValueError: No model has this name, or a setting cannot be used.
    """
    said = {
        "EMBEDDING_DEVICE": question.device,
        "EMBEDDING_USE_OV": str(question.use_openvino),
        "EMBEDDING_OV_MODELS_DIR": question.ov_models_dir or "",
    }
    environ = {name: text for name, text in os.environ.items() if name != MMES_VARIABLE}
    try:
        config = load_config(models=[reference_of(question.model_id)], environ=environ | said)
        plan = compose(_with_defaults(config))
    except ConfigError as error:
        raise ValueError(error.message) from error
    (model,) = plan.models
    return Wanted(
        reference=model.reference,
        options=model.options,
        backend=plan.run.backend,
        device=plan.run.device,
        media=plan.run.media,
    )


def reference_of(model_id: str) -> str:
    """The reference that a name means.

    Raises:
        ValueError: No model has this name. A hub id is believed to exist.
    """
    if model_id == DEMO or (model_id and Path(model_id).expanduser().is_dir()):
        return model_id
    alias = alias_named(model_id)
    if alias is not None:
        return alias
    family, slash, name = model_id.partition("/")
    families = {family.casefold() for family in FAMILIES}
    if not slash or not name or "/" in name or family.casefold() in families:
        raise ValueError(
            f"Model {model_id!r} not found; list_available_models() has the known ones, and a hub "
            "id (owner/name) or a folder may be given as well"
        )
    return model_id


def _with_defaults(config: Config) -> Config:
    values = {
        key: Value(value, "SDK")
        for key, value in _DEFAULTS.items()
        if config.values[key].origin == "default"
    }
    return replace(config, values={**config.values, **values})
