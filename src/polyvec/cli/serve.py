"""``polyvec serve``: load models, listen, drain."""

import argparse
import logging
import os
import threading

from polyvec.cli._flags import add_serve_flags, load_given, take_effect
from polyvec.config.load import DEFAULT, Config
from polyvec.config.mmes import apply_proxy_exceptions
from polyvec.config.stamp import stamp_of
from polyvec.errors import ConfigError


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "serve",
        help="serve one or more models over HTTP",
        description="Settings may also stand in a TOML file (--config, POLYVEC_CONFIG) and in "
        "POLYVEC_* variables; `polyvec config show` prints all of them.",
    )
    add_serve_flags(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    config = load_given(arguments)
    take_effect(config)
    logging.basicConfig(
        level=config.values["log.level"].value.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if config.values["media.trust_env_proxies"].value:
        apply_proxy_exceptions()
    # Imported after the settings are known to be right: it loads the runtimes.
    from polyvec.config.compose import compose, model_of_table
    from polyvec.engine.roster import ModelSource
    from polyvec.server.run import serve

    plan = compose(config)
    source = None
    if config.lists:
        source = ModelSource(
            read=lambda: compose(_reread(arguments, config)).models,
            stamp=lambda: stamp_of(config.lists),
        )
    serve(plan.models, plan.run, plan.server, source=source, model_of=model_of_table)
    if any(thread.name.startswith("polyvec-") for thread in threading.enumerate()):
        # A download that nobody waits for any more may go on for a minute.
        logging.shutdown()
        os._exit(0)
    return 0


def _reread(arguments: argparse.Namespace, before: Config) -> Config:
    """The list as it is now.

    Raises:
        ConfigError: It cannot be read, or is empty, as a file is that an editor is about to write.
    """
    config = load_given(arguments)
    is_default = [one.origin == DEFAULT for one in config.models]
    if is_default == [True] and [one.origin == DEFAULT for one in before.models] != [True]:
        raise ConfigError(f"{config.lists[0]} names no model any more", param="config")
    return config
