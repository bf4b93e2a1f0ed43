"""The way these tests start servers shows why one did not start, and leaves none behind."""

from pathlib import Path

import pytest

from tests.e2e.process import ServerProcess, running

pytestmark = pytest.mark.e2e


def test_log_of_a_server_that_does_not_start_is_in_the_message(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"not ready(?s:.)*polyvec: error: .*config\.json"),
        running(str(tmp_path)),
    ):
        pytest.fail("there is no checkpoint to serve")


def test_a_failing_test_leaves_no_process_behind() -> None:
    seen: list[ServerProcess] = []

    def fail() -> None:
        with running("--backend", "fake") as server:
            seen.append(server)
            assert server.is_running()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not seen[0].is_running()
