"""Work in a thread of its own."""

import asyncio
import threading

import pytest

from polyvec.engine.threads import in_thread


async def test_a_result_comes_back_from_a_thread_of_the_given_name() -> None:
    name = await in_thread(lambda: threading.current_thread().name, name="polyvec-x")
    assert name == "polyvec-x"


async def test_an_error_comes_back() -> None:
    def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        await in_thread(fail, name="polyvec-x")


@pytest.mark.parametrize("fails", [False, True])
async def test_who_stops_waiting_leaves_the_thread_to_itself(fails: bool) -> None:  # noqa: FBT001
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        go.wait()
        done.set()
        if fails:
            raise ValueError

    task = asyncio.create_task(in_thread(work, name="polyvec-x"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not done.is_set()
    go.set()
    await asyncio.to_thread(done.wait)
