"""preprocessor_config.json → ImageTransform."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from polyvec.errors import CheckpointError
from polyvec.media.transform import ImageTransform

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)
_BILINEAR, _BICUBIC = 2, 3

_ALL: Mapping[str, Any] = {
    "do_resize": True,
    "do_center_crop": False,
    "do_rescale": True,
    "do_normalize": True,
    "rescale_factor": 1 / 255,
}
_CLIP: Mapping[str, Any] = {
    **_ALL,
    "do_center_crop": True,
    "resample": _BICUBIC,
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "default_to_square": False,
    "image_mean": _CLIP_MEAN,
    "image_std": _CLIP_STD,
}
# What a class fills in for keys that the file leaves out.
# Source: transformers 5.23, models/*/image_processing_pil_*.py.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "CLIPImageProcessor": _CLIP,
    "ChineseCLIPImageProcessor": _CLIP,
    "SiglipImageProcessor": {
        **_ALL,
        "resample": _BICUBIC,
        "size": {"height": 224, "width": 224},
        "default_to_square": False,
        "image_mean": _HALF,
        "image_std": _HALF,
    },
    "Siglip2ImageProcessor": {
        **_ALL,
        "resample": _BILINEAR,
        "image_mean": _HALF,
        "image_std": _HALF,
        "max_num_patches": 256,
        "patch_size": 16,
    },
    "ViTImageProcessor": {
        **_ALL,
        "resample": _BILINEAR,
        "size": {"height": 224, "width": 224},
        "default_to_square": True,
        "image_mean": _HALF,
        "image_std": _HALF,
    },
    "BlipImageProcessor": {
        **_ALL,
        "resample": _BICUBIC,
        "size": {"height": 384, "width": 384},
        "default_to_square": True,
        "image_mean": _CLIP_MEAN,
        "image_std": _CLIP_STD,
    },
}
_PATCHES = frozenset(("max_num_patches", "patch_size"))
_READ = frozenset(key for defaults in _DEFAULTS.values() for key in defaults) - _PATCHES
# Nothing that these say changes the pixels of one RGB picture.
_INERT = frozenset(
    (
        "auto_map",
        "device",
        "disable_grouping",
        "do_convert_rgb",
        "feature_extractor_type",
        "image_processor_type",
        "input_data_format",
        "pad_size",
        "processor_class",
        "return_tensors",
    )
)
# What some processors do and ours do not.
_CHANGES_PIXELS = frozenset(("do_pad", "do_flip_channel_order", "do_reduce_labels", "data_format"))
_RESAMPLE_CODES = range(6)
_MAX_PATCH_SETTING = 16384
"""Published files have at most 1024; every picture takes memory for all of them."""

_log = logging.getLogger(__name__)


def read_image_transform(
    config: Mapping[str, Any], *, origin: str, default_type: str | None = None
) -> ImageTransform:
    """Read an image processor's config as transformers would.

    Missing keys take the defaults of the class that ``image_processor_type`` (or the older
    ``feature_extractor_type``) names. A null switch is off. A key that no class reads is warned
    of, since the reference drops it as well.

    Args:
        config: preprocessor_config.json, or the ``image_processor`` part of processor_config.json.
        origin: The file's name, for messages.
        default_type: Class of a config that names none; without it, such a config must spell out
            all.

    Raises:
        CheckpointError: A class or value whose meaning is not known; ``param`` names the key.
    """
    return _Reader(config, origin, default_type).transform()


class _Reader:
    def __init__(self, config: Mapping[str, Any], origin: str, default_type: str | None) -> None:
        self._origin = origin
        self._default_type = default_type
        self._given = self._values = config
        defaults = self._defaults()
        self._values = {**defaults, **config}
        self._read = _READ | (_PATCHES & defaults.keys())

    def transform(self) -> ImageTransform:
        self._check_keys()
        if self._read >= _PATCHES:
            return self._patches()
        resize = self._resize() if self._flag("do_resize") else None
        crop = self._crop() if self._flag("do_center_crop") else None
        if crop is None and not isinstance(resize, tuple):
            raise self._error(
                "size", "pictures would have no fixed size; give height and width, or a centre crop"
            )
        return ImageTransform(
            resize=resize,
            resample=self._resample() if resize is not None else _BICUBIC,
            crop=crop,
            crop_rounding=self._values.get("_crop_rounding", "down"),
            **self._numbers(),
        )

    def _patches(self) -> ImageTransform:
        """Pictures that keep their shape, in patches."""
        if not self._flag("do_resize") or self._flag("do_center_crop"):
            raise self._error("do_resize", "patches need it, and no do_center_crop")
        lengths = {key: self._get(key) for key in ("max_num_patches", "patch_size")}
        for key, value in lengths.items():
            if not _is_length(value) or value > _MAX_PATCH_SETTING:
                raise self._error(key, f"it must be a whole number from 1 to {_MAX_PATCH_SETTING}")
        return ImageTransform(
            resize=None,
            resample=self._resample(),
            max_patches=lengths["max_num_patches"],
            patch_size=lengths["patch_size"],
            **self._numbers(),
        )

    def _numbers(self) -> dict[str, Any]:
        """What is done to the numbers of resized pixels."""
        normalize = self._flag("do_normalize")
        return {
            "rescale_factor": self._factor() if self._flag("do_rescale") else 1.0,
            "mean": self._triple("image_mean") if normalize else (0.0, 0.0, 0.0),
            "std": self._std() if normalize else (1.0, 1.0, 1.0),
        }

    def _defaults(self) -> Mapping[str, Any]:
        for key in ("image_processor_type", "feature_extractor_type"):
            if self._given.get(key) is not None:
                name = str(self._given[key]).replace("FeatureExtractor", "ImageProcessor")
                name = name.removesuffix("Fast").removesuffix("Pil")
                if name not in _DEFAULTS:
                    raise self._error(key, f"supported are {', '.join(sorted(_DEFAULTS))}")
                return _DEFAULTS[name]
        return {} if self._default_type is None else _DEFAULTS[self._default_type]

    def _check_keys(self) -> None:
        for key, value in self._given.items():
            known = key in self._read or key in _INERT or key.startswith("_")
            # An unknown switch that is off changes nothing.
            if (
                known
                or value is None
                or value is False
                or (key, value) == ("data_format", "channels_first")
            ):
                continue
            if key in _CHANGES_PIXELS:
                raise self._error(key, "this is not supported")
            _log.warning("%s: %s is not known, and left out", self._origin, key)

    def _get(self, key: str) -> Any:
        if key not in self._values:
            raise CheckpointError(
                f"{self._origin}: {key} is missing, and no known image_processor_type gives it",
                param=key,
            )
        return self._values[key]

    def _flag(self, key: str) -> bool:
        value = self._get(key)
        if value is not None and not isinstance(value, bool):
            raise self._error(key, "it must be true or false")
        return bool(value)

    def _resize(self) -> int | tuple[int, int]:
        value = self._get("size")
        # The defaults' own size is spelt out, so only a bare number of the file asks this.
        if _is_length(value):
            return (value, value) if self._flag("default_to_square") else int(value)
        if isinstance(value, Mapping) and set(value) == {"shortest_edge"}:
            edge = value["shortest_edge"]
            if _is_length(edge):
                return int(edge)
        return self._height_width("size", "a number, height and width, or shortest_edge alone")

    def _crop(self) -> tuple[int, int]:
        value = self._get("crop_size")
        if _is_length(value):
            return value, value
        return self._height_width("crop_size", "a number, or height and width")

    def _height_width(self, key: str, allowed: str) -> tuple[int, int]:
        value = self._get(key)
        pair = None
        if isinstance(value, Mapping) and set(value) == {"height", "width"}:
            pair = value["height"], value["width"]
        elif isinstance(value, list | tuple) and len(value) == 2:  # noqa: PLR2004 - height, width
            pair = value[0], value[1]
        if pair is None or not all(_is_length(length) for length in pair):
            raise self._error(key, f"it must be {allowed}, in whole pixels above 0")
        return pair

    def _resample(self) -> int:
        value = self._get("resample")
        if isinstance(value, bool) or not isinstance(value, int) or value not in _RESAMPLE_CODES:
            raise self._error("resample", "it must be a filter code of Pillow, 0 to 5")
        return value

    def _factor(self) -> float:
        value = self._get("rescale_factor")
        if not _is_number(value):
            raise self._error("rescale_factor", "it must be a number")
        return float(value)

    def _triple(self, key: str) -> tuple[float, float, float]:
        value = self._get(key)
        channels = [value] * 3 if _is_number(value) else value
        if (
            not isinstance(channels, list | tuple)
            or len(channels) != 3  # noqa: PLR2004 - red, green, blue
            or not all(_is_number(channel) for channel in channels)
        ):
            raise self._error(key, "it must be a number or a list of three")
        return float(channels[0]), float(channels[1]), float(channels[2])

    def _std(self) -> tuple[float, float, float]:
        std = self._triple("image_std")
        if 0.0 in std:
            raise self._error("image_std", "it must not be 0")
        return std

    def _error(self, key: str, why: str) -> CheckpointError:
        value = repr(self._values.get(key))[:200]
        return CheckpointError(f"{self._origin}: {key} is {value}: {why}", param=key)


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
