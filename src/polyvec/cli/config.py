"""``polyvec config``: the settings in force."""

import argparse
import json

from polyvec.cli._flags import add_serve_flags, load_given
from polyvec.config.show import rows


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("config", help="show settings and where they come from")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="print every setting with its origin",
        description="Takes the arguments of serve and prints what they come to.",
    )
    show.add_argument("--json", action="store_true", help="print JSON")
    add_serve_flags(show)
    show.set_defaults(run=_show)


def _show(arguments: argparse.Namespace) -> int:
    found = list(rows(load_given(arguments)))
    if arguments.json:
        settings = {key: {"value": value, "origin": origin} for key, value, origin in found}
        print(json.dumps(settings, indent=2))
        return 0
    key_width = max(len(key) for key, _, _ in found)
    shown = [json.dumps(value) for _, value, _ in found]
    value_width = max(map(len, shown))
    for (key, _, origin), value in zip(found, shown, strict=True):
        print(f"{key:{key_width}}  {value:{value_width}}  {origin}")
    return 0
