"""modules.json → the steps after pooling."""

from collections.abc import Collection, Iterator

from polyvec.checkpoints.read import Checkpoint, Module
from polyvec.errors import CheckpointError
from polyvec.models._config import activation
from polyvec.models._family import Dense, LayerNorm, Projection

_STEPS = ("Dense", "LayerNorm")
_IGNORED = ("Dropout",)
"""Modules that do nothing when a model is used."""
_BRANCHES = ("Router", "Asym")
# What a Dense module may say of its place; anything else would change vectors unseen.
_PLACE_KEYS = ("module_input_name", "module_output_name")
_OF_ROWS = (None, "sentence_embedding")
_OF_TOKENS = (*_OF_ROWS, "token_embeddings")  # PyLate writes none or the first
_LATE = ("MultiVectorMask", "Pooling", "Normalize")
_WEIGHT_NAMES = ("linear", "", "dense")
"""What published Dense files call their layer."""
_IDENTITY = ("identity", "none")


def read_projections(checkpoint: Checkpoint, names: Collection[str]) -> tuple[Projection, ...]:
    """The steps after pooling, in order.

    Args:
        checkpoint: The files.
        names: Of all tensors, those of module folders with their folder before them.

    Raises:
        CheckpointError: A module is not known, or stands where it would not be computed.
    """
    modules = _after_model(checkpoint)
    for module in modules:
        _check_known(module)
    _check_order([module.kind for module in modules])
    return tuple(_projections(modules, names, _OF_ROWS))


def read_token_projections(
    checkpoint: Checkpoint, names: Collection[str]
) -> tuple[Projection, ...]:
    """The steps that a late-interaction model takes on every token, in order.

    Args:
        checkpoint: The files.
        names: As in `read_projections`.

    Raises:
        CheckpointError: A module is not known.
    """
    modules = _after_model(checkpoint)
    for module in modules:
        if module.kind not in _LATE:
            _check_known(module)
    return tuple(_projections(modules, names, _OF_TOKENS))


def weight_modules(checkpoint: Checkpoint) -> Iterator[Module]:
    """Modules after the model that have a file of weights."""
    for module in (checkpoint.modules or ())[1:]:
        if module.kind in _STEPS:
            yield module


def _after_model(checkpoint: Checkpoint) -> list[Module]:
    modules = checkpoint.modules or ()
    for module in modules[:1]:
        _check_branches(module)
    return [module for module in modules[1:] if module.kind not in _IGNORED]


def _check_branches(module: Module) -> None:
    if module.kind in _BRANCHES:
        raise CheckpointError(
            f"modules.json: {module.kind} sends queries and documents through different modules, "
            "which is not supported"
        )


def _check_known(module: Module) -> None:
    _check_branches(module)
    if module.kind not in (*_STEPS, "Pooling", "Normalize"):
        supported = ", ".join(("Pooling", *_STEPS, *_IGNORED, "Normalize"))
        raise CheckpointError(
            f"modules.json: module {module.kind!r} is not supported; supported: {supported}"
        )


def _check_order(kinds: list[str]) -> None:
    """Pooling first if there is one, Normalize last if there is one."""
    stages = ["Step" if kind in _STEPS else kind for kind in kinds]
    order = ("Pooling", "Step", "Normalize")
    if stages != sorted(stages, key=order.index) or stages.count("Pooling") > 1:
        raise CheckpointError(
            "modules.json: after the model, only one Pooling, then any Dense or LayerNorm, then "
            f"Normalize is supported, found {', '.join(kinds)}"
        )


def _projections(
    modules: list[Module], names: Collection[str], places: Collection[str | None]
) -> Iterator[Projection]:
    for module in modules:
        if module.kind == "Dense":
            yield _dense(module, names, places)
        elif module.kind == "LayerNorm":
            yield LayerNorm(f"{module.path}.norm", _size(module, "dimension"))


def _dense(module: Module, names: Collection[str], places: Collection[str | None]) -> Dense:
    where = f"{module.path}/config.json"
    for key in _PLACE_KEYS:
        if module.config.get(key) not in places:
            raise CheckpointError(f"{where}: {key} {module.config[key]!r} is not supported")
    name = str(module.config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    kind = name.rsplit(".", 1)[-1].lower()
    width = _size(module, "out_features")
    residual = None
    if module.config.get("use_residual"):
        is_square = module.config.get("in_features") == width
        residual = "" if is_square else f"{module.path}.residual"
    return Dense(
        name=_layer_name(module.path, names),
        bias=bool(module.config.get("bias", True)),
        activation=None if kind in _IDENTITY else activation(kind, where=where),
        dimensions=width,
        residual=residual,
    )


def _layer_name(path: str, names: Collection[str]) -> str:
    for own in _WEIGHT_NAMES:
        name = f"{path}.{own}".rstrip(".")
        if f"{name}.weight" in names:
            return name
    return f"{path}.linear"


def _size(module: Module, key: str) -> int:
    width = module.config.get(key)
    if type(width) is not int or width < 1:
        raise CheckpointError(f"{module.path}/config.json lacks {key}")
    return width
