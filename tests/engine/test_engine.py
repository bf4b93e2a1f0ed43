"""The engine with a runner that tests hold, break and look into."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from polyvec.engine.engine import Engine
from polyvec.errors import (
    InferenceError,
    InputTooLongError,
    InvalidInputError,
    MediaError,
    NotReadyError,
    OverloadedError,
    UnprocessableInputError,
)
from polyvec.types import Embedding
from tests.engine.doubles import (
    NUM_PATCHES,
    FakeRunner,
    ask,
    expected_row,
    ids,
    make_engine,
    make_model,
    png,
)


@asynccontextmanager
async def running(runner: FakeRunner | None = None, **options: Any) -> AsyncIterator[Engine]:
    runner = runner or FakeRunner()
    engine = make_engine(runner, **options)
    await engine.start()
    try:
        yield engine
    finally:
        runner.gate.set()
        await engine.close(drain=False)


@asynccontextmanager
async def held(runner: FakeRunner, **options: Any) -> AsyncIterator[Engine]:
    """An engine whose workers are all inside the runner, until the gate opens."""
    async with running(runner, **options) as engine:
        runner.gate.clear()
        tasks = []
        for number in range(runner.num_sessions):
            tasks.append(asyncio.create_task(engine.embed(ask(f"w{9000 + number}"))))
            await entered(runner)
        yield engine
        runner.gate.set()
        await asyncio.gather(*tasks)


async def entered(runner: FakeRunner) -> None:
    """Wait until a worker is inside the runner."""
    await asyncio.to_thread(runner.entered.acquire)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until something is so."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def start(engine: Engine, *contents: Any, **options: Any) -> asyncio.Task[list[Embedding]]:
    """Begin a request and wait until its inputs are queued (or joined)."""
    before = engine.queue_depth + engine.metrics.joined
    task = asyncio.create_task(engine.embed(ask(*contents, **options)))
    after = before + len(contents)
    await until(lambda: engine.queue_depth + engine.metrics.joined >= after)
    return task


def row(*words: int) -> np.ndarray:
    return expected_row(ids(*words))


def raise_on(*words: int, error: BaseException) -> Callable[[np.ndarray], object]:
    def check(content: np.ndarray) -> None:
        if set(words) & set(content.ravel().tolist()):
            raise error

    return check


def spoil(*words: int) -> Callable[[np.ndarray], object]:
    return lambda content: "nan" if set(words) & set(content.ravel().tolist()) else None


async def test_vectors_come_in_request_order() -> None:
    async with running() as engine:
        found = await engine.embed(ask("w10 w11 w12 w13", "w10", (5, 6, 7), png(200), "w10 w11"))
    expected = [
        row(10, 11, 12, 13),
        row(10),
        expected_row(np.array([5, 6, 7])),
        expected_row(np.full((3, 2, 2), 100)),
        row(10, 11),
    ]
    np.testing.assert_array_equal([each.vector for each in found], expected)
    assert [each.num_tokens for each in found] == [6, 3, 3, 0, 4]


async def test_vectors_are_float32_and_independent_of_batch_mates() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        tasks = [await start(engine, f"w{number}") for number in range(20, 30)]
        runner.gate.set()
        for number, task in enumerate(tasks, 20):
            (found,) = await task
            assert found.vector.dtype == np.float32
            np.testing.assert_array_equal(found.vector, row(number))


async def test_waiting_requests_share_a_batch() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        tasks = [await start(engine, f"w{number}") for number in range(20, 30)]
        runner.gate.set()
        await asyncio.gather(*tasks)
    assert [len(batch) for batch in runner.batches] == [1, 10]


async def test_a_batch_stays_within_its_tokens() -> None:
    runner = FakeRunner()
    async with held(runner, max_batch_tokens=10) as engine:
        task = await start(engine, *[f"w{number}" for number in range(20, 30)])
        runner.gate.set()
        await task
    assert [len(batch) for batch in runner.batches] == [1, 3, 3, 3, 1]


async def test_two_thousand_inputs_in_one_request() -> None:
    runner = FakeRunner(num_sessions=2)
    words = range(100, 2100)
    async with running(runner) as engine:
        found = await engine.embed(ask(*[f"w{word}" for word in words]))
    np.testing.assert_array_equal([each.vector for each in found], [row(word) for word in words])
    assert sum(len(batch) for batch in runner.batches) == 2000


@pytest.mark.parametrize("num_inputs", [0, 5])
async def test_the_number_of_inputs_is_limited(num_inputs: int) -> None:
    async with running(max_inputs_per_request=4) as engine:
        with pytest.raises(InvalidInputError, match=f"has {num_inputs} inputs; 1 to 4"):
            await engine.embed(ask(*["w1"] * num_inputs))


async def test_a_lone_request_may_take_every_core_and_a_crowd_may_not() -> None:
    runner = FakeRunner(num_sessions=2)
    async with held(runner) as engine:
        task = await start(engine, "w20", "w21")
        runner.gate.set()
        await task
    assert runner.alone[0] is True
    assert runner.alone[1] is False


async def test_vectors_are_normalised_as_the_model_says_unless_the_request_says_otherwise() -> None:
    for model_says, request_says, expected in [
        (True, None, True),
        (False, None, False),
        (True, False, False),
        (False, True, True),
    ]:
        model = make_model(normalize=model_says)
        async with running(model=model) as engine:
            (found,) = await engine.embed(ask("w10", normalize=request_says))
        assert bool(np.isclose(np.linalg.norm(found.vector), 1)) is expected


async def test_dimensions_cut_before_normalising() -> None:
    async with running() as engine:
        (found,) = await engine.embed(ask("w10", dimensions=2, normalize=True))
    np.testing.assert_allclose(found.vector, row(10)[:2] / np.linalg.norm(row(10)[:2]), rtol=1e-6)


async def test_a_vector_that_is_standardised_and_cut_gets_unit_length_unless_refused() -> None:
    model = make_model(normalize=False, standardizes=True)
    async with running(model=model) as engine:
        cut, raw = [
            (await engine.embed(ask("w10", dimensions=2, normalize=normalize)))[0].vector
            for normalize in (None, False)
        ]
        whole = (await engine.embed(ask("w10", dimensions=4)))[0].vector
    assert np.isclose(np.linalg.norm(cut), 1)
    assert not np.isclose(np.linalg.norm(raw), 1)
    np.testing.assert_array_equal(whole, row(10))


async def test_dimensions_that_are_not_allowed_are_refused_before_inference() -> None:
    runner = FakeRunner()
    async with running(runner) as engine:
        with pytest.raises(InvalidInputError, match=r"dimensions \[2, 4"):
            await engine.embed(ask("w10", dimensions=3))
    assert runner.batches == []


async def test_an_unknown_prompt_is_refused_even_when_there_are_only_pictures() -> None:
    async with running() as engine:
        with pytest.raises(InvalidInputError, match="prompt_name"):
            await engine.embed(ask(png(1), prompt_name="nope"))


async def test_one_input_that_cannot_be_prepared_fails_its_request_before_inference() -> None:
    runner = FakeRunner()
    async with running(runner) as engine:
        with pytest.raises(InputTooLongError):
            await engine.embed(ask("w1", "w9 " * 99))
    assert runner.batches == []


async def test_long_texts_are_prepared_in_a_thread_with_the_same_result() -> None:
    async with running(max_inline_chars=0) as engine:
        (found,) = await engine.embed(ask("w10"))
    np.testing.assert_array_equal(found.vector, row(10))


async def test_a_broken_picture_fails_its_request_and_no_other() -> None:
    async with running(max_decoded_images=2) as engine:
        good = asyncio.create_task(engine.embed(ask(*[png(value) for value in range(10, 20)])))
        with pytest.raises(MediaError) as caught:
            await engine.embed(ask(png(1), b"broken", png(2), "w10"))
        assert caught.value.param == "input[1]"
        assert [each.vector[1] for each in await good] == [value * 6 for value in range(10, 20)]


async def test_decoded_pictures_in_memory_are_bounded() -> None:
    runner = FakeRunner()
    async with held(runner, max_decoded_images=3) as engine:
        task = asyncio.create_task(engine.embed(ask(*[png(value) for value in range(10, 20)])))
        await until(lambda: engine.queue_depth == 3)
        for _ in range(100):
            await asyncio.sleep(0)
        assert engine.queue_depth == 3
        runner.gate.set()
        assert len(await task) == 10


async def test_duplicates_in_a_request_run_once() -> None:
    runner = FakeRunner()
    async with running(runner) as engine:
        found = await engine.embed(ask("w10", "w11", "w10", "w10"))
    assert sum(len(batch) for batch in runner.batches) == 2
    np.testing.assert_array_equal(
        [each.vector for each in found], [row(10), row(11), row(10), row(10)]
    )


async def test_identical_inputs_in_flight_run_once() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        tasks = [await start(engine, "w10") for _ in range(5)]
        runner.gate.set()
        vectors = [(await task)[0].vector for task in tasks]
        assert engine.metrics.joined == 4
    assert [len(batch) for batch in runner.batches] == [1, 1]
    np.testing.assert_array_equal(vectors, [row(10)] * 5)


async def test_an_input_may_join_one_that_already_runs() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        task = await start(engine, "w9000")
        assert engine.queue_depth == 0
        runner.gate.set()
        np.testing.assert_array_equal((await task)[0].vector, row(9000))
    assert len(runner.batches) == 1


async def test_identical_inputs_under_different_salts_are_not_joined() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        tasks = [await start(engine, "w10", cache_salt=salt) for salt in "ab"]
        runner.gate.set()
        await asyncio.gather(*tasks)
    assert [len(batch) for batch in runner.batches] == [1, 2]


async def test_one_vector_in_flight_serves_requests_of_other_dimensions() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        tasks = [await start(engine, "w10", dimensions=length) for length in (2, 4)]
        runner.gate.set()
        assert [len((await task)[0].vector) for task in tasks] == [2, 4]


async def test_work_goes_on_for_those_who_joined_a_cancelled_request() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        first, second = [await start(engine, "w10") for _ in range(2)]
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert engine.queue_depth == 1
        runner.gate.set()
        np.testing.assert_array_equal((await second)[0].vector, row(10))


async def test_all_who_joined_get_the_same_error_under_their_own_name() -> None:
    runner = FakeRunner()
    runner.on_content = spoil(10)
    async with held(runner) as engine:
        tasks = [await start(engine, "w10"), await start(engine, "w11", "w10")]
        runner.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [UnprocessableInputError] * 2
    assert [each.param for each in found] == ["input[0]", "input[1]"]


async def test_cancelling_takes_waiting_inputs_out_of_the_queue() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        task = await start(engine, "w10", "w11")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.queue_depth == 0
        assert engine.metrics.cancelled == 1
    assert [len(batch) for batch in runner.batches] == [1]


async def test_cancelling_a_request_with_pictures_takes_them_out_too() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        task = await start(engine, png(10), png(11), "w10")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.queue_depth == 0


async def test_the_result_of_a_cancelled_running_input_is_dropped() -> None:
    runner = FakeRunner()
    async with running(runner) as engine:
        runner.gate.clear()
        task = asyncio.create_task(engine.embed(ask("w10")))
        await entered(runner)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        runner.gate.set()
        np.testing.assert_array_equal((await engine.embed(ask("w11")))[0].vector, row(11))


async def test_a_full_queue_refuses_a_whole_request_and_says_when_to_return() -> None:
    runner = FakeRunner()
    async with held(runner, max_queue_tokens=20) as engine:
        task = await start(engine, "w10", "w11", "w12", "w13")
        with pytest.raises(OverloadedError) as caught:
            await engine.embed(ask("w20", "w21", "w22"))
        assert caught.value.retry_after_s >= 1
        assert engine.queue_depth == 4
        assert engine.metrics.rejected == 1
        fits = await start(engine, "w30")
        runner.gate.set()
        assert len(await task) == 4
        assert len(await fits) == 1


async def test_pictures_are_refused_before_they_are_decoded() -> None:
    runner = FakeRunner()
    async with held(runner, max_queue_tokens=NUM_PATCHES) as engine:
        with pytest.raises(OverloadedError):
            await engine.embed(ask(b"would not decode"))


async def test_finished_and_cancelled_requests_leave_room() -> None:
    runner = FakeRunner()
    async with running(runner, max_queue_tokens=6) as engine:
        for word in range(10, 40):
            await engine.embed(ask(f"w{word} w1 w1 w1"))
        runner.gate.clear()
        task = asyncio.create_task(engine.embed(ask("w10 w1 w1 w1")))
        await entered(runner)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        runner.gate.set()
        assert len(await engine.embed(ask("w11 w1 w1 w1"))) == 1


async def test_a_request_larger_than_the_queue_runs_when_it_is_alone() -> None:
    async with running(max_queue_tokens=5) as engine:
        assert len(await engine.embed(ask("w10", "w11", "w12"))) == 3


async def test_the_default_queue_holds_a_burst_of_4096_small_texts() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        tasks = [
            asyncio.create_task(engine.embed(ask(f"w{number}"))) for number in range(100, 4196)
        ]
        await until(lambda: engine.queue_depth == 4096)
        runner.gate.set()
        found = await asyncio.gather(*tasks)
    np.testing.assert_array_equal(found[-1][0].vector, row(4195))


async def test_better_priority_runs_first() -> None:
    runner = FakeRunner()
    async with held(runner, max_batch_tokens=1) as engine:
        late = [await start(engine, f"w{word}", priority=5) for word in (20, 21)]
        urgent = await start(engine, "w30", priority=-1)
        runner.gate.set()
        await asyncio.gather(*late, urgent)
    assert [batch[0][1] for batch in runner.batches] == [9000, 30, 20, 21]


async def test_joining_with_better_priority_hurries_the_input() -> None:
    runner = FakeRunner()
    async with held(runner, max_batch_tokens=1) as engine:
        late = [await start(engine, f"w{word}", priority=5) for word in (20, 21)]
        urgent = await start(engine, "w21", priority=-1)
        runner.gate.set()
        await asyncio.gather(*late, urgent)
    assert [batch[0][1] for batch in runner.batches] == [9000, 21, 20]


@pytest.mark.parametrize(
    "error", [InferenceError("boom"), ValueError("/secret w13"), MemoryError()]
)
async def test_an_input_that_breaks_the_runtime_fails_alone(error: Exception) -> None:
    runner = FakeRunner()
    runner.on_content = raise_on(13, error=error)
    async with held(runner) as engine:
        tasks = [await start(engine, f"w{word}") for word in range(10, 18)]
        runner.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert engine.is_ready()
    failed = found.pop(3)
    assert isinstance(failed, InferenceError)
    assert "secret" not in failed.message
    assert failed.param == "input[0]"
    words = [10, 11, 12, 14, 15, 16, 17]
    np.testing.assert_array_equal([each[0].vector for each in found], [row(w) for w in words])


async def test_a_row_that_is_not_finite_fails_alone() -> None:
    runner = FakeRunner()
    runner.on_content = spoil(13)
    async with held(runner) as engine:
        tasks = [await start(engine, f"w{word}") for word in range(12, 15)]
        runner.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert engine.metrics.lost_inputs == 1
    assert isinstance(found[1], UnprocessableInputError)
    np.testing.assert_array_equal(found[0][0].vector, row(12))
    np.testing.assert_array_equal(found[2][0].vector, row(14))
    assert [len(batch) for batch in runner.batches] == [1, 3]


async def test_the_first_failing_input_takes_the_rest_of_its_request_out_of_the_queue() -> None:
    runner = FakeRunner()
    failed = threading.Event()
    runner.on_content = lambda content: "nan" if content[1] == 20 else failed.wait()
    async with running(runner, max_batch_tokens=1) as engine:
        with pytest.raises(UnprocessableInputError):
            await engine.embed(ask(*[f"w{word}" for word in range(20, 1020)]))
        assert engine.queue_depth == 0
        failed.set()
    assert len(runner.batches) <= 2


async def test_rows_of_the_wrong_shape_are_a_runtime_failure() -> None:
    async with running(model=make_model(dimensions=7)) as engine:
        with pytest.raises(InferenceError):
            await engine.embed(ask("w10"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_worker_thread_that_dies_fails_its_inputs_and_stops_the_engine() -> None:
    runner = FakeRunner()
    runner.on_content = raise_on(666, error=SystemExit())
    async with running(runner) as engine:
        runner.gate.clear()
        deadly = asyncio.create_task(engine.embed(ask("w666")))
        await entered(runner)
        waiting = await start(engine, "w10")
        runner.gate.set()
        found = await asyncio.gather(deadly, waiting, return_exceptions=True)
        assert [type(each) for each in found] == [InferenceError] * 2
        assert not engine.is_ready()
        with pytest.raises(NotReadyError):
            await engine.embed(ask("w11"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_another_worker_goes_on_when_one_dies() -> None:
    runner = FakeRunner(num_sessions=2)
    runner.on_content = raise_on(666, error=SystemExit())
    async with running(runner) as engine:
        with pytest.raises(InferenceError):
            await engine.embed(ask("w666"))
        assert engine.is_ready()
        np.testing.assert_array_equal((await engine.embed(ask("w10")))[0].vector, row(10))


async def test_finished_vectors_are_not_kept_by_default() -> None:
    runner = FakeRunner()
    async with running(runner) as engine:
        for _ in range(2):
            await engine.embed(ask("w10"))
    assert len(runner.batches) == 2


async def test_the_cache_answers_within_a_salt() -> None:
    runner = FakeRunner()
    async with running(runner, cache_bytes=10_000) as engine:
        for salt in ("a", "a", "b"):
            (found,) = await engine.embed(ask("w10", cache_salt=salt))
            np.testing.assert_array_equal(found.vector, row(10))
        assert engine.metrics.cache_hits == 1
    assert len(runner.batches) == 2


async def test_failures_are_not_kept() -> None:
    runner = FakeRunner()
    runner.on_content = spoil(10)
    async with running(runner, cache_bytes=10_000) as engine:
        with pytest.raises(UnprocessableInputError):
            await engine.embed(ask("w10"))
        runner.on_content = lambda _: None
        np.testing.assert_array_equal((await engine.embed(ask("w10")))[0].vector, row(10))


async def test_draining_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    runner = FakeRunner()
    async with held(runner) as engine:
        accepted = [await start(engine, f"w{word}") for word in (10, 11)]
        closing = asyncio.create_task(engine.close(drain=True))
        await asyncio.sleep(0)
        assert not engine.is_ready()
        with pytest.raises(NotReadyError):
            await engine.embed(ask("w12"))
        assert not runner.closed
        runner.gate.set()
        assert [len(await task) for task in accepted] == [1, 1]
        await closing
    assert runner.closed


async def test_closing_at_once_fails_what_waits() -> None:
    runner = FakeRunner()
    engine = make_engine(runner)
    await engine.start()
    runner.gate.clear()
    running_task = asyncio.create_task(engine.embed(ask("w9")))
    await entered(runner)
    waiting = await start(engine, "w10")
    closing = asyncio.create_task(engine.close(drain=False))
    with pytest.raises(NotReadyError):
        await waiting
    with pytest.raises(NotReadyError):
        await running_task
    runner.gate.set()
    await closing
    assert runner.closed
    assert len(runner.batches) == 1


async def test_a_drain_can_be_cut_short() -> None:
    runner = FakeRunner()
    engine = make_engine(runner)
    await engine.start()
    runner.gate.clear()
    task = asyncio.create_task(engine.embed(ask("w9")))
    await entered(runner)
    drain = asyncio.create_task(engine.close(drain=True))
    await asyncio.sleep(0)
    drain.cancel()
    closing = asyncio.create_task(engine.close(drain=False))
    with pytest.raises(NotReadyError):
        await task
    runner.gate.set()
    await closing
    assert runner.closed


async def test_an_engine_that_was_not_started_is_not_ready() -> None:
    engine = make_engine()
    assert not engine.is_ready()
    with pytest.raises(NotReadyError):
        await engine.embed(ask("w10"))


async def test_metrics_count_what_happened() -> None:
    async with running() as engine:
        await engine.embed(ask("w10", "w11 w12", png(10)))
        with pytest.raises(InputTooLongError):
            await engine.embed(ask("w9 " * 99))
        found = engine.metrics.snapshot()
    assert (found["requests"], found["inputs"], found["tokens"], found["failed"]) == (2, 4, 7, 1)
    assert found["batches"] == sum(found["batch_tokens"]["counts"])
    assert found["batch_tokens"]["sum"] == 7 + NUM_PATCHES
    assert found["tokens_per_s"] > 0
