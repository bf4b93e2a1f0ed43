"""``polyvec models``: what this build knows, and how one model would be served."""

import argparse
import json
from typing import Any

from polyvec.cli._flags import add_serve_flags, load_given
from polyvec.errors import ConfigError


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("models", help="list known models, or show one model's settings")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    known = actions.add_parser("list", help="print families and names this build knows")
    known.add_argument("--json", action="store_true", help="print JSON")
    known.set_defaults(run=_list)
    show = actions.add_parser(
        "show",
        help="print how a model would be served, with the origin of every value",
        description="Takes the arguments of serve; loads and checks the model, starts no server.",
    )
    show.add_argument("--json", action="store_true", help="print JSON")
    show.add_argument(
        "--no-load", action="store_true", help="only read its files: no self-test, no precision"
    )
    add_serve_flags(show)
    show.set_defaults(run=_show)


def _list(arguments: argparse.Namespace) -> int:
    from polyvec.checkpoints.locate import DEMO
    from polyvec.models._registry import aliases, families

    repos = {DEMO: "bundled", **aliases()}
    known = [
        {
            "family": family.name,
            "modalities": list(family.towers),
            "architectures": list(family.architectures),
        }
        for family in families()
    ]
    if arguments.json:
        print(json.dumps({"families": known, "names": repos}, indent=2))
        return 0
    print("families")
    for family in known:
        print(f"  {family['family']:14} {'+'.join(family['modalities']):12}", end="")
        print(", ".join(family["architectures"]))
    print("names")
    width = max(map(len, repos))
    for name, repo in repos.items():
        print(f"  {name:{width}}  {repo}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from polyvec.config.compose import compose
    from polyvec.engine.load import backend_named, load_model
    from polyvec.models._resolve import resolve

    config = load_given(arguments)
    if len(config.models) != 1:
        raise ConfigError("models show takes one MODEL", param="MODEL")
    plan = compose(config)
    (wanted,) = plan.models
    loaded: dict[str, Any] = {}
    if arguments.no_load:
        model = resolve(wanted.reference, wanted.options)
    else:
        model, runner = load_model(wanted, backend_named(plan.run.backend), plan.run)
        loaded = {"device": runner.device, "dtype": runner.dtype}
        runner.close()
    facts: dict[str, Any] = {
        "name": wanted.name,
        "aliases": list(wanted.aliases),
        "checkpoint": model.checkpoint,
        "architecture": model.architecture,
        "modalities": list(model.modalities),
        "outputs": list(model.outputs),
        **loaded,
    }
    settings = {
        name: {"value": setting.value, "origin": setting.origin}
        for name, setting in model.settings.items()
    }
    if arguments.json:
        print(json.dumps({**facts, "settings": settings}, indent=2))
        return 0
    width = max(map(len, [*facts, *settings]))
    for name, value in facts.items():
        print(f"{name:{width}}  {_short(value)}")
    for name, shown in settings.items():
        print(f"{name:{width}}  {_short(shown['value']):24} {shown['origin']}")
    return 0


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
