"""Models that come into memory and leave it while requests run."""

import asyncio

import pytest

from polyvec.engine.shelf import RETRY_FAILED_S
from polyvec.errors import CheckpointError, ModelNotFoundError, NotReadyError, OverloadedError
from tests.engine.shelves import SIZE, Bench, model, until


async def test_the_first_request_loads_a_model_and_the_next_finds_it() -> None:
    async with Bench("a", "b") as bench:
        assert bench.states() == {"a": "unloaded", "b": "unloaded"}
        assert await bench.answered("b") == "b"
        assert await bench.answered("b") == "b"
        assert bench.loader.loaded == ["b"]
        assert bench.states() == {"a": "unloaded", "b": "ready"}


async def test_concurrent_first_requests_load_once() -> None:
    async with Bench("a") as bench:
        bench.loader.gate.clear()
        asked = [bench.ask(None) for _ in range(20)]
        await until(lambda: bench.states() == {"a": "loading"})
        bench.loader.gate.set()
        assert [(await one).model for one in asked] == ["a"] * 20
        assert bench.loader.loaded == ["a"]


async def test_others_answer_while_one_loads() -> None:
    async with Bench("a", "b") as bench:
        await bench.answered("a")
        bench.loader.gate.clear()
        waiting = bench.ask("b")
        await until(lambda: bench.states()["b"] == "loading")
        assert await bench.answered("a") == "a"
        bench.loader.gate.set()
        assert (await waiting).model == "b"


async def test_a_request_that_is_cancelled_while_it_waits_leaves_loading_to_the_others() -> None:
    async with Bench("a") as bench:
        bench.loader.gate.clear()
        gone, stays = bench.ask("a"), bench.ask("a")
        await asyncio.to_thread(bench.loader.entered.acquire)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        bench.loader.gate.set()
        assert (await stays).model == "a"
        assert bench.shelf.find("a").num_running == 0


async def test_what_cannot_be_loaded_is_refused_to_its_requesters_only_and_tried_later() -> None:
    async with Bench("bad", "good") as bench:
        bench.loader.broken = {"bad"}
        refused = await asyncio.gather(
            *(bench.ask("bad") for _ in range(3)), return_exceptions=True
        )
        assert {type(error) for error in refused} == {NotReadyError}
        assert "secret" not in str(refused[0])
        assert 0 < refused[0].retry_after_s <= RETRY_FAILED_S
        assert bench.states() == {"bad": "failed", "good": "unloaded"}
        assert await bench.answered("good") == "good"
        bench.loader.broken = set()
        with pytest.raises(NotReadyError):  # it is not tried at once
            await bench.ask("bad")
        bench.clock.now_s += RETRY_FAILED_S
        assert await bench.answered("bad") == "bad"


async def test_any_failure_of_loading_is_answered() -> None:
    async with Bench("a") as bench:
        bench.loader.error = MemoryError("no")
        with pytest.raises(NotReadyError, match="'a' cannot be loaded now"):
            await bench.ask("a")


async def test_the_least_recently_used_leaves_for_the_next_one() -> None:
    async with Bench("a", "b", "c", memory_budget_bytes=2 * SIZE) as bench:
        for name in ("a", "b", "a", "c"):
            bench.clock.now_s += 1
            await bench.answered(name)
        assert bench.states() == {"a": "ready", "b": "unloaded", "c": "ready"}
        assert bench.loader.runners["b"][0].closed
        assert await bench.answered("b") == "b"
        assert bench.states() == {"a": "unloaded", "b": "ready", "c": "ready"}


async def test_a_model_in_use_stays_and_the_next_one_waits_for_its_end() -> None:
    async with Bench("a", "b", memory_budget_bytes=SIZE) as bench:
        running, runner = await bench.held("a")
        waiting = bench.ask("b")
        await until(lambda: bench.states()["b"] == "loading")
        assert not runner.closed
        assert not waiting.done()
        runner.gate.set()
        assert (await running).model == "a"
        assert (await waiting).model == "b"
        assert runner.closed
        assert bench.states() == {"a": "unloaded", "b": "ready"}


async def test_a_model_in_use_all_the_time_has_to_go_but_ends_its_requests() -> None:
    async with Bench("a", "b", memory_budget_bytes=SIZE, patience_s=(0, 30)) as bench:
        running, runner = await bench.held("a")
        waiting = bench.ask("b")
        await until(lambda: bench.states() == {"a": "unloaded", "b": "loading"})
        again = bench.ask("a")
        assert not runner.closed
        runner.gate.set()
        found = [(await task).model for task in (running, waiting, again)]
        assert found == ["a", "b", "a"]


