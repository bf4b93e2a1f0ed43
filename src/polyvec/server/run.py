"""The life of a server process: listen, announce, serve, drain."""

import asyncio
import logging
import os
import signal
import socket
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import uvicorn
import uvloop

from polyvec import __version__
from polyvec.dialects._registry import find_dialects
from polyvec.engine.load import RunOptions, ServedModel, load_service
from polyvec.engine.local import LocalService
from polyvec.errors import ConfigError
from polyvec.server.app import App
from polyvec.server.options import ServerOptions
from polyvec.server.protocol import bounded_protocol, close_overdue
from polyvec.types import ModelCard

_log = logging.getLogger(__name__)

_BACKLOG = 4096
_SWEEP_TICKS = 5
"""uvicorn ticks ten times a second; overdue connections are looked for twice a second."""
_SECOND_SIGNAL_EXIT = 130


class Server(uvicorn.Server):
    """uvicorn's server with our stop rules: the first signal drains, the second exits at once."""

    def __init__(
        self,
        app: Any,
        options: ServerOptions,
        *,
        on_started: Callable[[], None] | None = None,
        on_drain: Callable[[], None] | None = None,
    ) -> None:
        self._on_started = on_started
        self._on_drain = on_drain
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=bounded_protocol(options),
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=max(1, round(options.keep_alive_s)),
                timeout_graceful_shutdown=max(1, round(options.drain_timeout_s)),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then tell."""
        await super().startup(sockets)
        if self._on_started is not None:
            self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Sweep overdue connections now and then."""
        if counter % _SWEEP_TICKS == 0:
            close_overdue(self.server_state, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002
        """Begin to drain, or leave without another word when it is already under way."""
        if self.should_exit:
            os._exit(_SECOND_SIGNAL_EXIT)
        _log.info("%s: draining", signal.Signals(sig).name)
        self.drain()

    def drain(self) -> None:
        """Not ready from now on; stop accepting, finish what is in flight, return from `run`."""
        if self._on_drain is not None:
            self._on_drain()
        self.should_exit = True


def serve(models: Sequence[ServedModel], run: RunOptions, options: ServerOptions) -> None:
    """Run a server from the first model's load to the last request's answer.

    Raises:
        ConfigError: The address is taken, or an option cannot be used here.
        CheckpointError: A model cannot be found, read or served.
    """
    # Hostile metadata makes Pillow warn once per file, which fills stderr and warnings' registry.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    listener = bind(options)
    with closing(listener):
        if not options.api_keys and not is_loopback(options.host):
            _log.warning("listening on %s without an API key: anybody may use it", options.host)
        service = load_service(models, run)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(service, listener, options))


async def _serve(service: LocalService, listener: socket.socket, options: ServerOptions) -> None:
    await service.start()
    app = App(service, find_dialects(), options, snapshots=lambda: _snapshots(service))

    def announce() -> None:
        print(ready_line(service.models(), url_of(listener, options.root_path)), flush=True)  # noqa: T201

    def begin_drain() -> None:
        app.is_draining = True

    server = Server(app, options, on_started=announce, on_drain=begin_drain)
    try:
        await server.serve(sockets=[listener])
    finally:
        # What is left after the drain has nobody waiting for it.
        await service.close(drain=False)


def ready_line(cards: Sequence[ModelCard], url: str) -> str:
    """What an operator needs to know once: where, and which models in which precision."""
    models = "; ".join(
        f"{card.name} ({card.dimensions} dimensions, {card.dtype} on {card.device}, {card.backend})"
        for card in cards
    )
    return f"polyvec {__version__} serves {models} at {url}"


def _snapshots(service: LocalService) -> dict[str, dict[str, Any]]:
    return {
        name: {**engine.metrics.snapshot(), "queue_depth": engine.queue_depth}
        for name, engine in service.engines().items()
    }


def bind(options: ServerOptions) -> socket.socket:
    """A listening socket, so that a taken port is known before any model is loaded.

    Raises:
        ConfigError: The address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except (OSError, OverflowError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(
            f"cannot listen on {options.host}:{options.port}: {why}", param="port"
        ) from None
    listener.set_inheritable(False)
    return listener


def url_of(listener: socket.socket, root_path: str = "") -> str:
    """Where a bound socket is reached, such as ``http://127.0.0.1:8000``."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{root_path}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address bound to ``host``."""
    return host in ("localhost", "::1") or host.startswith("127.")
