"""The operator's answers that come as JSON, in vLLM's spellings, brought to one form.

Source: https://docs.vllm.ai/en/stable/api/vllm/config/pooler/ (PoolerConfig).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polyvec.errors import ConfigError
from polyvec.models._family import Pooling
from polyvec.models._options import ModelOptions
from polyvec.types import Setting

# vLLM's names, and ours for what it does not have.
_TYPES: dict[str, Pooling] = {
    "CLS": "cls",
    "MEAN": "mean",
    "LAST": "last",
    "MAX": "max",
    "MEAN_SQRT_LEN": "mean_sqrt_len",
    "WEIGHTEDMEAN": "weightedmean",
}
_TYPE_KEYS = ("pooling_type", "seq_pooling_type")
_NORMALIZE_KEYS = ("use_activation", "normalize")
# Keys that are accepted with the values that change nothing here.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "task": (None, "embed", "token_embed", "embed&token_embed"),
    "tok_pooling_type": (None, "ALL"),
    "dimensions": (None,),
    "enable_chunked_processing": (None, False),
    "max_embed_len": (None,),
    "logit_mean": (None, 0, 0.0),
    "logit_sigma": (None, 1, 1.0),
    "step_tag_id": (None,),
    "returned_token_ids": (None,),
    "enable_flash_late_interaction": (None, True, False),
}


@dataclass(frozen=True, slots=True)
class Said:
    """What the operator said of a model, each with the flag that said it.

    Attributes:
        pooling: A `Pooling`, or None.
        normalize: A bool, or None.
        config: Keys to put over config.json.
        file: What config.json is called in this checkpoint.
    """

    pooling: Setting | None = None
    normalize: Setting | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    file: str = "config.json"

    def where(self, key: str) -> str:
        """The origin of a key of config.json."""
        return f"--hf-overrides: {key}" if key in self.config else f"{self.file}: {key}"


def said_by(options: ModelOptions) -> Said:
    """Read the JSON options.

    Raises:
        ConfigError: A key is unknown, a value cannot be honoured, or two flags disagree.
    """
    pooler = options.pooler_config or {}
    known = (*_TYPE_KEYS, *_NORMALIZE_KEYS, *_NEUTRAL)
    for key, value in pooler.items():
        if key not in known:
            raise _refused(f"has no key {key!r}; known: {', '.join(sorted(known))}")
        if key in _NEUTRAL and value not in _NEUTRAL[key]:
            raise _refused(f"{key} {value!r} is not supported")
    return Said(
        pooling=_one("pooling", options.pooling, [_type(pooler, key) for key in _TYPE_KEYS]),
        normalize=_one(
            "normalize", options.normalize, [_switch(pooler, key) for key in _NORMALIZE_KEYS]
        ),
        config=options.hf_overrides or {},
    )


def overridden(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with other values; objects inside are merged, everything else replaced."""
    merged = dict(config)
    for key, value in changes.items():
        own = merged.get(key)
        both = isinstance(own, Mapping) and isinstance(value, Mapping)
        merged[key] = overridden(own, value) if both else value  # type: ignore[arg-type]
    return merged


def _type(pooler: Mapping[str, Any], key: str) -> Pooling | None:
    value = pooler.get(key)
    if value is None:
        return None
    found = _TYPES.get(str(value).upper())
    if found is None:
        raise _refused(f"{key} must be one of {', '.join(_TYPES)}, not {value!r}")
    return found


def _switch(pooler: Mapping[str, Any], key: str) -> bool | None:
    value = pooler.get(key)
    if value is not None and not isinstance(value, bool):
        raise _refused(f"{key} must be true or false, not {value!r}")
    return value


def _one(name: str, flag: Any, others: list[Any]) -> Setting | None:
    said = [value for value in (flag, *others) if value is not None]
    if any(value != said[0] for value in said):
        raise ConfigError(
            f"{name} is said twice and differently: {' and '.join(map(str, said))}", param=name
        )
    if not said:
        return None
    return Setting(said[0], f"--{name}" if flag is not None else "--pooler-config")


def _refused(reason: str) -> ConfigError:
    return ConfigError(f"--pooler-config: {reason}", param="pooler_config")
