"""open_clip_config.json → the config and the image processor of a checkpoint in that layout.

Source: https://github.com/mlfoundations/open_clip, push_to_hf_hub, factory and transform.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.types import Setting

FILE = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
MODEL_TYPE = "open_clip"
"""``model_type`` of the config made here; no published config.json has it."""

_BICUBIC, _BILINEAR = 3, 2
# "random" is for training; pictures that are embedded are resized as for "bicubic".
_RESAMPLE = {"bicubic": _BICUBIC, "bilinear": _BILINEAR, "random": _BICUBIC}
# Names of timm's image towers → what the architecture is called here, the first that matches.
_TIMM_KINDS = (
    ("fastvit", "", "OpenClipFastVit"),
    ("vit", "_mci", "OpenClipVitMci"),
    ("vit", "_siglip", "OpenClipVitSiglip"),
    ("vit", "_clip_", "OpenClipVitClip"),
)


def is_open_clip(root: Path, config: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether a folder is to be read as open_clip reads it.

    Folders that transformers can read as well are read its way.

    Args:
        root: Folder of the checkpoint.
        config: config.json, empty without one. timm's own has neither of the two keys asked for.
        names: Files that transformers keeps its weights in.
    """
    if not (root / FILE).is_file():
        return False
    if not isinstance(config.get("architectures"), list) and "model_type" not in config:
        return True
    return (root / WEIGHTS).is_file() and not any((root / name).is_file() for name in names)


def open_clip_config(said: Mapping[str, Any], timm: Mapping[str, Any]) -> dict[str, Any]:
    """The file's ``model_cfg``, with ``architectures``, ``model_type`` and ``preprocess_cfg``.

    ``quick_gelu`` says how the weights were trained: as the file says it, else by what timm's
    config.json in the same folder says of them.

    Args:
        said: open_clip_config.json.
        timm: config.json of the same folder, empty without one.

    Raises:
        CheckpointError: A part is missing or has the wrong type.
    """
    model = _section(said, "model_cfg")
    vision, text = _section(model, "vision_cfg"), _section(model, "text_cfg")
    config = dict(model)
    if config.get("quick_gelu") is None and _tag(timm) == "openai":
        # All of OpenAI's weights were trained with it, and published under plain configs as well.
        config["quick_gelu"] = True
        config["quick_gelu_origin"] = "config.json: pretrained_cfg.tag"
    return config | {
        "architectures": [_architecture(model, vision, text)],
        "model_type": MODEL_TYPE,
        "preprocess_cfg": _section(said, "preprocess_cfg") if "preprocess_cfg" in said else {},
    }


def open_clip_image_config(config: Mapping[str, Any]) -> Setting:
    """The image processor in the form of preprocessor_config.json.

    Args:
        config: As `open_clip_config` gives it.

    Raises:
        CheckpointError: It asks for what is not supported.
    """
    said = config["preprocess_cfg"]
    height, width = _image_size(config["vision_cfg"].get("image_size"))
    values: dict[str, Any] = {
        "image_processor_type": "CLIPImageProcessor",
        "resample": _choice(said, "interpolation", "bicubic", _RESAMPLE),
        "size": {"height": height, "width": width},
        "do_center_crop": False,
    }
    for ours, theirs in (("image_mean", "mean"), ("image_std", "std")):
        if said.get(theirs) is not None:
            values[ours] = said[theirs]
    mode = _choice(said, "resize_mode", "shortest", {"shortest": "crop", "squash": "squash"})
    if said.get("mode") not in (None, "RGB"):
        raise _error("preprocess_cfg.mode", said["mode"], "RGB")
    if mode == "crop":
        if height != width:
            raise _error(
                "vision_cfg.image_size", [height, width], "a square, or resize_mode squash"
            )
        values |= {
            "size": {"shortest_edge": height},
            "do_center_crop": True,
            "crop_size": {"height": height, "width": width},
            # Source: torchvision center_crop, which open_clip uses.
            "_crop_rounding": "half_even",
        }
    return Setting(values, FILE)


def _architecture(
    model: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any]
) -> str:
    if model.get("multimodal_cfg") is not None:
        return "OpenClipCoCa"
    if text.get("hf_model_name") is not None:
        return "OpenClipHfText"
    name = vision.get("timm_model_name")
    if name is None:
        return "OpenClipResNet" if isinstance(vision.get("layers"), list) else "OpenClipVit"
    for first, part, kind in _TIMM_KINDS:
        if str(name).startswith(f"{first}_") and part in str(name):
            return kind
    return f"OpenClip ({name})"


def _image_size(value: Any) -> tuple[int, int]:
    sides = [value, value] if isinstance(value, int) else [224, 224] if value is None else value
    if (
        not isinstance(sides, list)
        or len(sides) != 2  # noqa: PLR2004  (height, width)
        or not all(type(side) is int and side > 0 for side in sides)
    ):
        raise _error("vision_cfg.image_size", value, "a whole number of pixels, or two")
    return sides[0], sides[1]


def _choice(said: Mapping[str, Any], key: str, default: str, known: Mapping[str, Any]) -> Any:
    value = said.get(key)
    value = default if value is None else value
    if not isinstance(value, str) or value not in known:
        raise _error(f"preprocess_cfg.{key}", value, ", ".join(known))
    return known[value]


def _tag(timm: Mapping[str, Any]) -> Any:
    pretrained = timm.get("pretrained_cfg")
    return pretrained.get("tag") if isinstance(pretrained, Mapping) else None


def _section(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = said.get(key)
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{FILE} lacks the object {key!r}", param=key)
    return value


def _error(key: str, value: Any, supported: str) -> CheckpointError:
    return CheckpointError(
        f"{FILE}: {key} {value!r} is not supported; supported: {supported}", param=key
    )
