"""When the list of models is read again."""

import asyncio
import signal
from collections.abc import Callable

import pytest

from polyvec.engine.roster import ModelSource
from polyvec.errors import ConfigError
from polyvec.server.watch import reload_and_report, reload_on_hangup, watch


class Reloads:
    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.num_reloads = error, 0
        self.reloaded = asyncio.Event()

    async def reload(self) -> bool:
        self.num_reloads += 1
        self.reloaded.set()
        if self.error is not None:
            raise self.error
        return True


async def test_only_a_change_is_read() -> None:
    service, stamps = Reloads(), iter([1, 1, 2, 2, 3])
    looks = 0

    async def wait() -> None:
        nonlocal looks
        looks += 1
        if looks > 5:
            raise asyncio.CancelledError

    source = ModelSource(read=list, stamp=lambda: next(stamps))
    with pytest.raises(asyncio.CancelledError):
        await watch(service, source, 1, wait=wait)
    assert service.num_reloads == 2


@pytest.mark.parametrize("error", [ConfigError("it is no TOML"), ValueError("it is no TOML")])
async def test_a_list_that_cannot_be_read_is_reported_and_the_server_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await reload_and_report(Reloads(error))
    assert "stays as it was" in caplog.text
    assert "it is no TOML" in caplog.text


async def test_hangup_reads_the_list_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # A real signal would end the test process, should anything undo the handler.
    handlers: dict[int, Callable[[], None]] = {}
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", handlers.__setitem__)
    service = Reloads()
    reload_on_hangup(service)
    handlers[signal.SIGHUP]()
    await service.reloaded.wait()
    assert service.num_reloads == 1
