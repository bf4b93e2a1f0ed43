"""Reading the list of models again: when it has changed, and when somebody says so."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Final

from polyvec.engine.roster import ModelSource
from polyvec.errors import PolyvecError
from polyvec.service import Service

_log = logging.getLogger(__name__)
_running: Final[set["asyncio.Task[None]"]] = set()


async def reload_and_report(service: Service) -> None:
    """Read the list again; what is wrong with it goes to the log, and nothing changes then."""
    try:
        has_changed = await service.reload()
    except PolyvecError as error:
        _log.error("the list of models stays as it was: %s", error.message)
    except Exception:  # noqa: BLE001
        # Whatever it was, the server goes on as it was.
        _log.exception("the list of models stays as it was")
    else:
        _log.info("read the list of models: %s", "changed" if has_changed else "as it was")


async def watch(
    service: Service, source: ModelSource, seen: object, *, wait: Callable[[], Awaitable[object]]
) -> None:
    """Reload whenever the list has changed, until cancelled.

    Args:
        service: Whose list it is.
        source: Tells whether it has changed.
        seen: Its stamp when the list was read first.
        wait: Ends when it is time to look.
    """
    while True:
        await wait()
        stamp = await asyncio.to_thread(source.stamp)
        if stamp != seen:
            seen = stamp
            await reload_and_report(service)


def reload_on_hangup(service: Service) -> None:
    """Let SIGHUP, which would end the process, read the list again instead."""

    def begin() -> None:
        _log.info("SIGHUP: reading the list of models")
        task = asyncio.ensure_future(reload_and_report(service))
        _running.add(task)
        task.add_done_callback(_running.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, begin)
