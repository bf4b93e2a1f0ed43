"""The command line: one file for each subcommand, imported only when it runs."""

import argparse
import os
import sys
from collections.abc import Sequence

from polyvec import __version__
from polyvec.cli import config, export, models, serve, verify
from polyvec.cli._spellings import plain
from polyvec.cli._unknown import explained
from polyvec.errors import ConfigError, PolyvecError

_USAGE_EXIT = 2
_INTERRUPTED_EXIT = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: Arguments without the program's name; those of the process by default.

    Returns:
        Exit status: 0, 2 for what the user can mend, 130 after Ctrl-C.
    """
    try:
        words = plain(sys.argv[1:] if argv is None else argv)
        arguments, unknown = build_parser().parse_known_args(words)
        if unknown:
            raise ConfigError(explained(unknown))
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except PolyvecError as error:
        print(f"polyvec: error: {error.message}", file=sys.stderr)
        return _USAGE_EXIT
    except KeyboardInterrupt:
        return _INTERRUPTED_EXIT
    except BrokenPipeError:  # `polyvec config show | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, built without importing anything heavy."""
    parser = argparse.ArgumentParser(
        prog="polyvec", description="One server for embeddings of text and images."
    )
    parser.add_argument("--version", action="version", version=f"polyvec {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (serve, models, config, verify, export):
        command.add_parser(commands)
    return parser