async def test_where_memory_stays_in_use_the_next_one_is_told_to_come_back() -> None:
    async with Bench("a", "b", memory_budget_bytes=SIZE, patience_s=(0, 0)) as bench:
        running, runner = await bench.held("a")
        with pytest.raises(OverloadedError, match="no memory for model 'b'"):
            await bench.ask("b")
        runner.gate.set()
        await running
        bench.clock.now_s += 1
        await until(lambda: runner.closed)
        assert await bench.answered("b") == "b"


async def test_a_model_over_the_budget_is_never_loaded() -> None:
    async with Bench("a", model("huge", memory_bytes=SIZE * 9), memory_budget_bytes=SIZE) as bench:
        await bench.answered("a")
        with pytest.raises(NotReadyError):
            await bench.ask("huge")
        with pytest.raises(CheckpointError, match="memory-budget"):
            await bench.service.roster.load("huge")
        assert bench.states() == {"a": "ready", "huge": "failed"}


async def test_pinned_models_stay() -> None:
    pinned = model("b", pinned=True)
    options = {"memory_budget_bytes": 2 * SIZE, "keep": ("a",), "unload_idle_s": 5.0}
    async with Bench("a", pinned, "c", patience_s=(0, 0), **options) as bench:
        await bench.answered("a")
        await bench.answered("b")
        with pytest.raises(OverloadedError):
            await bench.ask("c")
        bench.clock.now_s += 100
        bench.shelf.sweep()
        assert bench.states()["a"] == bench.states()["b"] == "ready"


async def test_idle_models_leave_memory_and_come_back() -> None:
    slow = model("slow", unload_idle_s=60.0)
    async with Bench("a", slow, unload_idle_s=10.0) as bench:
        await bench.answered("a")
        await bench.answered("slow")
        bench.clock.now_s += 9
        bench.shelf.sweep()
        assert bench.states() == {"a": "ready", "slow": "ready"}
        bench.clock.now_s += 1
        bench.shelf.sweep()
        assert bench.states() == {"a": "unloaded", "slow": "ready"}
        await until(lambda: bench.loader.runners["a"][0].closed)
        assert await bench.answered("a") == "a"


async def test_a_model_that_runs_something_is_not_idle() -> None:
    async with Bench("a", unload_idle_s=10.0) as bench:
        running, runner = await bench.held("a")
        bench.clock.now_s += 100
        bench.shelf.sweep()
        assert bench.states() == {"a": "ready"}
        runner.gate.set()
        await running


async def test_an_unloaded_model_ends_its_requests_first_and_new_ones_load_it_again() -> None:
    async with Bench("a") as bench:
        running, runner = await bench.held("a")
        unloading = asyncio.create_task(bench.service.roster.unload("a"))
        await until(lambda: bench.states() == {"a": "unloaded"})
        assert (await bench.ask("a")).model == "a"
        assert not unloading.done()
        assert not runner.closed
        runner.gate.set()
        assert (await running).model == "a"
        await unloading
        assert runner.closed
        assert bench.loader.loaded == ["a", "a"]


async def test_what_waits_for_loading_when_the_service_closes_is_told_so() -> None:
    bench = Bench("a")
    await bench.service.start()
    bench.loader.gate.clear()
    waiting = bench.ask("a")
    await asyncio.to_thread(bench.loader.entered.acquire)
    await bench.service.close(drain=False)
    with pytest.raises(NotReadyError, match="shutting down"):
        await waiting
    with pytest.raises(NotReadyError, match="shutting down"):
        await bench.ask("a")
    bench.loader.gate.set()


async def test_lazy_models_do_not_keep_the_service_from_being_ready() -> None:
    bench = Bench("a", "b")
    assert not bench.service.is_ready()
    async with bench:
        assert bench.service.is_ready()
        await bench.answered("a")
        assert bench.service.is_ready()
    assert not bench.service.is_ready()


async def test_a_service_of_no_model_says_so() -> None:
    async with Bench() as bench:
        for name in (None, "x"):
            with pytest.raises(ModelNotFoundError, match="no model is served"):
                await bench.ask(name)


async def test_an_operator_sees_memory_use_and_requests() -> None:
    async with Bench("a", "b") as bench:
        await bench.answered("a")
        bench.clock.now_s += 7
        used, unused = bench.service.statuses()
        assert (used.num_bytes, used.num_requests, used.num_running) == (SIZE, 1, 0)
        assert (used.unused_s, unused.unused_s) == (7, None)
        assert (unused.num_bytes, unused.card.state) == (0, "unloaded")
        assert list(bench.service.engines()) == ["a"]
