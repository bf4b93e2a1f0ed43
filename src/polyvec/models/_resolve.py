"""Checkpoint and flags → Model: flag > the checkpoint's own files > the family's default.

Every answer keeps its origin. Nothing is guessed from a model's name.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyvec.checkpoints.adapter_folders import KEY as ADAPTERS
from polyvec.checkpoints.adapter_folders import WEIGHTS as ADAPTER_WEIGHTS
from polyvec.checkpoints.image_processor import read_image_transform
from polyvec.checkpoints.locate import is_local, locate
from polyvec.checkpoints.read import Checkpoint, read_checkpoint
from polyvec.checkpoints.weights import Weights
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._family import Family, Head, Projection
from polyvec.models._foreign import foreign_family
from polyvec.models._model import ImageRules, Model, TextRules
from polyvec.models._modules import read_projections, weight_modules
from polyvec.models._options import Answers, ModelOptions
from polyvec.models._overrides import Said, overridden, said_by
from polyvec.models._poolings import Poolings, read_poolings
from polyvec.models._prebuilt import NAME as PREBUILT
from polyvec.models._prebuilt import prebuilt_family
from polyvec.models._registry import (
    alias_dtype,
    alias_named,
    aliases,
    architecture_of,
    claimant,
    family_of,
)
from polyvec.models._resolve_heads import (
    labels_of,
    poolings_of,
    replaces_pooling,
    resolve_heads,
    with_extra_files,
    with_readings,
)
from polyvec.models._templates import usage_of
from polyvec.models._text_rules import read_text_rules
from polyvec.types import Output

__all__ = ["ModelOptions", "is_here", "resolve"]


def is_here(reference: str, options: ModelOptions) -> bool:
    """Whether a checkpoint can be read without the network."""
    return is_local(_repo_of(reference), revision=options.revision)


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
    answers = Answers()
    checkpoint = read_checkpoint(locate(_repo_of(reference), revision=options.revision))
    said = replace(said_by(options), file=checkpoint.config_origin)
    checkpoint = _with_overrides(checkpoint, said, options, answers)
    architecture, family = _family(checkpoint, said, options, answers)
    config = family.read_config(checkpoint.config)
    answers.found.update(family.facts(checkpoint.config, said.where))
    weights = _weights(checkpoint, family, config)
    heads = resolve_heads(checkpoint, family, config, weights)
    _check_convert(options, heads)
    dense = () if replaces_pooling(checkpoint) else read_projections(checkpoint, weights)
    text = _text_rules(checkpoint, family, config, options, (said, answers, heads))
    image = _image_rules(checkpoint, family, config, answers)
    num_poolings = 1 if text is None else len(text.poolings)
    found = _dimensions(family, config, dense, heads, num_poolings)
    dimensions = answers.keep("dimensions", found[0], found[1] or checkpoint.config_origin)
    matryoshka = _matryoshka(checkpoint, dimensions, options, said, answers)
    return Model(
        checkpoint=reference,
        architecture=architecture,
        family=family,
        config=config,
        weights=weights,
        dimensions=dimensions,
        matryoshka=matryoshka,
        standardizes=_standardizes(checkpoint, matryoshka, answers),
        normalize=_normalize(checkpoint, family, said, answers),
        text=text,
        image=image,
        dense=dense,
        heads=heads,
        adapters=_adapters(checkpoint, family, config, answers),
        labels=labels_of(checkpoint, heads),
        settings=answers.found,
        default_dtype=alias_dtype(reference),
        prebuilt=checkpoint.graph_file if family.name == PREBUILT else None,
    )


def _repo_of(reference: str) -> str:
    alias = None if Path(reference).expanduser().is_dir() else alias_named(reference)
    return reference if alias is None else aliases()[alias]


def _with_overrides(
    checkpoint: Checkpoint, said: Said, options: ModelOptions, answers: Answers
) -> Checkpoint:
    config = overridden(checkpoint.config, said.config)
    if options.architecture is not None:
        config["architectures"] = [options.architecture]
    if said.config:
        answers.keep("hf_overrides", dict(said.config), "--hf-overrides")
    return replace(checkpoint, config=config)


def _family(
    checkpoint: Checkpoint, said: Said, options: ModelOptions, answers: Answers
) -> tuple[str, Family]:
    """The architecture and who computes it."""
    prebuilt = prebuilt_family(checkpoint)
    if prebuilt is not None:
        answers.keep("family", prebuilt.name, str(checkpoint.graph_name))
        return checkpoint.architecture or "unknown", prebuilt
    foreign = _foreign(checkpoint, options)
    if foreign is not None:
        answers.keep("family", foreign.name, said.where("model_type"))
        return checkpoint.architecture or str(checkpoint.config["model_type"]), foreign
    architecture = checkpoint.architecture or architecture_of(checkpoint.config.get("model_type"))
    claimed = None if options.architecture is not None else claimant(checkpoint.config)
    family = claimed or family_of(architecture)
    if options.architecture is not None:
        origin = "--architecture"
    elif claimed is not None:
        origin = "config.json: auto_map"
    else:
        origin = said.where("architectures" if checkpoint.architecture else "model_type")
    answers.keep("family", family.name, origin)
    return architecture, family


def _foreign(checkpoint: Checkpoint, options: ModelOptions) -> Family | None:
    """The family of a checkpoint that transformers may load; None where a model file knows it."""
    if options.architecture is not None or claimant(checkpoint.config) is not None:
        return None
    if checkpoint.is_open_clip:
        return None
    try:
        family_of(checkpoint.architecture or architecture_of(checkpoint.config.get("model_type")))
    except CheckpointError:
        return foreign_family(checkpoint, trust_remote_code=options.trust_remote_code)
    return None


def _check_convert(options: ModelOptions, heads: Mapping[Output, Head]) -> None:
    """Refuse ``--convert`` where the model is not good for what it asks."""
    if options.convert == "classify" and "score" not in heads:
        raise ConfigError(
            "--convert classify needs a checkpoint with a classification head, and this one has "
            "none",
            param="convert",
        )
    if options.convert == "embed" and "score" in heads:
        raise ConfigError(
            "--convert embed cannot be used: the checkpoint is a cross-encoder and gives scores",
            param="convert",
        )


def _weights(checkpoint: Checkpoint, family: Family, config: Any) -> Weights:
    files = {} if family.name == PREBUILT else dict.fromkeys(checkpoint.weight_files(), "")
    for module in weight_modules(checkpoint):
        files[checkpoint.module_weights(module)] = f"{module.path}."
    for name in checkpoint.config.get(ADAPTERS, ()) if family.adapters(config) else ():
        files[checkpoint.root / name / ADAPTER_WEIGHTS] = f"{ADAPTERS}.{name}."
    pickled = checkpoint.pickled_weights
    weights = Weights.open(files) if pickled is None else Weights.open_pickle(pickled)
    weights = weights.renamed(family.key_prefixes, family.key_endings)
    weights = weights if family.fold is None else family.fold(weights)
    return with_extra_files(weights, checkpoint, family)


def _adapters(
    checkpoint: Checkpoint, family: Family, config: Any, answers: Answers
) -> tuple[str, ...]:
    names = family.adapters(config)
    if names:
        in_folders = ADAPTERS in checkpoint.config
        answers.keep(
            "adapters",
            list(names),
            "*/adapter_config.json" if in_folders else "config.json: lora_adaptations",
        )
    return names


def _text_rules(
    checkpoint: Checkpoint,
    family: Family,
    config: Any,
    options: ModelOptions,
    so_far: tuple[Said, Answers, Mapping[Output, Head]],
) -> TextRules | None:
    tower = family.towers.get("text")
    if tower is None:
        return None
    said, answers, heads = so_far
    own = poolings_of(heads)
    poolings = Poolings(own) if own else read_poolings(checkpoint, tower, said, answers)
    rules = read_text_rules(checkpoint, family, config, poolings, options, answers)
    return with_readings(rules, checkpoint, heads, tower.max_positions(config))


# Pictures.


def _image_rules(
    checkpoint: Checkpoint, family: Family, config: Any, answers: Answers
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
    layout = tower.layout(config)
    if layout is not None:
        if transform.patch_size != layout.patch_size:
            raise CheckpointError(
                f"{origin} must make patches of {layout.patch_size} pixels, as "
                f"{checkpoint.config_origin} says",
                param="patch_size",
            )
        layout = replace(layout, max_patches=transform.max_patches)
        answers.keep("max_patches", layout.max_patches, origin)
        return ImageRules(transform, layout.max_patches, layout)
    if transform.max_patches:
        raise CheckpointError(f"{origin} makes patches, and the model reads whole pictures")
    side = tower.image_size(config)
    if transform.size != (side, side):
        raise CheckpointError(
            f"{origin} makes pictures of {transform.size[0]}x{transform.size[1]}, "
            f"but {checkpoint.config_origin} says {side}x{side}"
        )
    answers.keep("image_size", side, f"{checkpoint.config_origin}: image size")
    if tower.num_vectors(config):
        answers.keep("vectors_per_picture", tower.num_vectors(config), checkpoint.config_origin)
    return ImageRules(transform=transform, num_patches=tower.max_positions(config))


# Vectors.


def _dimensions(
    family: Family,
    config: Any,
    dense: tuple[Projection, ...],
    heads: Mapping[Output, Head],
    num_poolings: int,
) -> tuple[int, str]:
    if heads and "dense" not in heads:
        return next(iter(heads.values())).dimensions, "head"
    if dense:
        last = dense[-1]
        return last.dimensions, f"{last.name.split('.')[0]}/config.json: out_features"
    tower = next(iter(family.towers.values()))
    if num_poolings > 1:
        return tower.dimensions(config) * num_poolings, f"config.json, {num_poolings} poolings"
    return tower.dimensions(config), ""


def _matryoshka(
    checkpoint: Checkpoint, dimensions: int, options: ModelOptions, said: Said, answers: Answers
) -> tuple[int, ...]:
    declared, origin = _declared_matryoshka(checkpoint, dimensions, options, said)
    if not all(type(n) is int for n in declared):
        raise CheckpointError(f"{origin} must be whole numbers, found {list(declared)}")
    asked = bool(options.matryoshka) or "matryoshka_dimensions" in said.config
    if asked and any(not 1 <= n <= dimensions for n in declared):
        raise ConfigError(
            f"{origin} must be from 1 to {dimensions}, the model's own length", param="matryoshka"
        )
    lengths = tuple(sorted({n for n in declared if 0 < n <= dimensions}))
    if lengths:
        shown = f"1-{dimensions}" if isinstance(declared, range) else list(lengths)
        answers.keep("matryoshka", shown, origin)
    return lengths


def _declared_matryoshka(
    checkpoint: Checkpoint, dimensions: int, options: ModelOptions, said: Said
) -> tuple[Any, str]:
    if options.matryoshka:
        return options.matryoshka, "--matryoshka-dimensions"
    declared = checkpoint.config.get("matryoshka_dimensions")
    if isinstance(declared, list | tuple):
        return declared, said.where("matryoshka_dimensions")
    if declared is not None and "matryoshka_dimensions" in said.config:
        raise ConfigError(
            "--hf-overrides: matryoshka_dimensions must be a list of lengths, such as [256], not "
            f"{declared!r}",
            param="hf_overrides",
        )
    if checkpoint.config.get("is_matryoshka") is True:
        return range(1, dimensions + 1), said.where("is_matryoshka")
    cut = checkpoint.prompt_config.get("truncate_dim")
    if cut is not None:
        return [cut], "config_sentence_transformers.json: truncate_dim"
    return (), ""


def _standardizes(checkpoint: Checkpoint, matryoshka: tuple[int, ...], answers: Answers) -> bool:
    usage = usage_of(checkpoint.config)
    if not matryoshka or usage is None or not usage.standardizes:
        return False
    return bool(answers.keep("standardizes_before_cut", True, f"usage of {usage.name}"))


def _normalize(checkpoint: Checkpoint, family: Family, said: Said, answers: Answers) -> bool:
    if said.normalize is not None:
        return bool(answers.keep("normalize", said.normalize.value, said.normalize.origin))
    # Sentence-Transformers' CLIP folders list the model alone, and their users normalise by hand.
    if checkpoint.modules is not None and len(checkpoint.modules) > 1:
        present = any(module.kind == "Normalize" for module in checkpoint.modules)
        return bool(answers.keep("normalize", present, "modules.json"))
    return bool(answers.keep("normalize", family.normalize, "family default"))
