"""The life of a server process: listen, announce, serve, drain."""

import asyncio
import logging
import os
import signal
import socket
import warnings
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn

from polyvec import __version__
from polyvec.dialects._registry import find_dialects
from polyvec.engine.load import RunOptions, load_service
from polyvec.engine.local import LocalService
from polyvec.engine.roster import ModelSource
from polyvec.engine.served import ServedModel
from polyvec.errors import ConfigError
from polyvec.server.admin import ALLOWED_HOSTS, HOST, ModelOf, admin_dialect
from polyvec.server.app import App
from polyvec.server.options import ServerOptions
from polyvec.server.protocol import bounded_protocol, close_overdue
from polyvec.server.watch import reload_on_hangup, watch
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
                loop="none",
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


class AdminServer(Server):
    """A second server in the process: it stops when it is told, and takes no signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the first server."""
        yield


def serve(
    models: Sequence[ServedModel],
    run: RunOptions,
    options: ServerOptions,
    *,
    source: ModelSource | None = None,
    model_of: ModelOf | None = None,
) -> None:
    """Run a server from the first model's load to the last request's answer.

    Args:
        models: In serving order.
        run: How they are run.
        options: How to listen.
        source: Where the list of models can be read again.
        model_of: What a request to the admin port says of a model; no admin port without it.

    Raises:
        ConfigError: The address is taken, or an option cannot be used here.
        CheckpointError: A model cannot be found, read or served.
    """
    # Hostile metadata makes Pillow warn once per file, which fills stderr and warnings' registry.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    seen = None if source is None else source.stamp()
    with ExitStack() as stack:
        listener = stack.enter_context(closing(bind(options)))
        admin = _admin_options(options) if model_of is not None else None
        admin_listener = None if admin is None else stack.enter_context(closing(bind(admin)))
        if not options.api_keys and not is_loopback(options.host):
            _log.warning("listening on %s without an API key: anybody may use it", options.host)
        service = load_service(models, run, source=source)
        beside: list[Callable[[], Coroutine[Any, Any, None]]] = []
        if source is not None:
            interval_s = run.residency.watch_config_s
            beside.append(partial(_follow, service, source, seen, interval_s))
        if admin is not None and admin_listener is not None and model_of is not None:
            beside.append(partial(_administer, service, admin_listener, admin, model_of))
        with asyncio.Runner() as runner:
            runner.run(_serve(service, listener, options, beside))


async def _serve(
    service: LocalService,
    listener: socket.socket,
    options: ServerOptions,
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]],
) -> None:
    await service.start()
    tasks = [asyncio.ensure_future(work()) for work in beside]
    app = App(service, find_dialects(), options, snapshots=lambda: _snapshots(service))

    def announce() -> None:
        print(ready_line(service.models(), url_of(listener, options.root_path)), flush=True)  # noqa: T201

    def begin_drain() -> None:
        app.is_draining = True

    server = Server(app, options, on_started=announce, on_drain=begin_drain)
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What is left after the drain has nobody waiting for it.
        await service.close(drain=False)


async def _follow(
    service: LocalService, source: ModelSource, seen: object, interval_s: float
) -> None:
    """Read the list of models again when somebody says so, and when it has changed."""
    reload_on_hangup(service)
    if interval_s:
        await watch(service, source, seen, wait=lambda: asyncio.sleep(interval_s))


def _admin_options(options: ServerOptions) -> ServerOptions | None:
    if options.admin_port is None:
        return None
    return replace(
        options, host=HOST, port=options.admin_port, root_path="", allowed_hosts=ALLOWED_HOSTS
    )


async def _administer(
    service: LocalService, listener: socket.socket, options: ServerOptions, model_of: ModelOf
) -> None:
    """Serve the admin port until cancelled."""
    dialects = (admin_dialect(service, model_of),)
    app = App(service, dialects, options, snapshots=lambda: _snapshots(service))
    url = url_of(listener)
    server = AdminServer(
        app, options, on_started=lambda: _log.info("models are administered at %s", url)
    )
    try:
        await server.serve(sockets=[listener])
    finally:
        listener.close()


def ready_line(cards: Sequence[ModelCard], url: str) -> str:
    """What an operator needs to know once: where, and which models in which precision."""
    models = "; ".join(f"{card.name} ({_shown(card)})" for card in cards)
    return f"polyvec {__version__} serves {models or 'no model yet'} at {url}"


def _shown(card: ModelCard) -> str:
    if card.state != "ready":
        return "cannot be loaded" if card.state == "failed" else "loaded by its first request"
    return f"{card.dimensions} dimensions, {card.dtype} on {card.device}, {card.backend}"


def _snapshots(service: LocalService) -> dict[str, dict[str, Any]]:
    memory = {status.card.name: status.num_bytes for status in service.statuses()}
    return {
        name: {
            **engine.metrics.snapshot(),
            "queue_depth": engine.queue_depth,
            "memory_bytes": memory[name],
        }
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
