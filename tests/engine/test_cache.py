from collections import OrderedDict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polyvec.engine.cache import ENTRY_BYTES, VectorCache, content_key

VECTOR_BYTES = 4 * 4 + ENTRY_BYTES


def vector(value: float) -> np.ndarray:
    return np.full(4, value, np.float32)


triples = st.tuples(st.sampled_from(["text", "image"]), st.binary(max_size=12), st.text(max_size=4))


@given(triples, triples)
def test_keys_are_equal_only_for_equal_modality_content_and_salt(
    first: tuple[str, bytes, str], second: tuple[str, bytes, str]
) -> None:
    keys = [
        content_key(modality, content, salt=salt) for modality, content, salt in (first, second)
    ]
    assert (keys[0] == keys[1]) == (first == second)


def test_salt_and_content_do_not_run_into_each_other() -> None:
    assert content_key("text", b"bc", salt="a") != content_key("text", b"c", salt="ab")


def test_a_salt_may_hold_a_lone_surrogate() -> None:
    assert content_key("text", b"", salt="\ud800") != content_key("text", b"", salt="\ud801")


def test_limit_zero_keeps_nothing() -> None:
    cache = VectorCache(0)
    cache.put(b"a", vector(1))
    assert cache.get(b"a") is None
    assert cache.size_bytes == 0


def test_the_least_recently_used_vector_leaves_first() -> None:
    cache = VectorCache(2 * VECTOR_BYTES)
    cache.put(b"a", vector(1))
    cache.put(b"b", vector(2))
    cache.get(b"a")
    cache.put(b"c", vector(3))
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None
    assert cache.get(b"c") is not None


def test_a_kept_vector_is_a_copy_that_cannot_be_written() -> None:
    batch = np.zeros((8, 4), np.float32)
    cache = VectorCache(10_000)
    cache.put(b"a", batch[0])
    batch[0] = 7
    kept = cache.get(b"a")
    assert kept is not None
    assert kept.tolist() == [0, 0, 0, 0]
    assert kept.base is None
    assert not kept.flags.writeable


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([b"a", b"b", b"c", b"d"])), max_size=40),
    st.integers(0, 4),
)
def test_it_behaves_like_a_dict_that_forgets_the_oldest_use(
    steps: list[tuple[bool, bytes]], capacity: int
) -> None:
    cache = VectorCache(capacity * VECTOR_BYTES)
    model: OrderedDict[bytes, float] = OrderedDict()
    for number, (is_put, key) in enumerate(steps):
        if is_put:
            cache.put(key, vector(number))
            model[key] = number
        found = cache.get(key)
        if key in model:
            model.move_to_end(key)
        while len(model) > capacity:
            model.popitem(last=False)
        if not is_put:
            assert (None if found is None else found[0]) == model.get(key)
        assert cache.size_bytes == len(cache) * VECTOR_BYTES <= cache.limit_bytes
        assert len(cache) == len(model)
