"""Who leaves memory for whom, and what changed: for any models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.engine.residency import (
    ResidencyOptions,
    Resident,
    changes,
    idle,
    merged_order,
    to_evict,
)
from polyvec.errors import ConfigError

RESIDENTS = st.lists(
    st.builds(
        Resident,
        name=st.text("abcdefgh", min_size=1, max_size=3),
        num_bytes=st.integers(0, 100),
        last_used_s=st.floats(0, 100),
        num_running=st.integers(0, 2),
        is_pinned=st.booleans(),
        idle_limit_s=st.sampled_from([0.0, 10.0, 50.0]),
    ),
    unique_by=lambda one: one.name,
    max_size=8,
)
TABLES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2))


@given(RESIDENTS, st.integers(0, 200), st.integers(1, 300))
def test_who_must_go_is_unused_enough_and_no_more_than_needed(
    residents: list[Resident], needed: int, budget: int
) -> None:
    going = to_evict(residents, needed_bytes=needed, budget_bytes=budget)
    by_name = {one.name: one for one in residents}
    total = sum(one.num_bytes for one in residents)
    movable = [one for one in residents if one.may_go]
    if going is None:
        assert total - sum(one.num_bytes for one in movable) + needed > budget
        return
    gone = [by_name[name] for name in going]
    assert all(one.num_running == 0 and not one.is_pinned for one in gone)
    assert total - sum(one.num_bytes for one in gone) + needed <= budget
    if gone:
        assert total - sum(one.num_bytes for one in gone[:-1]) + needed > budget
        stays = [one for one in movable if one.name not in going and one.num_bytes]
        assert all(one.last_used_s >= gone[-1].last_used_s for one in stays)


@given(RESIDENTS, st.integers(0, 200), st.integers(1, 300))
def test_those_in_use_go_only_if_asked_and_only_after_the_others(
    residents: list[Resident], needed: int, budget: int
) -> None:
    sparing = to_evict(residents, needed_bytes=needed, budget_bytes=budget)
    going = to_evict(residents, needed_bytes=needed, budget_bytes=budget, spares_running=False)
    if sparing is not None:
        assert going == sparing
    by_name = {one.name: one for one in residents}
    running = [by_name[name].num_running > 0 for name in going or ()]
    assert running == sorted(running)
    assert not any(by_name[name].is_pinned for name in going or ())


@given(RESIDENTS, st.integers(0, 10_000))
def test_without_a_budget_nobody_goes(residents: list[Resident], needed: int) -> None:
    assert to_evict(residents, needed_bytes=needed, budget_bytes=0) == ()


@given(RESIDENTS, st.floats(0, 300))
def test_the_idle_are_those_unused_for_their_limit(residents: list[Resident], now_s: float) -> None:
    found = idle(residents, now_s)
    for one in residents:
        is_idle = (
            one.num_running == 0
            and not one.is_pinned
            and one.idle_limit_s > 0
            and now_s - one.last_used_s >= one.idle_limit_s
        )
        assert (one.name in found) == is_idle


@given(TABLES, TABLES)
def test_changes_lead_from_the_old_list_to_the_new_one(
    old: dict[str, int], new: dict[str, int]
) -> None:
    found = changes(old, new)
    kept = {name: value for name, value in old.items() if name not in found.removed}
    assert {**kept, **found.changed, **found.added} == new
    assert bool(found) == (old != new)
    assert all(old[name] != value for name, value in found.changed.items())


@given(st.permutations("abcd"), st.permutations("bcxy"), st.sets(st.sampled_from("abcdxy")))
def test_the_new_lists_order_comes_first_and_what_others_added_stays(
    old: list[str], new: list[str], present: set[str]
) -> None:
    order = merged_order(old, new, present)
    assert set(order) == present
    listed = [name for name in new if name in present]
    assert list(order[: len(listed)]) == listed
    assert list(order[len(listed) :]) == [one for one in old if one in present and one not in new]


@pytest.mark.parametrize("name", ["unload_idle_s", "memory_budget_bytes", "watch_config_s"])
def test_a_limit_below_zero_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least 0"):
        ResidencyOptions(**{name: -1})
