"""Checkpoint and flags → Model: flag > the checkpoint's own files > the family's default.

Every answer keeps its origin. Nothing is guessed from a model's name.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from polyvec.checkpoints.image_processor import read_image_transform
from polyvec.checkpoints.locate import locate
from polyvec.checkpoints.read import Checkpoint, Module, read_checkpoint
from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._config import activation
from polyvec.models._family import Dense, Family, Pooling, Tower
from polyvec.models._model import ImageRules, Model, TextRules
from polyvec.models._registry import aliases, architecture_of, family_of
from polyvec.types import Setting

_log = logging.getLogger(__name__)

# Sentence-Transformers' names → ours. Source: sentence_transformers.models.Pooling.
_POOLING: dict[str, Pooling] = {
    "cls": "cls",
    "mean": "mean",
    "max": "max",
    "lasttoken": "last",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weightedmean",
}
_POOLING_FLAGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "last",
}
# config.json's own `pooling` key, as some repositories without modules.json have it.
_CONFIG_POOLING: dict[str, Pooling] = {"avg": "mean", "mean": "mean", "cls": "cls", "last": "last"}
_STAGES = ("Pooling", "Dense", "Normalize")
"""Modules after the model, in the one order that is computed."""
# What a Dense module may say beside its sizes; anything else would change vectors unseen.
_DENSE_KEYS: dict[str, tuple[Any, ...]] = {
    "use_residual": (None, False),
    "module_input_name": (None, "sentence_embedding"),
    "module_output_name": (None, "sentence_embedding"),
}
_UNLIMITED_TOKENS = 10**9
"""transformers writes a larger model_max_length where a tokenizer has no limit."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What an operator may say about a model instead of its checkpoint.

    Attributes:
        revision: Branch, tag or commit of a hub id.
        pooling: Token states → one vector.
        normalize: Whether vectors have unit length.
        max_input_tokens: Longest text in tokens.
        default_prompt_name: One of the checkpoint's prompts, for requests that name none.
        matryoshka: Shorter lengths that callers may ask for.
    """

    revision: str | None = None
    pooling: Pooling | None = None
    normalize: bool | None = None
    max_input_tokens: int | None = None
    default_prompt_name: str | None = None
    matryoshka: tuple[int, ...] = ()


@dataclass(slots=True)
class _Settings:
    """Answers so far, with their origins."""

    found: dict[str, Setting] = field(default_factory=dict)

    def keep(self, name: str, value: Any, origin: str) -> Any:
        self.found[name] = Setting(value, origin)
        return value


def resolve(reference: str, options: ModelOptions | None = None) -> Model:
    """Read a checkpoint and answer every question about it.

    Args:
        reference: Folder, hub id, alias such as ``CLIP/clip-vit-b-16``, or ``polyvec-demo``.
        options: The operator's own answers.

    Raises:
        CheckpointError: It cannot be found, read or served.
        ConfigError: An option contradicts the checkpoint.
    """
    options = options or ModelOptions()
    folder = locate(_repo_of(reference), revision=options.revision)
    checkpoint = read_checkpoint(folder)
    architecture = checkpoint.architecture or architecture_of(checkpoint.config.get("model_type"))
    family = family_of(architecture)
    config = family.read_config(checkpoint.config)
    settings = _Settings()
    named = "architectures" if checkpoint.architecture else "model_type"
    settings.keep("family", family.name, f"config.json: {named}")
    dense = tuple(_dense_modules(checkpoint))
    text = _text_rules(checkpoint, family, config, options, settings)
    image = _image_rules(checkpoint, family, config, settings)
    dimensions = settings.keep("dimensions", *_dimensions(family, config, dense))
    return Model(
        checkpoint=reference,
        architecture=architecture,
        family=family,
        config=config,
        weights=_weights(checkpoint, family),
        dimensions=dimensions,
        matryoshka=_matryoshka(checkpoint, dimensions, options, settings),
        normalize=_normalize(checkpoint, family, options, settings),
        text=text,
        image=image,
        dense=dense,
        settings=settings.found,
    )


def _repo_of(reference: str) -> str:
    lowered = {alias.lower(): repo for alias, repo in aliases().items()}
    return lowered.get(reference.lower(), reference)


def _weights(checkpoint: Checkpoint, family: Family) -> Weights:
    files = dict.fromkeys(checkpoint.weight_files(), "")
    for module in checkpoint.modules or ():
        if module.kind == "Dense":
            files[checkpoint.module_weights(module)] = f"{module.path}."
    return Weights.open(files).renamed(family.key_prefixes, family.key_endings)


# Texts.


def _text_rules(
    checkpoint: Checkpoint, family: Family, config: Any, options: ModelOptions, settings: _Settings
) -> TextRules | None:
    tower = family.towers.get("text")
    if tower is None:
        return None
    lower = bool(checkpoint.text_config.value.get("do_lower_case", False))
    tokenizer = Tokenizer.open(checkpoint.root / "tokenizer.json", lower_case=lower)
    limit = _max_input_tokens(checkpoint, tower, config, options, settings)
    prompts = _prompts(checkpoint, settings)
    return TextRules(
        tokenizer=tokenizer,
        max_input_tokens=limit,
        prompts=prompts,
        default_prompt_name=_default_prompt(checkpoint, prompts, options, settings),
        vocab_size=family.vocab_size(config),
        poolings=(_pooling(checkpoint, tower, options, settings),),
    )


def _max_input_tokens(
    checkpoint: Checkpoint, tower: Tower, config: Any, options: ModelOptions, settings: _Settings
) -> int:
    """The smallest of all limits that exist; a flag may only lower it to what positions allow."""
    positions = tower.max_positions(config)
    if options.max_input_tokens is not None:
        if not 1 <= options.max_input_tokens <= positions:
            raise ConfigError(
                f"--max-input-tokens must be from 1 to {positions}, the model's positions",
                param="max_input_tokens",
            )
        return int(
            settings.keep("max_input_tokens", options.max_input_tokens, "--max-input-tokens")
        )
    limits = [(positions, "config.json: positions")]
    seq_length = checkpoint.text_config.value.get("max_seq_length")
    if seq_length is not None:
        if type(seq_length) is not int or seq_length < 1:
            raise CheckpointError(
                f"{checkpoint.text_config.origin}: max_seq_length must be a whole number from 1 "
                f"up, not {seq_length!r}"
            )
        limits.append((seq_length, f"{checkpoint.text_config.origin}: max_seq_length"))
    model_max = checkpoint.tokenizer_config.get("model_max_length")
    if isinstance(model_max, int | float) and 0 < model_max < _UNLIMITED_TOKENS:
        limits.append((int(model_max), "tokenizer_config.json: model_max_length"))
    return int(settings.keep("max_input_tokens", *min(limits)))


def _prompts(checkpoint: Checkpoint, settings: _Settings) -> Mapping[str, str]:
    prompts = checkpoint.prompt_config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(p, str) for p in prompts.values()):
        raise CheckpointError("config_sentence_transformers.json: prompts must map names to texts")
    if prompts:
        settings.keep("prompts", prompts, "config_sentence_transformers.json: prompts")
    return prompts


def _default_prompt(
    checkpoint: Checkpoint, prompts: Mapping[str, str], options: ModelOptions, settings: _Settings
) -> str | None:
    name, origin = options.default_prompt_name, "--default-prompt-name"
    if name is None:
        name = checkpoint.prompt_config.get("default_prompt_name")
        origin = "config_sentence_transformers.json: default_prompt_name"
    if name is None:
        return None
    if name not in prompts:
        known = ", ".join(prompts) or "none"
        raise ConfigError(f"{origin} {name!r} is not one of the checkpoint's prompts: {known}")
    return str(settings.keep("default_prompt_name", name, origin))


def _pooling(
    checkpoint: Checkpoint, tower: Tower, options: ModelOptions, settings: _Settings
) -> Pooling:
    if tower.pooling == "eos":  # part of the architecture, not a choice
        if options.pooling is not None:
            raise ConfigError(
                f"--pooling {options.pooling} cannot be used: {checkpoint.architecture} pools in "
                "its own way",
                param="pooling",
            )
        return cast(Pooling, settings.keep("pooling", "eos", "family"))
    if options.pooling is not None:
        return cast(Pooling, settings.keep("pooling", options.pooling, "--pooling"))
    for module in (*(checkpoint.modules or ()), *checkpoint.lone_pooling):
        if module.kind == "Pooling":
            pooling = _module_pooling(module)
            return cast(Pooling, settings.keep("pooling", pooling, f"{module.path}/config.json"))
    named = checkpoint.config.get("pooling")
    if isinstance(named, str) and named in _CONFIG_POOLING:
        return cast(
            Pooling, settings.keep("pooling", _CONFIG_POOLING[named], "config.json: pooling")
        )
    _log.warning(
        "the checkpoint leaves pooling open; using %s, the family's default. Other servers may "
        "choose otherwise: set --pooling (one of %s) to what the model's authors say",
        tower.pooling,
        ", ".join(_POOLING.values()),
    )
    return cast(Pooling, settings.keep("pooling", tower.pooling, "family default"))


def _module_pooling(module: Module) -> Pooling:
    where = f"{module.path}/config.json"
    mode = module.config.get("pooling_mode")
    chosen = list(mode) if isinstance(mode, list) else [] if mode is None else [mode]
    modes = [_POOLING.get(str(name)) for name in chosen]
    if not modes and not _POOLING_FLAGS.keys() & module.config.keys():
        modes = ["mean"]  # as the published class has it when its file says nothing
    if not modes:
        modes = [ours for key, ours in _POOLING_FLAGS.items() if module.config.get(key) is True]
    if len(modes) != 1 or modes[0] is None:
        raise CheckpointError(
            f"{where}: exactly one known pooling mode is supported, found {chosen or modes}"
        )
    if module.config.get("include_prompt") is False:
        raise CheckpointError(f"{where}: include_prompt false is not supported yet")
    return modes[0]


# Pictures.


def _image_rules(
    checkpoint: Checkpoint, family: Family, config: Any, settings: _Settings
) -> ImageRules | None:
    tower = family.towers.get("image")
    if tower is None:
        return None
    if checkpoint.image_config is None:
        raise CheckpointError("preprocessor_config.json is missing: the model reads pictures")
    origin = checkpoint.image_config.origin
    transform = read_image_transform(
        checkpoint.image_config.value, origin=origin, default_type=tower.image_processor
    )
    side = tower.image_size(config)
    if transform.size != (side, side):
        raise CheckpointError(
            f"{origin} makes pictures of {transform.size[0]}x{transform.size[1]}, "
            f"but config.json says {side}x{side}"
        )
    settings.keep("image_size", side, "config.json: vision_config.image_size")
    return ImageRules(transform=transform, num_patches=tower.max_positions(config))


# Vectors.


def _dense_modules(checkpoint: Checkpoint) -> Iterator[Dense]:
    modules = (checkpoint.modules or ())[1:]
    kinds = [module.kind for module in modules]
    for kind in kinds:
        if kind not in _STAGES:
            raise CheckpointError(f"modules.json: module {kind!r} is not supported")
    if kinds != sorted(kinds, key=_STAGES.index) or kinds.count("Pooling") > 1:
        raise CheckpointError(
            "modules.json: after the model, only one Pooling, then any Dense, then Normalize is "
            f"supported, found {', '.join(kinds)}"
        )
    yield from (_dense(module) for module in modules if module.kind == "Dense")


def _dense(module: Module) -> Dense:
    for key, allowed in _DENSE_KEYS.items():
        if module.config.get(key) not in allowed:
            raise CheckpointError(
                f"{module.path}/config.json: {key} {module.config[key]!r} is not supported"
            )
    name = module.config.get("activation_function", "torch.nn.modules.activation.Tanh")
    kind = str(name).rsplit(".", 1)[-1].lower()
    width = module.config.get("out_features")
    if not isinstance(width, int):
        raise CheckpointError(f"{module.path}/config.json lacks out_features")
    return Dense(
        name=f"{module.path}.linear",
        bias=bool(module.config.get("bias", True)),
        activation=None if kind == "identity" else activation(kind),
        dimensions=width,
    )


def _dimensions(family: Family, config: Any, dense: tuple[Dense, ...]) -> tuple[int, str]:
    if dense:
        return dense[-1].dimensions, f"{dense[-1].name.split('.')[0]}/config.json: out_features"
    tower = next(iter(family.towers.values()))
    return tower.dimensions(config), "config.json"


def _matryoshka(
    checkpoint: Checkpoint, dimensions: int, options: ModelOptions, settings: _Settings
) -> tuple[int, ...]:
    declared = checkpoint.config.get("matryoshka_dimensions")
    if options.matryoshka:
        if max(options.matryoshka) > dimensions:
            raise ConfigError(
                f"--matryoshka-dimensions must be from 1 to {dimensions}, the model's own length",
                param="matryoshka",
            )
        declared, origin = options.matryoshka, "--matryoshka-dimensions"
    elif isinstance(declared, list):
        origin = "config.json: matryoshka_dimensions"
    elif checkpoint.config.get("is_matryoshka") is True:
        declared, origin = range(1, dimensions + 1), "config.json: is_matryoshka"
    else:
        return ()
    if not all(isinstance(n, int) for n in declared):
        raise CheckpointError(f"{origin} must be whole numbers, found {list(declared)}")
    lengths = tuple(sorted({n for n in declared if 0 < n <= dimensions}))
    shown = f"1-{dimensions}" if isinstance(declared, range) else list(lengths)
    settings.keep("matryoshka", shown, origin)
    return lengths


def _normalize(
    checkpoint: Checkpoint, family: Family, options: ModelOptions, settings: _Settings
) -> bool:
    if options.normalize is not None:
        return bool(settings.keep("normalize", options.normalize, "--normalize"))
    # Sentence-Transformers' CLIP folders list the model alone, and their users normalise by hand.
    if checkpoint.modules is not None and len(checkpoint.modules) > 1:
        present = any(module.kind == "Normalize" for module in checkpoint.modules)
        return bool(settings.keep("normalize", present, "modules.json"))
    return bool(settings.keep("normalize", family.normalize, "family default"))
