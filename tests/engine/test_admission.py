import pytest

from polyvec.engine.admission import Admission, retry_after_s
from polyvec.errors import OverloadedError


def test_a_request_that_does_not_fit_is_refused_and_leaves_no_trace() -> None:
    admission = Admission(10)
    with admission.admit(6, tokens_per_s=0):
        with pytest.raises(OverloadedError, match="6 of 10"), admission.admit(5, tokens_per_s=0):
            pytest.fail("was let in")
        with admission.admit(4, tokens_per_s=0):
            assert admission.admitted_tokens == 10
    assert admission.admitted_tokens == 0


def test_a_failed_request_gives_its_room_back() -> None:
    admission = Admission(10)
    with pytest.raises(ValueError), admission.admit(6, tokens_per_s=0):
        raise ValueError
    assert admission.admitted_tokens == 0


def test_a_request_beyond_the_limit_comes_in_alone() -> None:
    admission = Admission(10)
    with admission.admit(50, tokens_per_s=0):
        with pytest.raises(OverloadedError), admission.admit(1, tokens_per_s=0):
            pytest.fail("was let in")
        assert admission.admitted_tokens == 50


def test_the_advice_is_the_time_until_there_is_room() -> None:
    admission = Admission(1000)
    with admission.admit(900, tokens_per_s=0), pytest.raises(OverloadedError) as caught:
        admission.admit(600, tokens_per_s=100).__enter__()
    assert caught.value.retry_after_s == pytest.approx(5)


@pytest.mark.parametrize(
    ("tokens", "rate", "expected"), [(10, 0.0, 1.0), (10, 1e6, 1.0), (10**9, 1.0, 120.0)]
)
def test_the_advice_stays_within_what_clients_obey(
    tokens: int, rate: float, expected: float
) -> None:
    assert retry_after_s(tokens, rate) == expected
