"""``polyvec models``: what this build knows, and how models would be served."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from polyvec.cli._flags import add_serve_flags, load_given, take_effect
from polyvec.errors import CheckpointError

if TYPE_CHECKING:
    from polyvec.engine.load import RunOptions
    from polyvec.engine.served import ServedModel


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("models", help="list known models, or show one model's settings")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    known = actions.add_parser("list", help="print families and names this build knows")
    known.add_argument("--json", action="store_true", help="print JSON")
    known.set_defaults(run=_list)
    show = actions.add_parser(
        "show",
        help="print how models would be served, with the origin of every value",
        description="Takes the arguments of serve; loads and checks the models, starts no server.",
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

    config = load_given(arguments)
    take_effect(config)
    plan = compose(config)
    found = []
    for wanted in plan.models:
        try:
            found.append(_facts(wanted, plan.run, loads=not arguments.no_load))
        except CheckpointError as error:
            if len(plan.models) > 1:
                error.message = f"{wanted.name}: {error.message}"
            raise
    if arguments.json:
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
        return 0
    for index, facts in enumerate(found):
        if index:
            print()
        settings = facts.pop("settings")
        width = max(map(len, [*facts, *settings]))
        for name, value in facts.items():
            print(f"{name:{width}}  {_short(value)}")
        for name, shown in settings.items():
            print(f"{name:{width}}  {_short(shown['value']):24} {shown['origin']}")
    return 0


def _facts(wanted: "ServedModel", run: "RunOptions", *, loads: bool) -> dict[str, Any]:
    """What is known about a model: for people and for programs."""
    from polyvec.engine.load import backend_named, load_model
    from polyvec.engine.memory import estimated_bytes
    from polyvec.models._resolve import resolve

    loaded: dict[str, Any] = {}
    if loads:
        model, runner = load_model(wanted, backend_named(run.backend), run)
        loaded = {"device": runner.device, "dtype": runner.dtype}
    else:
        model, runner = resolve(wanted.reference, wanted.options), None
    facts = {
        "name": wanted.name,
        "aliases": list(wanted.aliases),
        "checkpoint": model.checkpoint,
        "architecture": model.architecture,
        "modalities": list(model.modalities),
        "outputs": list(model.outputs),
        "memory_mib": round(estimated_bytes(model, run.device.dtype) / (1 << 20)),
        **loaded,
        "settings": {
            name: {"value": setting.value, "origin": setting.origin}
            for name, setting in model.settings.items()
        },
    }
    if runner is not None:
        runner.close()
    return facts


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
