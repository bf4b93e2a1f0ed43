"""``polyvec export``: write a model as a folder that other servers can serve too."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from polyvec.errors import ConfigError

if TYPE_CHECKING:
    from polyvec.tools.export import ExportOptions

_DTYPES = ("auto", "float32", "float16", "int8", "int4")
_FORMATS = {"fp32": "float32", "fp16": "float16", "int8": "int8", "int4": "int4"}
_POOLINGS = ("CLS", "LAST", "MEAN")
_TASK = "embeddings_ov"
"""What export_model.py of OpenVINO Model Server calls this."""
# What its --extra_quantization_params may say without asking for another quantisation.
_NEUTRAL = {"--library": True, "--task": True, "--trust-remote-code": False}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "export",
        help="write a model as a folder that OpenVINO Model Server can serve",
        description="Writes a graph, the tokenizer and the settings of a text embedder to DIR, or "
        "to MODEL_REPOSITORY_PATH/MODEL_NAME. Options of OpenVINO Model Server's export_model.py "
        "embeddings_ov mean the same here.",
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="folder, hub id or alias")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="folder to write")
    parser.add_argument("--to", choices=("openvino",), default="openvino", help="format")
    parser.add_argument("--dtype", choices=_DTYPES, help="how weights are kept (default: auto)")
    parser.add_argument("--revision", metavar="X", help="branch, tag or commit of a hub id")
    _add_server_flags(parser)
    parser.set_defaults(run=_run)


def _add_server_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of export_model.py embeddings_ov")

    def flag(name: str, help_text: str, **more: object) -> None:
        names = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
        group.add_argument(
            *names,
            dest=name.replace("-", "_"),
            help=help_text,
            **more,  # type: ignore[arg-type]
        )

    flag("source_model", "same as MODEL", metavar="X")
    flag("model_name", "name in the repository (default: MODEL)", metavar="X")
    flag("pooling", "instead of what the checkpoint says", type=str.upper, choices=_POOLINGS)
    flag("weight-format", "same as --dtype", choices=tuple(_FORMATS))
    flag("skip_normalize", "leave vectors at their own length", action="store_true")
    flag("truncate", "let the server cut over-long texts", action="store_true")
    flag("num_streams", "batches at the same time (default: 1)", type=int, default=1, metavar="N")
    flag("target_device", "where the server runs it (default: CPU)", default="CPU", metavar="X")
    flag("config_file_path", "the repository's config.json, which gets an entry", metavar="FILE")
    flag("model_repository_path", "folder of models", metavar="DIR")
    flag("overwrite_models", "write anew what is there", action="store_true")
    flag("ov_cache_dir", "accepted; text models keep no cache", metavar="DIR")
    flag("extra_quantization_params", "accepted where it changes nothing", metavar="X")


def _run(arguments: argparse.Namespace) -> int:
    reference = _reference(arguments)
    _check_extra(arguments.extra_quantization_params)
    from polyvec.models._resolve import ModelOptions
    from polyvec.tools.export import export

    options = _options(arguments, reference)
    pooling = arguments.pooling
    model_options = ModelOptions(
        revision=arguments.revision,
        pooling=None if pooling is None else pooling.lower(),
        normalize=False if arguments.skip_normalize else None,
    )
    for note in export(reference, model_options, options):
        print(f"polyvec: note: {note}", file=sys.stderr)
    print(options.folder)
    return 0


def _reference(arguments: argparse.Namespace) -> str:
    """MODEL or ``--source_model``; the task's name may stand before the latter."""
    source: str | None = arguments.source_model
    if source is None:
        source = arguments.model
    elif arguments.model not in (None, _TASK):
        raise ConfigError("MODEL and --source_model name a model each", param="source_model")
    if source is None:
        raise ConfigError("export takes a MODEL", param="MODEL")
    return source


def _options(arguments: argparse.Namespace, reference: str) -> "ExportOptions":
    from polyvec.backends._export_folder import ServerGraph
    from polyvec.tools.export import ExportOptions

    if arguments.num_streams < 1:
        raise ConfigError("--num_streams must be from 1 up", param="num_streams")
    folder, name = _place(arguments, reference)
    config_file = arguments.config_file_path
    if config_file is None and arguments.model_repository_path is not None:
        config_file = Path(arguments.model_repository_path) / "config.json"
    return ExportOptions(
        folder=folder,
        name=name,
        dtype=_dtype(arguments),  # type: ignore[arg-type]
        repository_config=None if config_file is None else Path(config_file),
        overwrite=arguments.overwrite_models,
        graph=ServerGraph(
            target_device=arguments.target_device,
            num_streams=arguments.num_streams,
            truncate=arguments.truncate,
        ),
    )


def _place(arguments: argparse.Namespace, reference: str) -> tuple[Path, str]:
    """The folder to write and the model's name."""
    is_folder = Path(reference).expanduser().is_dir()
    own = Path(reference).expanduser().resolve().name if is_folder else reference
    name = arguments.model_name or own
    repository = arguments.model_repository_path
    if arguments.folder is not None:
        if repository is not None:
            raise ConfigError("DIR and --model_repository_path exclude each other", param="DIR")
        return Path(arguments.folder), arguments.model_name or own
    if repository is None:
        raise ConfigError("export takes a DIR or --model_repository_path", param="DIR")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ConfigError(f"--model_name {name!r} leaves the repository", param="model_name")
    return Path(repository) / name, name


def _dtype(arguments: argparse.Namespace) -> str:
    said = {arguments.dtype, _FORMATS.get(arguments.weight_format)} - {None}
    if len(said) > 1:
        raise ConfigError("--dtype and --weight-format disagree", param="dtype")
    return said.pop() if said else "auto"


def _check_extra(text: str | None) -> None:
    words = shlex.split(text or "")
    while words:
        word = words.pop(0)
        if word not in _NEUTRAL:
            raise ConfigError(
                f"--extra_quantization_params {word} is not supported; accepted: "
                f"{', '.join(_NEUTRAL)}. --dtype int8 and int4 are made by polyvec itself",
                param="extra_quantization_params",
            )
        if _NEUTRAL[word] and words:
            words.pop(0)
