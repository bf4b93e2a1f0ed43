"""Changes to the list of models while requests run."""

import asyncio
from dataclasses import replace

import pytest

from polyvec.engine.roster import NAME_TAKEN
from polyvec.errors import CheckpointError, ConfigError, ModelNotFoundError
from tests.engine.shelves import SIZE, Bench, model, until


async def test_reloading_an_unchanged_list_changes_nothing() -> None:
    async with Bench("a", "b") as bench:
        assert not await bench.service.reload()


async def test_new_models_come_and_removed_ones_go_after_their_requests() -> None:
    async with Bench("a", "b") as bench:
        running, runner = await bench.held("b")
        bench.listed = [model("c", lazy=False), model("a")]
        assert await bench.service.reload()
        assert bench.states() == {"c": "ready", "a": "unloaded"}
        assert (await bench.ask(None)).model == "c"
        with pytest.raises(ModelNotFoundError):
            await bench.ask("b")
        assert not runner.closed
        runner.gate.set()
        assert (await running).model == "b"
        await until(lambda: runner.closed)


async def test_a_changed_model_is_loaded_before_the_old_one_goes() -> None:
    async with Bench("a") as bench:
        running, old = await bench.held("a")
        bench.loader.gate.clear()
        bench.listed = [replace(model("a"), reference="elsewhere")]
        reloading = asyncio.create_task(bench.service.reload())
        await asyncio.to_thread(bench.loader.entered.acquire)  # the first loading's
        await asyncio.to_thread(bench.loader.entered.acquire)
        assert bench.states() == {"a": "ready"}
        during = bench.ask("a", "w3")
        await until(lambda: bench.shelf.find("a").num_running == 2)
        bench.loader.gate.set()
        assert await reloading
        assert not old.closed
        assert (await bench.ask("a", "w4")).model == "a"
        old.gate.set()
        assert (await running).model == (await during).model == "a"
        await until(lambda: old.closed)
        assert len(bench.loader.runners["a"]) == 2


async def test_a_list_that_cannot_be_read_changes_nothing() -> None:
    async with Bench("a") as bench:
        bench.error = ConfigError("not a TOML file")
        with pytest.raises(ConfigError, match="TOML"):
            await bench.service.reload()
        bench.error = None
        bench.listed = [model("x"), model("y", aliases=("x",))]
        with pytest.raises(ConfigError, match="two models"):
            await bench.service.reload()
        assert bench.states() == {"a": "unloaded"}


async def test_one_bad_model_does_not_stop_the_others() -> None:
    async with Bench("a") as bench:
        await bench.answered("a")
        bench.loader.broken = {"a", "bad"}
        changed = replace(model("a"), reference="elsewhere")
        bench.listed = [changed, model("bad", lazy=False), model("good", lazy=False)]
        assert await bench.service.reload()
        assert bench.states() == {"a": "ready", "bad": "failed", "good": "ready"}
        assert await bench.answered("a") == "a"  # as it was
        bench.loader.broken = set()
        assert await bench.service.reload()  # the changed one is tried again
        assert bench.loader.loaded == ["a", "good", "a"]


async def test_a_reload_loads_no_more_models_than_fit_into_memory() -> None:
    async with Bench("a", memory_budget_bytes=2 * SIZE) as bench:
        await bench.answered("a")
        bench.listed = [model(name, lazy=False) for name in "abcd"]
        assert await bench.service.reload()
        assert list(bench.states().values()).count("ready") == 2
        assert [await bench.answered(name) for name in "abcd"] == list("abcd")
        assert list(bench.states().values()).count("ready") == 2


async def test_models_come_and_go_by_hand() -> None:
    async with Bench("a") as bench:
        slot = await bench.service.roster.add(model("b", lazy=False))
        assert slot.card.state == "ready"
        assert await bench.answered("b") == "b"
        with pytest.raises(ConfigError, match="'b' already") as caught:
            await bench.service.roster.add(model("c", aliases=("b",)))
        assert caught.value.code == NAME_TAKEN
        await bench.service.roster.remove("b")
        assert bench.loader.runners["b"][0].closed
        assert bench.states() == {"a": "unloaded"}


async def test_what_cannot_be_loaded_is_not_added_and_the_operator_is_told_why() -> None:
    async with Bench("a") as bench:
        bench.loader.broken = {"bad"}
        with pytest.raises(CheckpointError, match="secret folder"):
            await bench.service.roster.add(model("bad", lazy=False))
        assert bench.states() == {"a": "unloaded"}


async def test_what_was_added_by_hand_outlives_a_reload() -> None:
    async with Bench("a") as bench:
        await bench.service.roster.add(model("mine"))
        bench.listed = [model("new")]
        assert await bench.service.reload()
        assert list(bench.states()) == ["new", "mine"]
        bench.listed = [model("new"), model("mine")]
        with pytest.raises(ConfigError, match="by hand"):
            await bench.service.reload()


async def test_what_was_removed_by_hand_stays_away_until_it_is_changed() -> None:
    async with Bench("a", "b") as bench:
        await bench.service.roster.remove("b")
        bench.listed = [model("a"), model("b"), model("c")]
        await bench.service.reload()
        assert list(bench.states()) == ["a", "c"]
        bench.listed = [model("a"), replace(model("b"), reference="x"), model("c")]
        await bench.service.reload()
        assert list(bench.states()) == ["a", "b", "c"]


async def test_a_service_without_a_list_has_nothing_to_reload() -> None:
    async with Bench("a") as bench:
        bench.service.roster.source = None
        bench.listed = []
        assert not await bench.service.reload()


async def test_models_are_loaded_and_unloaded_by_hand() -> None:
    async with Bench("a") as bench:
        await bench.service.roster.load("a")
        assert bench.states() == {"a": "ready"}
        assert bench.service.statuses()[0].num_requests == 0
        await bench.service.roster.unload("a")
        await bench.service.roster.unload("a")
        assert bench.states() == {"a": "unloaded"}


async def test_a_change_goes_on_when_the_one_who_asked_for_it_goes_away() -> None:
    async with Bench("a") as bench:
        bench.loader.gate.clear()
        adding = asyncio.create_task(bench.service.roster.add(model("b", lazy=False)))
        await asyncio.to_thread(bench.loader.entered.acquire)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        bench.loader.gate.set()
        await until(lambda: bench.states() == {"a": "unloaded", "b": "ready"})
