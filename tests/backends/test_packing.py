"""The index arrays of a packed batch describe the texts, whatever their lengths."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polyvec.backends._packing import MASKED, pack, round_up, tokens_of

LENGTHS = st.lists(st.integers(1, 70), min_size=1, max_size=9)


def texts(lengths: list[int]) -> list[np.ndarray]:
    """Texts whose ids are all different."""
    starts = np.cumsum([1, *lengths])
    return [
        np.arange(start, start + length) for start, length in zip(starts, lengths, strict=False)
    ]


@given(LENGTHS)
def test_gather_then_scatter_gives_every_token_back(lengths: list[int]) -> None:
    batch = tokens_of(texts(lengths))
    packed = pack(batch, ("mean",), None)
    by_text = packed["ids"][packed["gather"]]
    np.testing.assert_array_equal(
        by_text.reshape(-1)[packed["scatter"]][: len(batch.ids)], batch.ids
    )


@given(LENGTHS)
def test_a_text_view_holds_the_text_and_then_only_its_own_last_token(lengths: list[int]) -> None:
    batch = texts(lengths)
    packed = pack(tokens_of(batch), ("mean",), None)
    for ids, row, mask in zip(
        batch, packed["ids"][packed["gather"]], packed["key_mask"], strict=True
    ):
        np.testing.assert_array_equal(row[: len(ids)], ids)
        assert set(row[len(ids) :]) <= {ids[-1]}
        assert (mask[: len(ids)] == 0).all()
        assert (mask[len(ids) :] == MASKED).all()


@given(LENGTHS)
def test_positions_count_from_zero_in_every_text(lengths: list[int]) -> None:
    packed = pack(tokens_of(texts(lengths)), ("mean",), None)
    expected = np.concatenate([np.arange(length) for length in lengths])
    np.testing.assert_array_equal(packed["positions"][: len(expected)], expected)


@given(LENGTHS, st.sampled_from(["mean", "mean_sqrt_len", "weightedmean"]))
def test_pool_weights_are_zero_beyond_the_text(lengths: list[int], pooling: str) -> None:
    packed = pack(tokens_of(texts(lengths)), (pooling,), None)
    for length, weights in zip(lengths, packed[f"weights.{pooling}"], strict=True):
        assert (weights[:length] > 0).all()
        assert not weights[length:].any()


@given(LENGTHS)
def test_cls_and_last_pick_the_ends_of_each_text(lengths: list[int]) -> None:
    batch = texts(lengths)
    for pooling, place in (("cls", 0), ("last", -1)):
        packed = pack(tokens_of(batch), (pooling,), None)
        np.testing.assert_array_equal(
            packed["ids"][packed[f"picked.{pooling}"]], [ids[place] for ids in batch]
        )


def test_eos_picks_the_first_end_token_or_the_highest_id() -> None:
    batch = tokens_of([np.array([5, 9, 7, 9]), np.array([1, 2, 9])])
    assert pack(batch, ("eos",), 9)["picked.eos"].tolist() == [1, 6]
    assert pack(batch, ("eos",), None)["picked.eos"].tolist() == [1, 6]


def test_a_text_without_its_end_token_is_read_at_its_first_as_the_reference_does() -> None:
    batch = tokens_of([np.array([5, 9, 7, 9]), np.array([1, 2, 9])])
    assert pack(batch, ("eos",), 7)["picked.eos"].tolist() == [2, 4]


def test_a_prompt_is_left_out_of_every_mean_unless_it_is_all_there_is() -> None:
    batch = tokens_of([np.array([5, 9, 7, 8]), np.array([5, 9])])
    batch = replace(batch, skipped=np.array([2, 2]))
    packed = pack(batch, ("mean", "weightedmean", "max"), None)
    assert packed["weights.mean"][:, :4].tolist() == [[0, 0, 0.5, 0.5], [0, 1, 0, 0]]
    np.testing.assert_allclose(packed["weights.weightedmean"][0, :4], [0, 0, 3 / 7, 4 / 7])
    assert packed["weights.max"][0, :4].tolist() == [0, 0, 1, 1]


@given(st.integers(1, 5000))
def test_rounding_up_wastes_little_and_meets_few_sizes(count: int) -> None:
    rounded = round_up(count)
    assert count <= rounded <= max(count + 3, count * 1.25)


def test_the_grid_of_sizes_is_small() -> None:
    assert len({round_up(count) for count in range(1, 513)}) <= 30


@given(LENGTHS, st.integers(1, 9))
def test_the_first_token_after_a_left_out_prompt_is_kept(lengths: list[int], skipped: int) -> None:
    batch = tokens_of(texts(lengths))
    batch = replace(batch, skipped=np.full(len(lengths), skipped, np.int64))
    picked = pack(batch, ("cls",), None)["picked.cls"]
    starts = np.cumsum([0, *lengths])[:-1]
    expected = [skipped if length > skipped else 0 for length in lengths]
    np.testing.assert_array_equal(picked - starts, expected)
